"""A class against its schema: either cannot drift without the other."""

import copy
import json
from importlib.resources import files
from typing import Annotated, Any

import attrs
import pytest

from overwinter.errors import DriftError
from overwinter.kinds import PACK
from overwinter.schema import U64, Catalog, Payload, TimeNs, check_class, read_schema

BUILTIN = pytest.mark.parametrize("cls", PACK.classes, ids=lambda cls: cls.type())


def _schema(**fields: Any) -> Any:
    """Return the schema with these fields behind the key: a type, or type, default."""
    listed: list[dict[str, Any]] = [{"id": 1, "name": "key", "type": "str"}]
    for number, (name, field) in enumerate(fields.items(), 2):
        plain = {"type": field[0], "default": field[1]} if type(field) is tuple else {}
        listed.append({"id": number, "name": name, "type": field, **plain})
    return read_schema(
        {"kind": "plan", "version": 1, "cardinality": "one", "fields": listed},
        "v1.json",
    )


def _class(**fields: Any) -> type:
    """Return a class named Plan with these annotations behind the key."""
    body: dict[str, Any] = {"__annotations__": {"key": str}}
    for name, field in fields.items():
        annotation, *default = field if type(field) is tuple else (field,)
        body["__annotations__"][name] = annotation
        if default:
            body[name] = default[0]
    return attrs.frozen(type("Plan", (), body))


def _faults(cls: type, schema: Any) -> tuple[str, ...]:
    with pytest.raises(DriftError, match=r"Plan has drifted from v1\.json:") as caught:
        check_class(cls, schema)
    return caught.value.faults


@pytest.mark.parametrize(
    ("annotation", "type_"),
    [
        (bool, "bool"),
        (int, "i64"),
        (U64, "u64"),
        (TimeNs, "time_ns"),
        (float, "f64"),
        (str, "str"),
        (bytes, "bytes"),
        (Payload, "payload"),
        (None, "null"),
        (Any, "opaque"),
        (int | None, {"optional": "i64"}),
        (None | int, {"optional": "i64"}),
        (Payload | None, {"optional": "payload"}),
        (list[str], {"list": "str"}),
        (tuple[str, ...], {"list": "str"}),
        (dict[str, Any], {"map": "opaque"}),
        (dict[str, list[float]], {"map": {"list": "f64"}}),
        (list[U64 | None], {"list": {"optional": "u64"}}),
        (Annotated[str, "a note of the author's"], "str"),
    ],
    ids=str,
)
def test_an_annotation_stands_for_a_type(annotation, type_):
    """What developers write for each type of the schema language."""
    check_class(_class(value=annotation), _schema(value=type_))
    other = "f64" if type_ != "f64" else "i64"
    assert len(_faults(_class(value=annotation), _schema(value=other))) == 1


@pytest.mark.parametrize(
    "annotation",
    [
        set[str],
        tuple[str, str],
        int | str | None,
        dict[int, str],
        int | str,
        list,
        object,
        list[object],
    ],
    ids=str,
)
def test_an_annotation_without_a_type_is_drift(annotation):
    """It is shown as Python writes it, since the schema has no word for it."""
    (fault,) = _faults(_class(value=annotation), _schema(value={"list": "str"}))
    assert fault == f"change  value: {annotation}  to  value: list<str>"


def test_a_field_that_the_class_lacks_is_the_line_to_add():
    """The line stands as the class must have it, but for the words of its type."""
    assert _faults(_class(), _schema(size=("i64", 3))) == ("add     size: i64 = 3",)
    assert _faults(_class(), _schema(size="i64")) == ("add     size: i64",)


def test_a_field_that_the_schema_lacks_is_the_line_to_remove():
    """A field without a schema would be lost when it is saved."""
    assert _faults(_class(size=int), _schema()) == ("remove  size",)


def test_another_type_is_the_line_to_change():
    """Both types are shown, the one that is there first."""
    faults = _faults(_class(size=int), _schema(size="u64"))
    assert faults == ("change  size: i64  to  size: u64",)


@pytest.mark.parametrize(
    ("annotation", "type_", "found", "wanted"),
    [
        (Any, "opaque", 1, True),
        (Any, "opaque", 1, 1.0),
        (Any, "opaque", True, 1),
        (Any, "opaque", [1, 0], [1, False]),
        (Any, "opaque", {"x": 1}, {"x": 1.0}),
        (Any, "opaque", [1], [1, 2]),
        (Any, "opaque", {"x": 1}, {"x": 1, "y": 2}),
        (int, "i64", 3, 4),
        (int | None, {"optional": "i64"}, None, 0),
        (str, "str", "", "unknown"),
    ],
)
def test_another_default_is_the_line_to_change(annotation, type_, found, wanted):
    """1, True and 1.0 are equal in Python, and three defaults in a schema."""
    field = attrs.field(factory=lambda: found)
    faults = _faults(_class(x=(annotation, field)), _schema(x=(type_, wanted)))
    (fault,) = faults
    assert fault.startswith("change  x: ")
    assert f" = {found!r}  to  x: " in fault
    assert fault.endswith(f" = {wanted!r}")


