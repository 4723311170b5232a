"""
Operations on columns: rename, add, drop, replace, convert, custom.

Each offers ``apply(columns)``, ``inverse()`` where there is one, and
``effect(fields)``, which says what the first does to a schema, so that a step is
proved without any data. What an operation loses, it says.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

import attrs

from ..codec import Columns, Payloads, Repeated
from ..schema import Field
from ..schema.types import OptionalOf, Scalar, Type

__all__ = [
    "Operation",
    "Shown",
    "add",
    "convert",
    "custom",
    "drop",
    "effect_of",
    "inverse_of",
    "name_after",
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

    @property
    def introduces(self) -> frozenset[str]:
        """Fields that only the new version has: each needs an id of its own."""
        ...

    def apply(self, columns: Columns, changed: Changed) -> None:
        """Change *changed*, the columns so far; *columns* decodes them."""
        ...

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        """Change *fields* as `apply` changes columns; *after* types what is new."""
        ...

    def inverse(self, before: Mapping[str, Field]) -> "Operation | None":
        """Return what goes back, if there is; *before* as far as it is known."""
        ...


class Shown:
    """An operation as a step writes it, for messages."""

    __slots__ = ()

    def __str__(self) -> str:
        word = type(self).__name__.lstrip("_").lower()
        names = [
            getattr(self, each)
            for each in ("old", "new", "name")
            if hasattr(self, each)
        ]
        if word == "replace" and names[0] == names[1]:
            word, names = "convert", names[:1]
        return f"{word}({', '.join([*map(repr, names), '…'])})"


@attrs.frozen
class _Rename(Shown):
    old: str
    new: str
    loss = ""
    is_lossy = False
    converts: ClassVar[frozenset[str]] = frozenset()
    introduces: ClassVar[frozenset[str]] = frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        changed[self.new] = changed.pop(self.old)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        field = fields.pop(self.old)
        _expect_free(fields, self.new)
        fields[self.new] = attrs.evolve(field, name=self.new)

    def inverse(self, before: Mapping[str, Field]) -> Operation:
        return _Rename(self.new, self.old)


@attrs.frozen
class _Add(Shown):
    name: str
    default: Any
    loss = ""
    is_lossy = False
    converts: ClassVar[frozenset[str]] = frozenset()

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset([self.name])

    def apply(self, columns: Columns, changed: Changed) -> None:
        default = self.default
        if isinstance(default, list | dict):
            # Each record its own: a later step may change one in place.
            changed[self.name] = [own(default) for _ in range(columns.rows)]
        else:
            changed[self.name] = Repeated(default, columns.rows)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        _expect_free(fields, self.name)
        fields[self.name] = attrs.evolve(after[self.name], default=self.default)

    def inverse(self, before: Mapping[str, Field]) -> Operation:
        return _Drop(self.name, f"{self.name}, which older readers do not know")


@attrs.frozen
class _Drop(Shown):
    name: str
    loss: str
    is_lossy = True
    converts: ClassVar[frozenset[str]] = frozenset()
    introduces: ClassVar[frozenset[str]] = frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        del changed[self.name]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        del fields[self.name]

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        field = before.get(self.name)
        if field is None or not field.has_default:
            return None
        return _Add(self.name, field.default)


@attrs.frozen
class _Replace(Shown):
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

    @property
    def introduces(self) -> frozenset[str]:
        return self.converts if self.old != self.new else frozenset()

    def apply(self, columns: Columns, changed: Changed) -> None:
        held = changed.pop(self.old)
        column = columns.decoded(self.old, held)
        # What was decoded here is nobody else's, and scalars cannot be changed.
        if type(held) is not bytes and not _NESTED.isdisjoint(map(type, column)):
            column = own(column)
        with _told():
            up = self.up
            changed[self.new] = [None if each is None else up(each) for each in column]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        before, field = fields.pop(self.old), after[self.new]
        _expect_free(fields, self.new)
        if _holds_null(before.type) and not _holds_null(field.type):
            raise TypeError(
                f"null stays null in {self}, and is no {field.type}: keep it optional, "
                "or write custom(…)"
            )
        # A conversion keeps its id, a replacement has one of its own.
        kept = self.old == self.new
        fields[self.new] = attrs.evolve(field, id=before.id) if kept else field

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        if self.down is None:
            return None
        return _Replace(self.new, self.old, self.down, self.up, self.loss)


@attrs.frozen
class _Custom(Shown):
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

    @property
    def introduces(self) -> frozenset[str]:
        return frozenset(self.adds)

    def apply(self, columns: Columns, changed: Changed) -> None:
        # References to payloads are no values: they pass by.
        unseen = [name for name in changed if type(changed[name]) is Payloads]
        carried = {n: changed[n] for n in unseen if n not in self.removes}
        names = [name for name in changed if name not in unseen]
        lists = [columns.decoded(name, changed[name]) for name in names]
        kept = [name for name in names if name not in self.removes]
        with _told():
            made = [
                self.up(dict(zip(names, map(own, row), strict=True)))
                for row in zip(*lists, strict=True)
            ]
            # What it does not declare to change is carried, whatever it did.
            declared = {*self.adds, *self.changes}
            columnar = {
                name: [record[name] for record in made]
                if name in declared
                else changed[name]
                for name in [*kept, *self.adds]
            }
        changed.clear()
        changed.update(carried)
        changed.update(columnar)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        for name in self.removes:
            del fields[name]
        for name in self.adds:
            _expect_free(fields, name)
            fields[name] = after[name]
        for name in self.changes:
            fields[name] = attrs.evolve(after[name], id=fields[name].id)

    def inverse(self, before: Mapping[str, Field]) -> Operation | None:
        if self.down is None:
            return None
        return _Custom(
            self.down, self.up, self.loss, self.adds, self.removes, self.changes
        )


def effect_of(
    operations: Iterable[Operation], before: Iterable[Field], after: Iterable[Field]
) -> Fields:
    """
    Return the fields *before* as *operations* change them, by name.

    Args:
        operations: In order.
        before: Fields of the old version.
        after: Fields of the new version: they type what is new.

    Raises:
        KeyError: An operation names a field that is not there.
        ValueError: One makes a field that is there already, or whose id was
            another field's, or there are two `each` of the same records.
        TypeError: A field has no records for `each`, or cannot hold the null that a
            conversion leaves as it is.
    """
    old = {field.id: field.name for field in before}
    fields = {field.name: field for field in before}
    new = {field.name: field for field in after}
    inside: set[object] = set()
    operations = list(operations)
    for index, operation in enumerate(operations):
        # What one drops another could add under its id, and neither would know.
        if (records := getattr(operation, "records", None)) in inside:
            raise ValueError(f"a second each(…) of {records}: write one with them all")
        if records is not None:
            inside.add(records)
        operation.effect(fields, _before(operations[index + 1 :], new))
        for name in operation.introduces:
            was = old.get(fields[name].id)
            if was is not None:
                raise ValueError(f"a new field {name!r} with the id of {was!r}")
    return fields


def _before(later: Sequence[Operation], after: Fields) -> Fields:
    """Return the fields *after*, under the names that they have before *later*."""
    for operation in reversed(later):
        if isinstance(operation, _Rename):
            after = _renamed(after, operation.new, operation.old)
    return after


def _renamed(fields: Fields, old: str, new: str) -> Fields:
    """Return *fields* with one of them renamed; who had the name *new* is gone."""
    others = {name: fields[name] for name in fields if name not in (old, new)}
    if old not in fields:
        return others
    return {**others, new: attrs.evolve(fields[old], name=new)}


def name_after(operations: Iterable[Operation], name: str) -> str:
    """Return what the field *name* is called after *operations*."""
    for operation in operations:
        if isinstance(operation, _Rename) and operation.old == name:
            name = operation.new
    return name


def inverse_of(
    operations: Iterable[Operation], before: Iterable[Field]
) -> tuple[Operation | None, ...]:
    """
    Return what goes back from *operations*, the last first.

    Args:
        operations: In order.
        before: Fields of the old version.
    """
    known = {field.name: field for field in before}
    back = []
    for operation in operations:
        back.append(operation.inverse(known))
        # What is made here is of the new version: its old default says nothing.
        made = operation.converts | operation.introduces
        known = {name: known[name] for name in known if name not in made}
        if isinstance(operation, _Rename):
            known = _renamed(known, operation.old, operation.new)
    return tuple(reversed(back))


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

    Only the fields that it declares are taken from what *up* returns.

    Args:
        up: The new record of an old one; it does not see payloads.
        down: The old record of a new one.
        loss: What going up, or down again, loses.
        removes: Fields that the new record lacks.
        adds: Fields that only the new record has.
        changes: Fields whose values or types differ.
    """
    return _Custom(up, down, loss, tuple(removes), tuple(adds), tuple(changes))


def _holds_null(kind: Type) -> bool:
    return isinstance(kind, OptionalOf) or kind in (Scalar("null"), Scalar("opaque"))


_NESTED = frozenset([list, dict])


def own(value: Any) -> Any:
    """
    Return *value* for a function that may change it in place.

    What a step was given it may be given again: beside a record that it fails on.
    """
    if type(value) is list:
        return [own(each) for each in value]
    if type(value) is dict:
        return {name: own(each) for name, each in value.items()}
    return value


def _expect_free(fields: Fields, name: str) -> None:
    if name in fields:
        raise ValueError(f"a field {name!r} that is there already")


@contextmanager
def _told() -> Iterator[None]:
    # Whatever a step's own function raises, only its records are lost.
    try:
        yield
    except Exception as error:
        raise ValueError(repr(error)) from error
