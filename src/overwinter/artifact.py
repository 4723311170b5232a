"""
Artifacts and the factory of their kinds, with the names of torch's own module.

An artifact is one cache entry: an instance of the attrs class of its kind. The
class says where the entry goes; its schema file says what is written.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import attrs

from .bundle import KindStamp
from .bundle.identity import record_digest
from .codec import columns_of, objects_of
from .environment import Rule
from .errors import KindError, WrongShapeError
from .migration import Steps
from .schema import Catalog, Schema, check_class, find_faults

__all__ = ["CacheArtifact", "CacheArtifactFactory", "CacheEntry", "Kind"]


@attrs.frozen
class CacheEntry:
    """
    The file that an artifact becomes.

    Args:
        cache: Name of the cache directory, such as ``torchinductor``.
        path: Where in it, relative, with ``/``.
        content: The file's bytes.
        mode: Its permission bits; the umask of the process applies.
    """

    cache: str
    path: str
    content: bytes = attrs.field(repr=False)
    mode: int = 0o644


class CacheArtifact:
    """
    One cache entry. A kind is a subclass, decorated with ``attrs.frozen``.

    Attributes:
        key: What the framework's cache looks the entry up by.

    A subclass sets, beside its fields:

    - ``schema_package``, ``migrations_package``: where its schema files and steps
      are, as ``<kind>/v<N>.json`` and ``<kind>/v<N>_to_v<N+1>.py``;
    - ``populate_after``: kinds that must be in their caches before this one;
    - ``environment_rules``: fields of the environment that matter to it.
    """

    # Subclasses are attrs classes with slots; a base without would undo them.
    __slots__ = ()

    schema_package: ClassVar[str] = "overwinter_schema"
    migrations_package: ClassVar[str] = "overwinter_migrations"
    populate_after: ClassVar[tuple[str, ...]] = ()
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
        raise NotImplementedError("a kind knows its keys")

    def cache_entry(self) -> CacheEntry:
        """
        Return the file that this artifact becomes.

        Raises:
            KeyGrammarError: The key is none of this kind.
        """
        raise NotImplementedError("a kind knows its cache")

    def preference(self) -> tuple[Any, ...]:
        """
        Return what decides between two artifacts of one key: smaller wins.

        Pure and total together with the digest: there is no clock to ask.
        """
        return ()


ArtifactClass = TypeVar("ArtifactClass", bound="type[CacheArtifact]")


class Kind:
    """
    A registered kind: its class, schemas and steps, found to agree.

    Raises:
        InvalidSchemaError: A schema file is missing or is none.
        DriftError: Class and newest schema differ.
        MigrationError: A step is missing.
    """

    def __init__(self, cls: type[CacheArtifact]) -> None:
        self.cls, self.name = cls, cls.type()
        self.schemas = Catalog(cls.schema_package, self.name)
        self.schema: Schema = self.schemas.newest
        check_class(cls, self.schema)
        self.steps = Steps.of_package(
            cls.migrations_package, self.name, self.schema.version
        )

    @cached_property
    def stamp(self) -> KindStamp:
        """What a segment says of records that this release writes."""
        version = self.schema.version
        return KindStamp(
            self.name,
            version,
            self.schema.fingerprint,
            self.steps.oldest_reader(version),
            self.schema.as_plain(),
        )

    def columns(self, artifacts: Sequence[CacheArtifact]) -> dict[str, list[Any]]:
        """
        Return *artifacts* as validated columns.

        Raises:
            WrongShapeError: A value does not fit the schema; nothing is coerced.
        """
        columns = columns_of(self.cls, artifacts)
        faults = find_faults(self.schema, columns)
        if faults:
            listed = tuple(fault for row in faults.values() for fault in row)
            raise WrongShapeError(f"saving {self.name}", listed)
        return columns

    def build(self, columns: Mapping[str, list[Any]]) -> list[CacheArtifact]:
        """Return the artifacts in *columns*, which were validated."""
        return objects_of(self.cls, columns)

    def digest(self, artifact: CacheArtifact) -> bytes:
        """Return the digest that, with kind and key, is the artifact's identity."""
        columns = columns_of(self.cls, [artifact])
        record = {name: column[0] for name, column in columns.items()}
        return record_digest(record, self.schema.payload_names)

    def winners(self, artifacts: Iterable[CacheArtifact]) -> list[CacheArtifact]:
        """
        Return *artifacts* without equal ones, and one for each key where the
        kind's cache has one destination for a key.
        """
        ranked = sorted(
            ((each.key, each.preference(), self.digest(each)), each)
            for each in artifacts
        )
        chosen: dict[object, CacheArtifact] = {}
        for (key, _, digest), artifact in ranked:
            identity = key if self.schema.cardinality == "one" else (key, digest)
            chosen.setdefault(identity, artifact)
        return list(chosen.values())


class CacheArtifactFactory:
    """
    The registered kinds, and artifacts made by name.

    Source:
        ``torch.compiler._cache.CacheArtifactFactory``.
    """

    _kinds: ClassVar[dict[str, Kind]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    @classmethod
    def register(cls, artifact_cls: ArtifactClass) -> ArtifactClass:
        """
        Register a kind; usable as a decorator.

        Raises:
            KindError: The name is taken by another class.
            DriftError: The class is not what its schema file says.
        """
        kind = Kind(artifact_cls)
        with cls._lock:
            if kind.name in cls._kinds:
                other = cls._kinds[kind.name].cls.__qualname__
                raise KindError(
                    kind.name, f"is registered already, by {other}", tuple(cls._kinds)
                )
            cls._kinds[kind.name] = kind
        return artifact_cls

    @classmethod
    def kind(cls, name: str) -> Kind:
        """
        Return the registered kind of this name.

        Raises:
            KindError: There is none.
        """
        try:
            return cls._kinds[name]
        except KeyError:
            known = tuple(sorted(cls._kinds))
            raise KindError(name, "is not registered", known) from None

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Return the names of the registered kinds, sorted."""
        return tuple(sorted(cls._kinds))

    @classmethod
    def create(cls, artifact_type: str, key: str, content: bytes) -> CacheArtifact:
        """
        Return the artifact of a cache entry.

        Args:
            artifact_type: The kind.
            key: What the cache looks it up by.
            content: The entry's bytes, as the framework wrote them.

        Raises:
            KindError: The kind is not registered.
        """
        return cls.kind(artifact_type).cls.from_content(key, content)

    @classmethod
    def encode_create(cls, artifact_type: str, key: str, content: Any) -> CacheArtifact:
        """
        Return the artifact of a value that is not yet encoded.

        Raises:
            KindError: The kind is not registered.
            WrongShapeError: *content* is not what the kind's cache holds.
        """
        artifact_cls = cls.kind(artifact_type).cls
        return artifact_cls.from_content(key, artifact_cls.encode(content))
