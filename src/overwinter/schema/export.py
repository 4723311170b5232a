"""
Schemas for other programs and for people: JSON Schema, and a page of Markdown.

Source:
    JSON Schema, draft 2020-12.
"""

from typing import Any

from .model import Schema
from .types import (
    REQUIRED,
    EnumOf,
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Scalar,
    Type,
    UnionOf,
)

__all__ = ["as_json_schema", "as_markdown"]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: dict[str, dict[str, Any]] = {
    "null": {"type": "null"},
    "bool": {"type": "boolean"},
    "i64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "u64": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
    "time_ns": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "f64": {"type": "number"},
    "str": {"type": "string"},
    # JSON has no bytes; base64 is how programs write them there.
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "payload": {"type": "string", "contentEncoding": "base64"},
    "opaque": {},
}


def as_json_schema(schema: Schema) -> dict[str, Any]:
    """Return *schema* as JSON Schema, for one record as a JSON object."""
    return {
        "$schema": _DIALECT,
        "title": f"{schema.kind} version {schema.version}",
        **({"description": schema.doc} if schema.doc else {}),
        **_record(schema.fields),
    }


def _record(fields: tuple[Field, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {field.name: _property(field) for field in fields},
        "required": [field.name for field in fields],
        "additionalProperties": False,
    }


def _property(field: Field) -> dict[str, Any]:
    found = dict(_type(field.type))
    if field.doc:
        found["description"] = field.doc
    if field.default is not REQUIRED:
        found["default"] = field.default
    return found


def _type(kind: Type) -> dict[str, Any]:
    if isinstance(kind, Scalar):
        return _SCALARS[kind.name]
    if isinstance(kind, ListOf):
        return {"type": "array", "items": _type(kind.item)}
    if isinstance(kind, MapOf):
        return {"type": "object", "additionalProperties": _type(kind.item)}
    if isinstance(kind, OptionalOf):
        return {"anyOf": [{"type": "null"}, _type(kind.item)]}
    if isinstance(kind, EnumOf):
        return {"type": "string"} if kind.is_open else {"enum": list(kind.values)}
    if isinstance(kind, UnionOf):
        return {"oneOf": [_case(kind, name, record) for name, record in kind.cases]}
    return _record(kind.fields)


def _case(union: UnionOf, name: str, record: RecordOf) -> dict[str, Any]:
    found = _record(record.fields)
    found["properties"] = {union.tag: {"const": name}, **found["properties"]}
    found["required"] = [union.tag, *found["required"]]
    return found


def as_markdown(schema: Schema) -> str:
    """Return a page about *schema*."""
    lines = [f"# {schema.kind}, version {schema.version}", ""]
    if schema.doc:
        lines += [schema.doc, ""]
    cardinality = {
        "many": "A key may have several artifacts.",
        "one": "A key has one artifact.",
    }
    lines += [
        cardinality[schema.cardinality],
        f"Fingerprint: `{schema.fingerprint.hex()}`.",
        "",
        "| id | field | type | default | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += _rows(schema.fields, "")
    if schema.reserved_ids or schema.reserved_names:
        ids = ", ".join(map(str, schema.reserved_ids)) or "none"
        names = ", ".join(f"`{name}`" for name in schema.reserved_names) or "none"
        lines += ["", f"Reserved for ever: ids {ids}; names {names}."]
    return "\n".join(lines) + "\n"


def _rows(fields: tuple[Field, ...], prefix: str) -> list[str]:
    rows = []
    for field in fields:
        name = f"{prefix}{field.name}"
        default = "" if field.default is REQUIRED else f"`{field.default!r}`"
        cells = (str(field.id), f"`{name}`", _text(field.type), default, field.doc)
        rows.append(
            "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        )
        rows += _nested(field.type, name)
    return rows


def _nested(kind: Type, name: str) -> list[str]:
    if isinstance(kind, ListOf | MapOf):
        return _nested(kind.item, f"{name}[]")
    if isinstance(kind, OptionalOf):
        return _nested(kind.item, name)
    if isinstance(kind, RecordOf):
        return _rows(kind.fields, f"{name}.")
    if isinstance(kind, UnionOf):
        return [
            row
            for case, record in kind.cases
            for row in _rows(record.fields, f"{name}<{case}>.")
        ]
    return []


def _text(kind: Type) -> str:
    if isinstance(kind, RecordOf):
        return "record"
    if isinstance(kind, ListOf):
        return f"list of {_text(kind.item)}"
    if isinstance(kind, MapOf):
        return f"map from str to {_text(kind.item)}"
    if isinstance(kind, OptionalOf):
        return f"{_text(kind.item)} or null"
    if isinstance(kind, EnumOf):
        shown = ", ".join(f"`{value}`" for value in kind.values)
        return f"{'open ' if kind.is_open else ''}enum of {shown}"
    if isinstance(kind, UnionOf):
        cases = ", ".join(f"`{name}`" for name, _ in kind.cases)
        return f"union by `{kind.tag}` of {cases}"
    return f"`{kind}`"
