"""Plain values to canonical msgpack and back, and columns that wait to be decoded."""

import gc
import struct
import time
import tracemalloc
from collections import OrderedDict
from enum import IntEnum
from typing import NamedTuple

import attrs
import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter.codec import (
    Columns,
    Repeated,
    are_like,
    columns_of,
    objects_of,
    pack,
    unpack,
)
from overwinter.codec import columns as columns_module
from overwinter.errors import DamagedError
from overwinter.limits import MAX_DEPTH

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary()
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=20,
)
quickly = settings(deadline=None, max_examples=200)


def typed(value):
    """Return *value* with the type of every part: 1, True and 1.0 are equal."""
    if isinstance(value, dict):
        return dict, [(key, typed(value[key])) for key in sorted(value)]
    if isinstance(value, list):
        return list, [typed(each) for each in value]
    if isinstance(value, float):
        return float, struct.pack(">d", value)
    return type(value), value


def read(data):
    """Return the value in *data*."""
    return unpack(data, "x.owb", "a part")


# --- pack and unpack --------------------------------------------------------


@quickly
@given(PLAIN)
def test_plain_values_come_back_exactly(value):
    """Every value, and the type of every value."""
    assert typed(read(pack(value))) == typed(value)


@quickly
@given(st.dictionaries(TEXT, PLAIN, max_size=6), st.randoms())
def test_the_order_of_a_map_does_not_show(value, random):
    """Equal maps give equal bytes, whatever order they were filled in."""
    items = list(value.items())
    random.shuffle(items)

    assert pack(dict(items)) == pack(value)


@quickly
@given(PLAIN)
def test_what_was_read_is_written_as_it_was(value):
    """There is one encoding, so carrying and writing again are the same."""
    data = pack(value)

    assert pack(read(data)) == data


@quickly
@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_damaged(data):
    """No other error leaves the door to msgpack."""
    try:
        value = read(data)
    except DamagedError as error:
        assert error.part == "a part"
    else:
        typed(value)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ({"b": 1, "a": 2, "B": 3}, b"\x83\xa1B\x03\xa1a\x02\xa1b\x01"),
        ({"é": 1, "z": 2, "\U00010000": 3, "\uffff": 4},
         b"\x84\xa1z\x02\xa2\xc3\xa9\x01\xa3\xef\xbf\xbf\x04\xa4\xf0\x90\x80\x80\x03"),
        ({"a": {"d": 1, "c": [{"f": 1, "e": 2}]}},
         b"\x81\xa1a\x82\xa1c\x91\x82\xa1e\x02\xa1f\x01\xa1d\x01"),
        ([127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**64 - 1],
         b"\x99\x7f\xcc\x80\xcc\xff\xcd\1\0\xcd\xff\xff\xce\0\1\0\0"
         b"\xce\xff\xff\xff\xff\xcf\0\0\0\1\0\0\0\0" b"\xcf" + b"\xff" * 8),
        ([-1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**63)],
         b"\x99\xff\xe0\xd0\xdf\xd0\x80\xd1\xff\x7f\xd1\x80\0\xd2\xff\xff\x7f\xff"
         b"\xd2\x80\0\0\0" b"\xd3\x80" + bytes(7)),
        ([None, False, True, 1.0, "", b""],
         b"\x96\xc0\xc2\xc3\xcb\x3f\xf0\0\0\0\0\0\0\xa0\xc4\0"),
        (("a", ("b",)), b"\x92\xa1a\x91\xa1b"),
        ("x" * 31, b"\xbf" + b"x" * 31),
        ("x" * 32, b"\xd9\x20" + b"x" * 32),
        (b"x" * 256, b"\xc5\1\0" + b"x" * 256),
        ([0] * 16, b"\xdc\0\x10" + bytes(16)),
    ],
    ids="keys unicode nested positive negative scalars tuple 31 32 256 16".split(),
)  # fmt: skip
def test_a_value_is_exactly_these_bytes(value, data):
    """Keys by code point, integers and lengths in their shortest form, floats in 64."""
    assert pack(value) == data


