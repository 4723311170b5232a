"""
Plain values and msgpack.

What is written is canonical: equal values give equal bytes. Layout:
``schema/FORMAT.md``, at its head.
"""

import sys
from array import array
from collections.abc import Iterator
from itertools import chain
from typing import Any

import msgpack

from ..errors import TooLargeError
from ..limits import MAX_DEPTH, MAX_NODES_SEEN
from .strict import (
    LISTS,
    STRICTLY,
    check_nodes,
    damaging,
    prove_whole,
    refuse_nested,
    unique,
)

__all__ = [
    "TOO_NESTED",
    "Repeated",
    "are_like",
    "has_wide",
    "pack",
    "unpack",
    "unpack_each",
    "unpack_flat",
    "unpack_item",
    "unpacked_numbers",
]


class Repeated(list[Any]):
    """
    A column of one value for all rows, never changed in place: encoded only once.

    What 200,000 records are given by an addition is packed in 0.4 ms instead of 6.
    """

    def __init__(self, value: Any, rows: int) -> None:
        super().__init__([value] * rows)


def pack(value: Any) -> bytes:
    """
    Return *value* as canonical msgpack: equal values give equal bytes.

    Raises:
        TypeError: A value is not plain, or a map has a key that is no text.
        ValueError: An integer exceeds 64 bits, or text is no valid Unicode.
    """
    # strict_types: a subclass of a plain type would be written as its base
    # and come back as another value.
    try:
        if type(value) is Repeated:
            # Behind the one byte that begins a list of one.
            return _array_head(len(value)) + len(value) * pack(value[:1])[1:]
        if (numbers := _packed_numbers(value)) is not None:
            return numbers
        plain = _sorted_maps(value) or _sorted(value, 0)
        packed: bytes = msgpack.packb(plain, strict_types=True)
    except OverflowError as error:
        raise ValueError(f"an integer of more than 64 bits: {error}") from error
    return packed


def unpack(data: bytes, source: str, part: str) -> Any:
    """
    Return the plain value of canonical msgpack.

    Args:
        data: The whole value, in bytes.
        source: Name of the bundle, for the error.
        part: Name of the part within it, for the error.

    Raises:
        DamagedError: Not msgpack, bytes left over, an extension type, a map
            with a key twice or one that is no text, or nested beyond all reason.
    """
    with damaging(source, part):
        prove_whole(data)
        if (maps := _unpacked_maps(data)) is not None:
            return maps
        # strict_map_key keeps map keys to text and bytes; the pairs hook refuses
        # bytes, and sees a key that stands twice, which a dict would swallow.
        return msgpack.unpackb(data, object_pairs_hook=unique, **STRICTLY)


def unpack_flat(
    data: bytes, source: str, part: str, *, lists: int = 1, maps: int = 0
) -> Any:
    """
    Return the plain value of canonical msgpack with no more lists and maps than these.

    Args:
        data: The whole value, in bytes.
        source: Name of the bundle, for the error.
        part: Name of the part within it, for the error.
        lists: How many; one, if it is the list that a column is.
        maps: How many.

    Raises:
        DamagedError: As `unpack`, or it holds more: the next is not looked for, as
            each byte could be one.
    """
    with damaging(source, part):
        prove_whole(data)

        # Those inside are whole before the one around them.
        def next_list(values: list[Any]) -> list[Any]:
            nonlocal lists
            lists -= 1
            return values if lists >= 0 else refuse_nested(values)

        def next_map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
            nonlocal maps
            maps -= 1
            return unique(pairs) if maps >= 0 else refuse_nested(pairs)

        return msgpack.unpackb(
            data, object_pairs_hook=next_map, list_hook=next_list, **STRICTLY
        )


def unpack_item(data: bytes, rows: int, row: int, source: str, part: str) -> Any:
    """
    Return one item of a list of *rows*: beside it nothing is built.

    Raises:
        DamagedError: As `unpack`, or it is no such list.

    Source:
        One of 2,048 maps takes 0.1 ms in this way, all of them 1.
    """
    with damaging(source, part):
        prove_whole(data)
        unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(data), 1), object_pairs_hook=unique, **STRICTLY
        )
        unpacker.feed(data)
        if unpacker.read_array_header() != rows:
            raise ValueError(f"a list of other than {rows} values")
        for _ in range(row):
            unpacker.skip()
        return unpacker.unpack()


