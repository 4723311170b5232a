"""Schemas as values: read from JSON, named by a fingerprint, refused with a path."""

import copy
import hashlib
import json
import pickle
from typing import Any

import pytest

from overwinter.schema import InvalidSchemaError, read_schema
from overwinter.schema.model import SCALARS, ListOf, MapOf, OptionalOf, Scalar

PLAIN: dict[str, Any] = {
    "kind": "acme/plan",
    "version": 2,
    "cardinality": "many",
    "doc": "A plan.",
    "fields": [
        {"id": 1, "name": "key", "type": "str", "doc": "Its name."},
        {"id": 3, "name": "program", "type": {"optional": "payload"}},
        {"id": 4, "name": "tiles", "type": {"list": {"map": "u64"}}, "default": []},
    ],
    "reserved": {"ids": [2], "names": ["median_us"]},
}


def _with(path: str, value: Any) -> dict[str, Any]:
    """Return PLAIN with another value at a path such as ``fields.0.id``."""
    plain = copy.deepcopy(PLAIN)
    place: Any = plain
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in parents:
        place = place[part]
    place[last] = value
    return plain


def test_a_schema_reads_back_as_what_it_was_read_from():
    """`as_plain` and `read_schema` are inverse functions, documentation included."""
    assert read_schema(PLAIN).as_plain() == PLAIN


def test_a_schema_without_words_is_the_same_schema():
    """Equality and reading back ignore what only people read."""
    schema = read_schema(PLAIN, "here")
    assert read_schema(schema.as_plain(docs=False), "there") == schema
    assert "doc" not in json.dumps(schema.as_plain(docs=False))


def test_each_type_is_read_as_its_own_thing():
    """The types of the schema language, and nothing that two of them share."""
    assert sorted(SCALARS) == (
        "bool bytes f64 i64 null opaque payload str time_ns u64".split()
    )
    fields = [{"id": 1, "name": "key", "type": "str"}]
    fields += [
        {"id": number, "name": f"a_{name}", "type": name}
        for number, name in enumerate(SCALARS, 2)
    ]
    schema = read_schema({**PLAIN, "fields": fields, "reserved": {}})
    assert [field.type for field in schema.fields[1:]] == [Scalar(n) for n in SCALARS]

    program, tiles = read_schema(PLAIN).fields[1:]
    assert program.type == OptionalOf(Scalar("payload"))
    assert tiles.type == ListOf(MapOf(Scalar("u64")))


def test_a_type_reads_as_people_write_it():
    """Errors show types in the words of the schema's documentation."""
    assert str(ListOf(MapOf(OptionalOf(Scalar("u64"))))) == (
        "list<map<str, optional<u64>>>"
    )


def test_payload_fields_are_those_stored_out_of_line():
    """A payload may be optional; a list that holds bytes is no payload."""
    assert read_schema(PLAIN).payload_names == {"program"}


def test_a_field_is_found_by_its_name():
    """Names are unique, so a name finds one field or none."""
    schema = read_schema(PLAIN)
    assert schema.field("tiles") is schema.fields[2]
    assert schema.field("median_us") is None


def test_the_fingerprint_is_the_digest_of_canonical_json():
    """A literal, so that the rule cannot change: bundles hold fingerprints."""
    text = (
        '{"cardinality":"many","fields":[{"id":1,"name":"key","type":"str"},'
        '{"id":3,"name":"program","type":{"optional":"payload"}},'
        '{"default":[],"id":4,"name":"tiles","type":{"list":{"map":"u64"}}}],'
        '"kind":"acme/plan","reserved":{"ids":[2],"names":["median_us"]},"version":2}'
    )
    assert read_schema(PLAIN).fingerprint == hashlib.sha256(text.encode()).digest()