@quickly
@given(st.lists(st.dictionaries(TEXT, SCALARS, max_size=4), max_size=8), st.randoms())
def test_a_column_of_maps_is_written_as_each_of_them(maps, random):
    """By key, whatever order each was filled in, and whichever stands beside it."""
    alone = b"".join(map(pack, maps))
    shuffled = [dict(random.sample(list(each.items()), len(each))) for each in maps]
    given = [list(each.items()) for each in shuffled]

    assert pack(shuffled) == packer_header(len(maps)) + alone
    assert [list(each.items()) for each in shuffled] == given


def packer_header(size):
    """Return the first bytes of a list of *size*."""
    return msgpack.Packer().pack_array_header(size)


class Colour(IntEnum):
    """A subclass of int, which msgpack would write as one."""

    RED = 1


class Point(NamedTuple):
    """A subclass of tuple."""

    x: int


class Text(str):
    """A subclass of str."""


@pytest.mark.parametrize(
    "value",
    [
        Colour.RED,
        Point(1),
        Text("a"),
        OrderedDict(a=1),
        {1, 2},
        object(),
        1j,
        bytearray(b"a"),
        memoryview(b"a"),
        msgpack.ExtType(1, b"a"),
        msgpack.Timestamp(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_would_come_back_as_another_is_not_written(value):
    """Subclasses, buffers and msgpack's own types, at the top and inside."""
    for nested in (
        value,
        [value],
        {"a": value},
        [[1], value],
        [{"a": [value]}],
        [{"a": 1}, {"a": value}],
    ):
        with pytest.raises(TypeError, match="is no plain value"):
            pack(nested)


@pytest.mark.parametrize("key", [1, None, b"a", ("a",), Text("a")], ids=repr)
def test_a_key_that_is_no_text_is_not_written(key):
    """Sorted, or read by another language, only text keeps its meaning."""
    with pytest.raises(TypeError, match="a map key must be str, got"):
        pack([{key: 1}])
    with pytest.raises(TypeError, match="a map key must be str, got"):
        pack([{"a": 1}, {key: 1}])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**100])
def test_an_integer_beyond_64_bits_is_not_written(number):
    """The error says so; msgpack's own is none that callers expect."""
    with pytest.raises(ValueError, match="an integer of more than 64 bits"):
        pack({"a": [number]})


def test_a_lone_surrogate_is_not_written():
    """It is a str in Python and no text anywhere else."""
    for value in ("\ud800", ["a\udfff"], {"\ud800": 1}):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            pack(value)


def test_nesting_has_a_limit():
    """What is written can be read without exhausting anyone's stack."""
    value = []
    for _ in range(MAX_DEPTH):
        value = [value]
    assert read(pack(value)) == value

    for deeper in ([value], {"a": value}):
        with pytest.raises(ValueError, match=f"nested deeper than {MAX_DEPTH} levels"):
            pack(deeper)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "No more data"),
        (b"\x92\x01", "No more data"),
        (b"\xa5four", "No more data"),
        (b"\xc1", "a byte that begins no value"),
        (b"\x01\x02", "1 bytes after the value"),
        (b"\xc0" * 2000, "1,999 bytes after the value"),
        (b"\xd4\x01x", r"exceeds max_ext_len\(0\)"),
        (b"\xc7\x00\x01", "the extension type 1"),
        (b"\xd6\xff\0\0\0\1", "exceeds max_ext_len"),
        (b"\xd7\xff" + bytes(8), "exceeds max_ext_len"),
        (b"\xc7\x0c\xff" + bytes(12), "exceeds max_ext_len"),
        (b"\x82\xa1a\x01\xa1a\x01", "the key 'a' stands twice in one map"),
        (b"\x91\x82\xa1a\x01\xd9\x01a\x02", "the key 'a' stands twice in one map"),
        (b"\x91\x81\xa1a\x82\xa1b\x01\xa1b\x02", "the key 'b' stands twice in one map"),
        (b"\xdc\0\1\x82\xa1a\x01\xa1a\x01", "the key 'a' stands twice in one map"),
        (b"\xdd\0\0\0\1\x82\xa1a\xc0\xa1a\xc0", "the key 'a' stands twice in one map"),
        (b"\x81\xc4\x01a\x01", "a map key that is no text"),
        (b"\x91\x81\xc4\x01a\x01", "a map key that is no text"),
        (b"\x92\x81\xa1a\x01\x81\xc4\x01a\x01", "a map key that is no text"),
        (b"\x91\x81\xa1a\x81\xc4\x01a\x01", "a map key that is no text"),
        (b"\x91\x81\x01\x01", "int is not allowed for map key"),
        (b"\x91\x81\xa1a\xa1\xff", "can't decode byte 0xff"),
        (b"\x91\x81\xa1a\xd4\x01x", r"exceeds max_ext_len\(0\)"),
        (b"\x91\x81\xa1a\x01\x02", "1 bytes after the value"),
        (b"\x92\x81\xa1a\x01", "No more data"),
        (b"\x81\x01\x01", "int is not allowed for map key"),
        (b"\x81\xc0\x01", "not allowed for map key"),
        (b"\x81\x90\x01", "list is not allowed for map key"),
        (b"\xa1\xff", "can't decode byte 0xff"),
        (b"\xa3\xed\xa0\x80", "can't decode byte 0xed"),
        (b"\xdd\xff\xff\xff\xff", "No more data"),
        (b"\xdf\xff\xff\xff\xff", "No more data"),
        (b"\xdb\xff\xff\xff\xff", "No more data"),
        (b"\xc6\xff\xff\xff\xff", "No more data"),
        (b"\x91" * 2000 + b"\xc0", "more than 1,023 nested levels"),
        (b"\x81\xa1a" * 2000 + b"\xc0", "more than 1,023 nested levels"),
    ],
    ids=lambda value: repr(value)[:24] if isinstance(value, bytes) else "",
)  # fmt: skip
def test_what_no_writer_writes_is_damaged(data, reason):
    """The error names the bundle, the part, and what was found there."""
    with pytest.raises(DamagedError, match=rf"^x\.owb: a part: found .*{reason}"):
        read(data)


