"""
Operations on columns: rename, add, drop, replace, convert.

Each offers ``apply(columns)`` and ``effect(fields)``; the second says what the
first does to a schema, so that a step is proved without any data.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from ..codec import Columns
from ..errors import MigrationError
from ..schema import Field, Schema

__all__ = [
    "Operation",
    "Step",
    "add",
    "convert",
    "drop",
    "migration",
    "rename",
    "replace",
]

Column = list[Any] | bytes
Columnar = dict[str, Column]
Fields = dict[str, Field]
Convert = Callable[[Any], Any]


class Operation(Protocol):
    """One change of one field."""

    def apply(self, columns: Columns, changed: Columnar) -> None:
        """Change *changed*, the columns so far; *columns* decodes on request."""
        ...

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        """Change *fields* as `apply` changes columns; *after* types what is new."""
        ...

    @property
    def is_additive(self) -> bool:
        """Whether a reader of the version before can ignore it."""
        ...


@attrs.frozen
class _Rename:
    old: str
    new: str
    is_additive = False

    def apply(self, columns: Columns, changed: Columnar) -> None:
        changed[self.new] = changed.pop(self.old)

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        fields[self.new] = attrs.evolve(fields.pop(self.old), name=self.new)


@attrs.frozen
class _Add:
    name: str
    default: Any
    is_additive = True

    def apply(self, columns: Columns, changed: Columnar) -> None:
        changed[self.name] = [self.default] * columns.rows

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        field = after[self.name]
        fields[self.name] = attrs.evolve(field, default=self.default)


@attrs.frozen
class _Drop:
    name: str
    is_additive = False

    def apply(self, columns: Columns, changed: Columnar) -> None:
        del changed[self.name]

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        del fields[self.name]


@attrs.frozen
class _Replace:
    old: str
    new: str
    up: Convert = attrs.field(repr=False)
    down: Convert = attrs.field(repr=False)
    is_additive = False

    def apply(self, columns: Columns, changed: Columnar) -> None:
        column = columns.decoded(self.old, changed.pop(self.old))
        try:
            changed[self.new] = [
                None if value is None else self.up(value) for value in column
            ]
        except Exception as error:
            # Whatever a step's function raises, only its records are lost.
            raise ValueError(repr(error)) from error

    def effect(self, fields: Fields, after: Mapping[str, Field]) -> None:
        before, field = fields.pop(self.old), after[self.new]
        # A conversion keeps its id, a replacement has one of its own.
        kept = self.old == self.new
        fields[self.new] = attrs.evolve(field, id=before.id) if kept else field


@attrs.frozen
class Step:
    """One step of one kind, from a version to the next."""

    kind: str
    old: int
    new: int
    operations: tuple[Operation, ...]

    @property
    def name(self) -> str:
        """The step as people say it: ``autotune 1 -> 2``."""
        return f"{self.kind} {self.old} -> {self.new}"

    @property
    def is_additive(self) -> bool:
        """Whether a reader of the old version can read records of the new."""
        return all(operation.is_additive for operation in self.operations)

    def apply(self, columns: Columns) -> Columns:
        """
        Return *columns* as the new version has them.

        Raises:
            MigrationError: A column is missing, or a conversion failed.
        """
        changed = columns.items_unread()
        for operation in self.operations:
            try:
                operation.apply(columns, changed)
            except KeyError as error:
                raise MigrationError(
                    self.kind, self.name, f"no column {error}", "one in every block"
                ) from error
            except (ValueError, TypeError, ArithmeticError) as error:
                raise MigrationError(
                    self.kind, self.name, f"{error} in {operation}", "a value"
                ) from error
        return columns.replaced(changed)

    def effect(self, schema: Schema, after: Schema) -> dict[str, Field]:
        """
        Return the fields of *schema* as this step changes them.

        The step is right when they equal the fields of *after*, which gives
        the types of what the step adds.
        """
        fields = {field.name: field for field in schema.fields}
        new = {field.name: field for field in after.fields}
        for operation in self.operations:
            operation.effect(fields, new)
        return fields


def migration(kind: str, old: int, new: int, *operations: Operation) -> Step:
    """
    Return the step of *kind* from version *old* to *new*.

    Args:
        kind: The kind whose records it changes.
        old: The version that it reads.
        new: The version that it writes: always the next.
        operations: Applied in order.
    """
    if new != old + 1:
        raise MigrationError(kind, f"{old} -> {new}", "a leap", f"{old} -> {old + 1}")
    return Step(kind, old, new, operations)


def rename(old: str, new: str) -> Operation:
    """Give the field *old* the name *new*; its id and values stay."""
    return _Rename(old, new)


def add(name: str, *, default: Any) -> Operation:
    """Add the field *name*; records of before have *default*."""
    return _Add(name, default)


def drop(name: str) -> Operation:
    """Remove the field *name*; its values are lost."""
    return _Drop(name)


def replace(old: str, new: str, *, up: Convert, down: Convert) -> Operation:
    """
    Replace the field *old* by *new*, which says the same in another form.

    Args:
        old: The field to remove.
        new: The field to add, with an id of its own.
        up: The new value of an old one; null stays null.
        down: The old value of a new one, for who writes for older readers.
    """
    return _Replace(old, new, up, down)


def convert(name: str, *, up: Convert, down: Convert) -> Operation:
    """Change the values of the field *name*, whose id stays."""
    return _Replace(name, name, up, down)