def test_the_fingerprint_ignores_words_and_the_order_of_keys():
    """Mending a sentence in a schema file leaves old bundles readable."""
    turned = dict(reversed(_with("doc", "Other words.").items()))
    turned["fields"] = [dict(reversed(field.items())) for field in turned["fields"]]
    turned["fields"][0]["doc"] = "Others again."
    assert read_schema(turned).fingerprint == read_schema(PLAIN).fingerprint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "acme/plans"),
        ("version", 3),
        ("cardinality", "one"),
        ("fields.1.id", 9),
        ("fields.1.name", "other"),
        ("fields.1.type", "payload"),
        ("fields.2.default", [{}]),
        ("reserved.ids", [2, 5]),
        ("reserved.names", []),
        ("fields", PLAIN["fields"][::-1]),
    ],
)
def test_the_fingerprint_sees_every_other_change(path, value):
    """Whatever decides about bytes decides about the fingerprint."""
    changed = read_schema(_with(path, value))
    assert changed.fingerprint != read_schema(PLAIN).fingerprint


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("kind", "Acme", "kind: found 'Acme', expected a lower-case name, or org/name"),
        ("kind", "a/b/c", "kind: found 'a/b/c'"),
        ("kind", "../a", "kind: found '../a'"),
        ("kind", 3, "kind: found 3"),
        ("version", 0, "version: found 0, expected an integer from 1"),
        ("version", True, "version: found True"),
        ("version", "2", "version: found '2'"),
        ("cardinality", "few", "cardinality: found 'few', expected 'many' or 'one'"),
        ("doc", 5, "doc: found 5, expected text"),
        ("fields", {}, "fields: found {}, expected a list of fields"),
        ("fields.1", "name", r"fields\[1\]: found 'name', expected a map"),
        ("fields.0.id", 0, r"fields\[0\].id: found 0, expected an integer from 1"),
        ("fields.0.id", True, r"fields\[0\].id: found True"),
        ("fields.1.id", 1, r"fields\[1\].id: found 1, expected an unused id"),
        ("fields.1.id", 2, r"fields\[1\].id: found 2, expected an unused id"),
        ("fields.1.name", "key", r"fields\[1\].name: found key, expected an unused"),
        ("fields.1.name", "median_us", r"fields\[1\].name: found median_us, expected"),
        ("fields.1.name", 3, r"fields\[1\].name: found 3, expected a lower-case name"),
        ("fields.1.name", "Key", r"fields\[1\].name: found 'Key', expected a lower"),
        ("fields.1.doc", [], r"fields\[1\].doc: found \[\], expected text"),
        (
            "fields.1.type",
            "int",
            r"fields\[1\].type: found 'int', expected one of null",
        ),
        ("fields.1.type", None, r"fields\[1\].type: found None"),
        ("fields.1.type", {"set": "str"}, r"fields\[1\].type: found {'set': 'str'}"),
        ("fields.1.type", {}, r"fields\[1\].type: found {}"),
        (
            "fields.1.type",
            {"list": {"map": "int"}},
            r"fields\[1\].type.list.map: found 'int'",
        ),
        ("fields.0.type", "bytes", "fields: found key: bytes, expected a field 'key'"),
        ("fields.0.name", "name", "fields: found key: None, expected a field 'key' of"),
        (
            "fields.0.unit",
            "ns",
            r"fields\[0\]: found 'unit', expected only \['default'",
        ),
        ("extra", 1, "schema: found 'extra', expected only"),
        ("reserved", [], r"reserved: found \[\], expected a map"),
        ("reserved.ids", 5, "reserved.ids: found 5, expected a list of int"),
        ("reserved.ids", ["2"], r"reserved.ids: found \['2'\], expected a list of int"),
        (
            "reserved.names",
            "key",
            "reserved.names: found 'key', expected a list of str",
        ),
        ("reserved.docs", [], "reserved: found 'docs', expected only"),
    ],
)
def test_what_is_no_schema_is_refused_with_its_path(path, value, words):
    """The author of the file is told the place, what is there and what may be."""
    with pytest.raises(InvalidSchemaError, match=f"^here: {words}") as caught:
        read_schema(_with(path, value), "here")
    assert str(caught.value).endswith("; mend the schema file")


@pytest.mark.parametrize("name", ["kind", "version", "cardinality", "fields"])
def test_what_every_schema_must_say_is_missed(name):
    """Nothing has a default that a writer could forget about."""
    plain = {key: value for key, value in PLAIN.items() if key != name}
    with pytest.raises(InvalidSchemaError, match=f"schema: found no '{name}'"):
        read_schema(plain)


@pytest.mark.parametrize("name", ["id", "name", "type"])
def test_what_every_field_must_say_is_missed(name):
    """A field without an id could be renamed unseen."""
    plain = copy.deepcopy(PLAIN)
    del plain["fields"][1][name]
    with pytest.raises(InvalidSchemaError, match=rf"fields\[1\]: found no '{name}'"):
        read_schema(plain)


@pytest.mark.parametrize("plain", [None, [], "schema", 3])
def test_a_schema_is_a_map(plain):
    """A bundle carries its schemas; whatever stands there is refused in words."""
    with pytest.raises(InvalidSchemaError, match=r"schema: found .*, expected a map"):
        read_schema(plain)


def test_a_type_of_a_thousand_levels_is_refused_in_words():
    """Schemas come out of bundles too: depth is damage, and no RecursionError."""
    deep: Any = "str"
    for _ in range(1_000):
        deep = {"list": deep}
    with pytest.raises(InvalidSchemaError, match="found more levels, expected at most"):
        read_schema(_with("fields.1.type", deep))


def test_a_type_may_have_sixteen_levels():
    """The limit itself is within reach, and leaves values room to be written."""
    deep: Any = "str"
    for _ in range(16):
        deep = {"list": deep}
    assert read_schema(_with("fields.1.type", deep)).fields[1].type != Scalar("str")
    with pytest.raises(InvalidSchemaError, match="found more levels, expected at most"):
        read_schema(_with("fields.1.type", {"list": deep}))


def test_an_error_can_be_sent():
    """Ranks send what went wrong to one that reports it."""
    with pytest.raises(InvalidSchemaError, match="version: found 0") as caught:
        read_schema(_with("version", 0), "here")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert (again.source, again.path) == ("here", "version")


def test_an_error_shows_the_beginning_of_what_it_found():
    """What a bundle brings may be of any size and depth; a sentence is short."""
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    for value in ["X" * 10**6, deep, {str(n): n for n in range(10**4)}]:
        with pytest.raises(InvalidSchemaError, match="kind: found") as caught:
            read_schema(_with("kind", value))
        assert len(str(caught.value)) < 400
