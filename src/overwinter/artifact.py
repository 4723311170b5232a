"""
Artifacts, with the names of torch's own module.

An artifact is one cache entry: an instance of the attrs class of its kind. The
class says where the entry goes; its schema file says what is written.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import attrs

from .cache_directory import CacheDirectory
from .environment import Rule
from .errors import StoreError, WrongShapeError
from .grammar import KeyGrammar

__all__ = ["CacheArtifact", "CacheEntry"]


@attrs.frozen
class CacheEntry:
    """
    The file that an artifact becomes.

    Args:
        cache: Name of the cache directory, such as ``torchinductor``.
        path: Where in it, relative, with ``/``.
        content: The file's bytes.
        mode: Its permission bits; the umask of the process applies.
        order: Of one kind, those with a smaller one are in the cache first.
        restore: Gives the file's bytes for the path of the cache's directory, where
            they name that; ``content`` is then what it has in the place of it.
    """

    cache: str
    path: str
    content: bytes = attrs.field(repr=False)
    mode: int = 0o644
    order: int = 0
    restore: Callable[[str], bytes] | None = attrs.field(default=None, repr=False)

    def content_in(self, directory: str) -> bytes:
        """Return the file's bytes in the cache whose directory is *directory*."""
        return self.content if self.restore is None else self.restore(directory)


class CacheArtifact:
    """
    One cache entry. A kind is a subclass, decorated with ``attrs.frozen``.

    Attributes:
        key: What the framework's cache looks the entry up by.

    A subclass sets, beside its fields:

    - ``schema_package``, ``migrations_package``: where its schema files and steps
      are, as ``<kind>/v<N>.json`` and ``<kind>/v<N>_to_v<N+1>.py``;
    - ``key_grammar``: what its keys look like, or else its own ``check_key``;
    - ``caches``: what finds the directory of each cache that it writes into;
    - ``is_cached``: false where no cache has a place for it, and a load passes over it;
    - ``populate_after``: kinds that must be in their caches before this one;
    - ``latest_wins``: where a cache has one place for a key and its framework writes
      over what is there, that of two artifacts which `preference` does not tell apart
      the one saved last wins, as it would there; else their digests decide;
    - ``environment_rules``: fields of the environment that matter to it.
    """

    # Subclasses are attrs classes with slots; a base without would undo them.
    __slots__ = ()

    schema_package: ClassVar[str] = "overwinter_schema"
    migrations_package: ClassVar[str] = "overwinter_migrations"
    key_grammar: ClassVar[KeyGrammar | None] = None
    caches: ClassVar[Mapping[str, Callable[[], str]]] = {}
    is_cached: ClassVar[bool] = True
    populate_after: ClassVar[tuple[str, ...]] = ()
    latest_wins: ClassVar[bool] = False
    environment_rules: ClassVar[Mapping[str, Rule]] = {}

    key: str

    @property
    def content(self) -> bytes:
        """The bytes of the cache entry, as the framework wrote them."""
        raise NotImplementedError("a kind has a content, or a field of that name")

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        raise NotImplementedError("a kind names itself")

    @staticmethod
    def encode(content: Any) -> bytes:
        """
        Return *content* as the framework would write it into its cache.

        Raises:
            WrongShapeError: It is something else than the kind's cache holds.
        """
        if not isinstance(content, bytes):
            found = f"expected bytes, got {type(content).__name__}"
            raise WrongShapeError("content", (found,))
        return content

    @classmethod
    def from_content(cls, key: str, content: bytes) -> "CacheArtifact":
        """Return the artifact whose cache entry holds *content*."""
        return cls(key=key, content=content)  # type: ignore[call-arg]

    @classmethod
    def check_key(cls, key: str) -> None:
        """
        Check *key* against the grammar of this kind's keys.

        Raises:
            KeyGrammarError: Such a key cannot come from the framework; as a path
                it might lead out of the cache directory.
        """
        if cls.key_grammar is None:
            raise NotImplementedError("a kind knows its keys")
        cls.key_grammar.check(cls.type(), key)

    def cache_entry(self) -> CacheEntry | None:
        """
        Return the file that this artifact becomes; ``None`` where it becomes none.

        Raises:
            KeyGrammarError: The key is none of this kind.
        """
        raise NotImplementedError("a kind knows its cache")

    def populate_cache(self) -> None:
        """
        Put this artifact alone into its live cache; what is there already stays.

        `CacheArtifactManager.populate_caches` puts in many, each after those that
        it needs.

        Raises:
            KeyGrammarError: The key is none of this kind.
            StoreError: The cache has no directory here, or cannot be written.
            UnsafeDirectoryError: Others could write into it.
        """
        entry = self.cache_entry()
        if entry is None:
            return
        if entry.cache not in self.caches:
            raise StoreError(
                entry.cache, "find this cache's directory", "its kind does not say"
            )
        with CacheDirectory(self.caches[entry.cache]()) as directory:
            content = entry.content_in(directory.path)
            staged = directory.stage(content, mode=entry.mode)
            directory.publish(staged, entry.path)

    def preference(self) -> tuple[Any, ...]:
        """
        Return what decides between two artifacts of one key: smaller wins.

        Pure and total together with the digest, or with the order of saving where
        ``latest_wins``: there is no clock to ask.
        """
        return ()