def test_a_default_that_only_one_of_them_has_is_the_line_to_change():
    """Without a default a record must have the field, with one it may lack it."""
    faults = _faults(_class(size=int), _schema(size=("i64", 0)))
    assert faults == ("change  size: i64  to  size: i64 = 0",)
    faults = _faults(_class(size=(int, 0)), _schema(size="i64"))
    assert faults == ("change  size: i64 = 0  to  size: i64",)


def test_empty_collections_of_a_class_are_those_of_json():
    """A tuple and a factory are how Python says the default that JSON says."""
    cls = _class(
        order=(tuple[str, ...], ()),
        config=(dict[str, Any], attrs.field(factory=dict)),
        tiles=(list[int], attrs.field(factory=lambda: [1, 2])),
    )
    check_class(
        cls,
        _schema(
            order=({"list": "str"}, []),
            config=({"map": "opaque"}, {}),
            tiles=({"list": "i64"}, [1, 2]),
        ),
    )


def test_another_order_is_told_whole():
    """Artifacts are built by position, so the order is part of the contract."""
    faults = _faults(_class(b=int, a=int), _schema(a="i64", b="i64"))
    assert faults == ("reorder the fields to key, a, b",)


def test_every_line_is_listed_at_once():
    """A developer mends a class once, not once for each run."""
    cls = _class(a=int, b=str, z=int)
    assert _faults(cls, _schema(a="f64", b="str", c="i64", d="str")) == (
        "add     c: i64",
        "add     d: str",
        "change  a: i64  to  a: f64",
        "remove  z",
    )


def test_the_sentence_names_the_class_the_file_and_both_ways_out():
    """Either the class is wrong, or the schema wants a next version."""
    with pytest.raises(DriftError) as caught:
        check_class(_class(size=int), _schema())
    assert str(caught.value) == (
        "Plan has drifted from v1.json:\n"
        "  remove  size\n"
        "change these lines of the class, or write the next version of the schema "
        "of plan"
    )


@BUILTIN
def test_each_built_in_class_is_what_its_newest_schema_says(cls):
    """What the released files promise and what today's classes hold are one."""
    check_class(cls, Catalog("overwinter_schema", cls.type()).newest)


@BUILTIN
def test_each_built_in_schema_file_explains_every_field(cls):
    """A bundle carries its schemas, for a reader in ten years."""
    catalog = Catalog("overwinter_schema", cls.type())
    for version in range(1, len(catalog) + 1):
        schema = catalog[version]
        assert schema.doc.endswith(".")
        assert all(field.doc.endswith(".") for field in schema.fields)


def _altered(cls: type) -> list[tuple[str, Any]]:
    """Return the newest schema file of *cls* with one thing changed, in every way."""
    kind = cls.type()
    newest = len(Catalog("overwinter_schema", kind))
    file = files("overwinter_schema") / kind / f"v{newest}.json"
    plain = json.loads(file.read_text(encoding="utf-8"))
    found = []
    for index, field in enumerate(plain["fields"]):
        name = field["name"]
        if name == "key":
            continue
        renamed = copy.deepcopy(plain)
        renamed["fields"][index]["name"] = f"{name}_too"
        found.append((f"remove  {name}", renamed))
        retyped = copy.deepcopy(plain)
        retyped["fields"][index]["type"] = {"list": {"list": "null"}}
        found.append((f"change  {name}: ", retyped))
        redefaulted = copy.deepcopy(plain)
        redefaulted["fields"][index]["default"] = "another"
        found.append((f"change  {name}: ", redefaulted))
        removed = copy.deepcopy(plain)
        del removed["fields"][index]
        found.append((f"remove  {name}", removed))
    added = copy.deepcopy(plain)
    added["fields"].append({"id": 999, "name": "added", "type": "str"})
    found.append(("add     added: str", added))
    turned = copy.deepcopy(plain)
    turned["fields"].reverse()
    found.append(("reorder the fields to ", turned))
    return found


@BUILTIN
def test_altering_any_line_of_a_built_in_schema_is_seen(cls):
    """Name, type, default, presence and order of every field, one at a time."""
    for line, plain in _altered(cls):
        with pytest.raises(DriftError) as caught:
            check_class(cls, read_schema(plain))
        assert any(fault.startswith(line) for fault in caught.value.faults)
