"""What a version may change: each rule with what it forbids and what it allows."""

from typing import Any

import attrs
import pytest
from acme.plans import Plan

from overwinter.kind import Kind
from overwinter.kinds import PACK
from overwinter.schema import oldest_reader, read_schema
from overwinter.schema.compatibility import compare, compare_history
from overwinter.schema.rules import RULES

NAME = {"id": 1, "name": "name", "type": "str"}
SIZE = {"id": 2, "name": "size", "type": "i64"}
SIZED = {**SIZE, "default": 0}
RECORD, WIDER = {"record": [NAME]}, {"record": [NAME, SIZED]}


def _enum(*values: str, is_open: bool = False) -> dict[str, Any]:
    return {"enum": {"values": list(values), "open": is_open}}


def _union(tag: str = "does", **cases: list[Any]) -> dict[str, Any]:
    return {"union": {"tag": tag, "cases": cases}}


def _schema(version: int, *fields: tuple[Any, ...], gone: Any = ()) -> Any:
    """Return a schema of fields (id, name, type, default), and reserved (id, name)."""
    listed = [{"id": 1, "name": "key", "type": "str"}]
    for number, name, type_, *default in fields:
        plain = {"id": number, "name": name, "type": type_}
        listed.append({**plain, "default": default[0]} if default else plain)
    plain = {"kind": "plan", "version": version, "cardinality": "one", "fields": listed}
    if gone:
        ids, names = zip(*gone, strict=True)
        plain["reserved"] = {"ids": list(ids), "names": list(names)}
    return read_schema(plain)


def _x(type_: Any, *default: Any) -> tuple[Any, ...]:
    return (2, "x", type_, *default)


def _rules(old: Any, new: Any, *converted: str) -> set[str]:
    return {each.rule for each in compare(old, new, converted)}


# Rule, the fields before, those after that break it, those that do not, what the
# step converts in the last.
CASES: list[tuple[str, list[Any], list[Any], list[Any], list[str]]] = [
    ("FIELD_NAME_NO_REUSE", [_x("str")], [(3, "x", "str", "")], [_x("str")], []),
    ("FIELD_ADDED_HAS_DEFAULT", [], [_x("str")], [_x("str", "")], []),
    ("FIELD_ADDED_HAS_DEFAULT", [], [_x("str")], [_x("str")], ["x"]),
    ("FIELD_SAME_TYPE_OR_CONVERT", [_x("i64")], [_x("str")], [_x("str")], ["x"]),
    (
        "FIELD_SAME_TYPE_OR_CONVERT",
        [_x({"list": {"map": "i64"}})],
        [_x({"list": {"map": "str"}})],
        [_x({"list": {"map": "str"}})],
        ["x"],
    ),
    (
        "FIELD_SAME_TYPE_OR_CONVERT",
        [_x({"list": RECORD})],
        [_x({"list": WIDER})],
        [_x({"list": WIDER})],
        ["x"],
    ),
    (
        "FIELD_SAME_TYPE_OR_CONVERT",
        [_x({"optional": "i64"})],
        [_x("i64")],
        [(2, "y", {"optional": "i64"})],
        [],
    ),
    (
        "FIELD_SAME_TYPE_OR_CONVERT",
        [_x("i64")],
        [_x("f64")],
        [_x({"optional": "i64"})],
        [],
    ),
    (
        "FIELD_DEFAULT_FROZEN",
        [_x({"list": WIDER})],
        [_x({"list": {"record": [NAME, {**SIZED, "default": 1}]}})],
        [_x({"list": WIDER})],
        [],
    ),
    (
        "FIELD_ADDED_HAS_DEFAULT",
        [_x(RECORD)],
        [_x({"record": [NAME, SIZE]})],
        [_x(WIDER)],
        ["x"],
    ),
    ("FIELD_DEFAULT_FROZEN", [_x("i64", 0)], [_x("i64", 1)], [_x("i64", 0)], []),
    ("FIELD_DEFAULT_FROZEN", [_x("i64", 0)], [_x("i64")], [_x("i64", 0)], []),
    (
        "FIELD_DEFAULT_FROZEN",
        [_x("opaque", [1])],
        [_x("opaque", [True])],
        [_x("opaque", [1])],
        [],
    ),
    ("FIELD_DEFAULT_FROZEN", [_x("i64", 0)], [_x("i64", 1)], [(2, "y", "i64", 0)], []),
    (
        "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED",
        [_x(_enum("a", "b"))],
        [_x(_enum("a", "c"))],
        [_x(_enum("a", "c"))],
        ["x"],
    ),
    (
        "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED",
        [_x({"list": _enum("a", "b")})],
        [_x({"list": _enum("a")})],
        [_x({"list": _enum("a", "b", "c")})],
        [],
    ),
    (
        "ENUM_NO_CLOSE",
        [_x(_enum("a", is_open=True))],
        [_x(_enum("a", "b"))],
        [_x(_enum("a", "b", is_open=True))],
        [],
    ),
    (
        "UNION_TAG_NO_CHANGE",
        [_x(_union(a=[NAME]))],
        [_x(_union("is", a=[NAME]))],
        [_x(_union(a=[NAME], b=[]))],
        [],
    ),
    (
        "UNION_TAG_NO_CHANGE",
        [_x(_union(a=[NAME], b=[]))],
        [_x(_union(a=[NAME]))],
        [_x(_union(a=[NAME], b=[], c=[]))],
        [],
    ),
    (
        "FIELD_SAME_TYPE_OR_CONVERT",
        [_x(_union(a=[NAME]))],
        [_x(_union(a=[NAME, SIZED]))],
        [_x(_union(a=[NAME, SIZED]))],
        ["x"],
    ),
]
EACH = pytest.mark.parametrize(
    ("rule", "before", "bad", "good", "converted"),
    CASES,
    ids=[f"{case[0]} {number}" for number, case in enumerate(CASES)],
)


