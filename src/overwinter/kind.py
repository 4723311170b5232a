"""
Kinds: a class, its schemas and its steps, found to agree.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from operator import attrgetter
from types import NoneType
from typing import Any

from .artifact import CacheArtifact
from .bundle import KindStamp
from .bundle.identity import record_digest
from .codec import Columns, columns_of, objects_of
from .errors import KeyGrammarError, OverwinterError, WrongShapeError
from .limits import MAX_FAULTS
from .migration import Steps
from .schema import Catalog, Schema, check_class, find_faults, oldest_reader
from .schema.model import ONE
from .schema.types import ListOf, OptionalOf

__all__ = ["Kind"]

_CHECK_KEY = CacheArtifact.check_key.__func__  # type: ignore[attr-defined]
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
        return self.stamp_of(self.schema.version)

    def stamp_of(self, version: int) -> KindStamp:
        """
        Return what a segment says of records of *version*.

        Raises:
            InvalidSchemaError: The file of the version was changed since it was
                released.
        """
        schema = self.schemas[version]
        return KindStamp(
            self.name,
            version,
            schema.fingerprint,
            oldest_reader(
                [self.schemas[each] for each in range(1, version + 1)],
                self.steps.converted,
            ),
            schema.as_plain(),
            draft=not self.schemas.is_released(version),
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

    def losses(self, version: int) -> tuple[str, ...]:
        """Return what artifacts lose when they are written as *version*."""
        losses = self.steps.down(self.schemas, version).losses
        if self.schemas[version].cardinality == ONE != self.schema.cardinality:
            return (*losses, "all but the best variant of each key")
        return losses

    def lowered(
        self, columns: Mapping[str, list[Any]], version: int
    ) -> dict[str, list[Any]]:
        """
        Return *columns* of the newest version as an older one.

        Raises:
            MigrationError: There is no way back, or it fails on a value.
            WrongShapeError: The older version cannot hold a value.
        """
        older = self.schemas[version]
        name = f"writing {self.name} as version {version}"
        if older.cardinality == ONE != self.schema.cardinality:
            # Of each key the first, which is the best.
            first = {key: row for row, key in reversed([*enumerate(columns["key"])])}
            columns = {
                n: [c[row] for row in first.values()] for n, c in columns.items()
            }
        newest = Columns(len(columns["key"]), columns, name)
        newest = newest.with_payloads(self.schema.payload_names)
        lowered = self.steps.down(self.schemas, version).apply(newest)
        faults = find_faults(older, lowered)
        if faults:
            listed = [fault for row in faults.values() for fault in row]
            raise WrongShapeError(name, tuple(listed[:MAX_FAULTS]))
        return {field.name: lowered[field.name] for field in older.fields}

    def build(self, columns: Mapping[str, list[Any]]) -> list[CacheArtifact]:
        """Return the artifacts in *columns*, which were validated."""
        return objects_of(self.cls, columns)

    def check_keys(self, keys: Sequence[str]) -> None:
        """
        Check all of *keys* against the grammar of this kind's.

        Raises:
            KeyGrammarError: One is none of this kind.
        """
        grammar = self.cls.key_grammar
        # Who overrides `check_key` may ask more than the grammar does.
        is_inherited = getattr(self.cls.check_key, "__func__", None) is _CHECK_KEY
        if is_inherited and grammar is not None and grammar.fits_all(keys):
            return
        for key in keys:
            try:
                self.cls.check_key(key)
            except OverwinterError:
                raise
            except Exception as error:  # a kind's own code may raise anything
                raise KeyGrammarError(
                    self.name,
                    key,
                    f"could not be checked: its kind's code raised {error!r:.200}",
                    "one that this code can judge",
                ) from error

    def digest(self, artifact: CacheArtifact) -> bytes:
        """Return the digest that, with kind and key, is the artifact's identity."""
        columns = columns_of(self.cls, [artifact])
        record = {name: column[0] for name, column in columns.items()}
        return record_digest(record, self.schema.payload_names)

    def rank(self, artifact: CacheArtifact, place: int) -> tuple[Any, ...]:
        """
        Return what decides between artifacts of one key: smaller wins, of equals the
        smaller digest.

        Args:
            artifact: One of this kind.
            place: How many were saved before it.
        """
        return (artifact.preference(), -place if self.cls.latest_wins else 0)

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
        self.check_keys(columns["key"])
        if len(set(columns["key"])) == len(artifacts):
            return columns
        by_key: dict[str, list[int]] = {}
        for row, key in enumerate(columns["key"]):
            by_key.setdefault(key, []).append(row)
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
            (self.rank(artifacts[row], row), self.digest(artifacts[row]), row)
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
            column = list(map(attrgetter(field.name), artifacts))
            if set(map(type, column)) <= set(allowed):
                continue
            for row, value in enumerate(column):
                if type(value) not in allowed:
                    path = f"{self.name}[{row}].{field.name}"
                    found = f"{type(value).__name__} {value!a:.60}"
                    fault = f"{path}: expected {field.type}, got {found}"
                    raise WrongShapeError(f"saving {self.name}", (fault,))
