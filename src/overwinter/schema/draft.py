"""
Drafting: the schema file of a class, with the ids that its history leaves free.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import attrs

from ..errors import DriftError
from .compatibility import Place, walk
from .conformance import class_fields
from .model import Schema
from .types import Field, ListOf, MapOf, OptionalOf, RecordOf, Type, UnionOf

__all__ = ["as_file", "differences", "draft"]


def draft(
    cls: type,
    kind: str,
    cardinality: str,
    history: Sequence[Schema] = (),
    so_far: Schema | None = None,
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
        so_far: The draft of this version as its author has left it: a name keeps
            the id and the words that it has there, and so a rename is one.

    Raises:
        DriftError: An annotation has no word in the schema language.
    """
    newest = history[-1] if history else None
    used: defaultdict[Place, set[int]] = defaultdict(set)
    for schema in history:
        used[()].update(schema.reserved_ids)
        for place, _, field in walk(schema):
            used[place].add(field.id)
    if so_far is not None:
        used[()].update(so_far.reserved_ids)
    before = newest.fields if newest else ()
    own = so_far.fields if so_far else ()
    found = class_fields(cls)
    for field in found:
        if isinstance(field.default, bytes):
            fault = (
                f"change  {field.name}: {field.type} = {field.default!r}  to  "
                f"{field.type} | None = None: a schema file is JSON, which has no bytes"
            )
            raise DriftError(kind, cls.__qualname__, "the schema language", (fault,))
    fields = _numbered(found, before, own, (), used)
    ids = {field.id for field in fields}
    gone = [field for field in before if field.id not in ids]
    reserved_ids, reserved_names = {e.id for e in gone}, {e.name for e in gone}
    if newest is not None:
        reserved_ids.update(newest.reserved_ids)
        reserved_names.update(newest.reserved_names)
    if so_far is not None:
        # Of those that it reserved itself, a field may have come back.
        reserved_ids.update(set(so_far.reserved_ids) - ids)
        reserved_names.update(set(so_far.reserved_names) - {e.name for e in fields})
    return Schema(
        kind=kind,
        version=newest.version + 1 if newest else 1,
        cardinality=cardinality,
        fields=fields,
        reserved_ids=tuple(sorted(reserved_ids)),
        reserved_names=tuple(sorted(reserved_names)),
        doc=(so_far.doc if so_far else "") or (newest.doc if newest else ""),
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
    fields: Sequence[Field],
    before: Sequence[Field],
    own: Sequence[Field],
    place: Place,
    used: _Used,
) -> tuple[Field, ...]:
    """Number *fields* as in the version *before*, or in the draft itself, *own*."""
    names = {field.name for field in fields}
    drafted = {field.name: field for field in own if field.name in names}
    taken = {field.id for field in drafted.values()}
    known = {field.name: field for field in before if field.id not in taken}
    used[place] |= taken
    numbered = []
    for field in fields:
        was = drafted.get(field.name) or known.get(field.name)
        number = was.id if was else max(used[place], default=0) + 1
        used[place].add(number)
        old = next((each for each in before if each.id == number), None)
        numbered.append(
            attrs.evolve(
                field,
                id=number,
                type=_numbered_type(
                    field.type,
                    old.type if old else None,
                    drafted[field.name].type if field.name in drafted else None,
                    (*place, number),
                    used,
                ),
                doc=(was.doc if was else "") or (old.doc if old else ""),
            )
        )
    return tuple(numbered)


def _numbered_type(
    kind: Type, before: Type | None, own: Type | None, place: Place, used: _Used
) -> Type:
    before, own = _beside(kind, before), _beside(kind, own)
    if isinstance(kind, ListOf | MapOf | OptionalOf):
        item = _numbered_type(kind.item, before, own, place, used)
        return attrs.evolve(kind, item=item)
    if isinstance(kind, RecordOf):
        return _numbered_record(kind, before, own, place, used)
    if isinstance(kind, UnionOf):
        was: dict[str, Any] = dict(before.cases) if isinstance(before, UnionOf) else {}
        mine: dict[str, Any] = dict(own.cases) if isinstance(own, UnionOf) else {}
        cases = (
            (
                name,
                _numbered_record(
                    record, was.get(name), mine.get(name), (*place, name), used
                ),
            )
            for name, record in kind.cases
        )
        return UnionOf(kind.tag, tuple(cases))
    return kind


def _beside(kind: Type, other: Type | None) -> Type | None:
    """Return the part of another version's type beside what is in *kind*."""
    if isinstance(kind, ListOf | MapOf | OptionalOf):
        if isinstance(other, ListOf | MapOf | OptionalOf) and type(other) is type(kind):
            return other.item
        return other
    while isinstance(other, ListOf | MapOf | OptionalOf):
        other = other.item
    return other


def _numbered_record(
    kind: RecordOf, before: Type | None, own: Type | None, place: Place, used: _Used
) -> RecordOf:
    was = before.fields if isinstance(before, RecordOf) else ()
    mine = own.fields if isinstance(own, RecordOf) else ()
    return RecordOf(_numbered(kind.fields, was, mine, place, used))
