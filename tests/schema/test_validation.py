"""Columns against their schema: nothing is coerced, and every fault has its path."""

import math
from collections import OrderedDict
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.codec import Columns, pack
from overwinter.limits import MAX_DEPTH, MAX_FAULTS, MAX_KEY
from overwinter.schema import find_faults, read_schema
from overwinter.schema.types import (
    SCALARS,
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
from overwinter.schema.validation import _fault, _fits, fits

I64, U64 = 2**63, 2**64
SURROGATE = "\ud800"


class _Level(IntEnum):
    LOW = 1


class _Text(str):
    __slots__ = ()


def _schema(type_: Any) -> Any:
    """Return the schema of records with one field, ``x``."""
    fields = [
        {"id": 1, "name": "key", "type": "str"},
        {"id": 2, "name": "x", "type": type_},
    ]
    return read_schema(
        {"kind": "plan", "version": 1, "cardinality": "one", "fields": fields}
    )


def _faults(type_: Any, *values: Any, **options: Any) -> dict[int, list[str]]:
    keys = [f"key {row}" for row in range(len(values))]
    return find_faults(_schema(type_), {"key": keys, "x": list(values)}, **options)


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        ("null", [None]),
        ("bool", [True, False]),
        ("i64", [0, -I64, I64 - 1]),
        ("time_ns", [0, -I64, I64 - 1]),
        ("u64", [0, U64 - 1]),
        ("f64", [0.0, -0.0, 1e308, math.inf, math.nan]),
        ("str", ["", "é", "\0", "\U0010ffff"]),
        ("bytes", [b"", b"\xff"]),
        ("payload", [b"", b"\xff"]),
        ("opaque", [None, True, -I64, U64 - 1, 0.5, "é", b"", [], {}, [{"x": [1]}]]),
        ({"optional": "i64"}, [None, 0]),
        ({"list": "str"}, [[], ["a", ""]]),
        ({"map": "i64"}, [{}, {"": 1, "é": 2}]),
        ({"list": {"optional": {"map": "bytes"}}}, [[None, {"a": b""}], []]),
        ({"optional": {"list": "i64"}}, [None, [], [1]]),
    ],
    ids=ascii,
)
def test_values_of_a_type_fit_it(type_, values):
    """The ends of each range, and empty values, are values like any other."""
    assert _faults(type_, *values) == {}
    assert _faults(type_) == {}


@pytest.mark.parametrize(
    ("type_", "value", "words"),
    [
        ("null", False, "x: expected null, got bool False"),
        ("bool", 1, "x: expected bool, got int 1"),
        ("bool", None, "x: expected bool, got null"),
        ("i64", True, "x: expected i64, got bool True"),
        ("i64", 1.0, "x: expected i64, got float 1.0"),
        ("i64", "3", "x: expected i64, got str '3'"),
        ("i64", _Level.LOW, "x: expected i64, got _Level <_Level.LOW: 1>"),
        ("i64", I64, f"x: expected i64 from -{I64} to {I64 - 1}, got {I64}"),
        ("i64", -I64 - 1, f"x: expected i64 from -{I64} to {I64 - 1}, got -{I64 + 1}"),
        ("time_ns", I64, f"x: expected time_ns from -{I64} to {I64 - 1}, got {I64}"),
        ("time_ns", 0.5, "x: expected time_ns, got float 0.5"),
        ("u64", -1, f"x: expected u64 from 0 to {U64 - 1}, got -1"),
        ("u64", U64, f"x: expected u64 from 0 to {U64 - 1}, got {U64}"),
        ("u64", False, "x: expected u64, got bool False"),
        ("f64", 1, "x: expected f64, got int 1"),
        ("str", b"text", "x: expected str, got bytes of 4 bytes"),
        ("str", None, "x: expected str, got null"),
        ("str", _Text("a"), "x: expected str, got _Text 'a'"),
        (
            "str",
            f"a{SURROGATE}",
            r"x: expected text, got a lone surrogate in 'a\ud800'",
        ),
        ("bytes", "text", "x: expected bytes, got str 'text'"),
        ("bytes", bytearray(b"a"), "x: expected bytes, got bytearray bytearray(b'a')"),
        ("payload", None, "x: expected payload, got null"),
        ("opaque", {1, 2}, "x: expected a plain value, got set {1, 2}"),
        ("opaque", (1,), "x: expected a plain value, got tuple (1,)"),
        ("opaque", U64, f"x: expected an integer of 64 bits, got {U64}"),
        ("opaque", -I64 - 1, f"x: expected an integer of 64 bits, got -{I64 + 1}"),
        ("opaque", SURROGATE, r"x: expected text, got a lone surrogate in '\ud800'"),
        ("opaque", [{"a": (1,)}], "x[0].a: expected a plain value, got tuple (1,)"),
        (
            "opaque",
            {"a": [0, U64]},
            f"x.a[1]: expected an integer of 64 bits, got {U64}",
        ),
        ("opaque", {1: 2}, "x: expected keys of str, got 1"),
        (
            "opaque",
            OrderedDict(),
            "x: expected a plain value, got OrderedDict OrderedDict()",
        ),
        ({"optional": "i64"}, "", "x: expected i64, got str ''"),
        ({"list": "i64"}, None, "x: expected list<i64>, got null"),
        ({"list": "i64"}, (1, 2), "x: expected list<i64>, got tuple (1, 2)"),
        ({"list": "i64"}, [1, "2"], "x[1]: expected i64, got str '2'"),
        ({"map": "i64"}, [], "x: expected map<str, i64>, got list []"),
        ({"map": "i64"}, {"a": None}, "x.a: expected i64, got null"),
        ({"map": "i64"}, {b"a": 1}, "x: expected keys of str, got b'a'"),
        ({"map": "i64"}, {SURROGATE: 1}, r"x: expected keys of str, got '\ud800'"),
        (
            {"list": {"map": {"optional": "bool"}}},
            [{}, {"a": None, "b": 0}],
            "x[1].b: expected bool, got int 0",
        ),
    ],
    ids=ascii,
)
def test_a_value_that_does_not_fit_is_named_with_its_path(type_, value, words):
    """The row, the field and the place in its value; then what is expected, and got."""
    assert _faults(type_, value) == {0: [f"plan[0].{words}"]}


