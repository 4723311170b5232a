"""Operations there and back, inside records, and over whole records."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter.codec import Columns, Payloads, pack
from overwinter.errors import MigrationError
from overwinter.migration import (
    add,
    convert,
    custom,
    drop,
    each,
    migration,
    rename,
    replace,
)
from overwinter.schema import read_schema

NAME = {"id": 1, "name": "name", "type": "str"}
OLD = {"id": 2, "name": "us", "type": "i64"}
NEW = {"id": 3, "name": "ns", "type": "i64"}
MORE = {"id": 4, "name": "more", "type": "str", "default": "x"}


def _up(value: int) -> int:
    return value * 1_000


def _down(value: int) -> int:
    return value // 1_000


def _schema(version: int, *fields: tuple[int, str, Any, Any]) -> Any:
    listed = [{"id": 1, "name": "key", "type": "str"}]
    for number, name, type_, default in fields:
        plain = {"id": number, "name": name, "type": type_}
        listed.append(plain if default is ... else {**plain, "default": default})
    return read_schema(
        {"kind": "plan", "version": version, "cardinality": "one", "fields": listed}
    )


def _swap(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "a": record["b"], "b": record["a"]}


def _split(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "first": record["us"] // 10, "rest": record["us"] % 10}


def _join(record: dict[str, Any]) -> dict[str, Any]:
    return {**record, "us": record["first"] * 10 + record["rest"]}


def _union(*fields: Any) -> Any:
    return {"union": {"tag": "does", "cases": {"run": [*fields], "wait": [OLD]}}}


def _parts(*fields: Any) -> Any:
    return {"id": 1, "name": "parts", "type": {"list": {"record": [*fields]}}}


US = (2, "us", "i64", ...)
SOURCE = {"record": [NAME, OLD]}
TARGET = {"record": [NAME, NEW, MORE]}
INNER = (replace("us", "ns", up=_up, down=_down), add("more", default="x"))
BOTH = [(2, "a", "i64", ...), (3, "b", "i64", ...)]

# Operation, fields before, fields after, columns of two rows before.
CASES: dict[str, tuple[Any, list[Any], list[Any], dict[str, Any]]] = {
    "rename": (rename("us", "t"), [US], [(2, "t", "i64", ...)], {"us": [1, 2]}),
    "add": (add("more", default="x"), [], [(2, "more", "str", "x")], {}),
    "replace": (
        replace("us", "ns", up=_up, down=_down),
        [US],
        [(3, "ns", "i64", ...)],
        {"us": [1, 2]},
    ),
    "replace null": (
        replace("us", "ns", up=_up, down=_down),
        [(2, "us", {"optional": "i64"}, ...)],
        [(3, "ns", {"optional": "i64"}, ...)],
        {"us": [None, 2]},
    ),
    "convert": (
        convert("us", up=str, down=int),
        [US],
        [(2, "us", "str", ...)],
        {"us": [1, 2]},
    ),
    "each": (
        each("s", *INNER),
        [(2, "s", SOURCE, ...)],
        [(2, "s", TARGET, ...)],
        {"s": [{"name": "a", "us": 1}, {"name": "b", "us": 2}]},
    ),
    "each of lists": (
        each("s", *INNER),
        [(2, "s", {"list": {"optional": SOURCE}}, ...)],
        [(2, "s", {"list": {"optional": TARGET}}, ...)],
        {"s": [[{"name": "a", "us": 1}, None, {"name": "b", "us": 2}], []]},
    ),
    "each of a map": (
        each("s", *INNER, keyed=True),
        [(2, "s", {"map": SOURCE}, ...)],
        [(2, "s", {"map": TARGET}, ...)],
        {"s": [{"k": {"name": "a", "us": 1}, "l": {"name": "b", "us": 2}}, {}]},
    ),
    "each of none": (
        each("s", *INNER),
        [(2, "s", {"list": SOURCE}, ...)],
        [(2, "s", {"list": TARGET}, ...)],
        {"s": [[], []]},
    ),
    "each of a case": (
        each("s", *INNER, where={"does": "run"}),
        [(2, "s", {"list": _union(NAME, OLD)}, ...)],
        [(2, "s", {"list": _union(NAME, NEW, MORE)}, ...)],
        {
            "s": [
                [{"does": "run", "name": "a", "us": 1}, {"does": "wait", "us": 7}],
                [{"does": "wait", "us": 8}],
            ]
        },
    ),
    "each in order": (
        each("s", rename("us", "t"), convert("t", up=str, down=int)),
        [(2, "s", SOURCE, ...)],
        [(2, "s", {"record": [NAME, {"id": 2, "name": "t", "type": "str"}]}, ...)],
        {"s": [{"name": "a", "us": 1}, {"name": "b", "us": 2}]},
    ),
    "each within each": (
        each("s", each("parts", *INNER)),
        [(2, "s", {"record": [_parts(NAME, OLD)]}, ...)],
        [(2, "s", {"record": [_parts(NAME, NEW, MORE)]}, ...)],
        {"s": [{"parts": [{"name": "a", "us": 1}]}, {"parts": []}]},
    ),
    "custom changes": (
        custom(_swap, down=_swap, changes=["a", "b"]),
        BOTH,
        BOTH,
        {"a": [1, 2], "b": [3, 4]},
    ),
    "custom": (
        custom(_split, down=_join, removes=["us"], adds=["first", "rest"]),
        [US],
        [(3, "first", "i64", ...), (4, "rest", "i64", ...)],
        {"us": [12, 345]},
    ),
}
OPERATIONS = pytest.mark.parametrize("name", CASES)


def _case(name: str) -> tuple[Any, Any, Any, Columns]:
    operation, before, after, columns = CASES[name]
    step = migration("plan", 1, 2, operation)
    rows = Columns(2, {"key": ["a", "b"], **columns}, "here")
    return step, _schema(1, *before), _schema(2, *after), rows


@OPERATIONS
def test_what_an_operation_does_to_a_schema_is_the_next_schema(name):
    """Without any data."""
    step, before, after, _ = _case(name)
    assert step.effect(before, after) == {field.name: field for field in after.fields}


@OPERATIONS
def test_the_columns_are_those_of_the_next_schema(name):
    """What is said about a schema is what happens to columns."""
    step, _, after, columns = _case(name)
    assert set(step.apply(columns)) == {field.name for field in after.fields}


@OPERATIONS
def test_up_and_down_again_is_the_identity(name):
    """Who writes for older readers writes what they would have written."""
    step, before, _, columns = _case(name)
    back = step.inverse(before)
    assert (back.old, back.new) == (2, 1)
    up = step.apply(columns)
    assert name == "each of none" or dict(up) != dict(columns)
    assert dict(back.apply(up)) == dict(columns)


@OPERATIONS
def test_the_inverse_leads_back_to_the_schema_before(name):
    """A way back is proved as the way there is."""
    step, before, after, _ = _case(name)
    found = step.inverse(before).effect(after, before)
    assert found == {field.name: field for field in before.fields}


def test_records_inside_a_field_are_changed_where_they_are():
    """Nulls and the order of lists stay."""
    step, _, _, columns = _case("each of lists")
    a = {"name": "a", "ns": 1_000, "more": "x"}
    b = {"name": "b", "ns": 2_000, "more": "x"}
    assert step.apply(columns)["s"] == [[a, None, b], []]


def test_the_values_of_a_map_are_changed_under_their_keys():
    """A map of records and a record are told apart by the step."""
    step, _, _, columns = _case("each of a map")
    found = step.apply(columns)["s"]
    assert found[0]["l"] == {"name": "b", "ns": 2_000, "more": "x"}
    assert found[1] == {}


def test_a_field_that_no_record_inside_has_is_named():
    """As a column is: inside a field, the fields are columns."""
    columns = Columns(1, {"key": ["a"], "s": [[{"name": "a"}]]})
    with pytest.raises(MigrationError, match="plan 1 -> 2: found no column 'us'"):
        migration("plan", 1, 2, each("s", *INNER)).apply(columns)


def test_records_of_different_fields_are_refused():
    """A field that only one of them has would be lost unseen."""
    columns = Columns(1, {"key": ["a"], "s": [[{"us": 1}, {"us": 1, "z": 2}]]})
    with pytest.raises(MigrationError, match="records of different fields in 's'"):
        migration("plan", 1, 2, each("s", *INNER)).apply(columns)


def test_records_without_fields_are_kept():
    """There is something to keep: how many they are."""
    columns = Columns(1, {"key": ["a"], "s": [[{"us": 1}, {"us": 2}]]})
    step = migration("plan", 1, 2, each("s", drop("us", loss="the time")))
    assert step.apply(columns)["s"] == [[{}, {}]]
    back = migration("plan", 1, 2, each("s", add("us", default=0)))
    assert back.apply(step.apply(columns))["s"] == [[{"us": 0}, {"us": 0}]]


def test_each_wants_records_inside_the_field():
    """A step for a field of numbers is a mistake that no data is needed to find."""
    step = migration("plan", 1, 2, each("us", *INNER))
    with pytest.raises(MigrationError, match=r"no records for each\('us'.* in i64"):
        step.effect(_schema(1, US), _schema(2, US))


@pytest.mark.parametrize(
    ("operation", "type_", "case"),
    [
        (each("s", *INNER), {"map": SOURCE}, "a map without keyed"),
        (each("s", *INNER, keyed=True), SOURCE, "keyed without a map"),
        (each("s", *INNER, keyed=True), {"map": {"map": SOURCE}}, "two maps"),
        (each("s", *INNER), _union(NAME, OLD), "a union without where"),
        (each("s", *INNER, where={"does": "run"}), SOURCE, "where without a union"),
        (each("s", *INNER, where={"does": "go"}), _union(NAME, OLD), "no such case"),
        (each("s", *INNER, where={"is": "run"}), _union(NAME, OLD), "another tag"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_finds_in_a_schema_what_it_finds_in_records(operation, type_, case):
    """Or a step would be proved against the schema, and do nothing to the data."""
    schema = _schema(1, (2, "s", type_, ...))
    with pytest.raises(MigrationError, match="no records for each"):
        migration("plan", 1, 2, operation).effect(schema, schema)


def test_where_names_one_case():
    """A second entry would look as if both had to hold."""
    with pytest.raises(ValueError, match="must name one tag and its case"):
        each("s", *INNER, where={"does": "run", "is": "run"})


THERE = (3, "there", "i64", ...)


@pytest.mark.parametrize(
    "operation",
    [
        rename("us", "there"),
        replace("us", "there", up=_up),
        add("there", default=0),
        custom(_swap, adds=["there"]),
    ],
    ids=["rename", "replace", "add", "custom"],
)
def test_a_field_that_is_there_is_not_made_again(operation):
    """Its values would be gone without a word."""
    schema = _schema(1, US, THERE)
    with pytest.raises(MigrationError, match="a field 'there' that is there already"):
        migration("plan", 1, 2, operation).effect(schema, schema)


@pytest.mark.parametrize("inside", [False, True], ids=["of the kind", "of a record"])
def test_a_new_field_has_an_id_of_its_own(inside):
    """Dropping and adding is how a rename that loses all values would look."""
    operations = [drop("us", loss="times"), add("t", default=0)]
    if inside:
        record = {"record": [NAME, {"id": 2, "name": "t", "type": "i64", "default": 0}]}
        before, after = (2, "s", SOURCE, ...), (2, "s", record, ...)
        step = migration("plan", 1, 2, each("s", *operations))
    else:
        before, after = US, (2, "t", "i64", 0)
        step = migration("plan", 1, 2, *operations)
    with pytest.raises(MigrationError, match="new field 't' with the id of 'us'"):
        step.effect(_schema(1, before), _schema(2, after))


def test_a_default_is_each_record_s_own():
    """What a later step does to one record's list must not show in another's."""

    def grow(record: dict[str, Any]) -> dict[str, Any]:
        record["tiles"].append(record["key"])
        return record

    columns = Columns(2, {"key": ["a", "b"]})
    step = migration(
        "plan", 1, 2, add("tiles", default=[]), custom(grow, changes=["tiles"])
    )
    assert step.apply(columns)["tiles"] == [["a"], ["b"]]


def test_a_payload_that_a_custom_step_removes_is_gone():
    """It passes by unread; it must not come back."""
    columns = Columns(1, {"key": ["a"], "program": Payloads([b"x"])})
    step = migration(
        "plan", 1, 2, custom(lambda record: record, removes=["program"], loss="it")
    )
    assert list(step.apply(columns)) == ["key"]


def test_a_step_that_names_no_field_of_the_schema_is_refused():
    """Long before an old bundle comes along."""
    step = migration("plan", 1, 2, rename("missing", "found"))
    with pytest.raises(MigrationError, match=r"found no field 'missing', expected"):
        step.effect(_schema(1, US), _schema(2, US))


def test_whole_records_come_without_payloads():
    """They are references to bytes that nobody read, and pass by as they are."""
    seen = []

    def up(record: dict[str, Any]) -> dict[str, Any]:
        seen.append(record)
        return _split(record)

    references = Payloads([b"x", b"y"])
    columns = Columns(
        2,
        {"key": ["a", "b"], "us": pack([12, 34]), "program": references},
    )
    step = migration(
        "plan", 1, 2, custom(up, removes=["us"], adds=["first", "rest"], loss="none")
    )
    found = step.apply(columns)
    assert found.items_unread()["program"] is references
    assert found["first"] == [1, 3]
    assert seen == [{"key": "a", "us": 12}, {"key": "b", "us": 34}]


def test_a_custom_step_changes_what_it_declares_and_nothing_else():
    """Readers of the version before are told by its declaration what to leave."""
    columns = Columns(1, {"key": ["a"], "us": pack([3]), "unknown": pack([[1]])})
    step = migration(
        "plan", 1, 2,
        custom(lambda r: {"key": "z", "us": 9, "more": 1}, adds=["more"], loss="no"),
    )  # fmt: skip
    found = step.apply(columns)
    assert {name: found[name] for name in found} == {
        "key": ["a"], "us": [3], "unknown": [[1]], "more": [1],
    }  # fmt: skip
    assert found.encoded("unknown") == pack([[1]])


def test_an_operation_on_the_key_is_refused():
    """Records are sorted by it."""
    step = migration("plan", 1, 2, convert("key", up=str.upper, down=str.lower))
    with pytest.raises(MigrationError, match="an operation that changes the key"):
        step.effect(_schema(1), _schema(2))


@pytest.mark.parametrize(
    ("up", "words"),
    [
        (lambda record: {"key": record["key"]}, r"found KeyError\('first'\) in"),
        (lambda record: None, r"found TypeError\("),
        (lambda record: record["nothing"], r"found KeyError\('nothing'\) in"),
    ],
    ids=["lacks a field", "is no record", "raises"],
)
def test_whatever_a_custom_step_does_wrong_is_an_error_of_the_step(up, words):
    """A step is a program of people's; its mistakes are told as such."""
    step = migration("plan", 1, 2, custom(up, removes=["us"], adds=["first"]))
    with pytest.raises(MigrationError, match=words):
        step.apply(Columns(1, {"key": ["a"], "us": [1]}))


