"""Payloads in blocks, and references that find them; `unpacking` is the inverse."""

import msgpack
import pytest
from bundles import (
    OPTIONAL_PAYLOAD,
    PAYLOAD,
    built,
    delivered,
    plans,
    records_of,
    stamp_of,
    tiles,
)

from overwinter.bundle import Bundle
from overwinter.bundle.packing import PIECE, pack_size

MIB = 2**20
PAIR = stamp_of("acme/pair", {"one": PAYLOAD, "two": OPTIONAL_PAYLOAD})


def payload_blocks(data):
    """Return the stored sizes of the payload blocks, which are stored as they are."""
    (segment,) = Bundle(data).segments
    numbers = range(len(segment.statement.blocks), segment.foot.n_blocks)
    return [each.stored_size for each in map(segment.placement, numbers)]


def references(data, name, number=0):
    """Return a payload column of one record block, as it is stored."""
    block = list(Bundle(data).segments[0].blocks)[number]
    columns, table = block.read_columns()
    return msgpack.unpackb(columns.encoded(name)), table


def contents(data, name="content"):
    """Return the payloads of one column by key."""
    return {key: dict(record)[name] for _, (_, key, record) in delivered(Bundle(data))}


@pytest.mark.parametrize(
    ("size", "blocks"),
    [
        (PIECE - 1, [PIECE - 1]),
        (PIECE, [PIECE]),
        (PIECE + 1, [PIECE, 1]),
        (2 * PIECE, [PIECE] * 2),
        (10 * MIB + 3, [PIECE, PIECE, 2 * MIB + 3]),
    ],
)
def test_a_large_payload_is_cut_in_pieces(size, blocks):
    """Pieces of 4 MiB, which can be verified one by one, and put together again."""
    content = bytes(range(251)) * (size // 251 + 1)
    data = built(plans(("large", content[:size])))

    assert payload_blocks(data) == blocks
    assert contents(data) == {"large": content[:size]}


def test_a_large_payload_lies_alone():
    """What is around it is packed together, before it and behind it."""
    sizes = {"a": 10, "b": 20, "c": 5 * MIB, "d": 30, "e": 40}
    data = built(plans(*((key, key.encode() * size) for key, size in sizes.items())))

    assert payload_blocks(data) == [30, 4 * MIB, MIB, 70]
    assert {key: len(each) for key, each in contents(data).items()} == sizes


@pytest.mark.parametrize(("level", "together"), [(0, 64 * 1024), (3, 4 * MIB)])
def test_small_payloads_fill_a_block_and_no_more(level, together):
    """A block is closed before the payload that would overfill it."""
    contents_by_key = {str(n): bytes([n]) * (3 * together // 8) for n in range(5)}
    data = built(plans(*contents_by_key.items()), level=level)
    (block,) = Bundle(data).segments[0].blocks

    assert pack_size(level) == together
    assert block.read_columns()[1].sizes == tuple(
        together * eighths // 8 for eighths in (6, 6, 3)
    )
    assert contents(data) == contents_by_key


def test_equal_payloads_are_stored_once():
    """In one column, across columns, across kinds, and across pieces."""
    large = b"large" * MIB
    data = built(
        plans(("a", b"same"), ("b", b"same"), ("c", large), ("d", large)),
        records_of(PAIR, [{"key": "e", "one": b"same", "two": b"same"}]),
        tiles(("f", b"same"), ("g", large)),
    )

    assert payload_blocks(data) == [4, 4 * MIB, MIB]
    found = {}
    for _, (_, key, record) in delivered(Bundle(data)):
        found[key] = [value for _, value in record if type(value) is bytes]
    assert found == {
        "a": [b"same"], "b": [b"same"], "c": [large], "d": [large],
        "e": [b"same", b"same"], "f": [b"same"], "g": [large],
    }  # fmt: skip


def test_payloads_that_look_alike_are_kept_apart():
    """Equal length, beginning and end are no proof: every byte is compared."""
    frame = bytes(40)
    alike = {str(n): frame + bytes([n]) + frame for n in range(10)}
    data = built(plans(*alike.items()))

    assert payload_blocks(data) == [810]
    assert contents(data) == alike


def test_rows_of_equal_payloads_share_them_when_they_are_read():
    """A payload that a thousand rows have takes its memory once."""
    data = built(plans(*((f"{n:04d}", b"shared" * 1000) for n in range(1000))))
    (block,) = Bundle(data).segments[0].blocks
    column = block.read().columns["content"]

    assert len(column) == 1000
    assert len({id(each) for each in column}) == 1


def test_an_empty_payload_takes_no_block():
    """It is an offset of zero and a size of zero, and no null."""
    data = built(plans(("a", b""), ("b", b"")))
    column, table = references(data, "content")

    assert column == {"offset": [0, 0], "size": [0, 0]}
    assert table.blocks == ()
    assert payload_blocks(data) == []
    assert contents(data) == {"a": b"", "b": b""}


def test_a_null_payload_is_null_in_both_lists():
    """Null, empty and missing stay distinct."""
    data = built(tiles(("a", None), ("b", b""), ("c", b"123"), ("d", None)))
    column, table = references(data, "extra")

    assert column == {"offset": [None, 0, 0, None], "size": [None, 0, 3, None]}
    assert table.sizes == (3,)
    assert contents(data, "extra") == {"a": None, "b": b"", "c": b"123", "d": None}


def test_a_later_record_block_refers_to_an_earlier_payload_block():
    """Its table lists the old block first if its first row needs that."""
    keys = [f"{n:04d}" for n in range(3000)]
    data = built(plans(*((key, key[-1:].encode()) for key in keys)))
    second, table = references(data, "content", 1)

    assert payload_blocks(data) == [10]
    assert table.blocks == (0,)
    assert set(second["size"]) == {1}
    assert contents(data) == {key: key[-1:].encode() for key in keys}
