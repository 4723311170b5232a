"""
Operations on columns: rename, add, drop, replace, convert, each, custom.

Each offers ``apply(columns)``, ``inverse()`` where there is one, and
``effect(fields)``, which says what the first does to a schema, so that a step is
proved without any data. What an operation loses, it says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import attrs

from ..codec import Columns, Repeated
from ..schema import Field
from ..schema.types import ListOf, MapOf, OptionalOf, RecordOf, Type

__all__ = [
    "Operation",
    "add",
    "convert",
    "custom",
    "drop",
    "each",
    "rename",
    "replace",
]

Column = list[Any] | bytes
Changed = dict[str, Column]
Fields = dict[str, Field]
Convert = Callable[[Any], Any]
Record = dict[str, Any]


class Operation(Protocol):
    """One change of the fields of a record."""

    @property
    def loss(self) -> str:
        """What going up, or down again, loses; empty where nothing is lost."""
        ...

    @property
    def is_lossy(self) -> bool:
        """Whether a loss must be declared."""
        ...

    @property
    def converts(self) -> frozenset[str]:
        """Fields of the new version whose values this makes from old ones."""
        ...

    def apply(self, columns: Columns, changed: Changed) -> None:
        """Change *changed*, the columns so far; *columns* decodes them."""
        ...

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        """Change *fields* as `apply` changes columns; *after* types what is new."""
        ...

    def inverse(self, before: Mapping[str, Field]) -> "Operation | None":
        """Return what goes back, where there is such a thing."""
        ...


@attrs.frozen
class _Rename:
    old: str
    new: str
    loss = ""
    is_lossy = False
    converts: frozenset[str] = frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        changed[self.new] = changed.pop(self.old)
        if self.old in columns.unseen:
            columns.unseen = columns.unseen - {self.old} | {self.new}

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        fields[self.new] = attrs.evolve(fields.pop(self.old), name=self.new)

    def inverse(self, before: Mapping[str, Field]) -> Operation:
        return _Rename(self.new, self.old)


@attrs.frozen
class _Add:
    name: str
    default: Any
    loss = ""
    is_lossy = False
    converts: frozenset[str] = frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        changed[self.name] = Repeated(self.default, columns.rows)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        fields[self.name] = attrs.evolve(after[self.name], default=self.default)

    def inverse(self, before: Mapping[str, Field]) -> Operation:
        return _Drop(self.name, f"{self.name}, which older readers do not know")


@attrs.frozen
class _Drop:
    name: str
    loss: str
    is_lossy = True
    converts: frozenset[str] = frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        del changed[self.name]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        del fields[self.name]

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        field = before[self.name]
        return _Add(self.name, field.default) if field.has_default else None


@attrs.frozen
class _Replace:
    old: str
    new: str
    # Shown, they would be the addresses of functions.
    up: Convert = attrs.field(repr=False)
    down: Convert | None = attrs.field(repr=False)
    loss: str = ""

    @property
    def is_lossy(self) -> bool:
        return self.down is None

    @property
    def converts(self) -> frozenset[str]:
        return frozenset([self.new])

    def apply(self, columns: Columns, changed: Changed) -> None:
        column = columns.decoded(self.old, changed.pop(self.old))
        with _told():
            up = self.up
            changed[self.new] = [None if each is None else up(each) for each in column]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        before, field = fields.pop(self.old), after[self.new]
        # A conversion keeps its id, a replacement has one of its own.
        kept = self.old == self.new
        fields[self.new] = attrs.evolve(field, id=before.id) if kept else field

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        if self.down is None:
            return None
        return _Replace(self.new, self.old, self.down, self.up, self.loss)


@attrs.frozen
class _Each:
    name: str
    operations: tuple[Operation, ...]
    keyed: bool

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
            _collect(value, self.keyed, found)
        # The records of a whole column are columns themselves: one pass for each
        # operation, however they are nested in lists.
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
        changed[self.name] = [_rebuilt(value, self.keyed, fresh) for value in column]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        field, new = fields[self.name], after[self.name]
        record, target = _record_in(field.type), _record_in(new.type)
        inner = {each.name: each for each in record.fields}
        for operation in self.operations:
            operation.effect(inner, {each.name: each for each in target.fields})
        order = {each.name: index for index, each in enumerate(target.fields)}
        ordered = sorted(inner.values(), key=lambda f: order.get(f.name, len(order)))
        fields[self.name] = attrs.evolve(
            field, type=_with_record(field.type, RecordOf(tuple(ordered)))
        )

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        record = _record_in(before[self.name].type)
        inner = {each.name: each for each in record.fields}
        back = [operation.inverse(inner) for operation in reversed(self.operations)]
        if any(operation is None for operation in back):
            return None
        return _Each(
            self.name, tuple(each for each in back if each is not None), self.keyed
        )


@attrs.frozen
class _Custom:
    up: Callable[[Record], Record] = attrs.field(repr=False)
    down: Callable[[Record], Record] | None = attrs.field(repr=False)
    loss: str = ""
    removes: tuple[str, ...] = ()
    adds: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @property
    def is_lossy(self) -> bool:
        return self.down is None

    @property
    def converts(self) -> frozenset[str]:
        return frozenset([*self.adds, *self.changes])

    def apply(self, columns: Columns, changed: Changed) -> None:
        # References to payloads are no values: they pass by.
        carried = {n: changed[n] for n in columns.unseen if n in changed}
        names = [name for name in changed if name not in carried]
        lists = [columns.decoded(name, changed[name]) for name in names]
        kept = [name for name in names if name not in self.removes]
        with _told():
            made = [
                self.up(dict(zip(names, row, strict=True)))
                for row in zip(*lists, strict=True)
            ]
            columnar = {n: [record[n] for record in made] for n in [*kept, *self.adds]}
        changed.clear()
        changed.update(carried)
        changed.update(columnar)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        for name in self.removes:
            del fields[name]
        for name in (*self.adds, *self.changes):
            fields[name] = after[name]

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        if self.down is None:
            return None
        return _Custom(
            self.down, self.up, self.loss, self.adds, self.removes, self.changes
        )


def rename(old: str, new: str) -> Operation:
    """Give the field *old* the name *new*; its id and values stay."""
    return _Rename(old, new)


def add(name: str, *, default: Any) -> Operation:
    """Add the field *name*; records of before have *default*."""
    return _Add(name, default)


def drop(name: str, *, loss: str = "") -> Operation:
    """
    Remove the field *name*.

    Args:
        name: The field.
        loss: What is lost with it, for who decides whether to upgrade.
    """
    return _Drop(name, loss)


def replace(
    old: str, new: str, *, up: Convert, down: Convert | None = None, loss: str = ""
) -> Operation:
    """
    Replace the field *old* by *new*, which says the same in another form.

    Args:
        old: The field to remove.
        new: The field to add, with an id of its own.
        up: The new value of an old one; null stays null.
        down: The old value of a new one, for who writes for older readers.
        loss: What going up, or down again, loses.
    """
    return _Replace(old, new, up, down, loss)


def convert(
    name: str, *, up: Convert, down: Convert | None = None, loss: str = ""
) -> Operation:
    """Change the values of the field *name*, whose id stays; see `replace`."""
    return _Replace(name, name, up, down, loss)


def each(name: str, *operations: Operation, keyed: bool = False) -> Operation:
    """
    Change the records inside the field *name*: one, an optional one, or a list.

    Args:
        name: The field of the kind.
        operations: What to do to each record in it.
        keyed: The field is a map whose values are the records.
    """
    return _Each(name, operations, keyed)


def custom(
    up: Callable[[Record], Record],
    *,
    down: Callable[[Record], Record] | None = None,
    loss: str = "",
    removes: Iterable[str] = (),
    adds: Iterable[str] = (),
    changes: Iterable[str] = (),
) -> Operation:
    """
    Change whole records, one plain dict at a time; slow, for what else cannot.

    Args:
        up: The new record of an old one; it does not see payloads.
        down: The old record of a new one.
        loss: What going up, or down again, loses.
        removes: Fields that the new record lacks.
        adds: Fields that only the new record has.
        changes: Fields whose values or types differ.
    """
    return _Custom(up, down, loss, tuple(removes), tuple(adds), tuple(changes))


@contextmanager
def _told() -> Iterator[None]:
    # Whatever a step's own function raises, only its records are lost.
    try:
        yield
    except Exception as error:
        raise ValueError(repr(error)) from error


def _collect(value: Any, keyed: bool, found: list[Record]) -> None:
    """Gather the records in *value*, through lists, and through one map if *keyed*."""
    if isinstance(value, list):
        for item in value:
            _collect(item, keyed, found)
    elif isinstance(value, dict) and keyed:
        for item in value.values():
            _collect(item, False, found)
    elif isinstance(value, dict):
        found.append(value)


def _rebuilt(value: Any, keyed: bool, fresh: Iterator[Record]) -> Any:
    """Return *value* with each of its records replaced, in the order of `_collect`."""
    if isinstance(value, list):
        return [_rebuilt(item, keyed, fresh) for item in value]
    if isinstance(value, dict) and keyed:
        return {key: _rebuilt(item, False, fresh) for key, item in value.items()}
    if isinstance(value, dict):
        return next(fresh)
    return value


def _record_in(kind: Type) -> RecordOf:
    while isinstance(kind, ListOf | MapOf | OptionalOf):
        kind = kind.item
    if not isinstance(kind, RecordOf):
        raise TypeError(f"each() needs records inside the field, got {kind}")
    return kind


def _with_record(kind: Type, record: RecordOf) -> Type:
    if isinstance(kind, ListOf | MapOf | OptionalOf):
        return attrs.evolve(kind, item=_with_record(kind.item, record))
    return record