@pytest.mark.parametrize(
    "operation",
    [
        drop("us", loss="the time"),
        replace("us", "ns", up=_up, loss="digits"),
        custom(_split, removes=["us"], adds=["first", "rest"], loss="signs"),
        each("s", drop("us", loss="the time")),
    ],
    ids=["drop", "replace", "custom", "each"],
)
def test_where_there_is_no_way_back_the_step_says_so(operation):
    """Guessed values would be taken for measured ones."""
    step = migration("plan", 1, 2, operation)
    before = _schema(1, US, (3, "s", SOURCE, ...))
    with pytest.raises(MigrationError, match=r"plan: plan 2 -> 1: found no way back"):
        step.inverse(before)


def test_a_drop_goes_back_to_the_default():
    """Which is what a record without the field meant."""
    step = migration("plan", 1, 2, drop("us", loss="the time"))
    back = step.inverse(_schema(1, (2, "us", "i64", 7)))
    assert back.apply(Columns(2, {"key": ["a", "b"]}))["us"] == [7, 7]


@pytest.mark.parametrize(
    ("operations", "before", "after", "values"),
    [
        (
            [rename("us", "t"), drop("t", loss="the time")],
            [(2, "us", "i64", 7)],
            [],
            {"us": [7, 7]},
        ),
        (
            [drop("b", loss="b"), rename("a", "b"), drop("b", loss="a")],
            [(2, "a", "i64", 1), (3, "b", "i64", 2)],
            [],
            {"a": [1, 1], "b": [2, 2]},
        ),
        (
            [rename("s", "t"), each("t", drop("us", loss="the time"))],
            [(2, "s", {"record": [{**OLD, "default": 7}]}, ...)],
            [(2, "t", {"record": []}, ...)],
            {"s": [{"us": 7}, {"us": 7}]},
        ),
        (
            [rename("us", "t"), convert("t", up=str, down=int)],
            [(2, "us", "i64", ...)],
            [(2, "t", "str", ...)],
            {"us": [1, 2]},
        ),
        (
            [convert("us", up=str, down=int), rename("us", "t")],
            [(2, "us", "i64", ...)],
            [(2, "t", "str", ...)],
            {"us": [1, 2]},
        ),
    ],
    ids=["drop", "two of a name", "each", "convert behind", "convert before"],
)
def test_a_field_is_found_behind_its_rename(operations, before, after, values):
    """In one step, there and back: its type and default are known by its old name."""
    step = migration("plan", 1, 2, *operations)
    old, new = _schema(1, *before), _schema(2, *after)
    assert step.effect(old, new) == {field.name: field for field in new.fields}
    columns = Columns(2, {"key": ["a", "b"], **values})
    back = step.inverse(old)
    assert dict(back.apply(step.apply(columns))) == dict(columns)
    assert back.effect(new, old) == {field.name: field for field in old.fields}