def encoded(value):
    """Return *value* as msgpack, its maps given as pairs and their keys as they are."""
    packer = msgpack.Packer()
    if isinstance(value, tuple):
        pairs = b"".join(encoded(each) for pair in value for each in pair)
        return packer.pack_map_header(len(value)) + pairs
    if isinstance(value, list):
        return packer.pack_array_header(len(value)) + b"".join(map(encoded, value))
    return packer.pack(value)


def is_sound(value):
    """Return whether no map in *value* has a key twice, or one that is no text."""
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        return (
            len(set(keys)) == len(keys)
            and set(map(type, keys)) <= {str}
            and all(is_sound(each) for _, each in value)
        )
    return not isinstance(value, list) or all(map(is_sound, value))


def plain(value):
    """Return *value* with its maps as dicts."""
    if isinstance(value, tuple):
        return {key: plain(each) for key, each in value}
    return list(map(plain, value)) if isinstance(value, list) else value


KEYS = st.sampled_from(["", "a", "b", "a" * 40, "é", b"a", b""])
VALUES = st.integers(0, 300) | st.sampled_from(["b", b"b", None, 0.5, 2**63, "x" * 33])
PAIRS = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple)
        | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)
MAPS = st.lists(st.tuples(KEYS, PAIRS), max_size=3).map(tuple)


@settings(deadline=None, max_examples=1000)
@given(st.lists(MAPS, min_size=1, max_size=20))
def test_maps_in_a_list_are_as_sound_as_alone(maps):
    """The short way for a column of maps refuses what the long one does."""
    data = encoded(maps)
    if is_sound(maps):
        assert typed(read(data)) == typed(plain(maps))
    else:
        with pytest.raises(DamagedError, match=r"stands twice|no text"):
            read(data)


def test_maps_that_are_not_canonical_are_read_as_before():
    """Heads longer than they need be, and keys in another order, are no damage."""
    long_head = b"\x92\x81\xd9\x01a\x01\x82\xa1b\xcc\x01\xa1a\xcd\0\1"
    assert read(long_head) == [{"a": 1}, {"b": 1, "a": 1}]


def test_a_map_of_many_keys_is_refused_at_once():
    """Finding which key stands twice takes one pass, not one for each key."""
    keys = [f"{number:07d}" for number in range(300_000)]
    body = b"".join(msgpack.packb(key) + b"\xc0" for key in [*keys, keys[-1]])
    data = b"\xdf" + struct.pack(">I", len(keys) + 1) + body
    began = time.process_time()

    with pytest.raises(DamagedError, match="'0299999' stands twice"):
        read(data)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\x00\x00\xff\xff" * (2**16 // 5),
        b"\xdc\xff\xff" * (2**16 // 3),
        b"\xdf\xff\xff\xff\xff" * (2**16 // 5),
        b"\x9f" * 2**16,
    ],
    ids="array32 array16 map32 fixarray".split(),
)
def test_nested_headers_take_no_memory(data):
    """Each claims elements that are not there; 64 KiB of them took 67 MB."""
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=r"nested levels|No more data"):
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 2**20


