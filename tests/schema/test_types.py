"""Records, unions and enums: read from JSON, held against classes and values."""

import copy
import enum
from typing import Annotated, Any

import attrs
import pytest

from overwinter.errors import DriftError
from overwinter.schema import (
    InvalidSchemaError,
    OpenEnum,
    Payload,
    Tagged,
    check_class,
    find_faults,
    read_schema,
)
from overwinter.schema.conformance import class_fields
from overwinter.schema.types import EnumOf, Field, ListOf, RecordOf, Scalar, UnionOf

NAME = {"id": 1, "name": "name", "type": "str"}
RECORD = {"record": [NAME, {"id": 2, "name": "size", "type": "i64"}]}
UNION = {"union": {"tag": "does", "cases": {"link": [], "compile": [NAME]}}}
CLOSED = {"enum": {"values": ["a", "b"], "open": False}}
OPEN = {"enum": {"values": ["a", "b"], "open": True}}


class Letter(enum.Enum):
    """Two letters."""

    A = "a"
    B = "b"


class Number(enum.IntEnum):
    """An enum that is no text."""

    ONE = 1


@attrs.frozen
class Record:
    """A record."""

    name: str
    size: int


@attrs.frozen
class Compile:
    """A case."""

    name: str


@attrs.frozen
class Link:
    """A case without fields."""


@attrs.frozen
class Endless:
    """It holds itself."""

    name: str
    inner: "Endless | None" = None


@attrs.frozen
class Wordless:
    """It holds what the schema language has no word for."""

    names: set[str]


def _schema(type_: Any) -> Any:
    fields = [
        {"id": 1, "name": "key", "type": "str"},
        {"id": 2, "name": "x", "type": type_},
    ]
    plain = {"kind": "plan", "version": 1, "cardinality": "one", "fields": fields}
    return read_schema(plain, "v1.json")


def _class(annotation: Any) -> type:
    return attrs.frozen(
        type("Plan", (), {"__annotations__": {"key": str, "x": annotation}})
    )


# --- model ------------------------------------------------------------------


def test_a_type_is_read_from_its_word():
    """Each word of the schema file is one class."""
    name = Field(1, "name", Scalar("str"))
    record = RecordOf((name, Field(2, "size", Scalar("i64"))))
    assert _schema(RECORD).fields[1].type == record
    union = UnionOf("does", (("compile", RecordOf((name,))), ("link", RecordOf(()))))
    assert _schema(UNION).fields[1].type == union
    assert _schema(OPEN).fields[1].type == EnumOf(("a", "b"), is_open=True)
    assert _schema(CLOSED).fields[1].type == EnumOf(("a", "b"), is_open=False)


@pytest.mark.parametrize(
    "type_", [RECORD, UNION, OPEN, CLOSED, {"list": {"optional": RECORD}}], ids=str
)
def test_a_type_is_written_as_it_was_read(type_):
    """Bundles carry schemas, and fingerprints are made of them."""
    schema = _schema(type_)
    assert read_schema(schema.as_plain()) == schema
    assert schema.as_plain()["fields"][1]["type"] == type_


def test_the_fingerprint_sees_inside_types():
    """And leaves out the words of people, at every depth."""
    plain: Any = copy.deepcopy(RECORD)
    plain["record"][0]["doc"] = "Other words."
    assert _schema(plain).fingerprint == _schema(RECORD).fingerprint
    plain["record"][0]["id"] = 9
    assert _schema(plain).fingerprint != _schema(RECORD).fingerprint


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (RECORD, "record{name: str, size: i64}"),
        (UNION, "union<does: compile | link>"),
        (CLOSED, "enum<a | b>"),
        (OPEN, "enum<a | b | …>"),
    ],
)
def test_a_type_reads_as_people_write_it(type_, text):
    """Errors show it so."""
    assert str(_schema(type_).fields[1].type) == text


