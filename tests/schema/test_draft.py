"""Drafts: the schema file of a class, with the ids that its history leaves free."""

import json
from typing import Any

import attrs
import pytest
from acme.graphs import Graph
from acme.plans import Plan

from overwinter.schema import Catalog, InvalidSchemaError, check_class, read_schema
from overwinter.schema.compatibility import compare
from overwinter.schema.draft import as_file, differences, draft

CATALOGS = [Catalog("acme.schema", "acme/plan"), Catalog("acme.schema", "acme/graph")]
HISTORY = [CATALOGS[0][version] for version in (1, 2, 3)]


def _class(**fields: Any) -> type:
    body: dict[str, Any] = {"__annotations__": {"key": str}}
    for name, field in fields.items():
        annotation, *default = field if type(field) is tuple else (field,)
        body["__annotations__"][name] = annotation
        if default:
            body[name] = default[0]
    return attrs.frozen(type("Plan", (), body))


def _ids(schema: Any) -> dict[str, int]:
    return {field.name: field.id for field in schema.fields}


def test_a_first_draft_numbers_the_fields():
    """In their order, from 1."""
    schema = draft(_class(a=int, b=(str, "x")), "plan", "one")
    assert (schema.kind, schema.version, schema.cardinality) == ("plan", 1, "one")
    assert _ids(schema) == {"key": 1, "a": 2, "b": 3}
    check_class(_class(a=int, b=(str, "x")), schema)


def test_a_field_keeps_its_id_and_its_words():
    """They are known by its name."""
    schema = draft(Plan, "acme/plan", "one", HISTORY)
    assert schema.version == 4
    assert schema.fields == HISTORY[-1].fields
    assert [f.doc for f in schema.fields] == [f.doc for f in HISTORY[-1].fields]
    assert schema.reserved_ids == HISTORY[-1].reserved_ids
    assert differences(HISTORY[-1], schema) == []


def test_a_new_field_takes_an_id_that_no_version_had():
    """Neither one that is in use nor one that was."""
    schema = draft(_class(more=(int, 0)), "acme/plan", "one", HISTORY)
    assert _ids(schema) == {"key": 1, "more": 7}


def test_what_is_gone_is_reserved():
    """With what was reserved before; so the draft keeps the rules."""
    schema = draft(_class(more=(int, 0)), "acme/plan", "one", HISTORY)
    assert schema.reserved_ids == (2, 3, 4, 5, 6)
    gone = {"median_us", "program", "median_ns", "device", "tiles"}
    assert set(schema.reserved_names) == gone
    assert compare(HISTORY[-1], schema) == []


def test_a_name_of_long_ago_is_refused_when_the_draft_is_read():
    """The author of the class chose it; the tool cannot choose another."""
    schema = draft(_class(median_us=(int, 0)), "acme/plan", "one", HISTORY)
    with pytest.raises(InvalidSchemaError, match="found median_us, expected an unused"):
        read_schema(schema.as_plain())


def test_fields_inside_records_keep_their_ids():
    """In lists, maps and unions alike."""
    graph = CATALOGS[1].newest
    assert draft(Graph, "acme/graph", "one", [graph]).fields == graph.fields


@pytest.mark.parametrize(
    "schema",
    [*HISTORY, CATALOGS[1].newest, draft(Plan, "acme/plan", "one", HISTORY)],
    ids=lambda schema: f"{schema.kind} {schema.version}",
)
def test_the_text_of_a_schema_is_read_back(schema):
    """With its words, and one field a line."""
    text = as_file(schema)
    plain = json.loads(text)
    assert read_schema(plain) == schema
    assert plain == schema.as_plain()
    assert text.count('\n    {"id"') == len(schema.fields)
    assert text.endswith("}\n")


def test_differences_are_told_by_id():
    """So a rename is one line and not two."""
    old = draft(_class(a=int, b=str), "plan", "one")
    plain = old.as_plain()
    plain["version"], plain["cardinality"] = 2, "many"
    plain["fields"][1]["name"] = "c"
    plain["fields"][2] = {"id": 4, "name": "d", "type": "f64", "default": 0.5}
    assert differences(old, read_schema(plain)) == [
        "~ 2 a: i64  ->  c: i64",
        "- 3 b: str",
        "+ 4 d: f64 = 0.5",
        "~ cardinality one  ->  many",
    ]
