"""
``each``: the operations on records inside a field, however nested in lists.

The records of a whole column are columns themselves, so that each operation is
one pass over all of them, as it is for the fields of the kind.
"""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import attrs

from ..codec import Columns
from ..schema import Field
from ..schema.types import ListOf, MapOf, OptionalOf, RecordOf, Type, UnionOf
from .operations import Changed, Fields, Operation, Record, Shown, effect_of, inverse_of

__all__ = ["each"]


def each(
    name: str,
    *operations: Operation,
    keyed: bool = False,
    where: Mapping[str, str] | None = None,
) -> Operation:
    """
    Change the records inside the field *name*: one, an optional one, or a list.

    Args:
        name: The field of the kind, or of the record around it.
        operations: What to do to each record in it; `each` again for records
            inside those.
        keyed: The field is a map whose values are the records.
        where: The field is a union: its tag, and the case whose records to
            change, such as ``{"does": "copy"}``.
    """
    if where is not None and len(where) != 1:
        raise ValueError(f"where={where!r} must name one tag and its case")
    case = next(iter(where.items())) if where else None
    return _Each(name, operations, keyed, case)


@attrs.frozen
class _Each(Shown):
    name: str
    operations: tuple[Operation, ...]
    keyed: bool
    where: tuple[str, str] | None
    introduces: ClassVar[frozenset[str]] = frozenset()

    @property
    def records(self) -> str:
        """Which records these are: of a field, or of one case of its union."""
        where = f", where={dict([self.where])}" if self.where else ""
        return f"{self.name!r}{where}"

    @property
    def loss(self) -> str:
        return "; ".join(op.loss for op in self.operations if op.loss)

    @property
    def is_lossy(self) -> bool:
        return any(op.is_lossy and not op.loss for op in self.operations)

    @property
    def converts(self) -> frozenset[str]:
        return frozenset([self.name])

    def apply(self, columns: Columns, changed: Changed) -> None:
        column = columns.decoded(self.name, changed[self.name])
        found: list[Record] = []
        for value in column:
            self._collect(value, self.keyed, found)
        names = list(found[0]) if found else []
        if any(record.keys() != found[0].keys() for record in found):
            raise ValueError(f"records of different fields in {self.name!r}")
        inner = Columns(
            len(found), {n: [record[n] for record in found] for n in names}, self.name
        )
        inner_changed = inner.items_unread()
        if found:
            for operation in self.operations:
                operation.apply(inner, inner_changed)
        lists = {n: inner.decoded(n, column) for n, column in inner_changed.items()}
        made = [
            dict(zip(lists, row, strict=True))
            for row in zip(*lists.values(), strict=True)
        ]
        # A record without any field is lost by the zip.
        fresh = iter(made or [{} for _ in found])
        changed[self.name] = [
            self._rebuilt(value, self.keyed, fresh) for value in column
        ]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        field = fields[self.name]
        record = self._record_in(field.type)
        target = self._record_in(after[self.name].type)
        inner = effect_of(self.operations, record.fields, target.fields)
        order = {each.name: index for index, each in enumerate(target.fields)}
        ordered = sorted(inner.values(), key=lambda f: order.get(f.name, len(order)))
        kind = self._with_record(field.type, RecordOf(tuple(ordered)))
        fields[self.name] = attrs.evolve(field, type=kind)

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        field = before.get(self.name)
        inner = self._record_in(field.type).fields if field else ()
        back = inverse_of(self.operations, inner)
        if any(operation is None for operation in back):
            return None
        operations = tuple(each for each in back if each is not None)
        return attrs.evolve(self, operations=operations)

    def _collect(self, value: Any, keyed: bool, found: list[Record]) -> None:
        """Gather the records in *value*, through lists, and one map if *keyed*."""
        if isinstance(value, list):
            for item in value:
                self._collect(item, keyed, found)
        elif isinstance(value, dict) and keyed:
            for item in value.values():
                self._collect(item, False, found)
        elif isinstance(value, dict) and self._is_meant(value):
            found.append(value)

    def _rebuilt(self, value: Any, keyed: bool, fresh: Iterator[Record]) -> Any:
        """Return *value* with its records replaced, in the order of `_collect`."""
        if isinstance(value, list):
            return [self._rebuilt(item, keyed, fresh) for item in value]
        if isinstance(value, dict) and keyed:
            return {
                key: self._rebuilt(item, False, fresh) for key, item in value.items()
            }
        if isinstance(value, dict) and self._is_meant(value):
            return next(fresh)
        return value

    def _is_meant(self, record: Record) -> bool:
        return self.where is None or record.get(self.where[0]) == self.where[1]

    def _record_in(self, kind: Type) -> RecordOf:
        """Return the records in *kind*; as `_collect` finds them, or a TypeError."""
        keyed = self.keyed
        while isinstance(kind, ListOf | OptionalOf) or (
            keyed and isinstance(kind, MapOf)
        ):
            keyed = keyed and not isinstance(kind, MapOf)
            kind = kind.item
        if not keyed:
            if self.where is None and isinstance(kind, RecordOf):
                return kind
            if self.where is not None and isinstance(kind, UnionOf):
                case = kind.case(self.where[1])
                if kind.tag == self.where[0] and case is not None:
                    return case
        where = dict([self.where]) if self.where else None
        raise TypeError(
            f"no records for each({self.name!r}, …, keyed={self.keyed}, where={where}) "
            f"in {kind}"
        )

    def _with_record(self, kind: Type, record: RecordOf) -> Type:
        if isinstance(kind, ListOf | MapOf | OptionalOf):
            return attrs.evolve(kind, item=self._with_record(kind.item, record))
        if isinstance(kind, UnionOf):
            assert self.where is not None
            cases = (
                (name, record if name == self.where[1] else case)
                for name, case in kind.cases
            )
            return UnionOf(kind.tag, tuple(cases))
        return record