# --- columns ----------------------------------------------------------------


def test_a_column_is_decoded_when_it_is_looked_at(monkeypatch):
    """What nobody looks at is carried as the very bytes that were read."""
    key, size = pack(["a", "b"]), pack([1, 2])
    columns = Columns(2, {"key": key, "size": size})
    decoded = []
    monkeypatch.setattr(
        columns_module,
        "unpack",
        lambda data, *where: decoded.append(data) or unpack(data, *where),
    )

    assert list(columns) == ["key", "size"]
    assert len(columns) == 2
    assert "size" in columns and "other" not in columns
    assert columns.encoded("size") is size
    assert columns.items_unread()["size"] is size
    renamed = columns.replaced({"n": columns.items_unread()["size"]})
    assert renamed.encoded("n") is size
    assert decoded == []

    assert columns["size"] == [1, 2]
    assert columns["size"] is columns["size"]
    assert decoded == [size]
    assert columns.encoded("key") is key
    assert columns.encoded("size") == size


@pytest.mark.parametrize(
    ("column", "shape"),
    [
        ([1], "a list of 1"),
        ([1, 2, 3], "a list of 3"),
        ({"offset": [], "size": []}, "a dict"),
        ("ab", "a str"),
        (None, "a NoneType"),
    ],
    ids=repr,
)
def test_a_column_of_another_shape_is_damaged(column, shape):
    """One value for each row, or the column is named and refused."""
    columns = Columns(2, {"size": pack(column)}, "x.owb")

    with pytest.raises(
        DamagedError,
        match=rf"^x\.owb: column 'size': found {shape}, expected a list of 2 values",
    ):
        columns["size"]


def test_rows_are_taken_in_the_order_asked_for():
    """Every column of them, twice where a row is asked for twice."""
    columns = Columns(3, {"key": pack(["a", "b", "c"]), "n": [1, 2, 3]}, "x.owb")
    taken = columns.take([2, 0, 2])

    assert (taken.rows, taken.source) == (3, "x.owb")
    assert dict(taken) == {"key": ["c", "a", "c"], "n": [3, 1, 3]}
    assert dict(columns.take([])) == {"key": [], "n": []}


def test_columns_in_memory_encode_as_they_are_written():
    """A list and its encoding are the same column."""
    assert Columns(2, {"n": [1, 2]}).encoded("n") == pack([1, 2])


ANY_FLOATS = st.lists(st.floats(), min_size=1, max_size=40)


@quickly
@given(ANY_FLOATS)
def test_a_column_of_floats_is_the_same_by_the_short_way(floats):
    """Bytes and values are msgpack's own, to the last bit of a NaN."""
    data = pack(floats)
    assert data == msgpack.packb(floats)

    found = Columns(len(floats), {"n": data})["n"]
    assert [struct.pack(">d", each) for each in found] == [
        struct.pack(">d", each) for each in msgpack.unpackb(data)
    ]


@quickly
@given(ANY_FLOATS, st.lists(SCALARS, max_size=3), st.randoms())
def test_a_float_does_not_speak_for_its_neighbours(floats, others, random):
    """The short way is for lists of floats, whatever stands at the end."""
    values = [*others, *floats]
    random.shuffle(values)
    for column in (values, [*values, 0.5]):
        data = pack(column)
        assert data == msgpack.packb(column)
        found = Columns(len(column), {"n": data})["n"]
        assert list(map(type, found)) == list(map(type, column))
        assert msgpack.packb(found) == data


@pytest.mark.parametrize(
    "value", [[type("F", (float,), {})(1), 0.5], [object(), 0.5], [{1: 2}, 0.5]]
)
def test_what_is_not_plain_is_refused_beside_a_float(value):
    """The long way says why."""
    with pytest.raises(TypeError):
        pack(value)


@pytest.mark.parametrize("rows", [-1, 0, 1, 3, 2**63])
def test_as_many_floats_as_rows_or_the_column_is_damaged(rows):
    """A column of two floats is not cut or padded to another length."""
    with pytest.raises(DamagedError, match="a list of 2"):
        Columns(rows, {"n": pack([0.5, 1.5])}).__getitem__("n")