@EACH
def test_what_breaks_a_rule_is_found(rule, before, bad, good, converted):
    """By its id, so that people can look it up."""
    assert rule in _rules(_schema(1, *before), _schema(2, *bad))


@EACH
def test_what_keeps_the_rules_is_no_finding(rule, before, bad, good, converted):
    """Of any rule: a false alarm teaches people not to listen."""
    assert _rules(_schema(1, *before), _schema(2, *good), *converted) == set()


@pytest.mark.parametrize(
    "inside",
    [
        lambda record: record,
        lambda record: {"list": record},
        lambda record: _union(a=record["record"]),
        lambda record: {"record": [{"id": 9, "name": "in", "type": record}]},
    ],
    ids=["record", "list", "case", "record in a record"],
)
def test_a_default_inside_a_record_is_compared_as_a_schema_does(inside):
    """1 == True in Python, which makes the two types equal there."""
    old, new = (
        _x(inside({"record": [{**SIZE, "type": "opaque", "default": default}]}))
        for default in (1, True)
    )
    assert _rules(_schema(1, old), _schema(2, new)) == {"FIELD_DEFAULT_FROZEN"}
    assert _rules(_schema(1, old), _schema(2, old)) == set()


@pytest.mark.parametrize(
    ("before", "bad", "good", "rule"),
    [
        (
            WIDER,
            {"record": [NAME, {**SIZED, "default": 1}]},
            WIDER,
            "FIELD_DEFAULT_FROZEN",
        ),
        (
            _enum("a", is_open=True),
            _enum("a"),
            _enum("a", "b", is_open=True),
            "ENUM_NO_CLOSE",
        ),
        (
            _enum("a", "b"),
            _enum("a"),
            _enum("a", "b"),
            "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED",
        ),
        (_union(a=[]), _union(b=[]), _union(a=[], b=[]), "UNION_TAG_NO_CHANGE"),
    ],
    ids=["default", "enum closed", "enum value", "union"],
)
def test_what_becomes_optional_keeps_the_rules_inside(before, bad, good, rule):
    """Null is the only thing that may be new."""
    old = _schema(1, _x(before))
    assert rule in _rules(old, _schema(2, _x({"optional": bad})))
    assert _rules(old, _schema(2, _x({"optional": good}))) == set()


def test_a_conversion_of_the_kind_is_none_of_a_record():
    """A field inside may have the name of one that the step converts."""
    old, new = _schema(1, _x(RECORD)), _schema(2, _x({"record": [NAME, SIZE]}))
    assert "FIELD_ADDED_HAS_DEFAULT" in _rules(old, new, "size")


def test_what_is_gone_stays_reserved():
    """Its id and its name, both and for ever."""
    rule = {"FIELD_NO_DELETE_UNLESS_RESERVED"}
    old = _schema(1, _x("str"))
    assert _rules(old, _schema(2)) == rule
    assert _rules(old, _schema(2, gone=[(2, "y")])) == rule
    assert _rules(old, _schema(2, gone=[(3, "x")])) == rule
    assert _rules(old, _schema(2, gone=[(2, "x")])) == set()


