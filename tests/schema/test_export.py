"""Schemas for other programs and for people."""

import json
from typing import Any

import pytest
from acme.graphs import Compile, Graph, Link, Mode, Source

from overwinter.codec import columns_of
from overwinter.kinds import PACK
from overwinter.schema import Catalog
from overwinter.schema.export import as_json_schema, as_markdown

SCHEMAS = [
    *(Catalog("overwinter_schema", cls.type()).newest for cls in PACK.classes),
    *(Catalog("acme.schema", kind).newest for kind in ("acme/plan", "acme/graph")),
]
EACH = pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.kind)
GRAPH = SCHEMAS[-1]

# Keyword of JSON Schema to the type of its value.
KEYWORDS: dict[str, Any] = {
    "$schema": str, "title": str, "description": str, "type": str, "properties": dict,
    "required": list, "additionalProperties": (bool, dict), "items": dict,
    "anyOf": list, "oneOf": list, "enum": list, "const": str, "minimum": int,
    "maximum": int, "contentEncoding": str, "default": object,
}  # fmt: skip
TYPES: dict[str, Any] = {
    "null": type(None), "boolean": bool, "integer": int, "number": (int, float),
    "string": str, "array": list, "object": dict,
}  # fmt: skip


def _check_meta(schema: Any) -> None:
    """Check what the meta-schema of draft 2020-12 says about these keywords."""
    assert schema.keys() <= KEYWORDS.keys()
    for name, value in schema.items():
        assert isinstance(value, KEYWORDS[name])
    assert schema.get("type", "null") in TYPES
    assert len(set(schema.get("required", []))) == len(schema.get("required", []))
    assert schema.get("anyOf", [1])
    assert schema.get("oneOf", [1])
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    inner += schema.get("oneOf", [])
    for name in ("items", "additionalProperties"):
        inner += [schema[name]] if isinstance(schema.get(name), dict) else []
    for each in inner:
        _check_meta(each)


def _accepts(schema: Any, value: Any) -> bool:
    """Return what a validator of JSON Schema says, for the keywords above."""
    found = [each for each in schema.get("oneOf", []) if _accepts(each, value)]
    if "oneOf" in schema and len(found) != 1:
        return False
    some = [_accepts(each, value) for each in schema.get("anyOf", [])]
    if some and not any(some):
        return False
    if value not in schema.get("enum", [value]) or schema.get("const", value) != value:
        return False
    if "type" in schema and not isinstance(value, TYPES[schema["type"]]):
        return False
    if not schema.get("minimum", -(2**70)) <= (value if type(value) is int else 0):
        return False
    if isinstance(value, list):
        return all(_accepts(schema.get("items", {}), each) for each in value)
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties")
        if not set(schema.get("required", [])) <= value.keys():
            return False
        if more is False and not value.keys() <= known.keys():
            return False
        more = more if isinstance(more, dict) else {}
        return all(
            _accepts(known.get(name, more), each) for name, each in value.items()
        )
    return True


def _record() -> dict[str, Any]:
    source = Source("a.py", (1,))
    graph = Graph(
        "a", b"", Mode.BEST, "tpu", source, (source,), {"x": source}, None,
        Compile(source, ["-O2"]), (Link([]),), {"now": Mode.FAST}, 1, 2, 0.5, None,
        True, b"", {"any": 1},
    )  # fmt: skip
    record = {name: column[0] for name, column in columns_of(Graph, [graph]).items()}
    # In JSON bytes are base64.
    return {name: "" if value == b"" else value for name, value in record.items()}


@EACH
def test_json_schema_is_json_schema(schema):
    """Each keyword has a value of its type, at every depth."""
    found = as_json_schema(schema)
    assert json.loads(json.dumps(found)) == found
    _check_meta(found)
    assert list(found["properties"]) == [field.name for field in schema.fields]


def test_json_schema_accepts_a_record():
    """Of the kind that has every type."""
    assert _accepts(as_json_schema(GRAPH), _record())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("key", 1),
        ("mode", "worst"),
        ("target", 1),
        ("source", {"name": "a"}),
        ("source", {"name": 7, "lines": []}),
        ("sources", [{"name": "a", "lines": [], "more": 1}]),
        ("by_name", {"x": 1}),
        ("spare", {}),
        ("action", {"does": "unlink", "flags": []}),
        ("action", {"flags": []}),
        ("size", -1),
        ("more_fields", 1),
    ],
)
def test_json_schema_refuses_what_the_schema_refuses(field, value):
    """Nothing is coerced, and no field is made up."""
    assert not _accepts(as_json_schema(GRAPH), {**_record(), field: value})


@EACH
def test_a_page_has_a_row_for_each_field(schema):
    """With id, name and what it means."""
    page = as_markdown(schema)
    assert page.startswith(f"# {schema.kind}, version {schema.version}\n")
    assert schema.fingerprint.hex() in page
    for field in schema.fields:
        assert f"| {field.id} | `{field.name}` | " in page
        assert field.doc.replace("|", "\\|") in page


def test_a_page_goes_inside_records():
    """Also those in lists, maps and unions; and every row has five cells."""
    page = as_markdown(GRAPH)
    for name in ("source.name", "sources[].lines", "by_name[].name", "spare.name"):
        assert f"`{name}`" in page
    assert "`action<compile>.source.name`" in page
    assert "| record or null |" in page
    assert "enum of `fast`, `best`" in page
    assert "open enum of `cpu`, `gpu`" in page
    assert "union by `does` of `compile`, `link`" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}


def test_a_page_names_what_is_reserved():
    """So that nobody takes it again."""
    assert "Reserved for ever: ids 2; names `median_us`." in as_markdown(SCHEMAS[-2])