@pytest.mark.parametrize(
    ("type_", "words"),
    [
        ({"record": {}}, r"type.record: found {}, expected a list of fields"),
        ({"record": [NAME, NAME]}, r"type.record\[1\].id: found 1, expected an unused"),
        (
            {"record": [{**NAME, "type": "payload"}]},
            r"type.record\[0\]: found a payload, expected a field of the kind itself",
        ),
        ({"record": [{"id": 1, "name": "a"}]}, r"type.record\[0\]: found no 'type'"),
        ({"union": {"tag": "does"}}, "type.union: found no 'cases'"),
        (
            {"union": {"tag": "Does", "cases": {"a": []}}},
            "type.union.tag: found 'Does', expected a lower-case name",
        ),
        (
            {"union": {"tag": "does", "cases": {}}},
            "type.union.cases: found {}, expected a map from name to fields",
        ),
        (
            {"union": {"tag": "name", "cases": {"a": [NAME]}}},
            "type.union.cases.a: found a field 'name', expected a name that is not",
        ),
        ({"enum": {"values": ["a"]}}, "type.enum: found no 'open'"),
        (
            {"enum": {"values": [], "open": True}},
            r"type.enum.values: found \[\], expected a list of different texts",
        ),
        ({"enum": {"values": ["a", "a"], "open": True}}, "type.enum.values: found"),
        ({"enum": {"values": ["a", 1], "open": True}}, "type.enum.values: found"),
        (
            {"enum": {"values": ["a"], "open": 1}},
            "type.enum.open: found 1, expected true or false",
        ),
    ],
    ids=str,
)
def test_what_is_no_type_is_refused_with_its_path(type_, words):
    """The author of the file is told the place, what is there and what may be."""
    with pytest.raises(InvalidSchemaError, match=rf"v1.json: fields\[1\]\.{words}"):
        _schema(type_)


def test_types_without_end_are_refused():
    """A bundle brings its schema; its depth is nothing to crash on."""
    type_: Any = "str"
    for _ in range(500):
        type_ = {"record": [{"id": 1, "name": "x", "type": type_}]}
    with pytest.raises(InvalidSchemaError, match="found more levels, expected at most"):
        _schema(type_)


# --- conformance ------------------------------------------------------------

ACTION = Annotated[Compile | Link, Tagged("does", compile=Compile, link=Link)]


@pytest.mark.parametrize(
    ("annotation", "type_"),
    [
        (Record, RECORD),
        (tuple[Record, ...], {"list": RECORD}),
        (dict[str, Record], {"map": RECORD}),
        (Record | None, {"optional": RECORD}),
        (ACTION, UNION),
        (list[ACTION], {"list": UNION}),
        (Letter, CLOSED),
        (Annotated[str, OpenEnum("a", "b")], OPEN),
    ],
    ids=str,
)
def test_an_annotation_stands_for_a_type(annotation, type_):
    """What developers write for each type; the ids are the file's alone."""
    check_class(_class(annotation), _schema(type_))
    with pytest.raises(DriftError, match=r"change  x: .*  to  x: list<null>"):
        check_class(_class(annotation), _schema({"list": "null"}))


@pytest.mark.parametrize(
    "annotation",
    [
        Number,
        Compile | Link,
        Annotated[Compile | Link, Tagged("does", compile=Compile)],
        Annotated[Compile | Link, Tagged("does", a=Compile, b=Compile, c=Link)],
        Annotated[Compile | None, Tagged("does", compile=Compile)],
    ],
    ids=str,
)
def test_an_annotation_that_could_be_read_in_two_ways_is_drift(annotation):
    """Numbers are no names, and every class of a union has its one case."""
    with pytest.raises(DriftError, match=r"change  x: .*  to  x: union<does"):
        check_class(_class(annotation), _schema(UNION))


def test_a_class_inside_without_a_word_is_named():
    """The line to change is the inner class's."""
    with pytest.raises(DriftError, match=r"change  Wordless\.names: set\[str\]  to"):
        check_class(_class(Wordless), _schema(RECORD))
    with pytest.raises(DriftError, match=r"change  Wordless\.names: set\[str\]  to"):
        class_fields(Wordless)