def test_what_is_gone_inside_a_record_is_dropped_by_the_step():
    """There is no list of reserved names inside a record."""
    rule = "FIELD_NO_DELETE_UNLESS_RESERVED"
    old, new = _schema(1, _x(WIDER)), _schema(2, _x(RECORD))
    assert rule in _rules(old, new)
    assert _rules(old, new, "x") == set()


def test_a_reservation_is_for_ever():
    """Bundles of before still hold what it stands for."""
    old = _schema(1, gone=[(2, "x"), (3, "y")])
    assert _rules(old, _schema(2, gone=[(2, "x")])) == {"RESERVED_NO_DELETE"}
    more = _schema(2, gone=[(2, "x"), (3, "y"), (4, "z")])
    assert _rules(old, more) == set()


def test_an_id_of_long_ago_is_not_taken_again():
    """Also where the reservation was forgotten on the way."""
    gone = [(2, "x")]
    history = [
        _schema(1, _x("str")),
        _schema(2, gone=gone),
        _schema(3, (2, "z", "str", "")),
    ]
    found = {each.rule for each in compare_history(history, {})}
    assert found == {"FIELD_ID_NO_REUSE", "RESERVED_NO_DELETE"}
    history[2] = _schema(3, (3, "z", "str", ""), gone=gone)
    assert compare_history(history, {}) == []


def test_a_name_of_long_ago_is_not_taken_again():
    """A reader of version 1 would take it for its own."""
    history = [
        _schema(1, _x("str")),
        _schema(2, gone=[(2, "x")]),
        _schema(3, (3, "x", "str", "")),
    ]
    assert "FIELD_NAME_NO_REUSE" in {e.rule for e in compare_history(history, {})}
    history[2] = _schema(3, (3, "y", "str", ""), gone=[(2, "x")])
    assert compare_history(history, {}) == []


@pytest.mark.parametrize(
    "inside",
    [
        lambda *fields: {"list": {"record": [*fields]}},
        lambda *fields: _union(a=[*fields]),
        lambda *fields: {"record": [{**NAME, "type": {"record": [*fields]}}]},
    ],
    ids=["record", "case", "record in a record"],
)
def test_ids_and_names_inside_records_are_not_taken_again(inside):
    """A record has no reservations of its own: its history stands in for them."""
    other = {"id": 3, "name": "other", "type": "i64", "default": 0}
    again = {**other, "id": 2}
    named = {**SIZED, "id": 4}
    for back, rule in ((again, "FIELD_ID_NO_REUSE"), (named, "FIELD_NAME_NO_REUSE")):
        history = [
            _schema(version, _x(inside(*fields)))
            for version, fields in enumerate(
                [[NAME, SIZED], [NAME], [NAME, back]], start=1
            )
        ]
        found = compare_history(history, {2: ["x"], 3: ["x"]})
        assert [each.rule for each in found] == [rule]


def test_an_id_means_something_in_its_record_alone():
    """Each record counts its fields from 1."""
    both = [_x({"record": [NAME]}), (3, "y", _union(a=[NAME], b=[NAME]))]
    assert compare_history([_schema(1, *both), _schema(2, *both)], {}) == []


def test_a_history_knows_what_each_step_converts():
    """A conversion from 1 to 2 is no conversion from 2 to 3."""
    history = [_schema(1, _x("i64")), _schema(2, _x("str")), _schema(3, _x("i64"))]
    (found,) = compare_history(history, {2: ["x"]})
    assert (found.rule, found.path) == ("FIELD_SAME_TYPE_OR_CONVERT", "plan v3.x")
    assert compare_history(history, {2: ["x"], 3: ["x"]}) == []


def test_a_finding_says_what_to_write():
    """The rule, the place, what was, what is, and the operation."""
    (found,) = compare(_schema(1, _x({"list": "i64"})), _schema(2, _x({"list": "str"})))
    assert str(found) == (
        "FIELD_SAME_TYPE_OR_CONVERT: plan v2.x[]: was i64, now str; write "
        "convert('x', up=…, down=…) in the step, or replace it by a field with "
        "another id"
    )
    assert found.rule in RULES


@pytest.mark.parametrize("cls", [*PACK.classes, Plan], ids=lambda cls: cls.type())
def test_our_own_kinds_keep_the_rules(cls):
    """Every version so far, with the steps that there are."""
    kind = Kind(cls)
    newest = kind.schema.version
    schemas = [kind.schemas[version] for version in range(1, newest + 1)]
    steps = kind.steps.plan(1).steps
    converted = {step.new: step.converts for step in steps}
    assert compare_history(schemas, converted) == []


# --- the oldest reader ------------------------------------------------------