class _TooNested:
    """Stands for a value of too many lists and maps."""


TOO_NESTED = _TooNested()


def unpack_each(data: bytes, rows: int, source: str, part: str) -> Iterator[Any]:
    """
    Give the items of a list of *rows*, of which one at a time is built.

    For one of more lists and maps than ``MAX_NODES_SEEN`` there is `TOO_NESTED`.

    Raises:
        DamagedError: As `unpack`, or it is no such list.
    """
    with damaging(source, part):
        prove_whole(data)
        unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
        unpacker.feed(data)
        if data[:1] not in LISTS or unpacker.read_array_header() != rows:
            raise ValueError(f"what is no list of {rows} values")
        for _ in range(rows):
            begin = unpacker.tell()
            unpacker.skip()
            item = data[begin : unpacker.tell()]
            try:
                check_nodes(item, MAX_NODES_SEEN, source, part)
            except TooLargeError:
                yield TOO_NESTED
            else:
                yield msgpack.unpackb(item, object_pairs_hook=unique, **STRICTLY)


def _unpacked_maps(data: bytes) -> list[dict[str, Any]] | None:
    """
    Return the maps in *data*, or ``None`` where it may be no list of sound maps.

    A pairs hook for each of 200,000 maps takes more than all the rest: 153 ms, 65
    without it. Writing them again takes 15, and gives the same bytes only where
    no key stood twice: a dict keeps one of them, so its map would be shorter.
    """
    # What the first value of a list is, is seen at once.
    if not data or data[_LIST_HEADS.get(data[0], 1) :][:1] not in _FIXMAPS:
        return None
    try:
        maps = msgpack.unpackb(data, **STRICTLY)
        if set(map(type, maps)) != {dict} or msgpack.packb(maps) != data:
            return None
        if any(head in data for head in _BIN_HEADS):
            # A key could be bytes, also of a map inside.
            "".join(set().union(*maps))
            inner = chain.from_iterable(map(dict.values, maps))
            if not set(map(type, inner)) <= _SCALARS:
                return None
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        return None  # whoever looks closer says why
    return maps  # type: ignore[no-any-return]


def has_wide(data: bytes) -> bool:
    """Return whether an integer in *data* may exceed 63 bits."""
    return b"\xcf" in data


_FIXMAPS = frozenset(bytes([head]) for head in range(0x80, 0x90))
_LIST_HEADS = {0xDC: 3, 0xDD: 5}  # sizes of those that are not of one byte
_BIN_HEADS = b"\xc4", b"\xc5", b"\xc6"


def are_like(column: bytes, first: str, rows: int) -> bool:
    """
    Return whether *column* encodes *rows* texts of ASCII, each as long as *first*.

    The first of them is *first*. ``False`` may also mean: look closer.

    Source:
        Most keys are hashes, all of one length. Looking at every byte of 200,000
        takes 1 ms, decoding them and asking for their types 13.
    """
    if not first.isascii():
        return False
    text = pack(first)
    head = text[: len(text) - len(first)]
    array, stride = _array_head(rows), len(text)
    if len(column) != len(array) + rows * stride or not column.startswith(array + text):
        return False
    rest = bytearray(column)
    del rest[: len(array)]
    # What says that a text of this length follows stands before each of them.
    for byte in head:
        if rest[::stride].count(byte) != rows:
            return False
        del rest[::stride]
        stride -= 1
    return rest.isascii()


def _packed_numbers(value: Any) -> bytes | None:
    """
    Return the encoding of a list of numbers, or ``None`` where it may be no such list.

    What was written tells their types in a tenth of the time of asking each: it
    is all floats, or all times, where every ninth byte begins one.
    """
    if type(value) is not list or not value or not _is_number(value[-1]):
        return None
    try:
        packed: bytes = msgpack.packb(value, strict_types=True)
    except (TypeError, ValueError, OverflowError):
        return None  # whoever looks closer says why
    return packed if _number_code(packed, len(value)) else None