def test_a_class_that_holds_itself_is_drift_and_no_crash():
    """A schema without end has no file."""
    with pytest.raises(DriftError, match="Endless holds itself without end"):
        check_class(_class(Endless), _schema(RECORD))


def test_the_default_of_an_enum_is_its_text():
    """JSON has no enums."""
    body = {"__annotations__": {"key": str, "x": Letter}, "x": Letter.B}
    plain = _schema(CLOSED).as_plain()
    plain["fields"][1]["default"] = "b"
    check_class(attrs.frozen(type("Plan", (), body)), read_schema(plain))


# --- validation -------------------------------------------------------------

GOOD = {"name": "a", "size": 1}


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (RECORD, [GOOD]),
        ({"record": []}, [{}]),
        (UNION, [{"does": "link"}, {"does": "compile", "name": "a"}]),
        (CLOSED, ["a", "b"]),
        (OPEN, ["a", "later", ""]),
        ({"list": {"optional": RECORD}}, [[None, GOOD], []]),
    ],
    ids=str,
)
def test_values_of_a_type_fit_it(type_, values):
    """Together and alone."""
    keys = [str(row) for row in range(len(values))]
    assert find_faults(_schema(type_), {"key": keys, "x": values}) == {}


@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        (RECORD, [], "x: expected record{name: str, size: i64}, got list []"),
        (RECORD, {"name": "a"}, "x.size: expected i64, got nothing"),
        (RECORD, {**GOOD, "z": 1}, "x: expected no field 'z'"),
        (RECORD, {**GOOD, 3: 1}, "x: expected no field 3"),
        (RECORD, {**GOOD, "name": 7}, "x.name: expected str, got int 7"),
        (
            {"list": RECORD},
            [GOOD, {**GOOD, "name": 7}],
            "x[1].name: expected str, got int 7",
        ),
        (
            {"map": RECORD},
            {"k": {**GOOD, "size": None}},
            "x.k.size: expected i64, got null",
        ),
        (UNION, "link", "x: expected union<does: compile | link>, got str 'link'"),
        (UNION, {}, "x.does: expected compile or link, got null"),
        (UNION, {"does": "un"}, "x.does: expected compile or link, got str 'un'"),
        (UNION, {"does": []}, "x.does: expected compile or link, got list []"),
        (UNION, {"does": "link", "name": "a"}, "x: expected no field 'name'"),
        (UNION, {"does": "compile"}, "x.name: expected str, got nothing"),
        (CLOSED, "c", "x: expected enum<a | b>, got str 'c'"),
        (CLOSED, 1, "x: expected enum<a | b>, got int 1"),
        (OPEN, None, "x: expected enum<a | b | …>, got null"),
        (OPEN, "\ud800", r"x: expected text, got a lone surrogate in '\ud800'"),
    ],
    ids=ascii,
)
def test_a_value_that_does_not_fit_is_named_with_its_path(type_, value, words):
    """Down to the field of the record in the list."""
    good = find_faults(_schema(type_), {"key": ["a"], "x": [value]})
    assert good == {0: [f"plan[0].{words}"]}


def test_a_path_leads_from_the_kind_to_the_value():
    """As the issue has it."""
    schema = read_schema(
        {
            "kind": "inductor",
            "version": 1,
            "cardinality": "one",
            "fields": [
                {"id": 1, "name": "key", "type": "str"},
                {"id": 2, "name": "sources", "type": {"list": {"record": [NAME]}}},
            ],
        }
    )
    good = [{"name": "a"}]
    columns = {"key": list("abcd"), "sources": [good] * 3 + [[*good, {"name": 7}]]}
    assert find_faults(schema, columns) == {
        3: ["inductor[3].sources[1].name: expected str, got int 7"]
    }


def test_payloads_are_fields_of_the_kind_itself():
    """Only those are stored apart, so a class cannot hide one in a record."""
    inner = attrs.frozen(type("Inner", (), {"__annotations__": {"data": Payload}}))
    with pytest.raises(DriftError, match=r"change  x: record{data: payload}"):
        check_class(_class(inner), _schema(RECORD))
    assert class_fields(_class(list[int]))[1].type == ListOf(Scalar("i64"))
