"""
Records of one version to the newest: checked, migrated, checked again.

A record that a step fails on costs itself alone; why is said with its key.
"""

from collections.abc import Mapping
from typing import Any

import attrs

from .codec import Columns, Payloads
from .errors import DamagedError, MigrationError, OverwinterError, WrongShapeError
from .kind import Kind
from .limits import MAX_FAULTS
from .migration import Plan
from .schema import Schema, find_faults
from .schema.types import OptionalOf, Type

__all__ = ["Migrated", "migrate"]


@attrs.frozen
class Migrated:
    """
    Records of the newest version.

    Args:
        columns: Those that came through.
        rows: Which of the given ones they were.
        faults: Why the others did not, by row.
    """

    columns: Columns
    rows: list[int]
    faults: Mapping[int, OverwinterError]


def migrate(
    kind: Kind, version: int, columns: Columns, *, unread_payloads: bool = False
) -> Migrated:
    """
    Bring *columns* to the newest version of *kind*.

    Args:
        kind: The kind.
        version: The version that they were written as, one that *kind* knows.
        columns: The records.
        unread_payloads: The payloads are references, which no schema describes.

    Raises:
        DamagedError: A column is missing, or is no list of as many values.
    """
    migration = _Migration(kind, unread_payloads)
    migration.check(kind.schemas[version], columns, list(range(columns.rows)))
    plan = kind.steps.plan(version)
    if plan.steps:
        parts, migration.parts = migration.parts, []
        for part, rows in parts:
            for applied, good in migration.applied(plan, part, rows):
                migration.check(kind.schema, applied, good)
    return Migrated(*_joined(migration.parts, columns), migration.faults)


class _Migration:
    def __init__(self, kind: Kind, unread_payloads: bool) -> None:
        self.kind, self.unread_payloads = kind, unread_payloads
        self.faults: dict[int, OverwinterError] = {}
        self.parts: list[tuple[Columns, list[int]]] = []
        # Columns that fit, with the type that they fit: what no step touches is not
        # looked at again, and kept here, so that no other list gets its id.
        self.fitting: dict[int, tuple[list[Any] | bytes, Type]] = {}

    def check(self, schema: Schema, columns: Columns, rows: list[int]) -> None:
        """Add the rows of *columns* that fit *schema* to the parts."""
        held = columns.items_unread()
        fields = [
            each
            for each in schema.fields
            if not (each.is_payload and self.unread_payloads)
            and self.fitting.get(id(held.get(each.name)), (None, None))[1] != each.type
        ]
        unknown = attrs.evolve(schema, fields=tuple(fields))
        try:
            faults = find_faults(
                unknown, columns, limit=columns.rows, decoded=columns.facts
            )
            if self.unread_payloads:
                faults = {**faults, **_missing_payloads(schema, columns)}
        except KeyError as error:
            raise DamagedError(
                columns.source, schema.kind, f"no column {error}", f"{schema.source}"
            ) from error
        for row, each in faults.items():
            self.faults[rows[row]] = WrongShapeError(
                columns.source, tuple(each[:MAX_FAULTS])
            )
        if not faults:
            held = columns.items_unread()
            for field in fields:
                column = held[field.name]
                self.fitting[id(column)] = column, field.type
        if faults:
            good = [row for row in range(columns.rows) if row not in faults]
            columns, rows = columns.take(good), [rows[row] for row in good]
        if rows:
            self.parts.append((columns, rows))

    def applied(
        self, plan: Plan, columns: Columns, rows: list[int]
    ) -> list[tuple[Columns, list[int]]]:
        """Return *columns* through *plan*, without records that a step fails on."""
        given = columns
        try:
            for step in plan.steps:
                columns = step.apply(columns)
                # What it added may be a payload: no later step is to see it.
                columns = columns.with_payloads(
                    self.kind.schemas[step.new].payload_names
                )
            return [(columns, rows)]
        except MigrationError as error:
            if len(rows) == 1:
                self.faults[rows[0]] = error.of(str(given["key"][0]))
                return []
        # By halves: one bad record of many is found in few steps.
        middle = len(rows) // 2
        return [
            part
            for half in (range(middle), range(middle, len(rows)))
            for part in self.applied(
                plan, given.take(half), [rows[row] for row in half]
            )
        ]


def _missing_payloads(schema: Schema, columns: Columns) -> dict[int, list[str]]:
    """Return the rows whose payloads are null where they may not be."""
    faults: dict[int, list[str]] = {}
    for field in schema.fields:
        if field.is_payload and not isinstance(field.type, OptionalOf):
            for row, value in enumerate(columns[field.name]):
                if value is None:
                    path = f"{schema.kind}[{row}].{field.name}"
                    faults[row] = [f"{path}: expected {field.type}, got null"]
    return faults


def _joined(
    parts: list[tuple[Columns, list[int]]], given: Columns
) -> tuple[Columns, list[int]]:
    if not parts:
        return given.take([]), []
    if len(parts) == 1:
        return parts[0]
    first = parts[0][0]
    rows = [row for _, part in parts for row in part]
    columns = {}
    for name in first:
        values = [value for part, _ in parts for value in part[name]]
        columns[name] = Payloads(values) if type(first[name]) is Payloads else values
    return Columns(len(rows), columns, first.source), rows