@pytest.mark.parametrize("data", [pack([0.5, 1.5]) + b"\0", pack([0.5, 1.5])[:-1]])
def test_floats_with_a_byte_too_many_or_too_few_are_damaged(data):
    """The short way ends where the long one does."""
    with pytest.raises(DamagedError, match="canonical msgpack"):
        Columns(2, {"n": data}).__getitem__("n")


def test_bytes_that_only_end_like_floats_are_read_the_long_way():
    """Nine bytes each, and a first byte that begins a text instead."""
    texts = ["8 bytes " for _ in range(3)]
    assert Columns(3, {"n": pack(texts)})["n"] == texts
    mixed = pack([0.5, "8 bytes ", 0.5])
    assert Columns(3, {"n": mixed})["n"] == [0.5, "8 bytes ", 0.5]


@quickly
@given(SCALARS, st.integers(0, 70))
def test_one_value_for_all_rows_is_encoded_as_a_list_of_it(value, rows):
    """Encoding it once is a matter of time alone."""
    assert pack(Repeated(value, rows)) == pack([value] * rows)
    assert Repeated(value, rows) == [value] * rows


def test_one_value_that_is_not_plain_is_refused():
    """As it is in any other column."""
    with pytest.raises(TypeError, match="no plain value"):
        pack(Repeated(object(), 2))


@pytest.mark.parametrize("size", [1, 31, 32, 255, 256, 4096])
def test_texts_of_one_length_are_known_without_decoding(size):
    """Each length of a text's head is looked at whole."""
    first, other = "a" * size, "b" * size
    assert are_like(pack([first, other, first]), first, 3)
    assert not are_like(pack([first, other, first]), other, 3)
    assert not are_like(pack([first, other]), first, 3)
    assert not are_like(pack([first, other + "b", first]), first, 3)
    assert not are_like(pack([first, other.encode(), first]), first, 3)
    data = pack([first, other, first])
    assert not are_like(data[:-1] + b"\xff", first, 3)
    assert not are_like(data[:-1], first, 3)
    assert not are_like(data + b"a", first, 3)


@quickly
@given(st.lists(st.text("aé", max_size=2) | st.binary(max_size=2), min_size=1))
def test_texts_are_never_claimed_where_decoding_finds_others(values):
    """What is true without decoding is true with it."""
    first = values[0]
    if type(first) is str and are_like(pack(values), first, len(values)):
        assert set(map(type, values)) == {str}
        assert set(map(len, values)) == {len(first)}


# --- objects ----------------------------------------------------------------


@attrs.frozen
class Plan:
    """An attrs class as a kind has it: plain fields, and one that needs a hook."""

    key: str
    sizes: list[int]
    names: tuple[str, ...] = ()
    note: str | None = None


PLANS = [Plan("a", [1, 2], ("x", "y")), Plan("b", [], (), "note")]


def test_objects_come_back_from_their_columns():
    """`columns_of` and `objects_of` are inverse, through bytes as well."""
    columns = columns_of(Plan, PLANS)
    assert columns == {
        "key": ["a", "b"],
        "sizes": [[1, 2], []],
        "names": [["x", "y"], []],
        "note": [None, "note"],
    }

    encoded = {name: pack(column) for name, column in columns.items()}
    assert objects_of(Plan, Columns(2, encoded)) == PLANS
    assert type(objects_of(Plan, columns)[0].names) is tuple


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled):
    """Building objects pauses it, also where the class raises."""

    @attrs.frozen
    class Refusing:
        key: str = attrs.field()

        @key.validator
        def _refuse(self, attribute, value):
            assert not gc.isenabled()
            raise ValueError("refused")

    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with pytest.raises(ValueError, match="refused"):
            objects_of(Refusing, {"key": ["a"]})
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_fields_by_keyword_come_back_too():
    """Such a class registers and saves, so it must load."""

    @attrs.frozen
    class Plan:
        key: str
        tiles: int = attrs.field(default=4, kw_only=True)
        device: str = "cpu"

    plans = [Plan("a", tiles=8), Plan("b", "gpu", tiles=1)]
    assert objects_of(Plan, columns_of(Plan, plans)) == plans