def test_a_fault_is_named_by_its_row():
    """Of many records the reader learns which."""
    assert _faults("i64", 1, 2, "3", 4) == {2: ["plan[2].x: expected i64, got str '3'"]}


def test_a_long_value_is_shown_by_its_beginning():
    """An error is a sentence, whatever the value weighs."""
    (fault,) = _faults("i64", "x" * 10**6)[0]
    assert fault == f"plan[0].x: expected i64, got str '{'x' * 59}…"


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("", "expected a key, got an empty string"),
        ("k" * (MAX_KEY + 1), "expected at most 4,096 bytes, got 4,097"),
        ("é" * (MAX_KEY // 2 + 1), "expected at most 4,096 bytes, got 4,098"),
        (SURROGATE, r"expected text, got a lone surrogate in '\ud800'"),
        (None, "expected str, got null"),
        (b"key", "expected str, got bytes of 3 bytes"),
    ],
    ids=["empty", "long", "long in bytes", "surrogate", "null", "bytes"],
)
def test_a_key_that_could_name_nothing_is_a_fault(key, words):
    """Every record is looked up by its key, so a key is text of a bounded size."""
    columns = {"key": ["good", key], "x": [1, 1]}
    faults = find_faults(_schema("i64"), columns)
    assert faults == {1: [f"plan[1].key: {words}"]}


@pytest.mark.parametrize("key", ["k" * MAX_KEY, "é" * (MAX_KEY // 2), "k"])
def test_a_key_of_the_longest_size_is_no_fault(key):
    """The limit counts bytes of UTF-8, as paths do, and may be reached."""
    assert find_faults(_schema("i64"), {"key": [key], "x": [1]}) == {}


def test_faults_of_one_row_are_listed_together():
    """One damaged record may have several faults; it is one record all the same."""
    faults = find_faults(_schema("i64"), {"key": ["", "a"], "x": ["1", 1]})
    assert faults == {
        0: [
            "plan[0].key: expected a key, got an empty string",
            "plan[0].x: expected i64, got str '1'",
        ]
    }


def test_at_most_twenty_rows_are_listed():
    """Enough to see a pattern, and few enough to read."""
    faults = _faults("i64", *["bad"] * 1_000)
    assert sorted(faults) == list(range(20))
    assert MAX_FAULTS == 20


def test_a_reader_lists_every_row():
    """Who quarantines records must know all of them."""
    faults = _faults("i64", *["bad", 1] * 50, limit=100)
    assert sorted(faults) == list(range(0, 100, 2))


def test_columns_that_the_schema_does_not_name_are_left_alone():
    """A later version may have added them; they travel unread."""
    columns = {"key": ["a"], "x": [1], "later": [object()]}
    assert find_faults(_schema("i64"), columns) == {}


def test_a_column_that_is_missing_is_no_fault_of_a_row():
    """The whole block lacks it, which is for the reader to say."""
    with pytest.raises(KeyError, match="'x'"):
        find_faults(_schema("i64"), {"key": ["a"]})


def _nested(depth: int, innermost: Any) -> Any:
    """Return *innermost* in lists and maps by turns."""
    for level in range(depth):
        innermost = [innermost] if level % 2 else {"x": innermost}
    return innermost


@pytest.mark.parametrize("innermost", [[], {}, 0, [0]], ids=str)
def test_whatever_depth_fits_can_be_written(innermost):
    """The limit of depth is the same here and where values are encoded."""
    for depth in range(MAX_DEPTH - 3, MAX_DEPTH + 3):
        value = _nested(depth, innermost)
        try:
            pack({"x": value})
        except ValueError:
            assert not fits(Scalar("opaque"), value)
            assert _faults("opaque", value)
        else:
            assert fits(Scalar("opaque"), value)
            assert _faults("opaque", value) == {}


def test_a_value_of_ten_thousand_levels_is_a_fault_and_no_crash():
    """The walk stops at the limit, long before Python's stack ends."""
    (fault,) = _faults("opaque", _nested(10_000, 0))[0]
    assert fault.startswith("plan[0].x[0].x[0].x")
    assert fault.endswith(f": expected at most {MAX_DEPTH} levels, got more")


_texts = st.one_of(st.text(max_size=3), st.just(SURROGATE))
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, I64 - 1, I64, -I64, -I64 - 1, U64 - 1, U64]),
    st.floats(),
    _texts,
    st.binary(max_size=3),
    st.just((1,)),
)
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(_texts, st.integers(0, 1)), inner, max_size=3),
    ),
    max_leaves=6,
)
_enums = st.builds(EnumOf, st.sampled_from([("a",), ("a", "b")]), st.booleans())


