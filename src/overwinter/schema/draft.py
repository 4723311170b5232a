"""
Drafting: the schema file of a class, with the ids that its history leaves free.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import attrs

from .compatibility import Place, walk
from .conformance import class_fields
from .model import Schema
from .types import Field, ListOf, MapOf, OptionalOf, RecordOf, Type, UnionOf

__all__ = ["as_file", "differences", "draft"]


def draft(
    cls: type, kind: str, cardinality: str, history: Sequence[Schema] = ()
) -> Schema:
    """
    Return the next version's schema of *kind*, as the attrs class *cls* says it.

    A field keeps its id by its name, and its doc; a new one takes an id that no
    version has used; one that is gone is reserved.

    Args:
        cls: The class of the newest version.
        kind: The kind.
        cardinality: ``many`` or ``one``.
        history: The earlier versions, in order.

    Raises:
        DriftError: An annotation has no word in the schema language.
    """
    newest = history[-1] if history else None
    used: defaultdict[Place, set[int]] = defaultdict(set)
    for schema in history:
        used[()].update(schema.reserved_ids)
        for place, _, field in walk(schema):
            used[place].add(field.id)
    before = newest.fields if newest else ()
    fields = _numbered(class_fields(cls), before, (), used)
    names = {field.name for field in fields}
    gone = [field for field in before if field.name not in names]
    kept_ids = newest.reserved_ids if newest else ()
    kept_names = newest.reserved_names if newest else ()
    return Schema(
        kind=kind,
        version=newest.version + 1 if newest else 1,
        cardinality=cardinality,
        fields=fields,
        reserved_ids=tuple(sorted({*kept_ids, *(each.id for each in gone)})),
        reserved_names=tuple(sorted({*kept_names, *(each.name for each in gone)})),
        doc=newest.doc if newest else "",
    )


def as_file(schema: Schema) -> str:
    """Return the text of a schema file: one field a line, for readable diffs."""
    plain = schema.as_plain()
    lines = [
        f"  {json.dumps(name)}: {json.dumps(plain[name], ensure_ascii=False)}"
        for name in ("kind", "version", "cardinality", "doc")
        if name in plain
    ]
    fields = ",\n".join(
        f"    {json.dumps(field, ensure_ascii=False)}" for field in plain["fields"]
    )
    lines.append(f'  "fields": [\n{fields}\n  ]')
    if "reserved" in plain:
        lines.append(f'  "reserved": {json.dumps(plain["reserved"])}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def differences(old: Schema, new: Schema) -> list[str]:
    """Return what differs between two versions, a line each, by field id."""
    before = {field.id: field for field in old.fields}
    after = {field.id: field for field in new.fields}
    lines = []
    for number in sorted(before.keys() | after.keys()):
        was, now = before.get(number), after.get(number)
        if was is None and now is not None:
            lines.append(f"+ {number} {_line(now)}")
        elif now is None and was is not None:
            lines.append(f"- {number} {_line(was)}")
        elif was is not None and now is not None and was != now:
            lines.append(f"~ {number} {_line(was)}  ->  {_line(now)}")
    if old.cardinality != new.cardinality:
        lines.append(f"~ cardinality {old.cardinality}  ->  {new.cardinality}")
    return lines


def _line(field: Field) -> str:
    text = f"{field.name}: {field.type}"
    return f"{text} = {field.default!r}" if field.has_default else text


# Place of a record to the ids that any version has used in it.
_Used = defaultdict[Place, set[int]]


def _numbered(
    fields: Sequence[Field], before: Sequence[Field], place: Place, used: _Used
) -> tuple[Field, ...]:
    known = {field.name: field for field in before}
    numbered = []
    for field in fields:
        was = known.get(field.name)
        number = was.id if was else max(used[place], default=0) + 1
        used[place].add(number)
        inner = was.type if was else None
        numbered.append(
            attrs.evolve(
                field,
                id=number,
                type=_numbered_type(field.type, inner, (*place, number), used),
                doc=was.doc if was else "",
            )
        )
    return tuple(numbered)


def _numbered_type(kind: Type, before: Type | None, place: Place, used: _Used) -> Type:
    while isinstance(before, ListOf | MapOf | OptionalOf) and not isinstance(
        kind, ListOf | MapOf | OptionalOf
    ):
        before = before.item
    if isinstance(kind, ListOf | MapOf | OptionalOf):
        inner = before.item if type(before) is type(kind) else before
        return attrs.evolve(kind, item=_numbered_type(kind.item, inner, place, used))
    if isinstance(kind, RecordOf):
        return _numbered_record(kind, before, place, used)
    if isinstance(kind, UnionOf):
        was: dict[str, Any] = dict(before.cases) if isinstance(before, UnionOf) else {}
        cases = (
            (name, _numbered_record(record, was.get(name), (*place, name), used))
            for name, record in kind.cases
        )
        return UnionOf(kind.tag, tuple(cases))
    return kind


def _numbered_record(
    kind: RecordOf, before: Type | None, place: Place, used: _Used
) -> RecordOf:
    fields = before.fields if isinstance(before, RecordOf) else ()
    return RecordOf(_numbered(kind.fields, fields, place, used))
