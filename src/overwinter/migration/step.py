"""
A step: the operations that bring records of one version to the next.
"""

import attrs

from ..codec import Columns
from ..errors import MigrationError
from ..schema import Field, Schema
from .operations import Operation, effect_of, inverse_of, name_after

__all__ = ["Step", "migration"]


@attrs.frozen
class Step:
    """One step of one kind, from a version to the next, or back."""

    kind: str
    old: int
    new: int
    operations: tuple[Operation, ...]
    loss: str = ""

    @property
    def name(self) -> str:
        """The step as people say it: ``autotune 1 -> 2``."""
        return f"{self.kind} {self.old} -> {self.new}"

    @property
    def losses(self) -> tuple[str, ...]:
        """What the step loses, as it and its operations declare."""
        losses = [self.loss, *(each.loss for each in self.operations)]
        return tuple(loss for loss in losses if loss)

    @property
    def converts(self) -> frozenset[str]:
        """Fields of the new version whose values are made from old ones."""
        return frozenset(
            name_after(self.operations[index + 1 :], name)
            for index, each in enumerate(self.operations)
            for name in each.converts
        )

    @property
    def introduces(self) -> frozenset[str]:
        """Fields that only the new version has."""
        return frozenset(
            name_after(self.operations[index + 1 :], name)
            for index, each in enumerate(self.operations)
            for name in each.introduces
        )

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
            except (ValueError, TypeError) as error:
                raise MigrationError(
                    self.kind, self.name, f"{error} in {operation}", "a value"
                ) from error
        return columns.replaced(changed)

    def effect(self, schema: Schema, after: Schema) -> dict[str, Field]:
        """
        Return the fields of *schema* as this step changes them.

        The step is right when they equal the fields of *after*, which gives
        the types of what the step adds.

        Raises:
            MigrationError: The step names a field that is not there, or makes
                one that is, or gives an id to a second field.
        """
        try:
            if "key" in self.converts:
                # Records are sorted by it, and found.
                raise ValueError("an operation that changes the key")
            return effect_of(self.operations, schema.fields, after.fields)
        except KeyError as error:
            found = f"no field {error}"
        except (TypeError, ValueError) as error:
            found = str(error)
        raise MigrationError(
            self.kind, self.name, found, f"operations that lead to {after.source}"
        )

    def inverse(self, before: Schema) -> "Step":
        """
        Return the step that goes back to the version of *before*.

        Raises:
            MigrationError: An operation of this step cannot go back.
        """
        back = []
        found = inverse_of(self.operations, before.fields)
        for operation, inverse in zip(reversed(self.operations), found, strict=True):
            if inverse is None:
                raise MigrationError(
                    self.kind,
                    f"{self.kind} {self.new} -> {self.old}",
                    f"no way back from {operation}",
                    "an operation with down=…, or a default for what was dropped",
                )
            back.append(inverse)
        return Step(self.kind, self.new, self.old, tuple(back), self.loss)


def migration(
    kind: str, old: int, new: int, *operations: Operation, loss: str = ""
) -> Step:
    """
    Return the step of *kind* from version *old* to *new*.

    Args:
        kind: The kind whose records it changes.
        old: The version that it reads.
        new: The version that it writes: always the next.
        operations: Applied in order.
        loss: What the version loses beside what the operations do, such as
            variants of a key where only one is kept from now on.

    Raises:
        MigrationError: *new* is not the version after *old*.
    """
    if new != old + 1:
        raise MigrationError(kind, f"{old} -> {new}", "a leap", f"{old} -> {old + 1}")
    return Step(kind, old, new, operations, loss)