@pytest.mark.parametrize(
    ("reader", "written", "reads"),
    [
        ("str", "str", True),
        ("str", "i64", False),
        ({"optional": "i64"}, "i64", True),
        ("i64", {"optional": "i64"}, False),
        ({"list": {"optional": "i64"}}, {"list": "i64"}, True),
        ({"map": "i64"}, {"map": "str"}, False),
        (_enum("a", "b"), _enum("a"), True),
        (_enum("a"), _enum("a", "b"), False),
        (_enum("a"), _enum("a", is_open=True), False),
        (_enum("a", is_open=True), _enum("a", "b", is_open=True), True),
        (RECORD, RECORD, True),
        (RECORD, WIDER, False),
        (WIDER, RECORD, False),
        ({"record": [{**NAME, "type": {"optional": "str"}}]}, RECORD, True),
        (_union(a=[NAME], b=[]), _union(a=[NAME]), True),
        (_union(a=[NAME]), _union(a=[NAME], b=[]), False),
        (_union("does", a=[]), _union("is", a=[]), False),
    ],
    ids=str,
)
def test_a_reader_reads_what_its_schema_accepts(reader, written, reads):
    """Every value of the newer type is one of the older."""
    schemas = [_schema(1, _x(reader)), _schema(2, _x(written))]
    assert oldest_reader(schemas, {}) == (1 if reads else 2)


@pytest.mark.parametrize(
    ("fields", "oldest"),
    [
        ([_x("str"), (3, "y", "str")], 1),
        ([_x("str", "")], 1),
        ([], 2),
        ([(2, "y", "str")], 2),
        ([(3, "x", "str")], 2),
    ],
    ids=["more", "default", "drop", "rename", "other id"],
)
def test_a_reader_leaves_out_what_it_does_not_know_and_needs_its_own(fields, oldest):
    """Only additions leave old readers able to read."""
    assert oldest_reader([_schema(1, _x("str")), _schema(2, *fields)], {}) == oldest


@pytest.mark.parametrize(
    ("before", "added", "oldest"),
    [
        ("payload", RECORD, 2),
        ("payload", {"optional": {"list": _enum("a", is_open=True)}}, 2),
        ({"optional": "payload"}, {"map": _union(a=[NAME])}, 2),
        ("payload", {"optional": {"list": "u64"}}, 1),
        ("str", RECORD, 1),
    ],
    ids=ascii,
)
def test_a_type_that_came_later_hides_payloads_from_older_readers(
    before, added, oldest
):
    """Release 0.1.0 may hold the older version, and cannot read this schema."""
    schemas = [_schema(1, _x(before)), _schema(2, _x(before), (3, "y", added))]
    assert oldest_reader(schemas, {}) == oldest


def test_a_reader_that_has_such_types_reads_more_of_them():
    """Who knew the older version's record knows the newer one's enum."""
    older = _x("payload"), (3, "y", RECORD)
    schemas = [_schema(1, *older), _schema(2, *older, (4, "z", _enum("a")))]
    assert oldest_reader(schemas, {}) == 1


def test_the_oldest_reader_goes_back_as_far_as_all_can_read():
    """A version that cannot ends the search: what is older could not be told."""
    a, b = (2, "a", "i64"), (3, "b", "i64")
    schemas = [_schema(1), _schema(2, a), _schema(3, b), _schema(4, b, (4, "c", "str"))]
    found = [oldest_reader(schemas[:newest], {}) for newest in (1, 2, 3, 4)]
    assert found == [1, 1, 3, 3]


def test_a_converted_field_is_read_by_nobody_older():
    """Nanoseconds are an i64 as milliseconds were: an old reader would misread."""
    schemas = [_schema(1, _x("i64")), _schema(2, _x("i64"))]
    assert oldest_reader(schemas, {}) == 1
    assert oldest_reader(schemas, {2: ["x"]}) == 2
    assert oldest_reader(schemas, {2: ["another"]}) == 1


def test_a_converted_field_is_known_by_its_id():
    """It may get back the name that it had, and still mean something else."""
    schemas = [
        _schema(1, (2, "a", "i64")),
        _schema(2, (2, "b", "i64")),
        _schema(3, (2, "b", "i64")),
        _schema(4, (2, "a", "i64")),
    ]
    assert oldest_reader(schemas, {3: ["b"]}) == 4
    assert oldest_reader(schemas[:3], {}) == 2


def test_a_reader_with_one_place_for_a_key_does_not_read_many():
    """It would take variants for one another."""
    one, many = _schema(1), attrs.evolve(_schema(2), cardinality="many")
    assert oldest_reader([one, many], {}) == 2
    assert oldest_reader([many, attrs.evolve(one, version=2)], {}) == 1