@pytest.mark.parametrize(
    "made",
    [
        add("new", default=0),
        replace("us", "new", up=str, down=int),
        custom(_swap, down=_swap, removes=["us"], adds=["new"]),
    ],
    ids=["add", "replace", "custom"],
)
def test_what_a_step_makes_and_drops_has_no_way_back(made):
    """The old version has no default for it, whatever else had its name."""
    before = _schema(1, US, (3, "new", "i64", 7))
    step = migration("plan", 1, 2, drop("new", loss="n"), made, drop("new", loss="n"))
    with pytest.raises(MigrationError, match="no way back from drop"):
        step.inverse(before)


def test_a_step_tells_what_it_loses_and_what_it_makes():
    """For who decides whether to upgrade."""
    step = migration(
        "plan",
        1,
        2,
        drop("a", loss="the a"),
        each("s", drop("b", loss="the b"), drop("c", loss="the c")),
        replace("us", "ns", up=_up, down=_down),
        rename("d", "e"),
    )
    assert step.losses == ("the a", "the b; the c")
    assert step.converts == {"s", "ns"}


@pytest.mark.parametrize(
    ("operation", "is_lossy"),
    [
        (rename("a", "b"), False),
        (add("a", default=1), False),
        (drop("a"), True),
        (replace("a", "b", up=_up, down=_down), False),
        (replace("a", "b", up=_up), True),
        (custom(_swap, down=_swap, changes=["a"]), False),
        (custom(_swap, changes=["a"]), True),
        (each("s", drop("a")), True),
        (each("s", drop("a", loss="the a")), False),
        (each("s", rename("a", "b")), False),
    ],
    ids=repr,
)
def test_what_cannot_go_back_loses_something(operation, is_lossy):
    """So that the step must say what."""
    assert operation.is_lossy is is_lossy


_record = st.fixed_dictionaries({"name": st.text(), "us": st.integers(0, 10**6)})
_nested = st.recursive(
    st.none() | _record, lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@given(st.lists(_nested, max_size=4))
def test_records_however_nested_come_back(values):
    """Lists in lists, nulls between them, and none at all."""
    columns = Columns(len(values), {"key": ["k"] * len(values), "s": values})
    step = migration("plan", 1, 2, each("s", *INNER))
    back = step.inverse(_schema(1, (2, "s", SOURCE, ...)))
    assert back.apply(step.apply(columns))["s"] == values


def test_a_payload_stays_unseen_under_another_name():
    """A step may rename a payload before it looks at whole records."""
    seen: list[set[str]] = []

    def look(record: dict[str, Any]) -> dict[str, Any]:
        seen.append(set(record))
        return record

    step = migration("plan", 1, 2, rename("program", "code"), custom(look, loss="no"))
    columns = Columns(1, {"key": ["a"], "program": Payloads([b"bytes"])})

    migrated = step.apply(columns)

    assert seen == [{"key"}]
    assert migrated["code"] == [b"bytes"]