def _is_number(value: Any) -> bool:
    """Return whether *value* takes 64 bits."""
    return type(value) is float or (
        type(value) is int and not -(2**31) <= value < 2**32
    )


def unpacked_numbers(data: bytes, rows: int) -> tuple[list[Any], bool] | None:
    """
    Return the numbers in *data*, and whether an integer may exceed 63 bits.

    ``None`` where it may be no list of *rows* numbers of one type and size.

    An array converts floats, or integers that all take 64 bits as times do, at
    once: in half the time of a walk and decoding.
    """
    code = _number_code(data, rows)
    if code is None:
        return None
    plain = bytearray(data[-_NUMBER_SIZE * rows :])
    del plain[::_NUMBER_SIZE]
    numbers = array(code, plain)
    if sys.byteorder == "little":
        numbers.byteswap()
    # Their first bytes are ASCII where none of them has its highest bit.
    firsts = data[1 - _NUMBER_SIZE * rows :: _NUMBER_SIZE]
    return numbers.tolist(), code == "Q" and not firsts.isascii()


def _number_code(data: bytes, rows: int) -> str | None:
    """Return the array code of the *rows* numbers, one at least, in *data*."""
    # Sizes first: a damaged count of rows may be more than any list has.
    if rows < 1 or len(data) <= _NUMBER_SIZE * rows:
        return None
    head = _array_head(rows)
    if len(data) != len(head) + _NUMBER_SIZE * rows or not data.startswith(head):
        return None
    first = data[len(head)]
    if data[len(head) :: _NUMBER_SIZE].count(first) != rows:
        return None
    return _NUMBERS.get(first)


_NUMBERS = {0xCB: "d", 0xCF: "Q", 0xD3: "q"}  # first byte to code of an array
_NUMBER_SIZE = 9


def _array_head(rows: int) -> bytes:
    head: bytes = msgpack.Packer().pack_array_header(rows)
    return head


def _sorted_maps(value: Any) -> list[dict[str, Any]] | None:
    """
    Return the maps in *value* by key, or ``None`` where it is no list of flat maps.

    A dict of the sorted keys, united with a map, is that map by key; one serves all
    maps of one order, of which there are few. So 200,000 maps take 180 ms less.
    """
    if type(value) is not list or not value or set(map(type, value)) != {dict}:
        return None
    inner = chain.from_iterable(map(dict.values, value))
    if (
        not set(map(type, chain.from_iterable(value))) <= {str}
        or not set(map(type, inner)) <= _SCALARS
    ):
        return None
    ordered = _Ordered()
    return [ordered[tuple(each)] | each for each in value]


class _Ordered(dict[tuple[str, ...], dict[str, Any]]):
    """For each order of keys a dict of the same keys, sorted."""

    def __missing__(self, names: tuple[str, ...]) -> dict[str, Any]:
        self[names] = by_key = dict.fromkeys(sorted(names))
        return by_key


def _sorted(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _NESTED and depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"a map key must be str, got {key!r}")
        return {key: _sorted(value[key], depth + 1) for key in sorted(value)}
    if kind is list or kind is tuple:
        # A long list of scalars is the common case, and needs no copy. One of such
        # lists is looked at as a whole: 31 ms instead of 77 to write 200,000 of them.
        types = set(map(type, value)) if kind is list else {kind}
        if types <= _SCALARS:
            return value
        inner = chain.from_iterable(value)
        if types == {list} and depth < MAX_DEPTH and set(map(type, inner)) <= _SCALARS:
            return value
        return [_sorted(each, depth + 1) for each in value]
    if kind not in _SCALARS:
        # msgpack would write its own types, and buffers that come back as bytes.
        raise TypeError(f"{value!r:.60} of type {kind.__name__} is no plain value")
    return value


_NESTED = {dict, list, tuple}
_SCALARS = {type(None), bool, int, float, str, bytes}