def _records(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[RecordOf]:
    return st.lists(inner, max_size=2).map(
        lambda types: RecordOf(
            tuple(Field(i, "pq"[i - 1], type_) for i, type_ in enumerate(types, 1))
        )
    )


def _unions(inner: st.SearchStrategy[Type]) -> st.SearchStrategy[UnionOf]:
    record = _records(inner)
    cases = st.tuples(st.tuples(st.just("a"), record), st.tuples(st.just("b"), record))
    return st.builds(UnionOf, st.just("tag"), cases)


_types: st.SearchStrategy[Type] = st.recursive(
    st.one_of(st.sampled_from([Scalar(name) for name in SCALARS]), _enums),
    lambda inner: st.one_of(
        st.builds(ListOf, inner),
        st.builds(MapOf, inner),
        st.builds(OptionalOf, inner),
        _records(inner),
        _unions(inner),
    ),
    max_leaves=4,
)


def _values_of(type_: Type) -> st.SearchStrategy[Any]:
    """Return mostly values of *type_*, so that whole columns of them fit."""
    if isinstance(type_, OptionalOf):
        return st.one_of(st.none(), _values_of(type_.item))
    if isinstance(type_, ListOf):
        return st.lists(_values_of(type_.item), max_size=3)
    if isinstance(type_, MapOf):
        return st.dictionaries(_texts, _values_of(type_.item), max_size=3)
    if isinstance(type_, EnumOf):
        return st.one_of(st.sampled_from([*type_.values, "later"]), _texts)
    if isinstance(type_, RecordOf):
        return st.fixed_dictionaries(
            {field.name: _values_of(field.type) for field in type_.fields},
            optional={"extra": st.none()} if len(type_.fields) == 1 else {},
        )
    if isinstance(type_, UnionOf):
        return st.one_of(
            st.builds(
                lambda name, record: {"tag": name, **record},
                st.sampled_from([name, name, name, "c"]),
                _values_of(record),
            )
            for name, record in type_.cases
        )
    wanted: dict[str, st.SearchStrategy[Any]] = {
        "null": st.none(),
        "bool": st.booleans(),
        "i64": st.sampled_from([-I64, I64 - 1, I64]),
        "time_ns": st.sampled_from([-I64, I64 - 1, -I64 - 1]),
        "u64": st.sampled_from([0, U64 - 1, U64, -1]),
        "f64": st.floats(),
        "str": _texts,
        "bytes": st.binary(max_size=3),
        "payload": st.binary(max_size=3),
        "opaque": st.one_of(_scalars, _values),
    }
    return wanted[type_.name]


@given(
    st.data(),
    _types.flatmap(
        lambda type_: st.tuples(
            st.just(type_),
            st.lists(st.one_of(_values_of(type_), _values), max_size=3),
        )
    ),
)
@settings(max_examples=300, deadline=None)
def test_the_fast_look_accepts_nothing_that_the_slow_one_refuses(data, typed):
    """A column that fits as a whole holds no value that is a fault by itself."""
    type_, column = typed
    if _fits(type_, column):
        assert [_fault(type_, value, "x", 0) for value in column] == [None] * len(
            column
        )


@given(_types.flatmap(lambda type_: st.tuples(st.just(type_), _values_of(type_))))
@settings(max_examples=300, deadline=None)
def test_whatever_fits_can_be_written(typed):
    """Validation is the promise that encoding will not fail."""
    type_, value = typed
    if fits(type_, value):
        pack(value)


def _is_all_fast(type_: Type) -> bool:
    """Return whether the fast look decides alone: opaque values want the slow one."""
    if isinstance(type_, ListOf | MapOf | OptionalOf):
        return _is_all_fast(type_.item)
    if isinstance(type_, RecordOf):
        return all(_is_all_fast(field.type) for field in type_.fields)
    if isinstance(type_, UnionOf):
        return all(_is_all_fast(record) for _, record in type_.cases)
    return type_ != Scalar("opaque")


@given(
    _types.filter(_is_all_fast).flatmap(
        lambda type_: st.tuples(
            st.just(type_), st.lists(st.one_of(_values_of(type_), _values), max_size=3)
        )
    )
)
@settings(max_examples=500, deadline=None)
def test_the_fast_look_and_the_slow_one_agree(typed):
    """Where no value is opaque, neither refuses what the other accepts."""
    type_, column = typed
    slow = all(_fault(type_, value, "x", 0) is None for value in column)
    assert _fits(type_, column) is slow


@given(
    _types.flatmap(
        lambda type_: st.tuples(
            st.just(type_), st.lists(st.one_of(_values_of(type_), _values), max_size=3)
        )
    )
)
@settings(max_examples=500, deadline=None)
def test_what_was_decoded_is_found_to_fit_no_sooner(typed):
    """What decoding proved needs no second look; everything else is asked."""
    type_, column = typed
    try:
        columns = Columns(len(column), {"x": pack(column)})
    except (TypeError, ValueError):
        return  # nothing that could have been decoded
    decoded = columns["x"]
    slow = all(_fault(type_, value, "x", 0) is None for value in decoded)
    fast = _fits(type_, decoded, columns.facts["x"])
    assert fast is slow if _is_all_fast(type_) else fast <= slow


@pytest.mark.parametrize("type_", ["i64", "time_ns"])
@pytest.mark.parametrize(
    "column",
    [[U64 - 1], [I64], [1, I64], [I64, -1], [2**40, I64, 2**40], [-1, -(2**40)], [1]],
    ids=str,
)
def test_a_decoded_integer_beyond_63_bits_is_found(type_, column):
    """Decoding gives 64 bits, among them more than these types have."""
    for nested, values in (
        (type_, column),
        ({"list": type_}, [column]),
        ({"map": type_}, [{str(each): each} for each in column]),
        ({"optional": type_}, [None, *column]),
    ):
        keys = [f"{row}" for row in range(len(values))]
        columns = Columns(len(keys), {"key": pack(keys), "x": pack(values)})
        faults = find_faults(_schema(nested), columns, decoded=columns.facts)
        assert bool(faults) is (max(column) >= I64)


def test_nothing_is_known_of_columns_that_were_not_decoded_here():
    """What a step made, or rows that were picked, are asked everything."""
    columns = Columns(2, {"x": pack(["a", "b"]), "y": [1, 2]})
    assert columns.facts == {}
    assert [columns["x"], columns["y"]] == [["a", "b"], [1, 2]]
    assert set(columns.facts) == {"x"}
    assert columns.take([1]).facts == {}
    assert columns.replaced({"x": ["a", SURROGATE]}).facts == {}


@pytest.mark.parametrize("name", SCALARS)
def test_a_decoded_value_of_another_type_is_found(name):
    """Beside right ones, alone, and inside lists, maps and optionals."""
    scalar = Scalar(name)
    values = [None, True, 1, I64, 0.5, "a", b"a", [], ["a"], {}, {"a": 1}]
    good = [each for each in values if _fault(scalar, each, "", 0) is None]
    for value in values:
        for type_, column in (
            (scalar, [value]),
            (scalar, [good[0], value]),
            (ListOf(scalar), [[good[0]], [value]]),
            (ListOf(scalar), [[good[0]], value]),
            (MapOf(scalar), [{"a": good[0]}, {"b": value}]),
            (MapOf(scalar), [{"a": good[0]}, value]),
            (OptionalOf(scalar), [None, value]),
        ):
            columns = Columns(len(column), {"x": pack(column)})
            decoded = columns["x"]
            slow = all(_fault(type_, each, "", 0) is None for each in decoded)
            assert _fits(type_, decoded, columns.facts["x"]) <= slow
            if name != "opaque":
                assert _fits(type_, decoded, columns.facts["x"]) is slow
