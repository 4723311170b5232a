"""
Artifacts and the factory of their kinds, with the names of torch's own module.

An artifact is one cache entry: an instance of the attrs class of its kind. The
class says where the entry goes; its schema file says what is written.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar, TypeVar

import attrs

from .bundle import KindStamp
from .bundle.identity import record_digest
from .codec import columns_of, objects_of
from .environment import Rule
from .errors import KindError, StoreError, WrongShapeError
from .files import create_once, make_directory
from .limits import MAX_FAULTS
from .migration import Steps
from .schema import Catalog, Schema, check_class, find_faults, oldest_reader
from .schema.model import ONE
from .schema.types import ListOf, OptionalOf

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
    - ``caches``: what finds the directory of each cache that it writes into;
    - ``populate_after``: kinds that must be in their caches before this one;
    - ``environment_rules``: fields of the environment that matter to it.
    """

    # Subclasses are attrs classes with slots; a base without would undo them.
    __slots__ = ()

    schema_package: ClassVar[str] = "overwinter_schema"
    migrations_package: ClassVar[str] = "overwinter_migrations"
    caches: ClassVar[Mapping[str, Callable[[], str]]] = {}
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

    def populate_cache(self) -> None:
        """
        Put this artifact alone into its live cache; what is there already stays.

        `CacheArtifactManager.populate_caches` puts in many, each after those that
        it needs.

        Raises:
            KeyGrammarError: The key is none of this kind.
            StoreError: The cache has no directory here, or cannot be written.
        """
        entry = self.cache_entry()
        if entry.cache not in self.caches:
            raise StoreError(
                entry.cache, "find this cache's directory", "its kind does not say"
            )
        target = Path(self.caches[entry.cache]()) / entry.path
        make_directory(target.parent)
        create_once(target, entry.content, mode=entry.mode)

    def preference(self) -> tuple[Any, ...]:
        """
        Return what decides between two artifacts of one key: smaller wins.

        Pure and total together with the digest: there is no clock to ask.
        """
        return ()


ArtifactClass = TypeVar("ArtifactClass", bound="type[CacheArtifact]")


_LISTS: tuple[type, ...] = (list, tuple)


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
            oldest_reader(
                [self.schemas[each] for each in range(1, version + 1)],
                self.steps.converted,
            ),
            self.schema.as_plain(),
        )

    def columns(self, artifacts: Sequence[CacheArtifact]) -> dict[str, list[Any]]:
        """
        Return *artifacts* as validated columns.

        Raises:
            WrongShapeError: A value does not fit the schema; nothing is coerced.
        """
        self._check_lists(artifacts)
        columns = columns_of(self.cls, artifacts)
        faults = find_faults(self.schema, columns)
        if faults:
            listed = [fault for row in faults.values() for fault in row]
            raise WrongShapeError(f"saving {self.name}", tuple(listed[:MAX_FAULTS]))
        return columns

    def build(self, columns: Mapping[str, list[Any]]) -> list[CacheArtifact]:
        """Return the artifacts in *columns*, which were validated."""
        return objects_of(self.cls, columns)

    def digest(self, artifact: CacheArtifact) -> bytes:
        """Return the digest that, with kind and key, is the artifact's identity."""
        columns = columns_of(self.cls, [artifact])
        record = {name: column[0] for name, column in columns.items()}
        return record_digest(record, self.schema.payload_names)

    def winning_columns(
        self, artifacts: Sequence[CacheArtifact]
    ) -> dict[str, list[Any]]:
        """
        Return *artifacts* as validated columns, without equal ones, and one for
        each key where the kind's cache has one destination for a key.

        Raises:
            KeyGrammarError: A key is none of this kind: no load would use it.
            WrongShapeError: A value does not fit the schema.
        """
        columns = self.columns(artifacts)
        for artifact in artifacts:
            artifact.check_key(artifact.key)
        by_key: dict[str, list[int]] = {}
        for row, key in enumerate(columns["key"]):
            by_key.setdefault(key, []).append(row)
        if len(by_key) == len(artifacts):
            return columns
        chosen: list[int] = []
        for rows in by_key.values():
            # Only for variants of one key is the digest worth its cost.
            chosen += self._winners(rows, artifacts) if len(rows) > 1 else rows
        return {
            name: [column[row] for row in chosen] for name, column in columns.items()
        }

    def _winners(
        self, rows: list[int], artifacts: Sequence[CacheArtifact]
    ) -> list[int]:
        """Return those of *rows*, all of one key, that are kept, the best first."""
        ranked = sorted(
            (artifacts[row].preference(), self.digest(artifacts[row]), row)
            for row in rows
        )
        if self.schema.cardinality == ONE:
            return [ranked[0][2]]
        distinct: dict[bytes, int] = {}
        for _, digest, row in ranked:
            distinct.setdefault(digest, row)
        return list(distinct.values())

    def _check_lists(self, artifacts: Sequence[CacheArtifact]) -> None:
        """Refuse text where a list belongs: cattrs would take it apart."""
        for field in self.schema.fields:
            kind, allowed = field.type, _LISTS
            if isinstance(kind, OptionalOf):
                kind, allowed = kind.item, (*_LISTS, NoneType)
            if not isinstance(kind, ListOf):
                continue
            for row, artifact in enumerate(artifacts):
                value = getattr(artifact, field.name)
                if type(value) not in allowed:
                    path = f"{self.name}[{row}].{field.name}"
                    found = f"{type(value).__name__} {value!a:.60}"
                    fault = f"{path}: expected {field.type}, got {found}"
                    raise WrongShapeError(f"saving {self.name}", (fault,))


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
                    kind.name, f"is registered already, by {other}", cls.kinds()
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
