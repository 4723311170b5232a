"""Payloads back to back are found as those are that lie anywhere."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overwinter.bundle.blocks import PayloadTable
from overwinter.bundle.contiguous import Contiguous, find_contiguous
from overwinter.bundle.unpacking import read_payloads
from overwinter.codec import Columns, pack
from overwinter.errors import BlockDamagedError

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=30)


class Blocks:
    """Payload blocks in memory, some of them damaged; asked for in what runs."""

    def __init__(self, table, damaged=()):
        self.data = bytes(n % 251 for n in range(sum(table.sizes)))
        self.damaged, self.read = set(damaged), []

    def read_payload_blocks(self, table, first, last):
        """Return the bytes of a run of blocks."""
        self.read += range(first, last + 1)
        if bad := self.damaged & set(range(first, last + 1)):
            raise BlockDamagedError("memory", f"block {min(bad)}", "a", "b")
        return self.data[table.ends[first] - table.sizes[first] : table.ends[last]]


def cut_at(payload_sizes, edges):
    """Return payloads and a table of blocks that end at *edges* and at the end."""
    ends = list(accumulate(payload_sizes))
    edges = sorted({edge % ends[-1] for edge in edges} - {0})
    sizes = tuple(b - a for a, b in pairwise([0, *edges, ends[-1]]))
    table = PayloadTable(tuple(range(len(sizes))), sizes, (b"",) * len(sizes))
    return Contiguous("payload", ends, table)


@given(SIZES, st.lists(st.integers(0, 900), max_size=12), st.sets(st.integers(0, 12)))
def test_they_are_the_bytes_that_their_places_say(sizes, edges, damaged):
    """Blocks may be cut anywhere, as no writer of ours does, and be damaged."""
    contiguous = cut_at(sizes, edges)
    table = contiguous.table
    spans = contiguous.spans["payload"]
    expected = read_payloads(Blocks(table, damaged), table, table.ends, spans)
    found = contiguous.read(Blocks(table, damaged), 0, len(sizes))
    assert list(map(type, found)) == list(map(type, expected))
    assert [each for each in found if type(each) is bytes] == [
        each for each in expected if type(each) is bytes
    ]


@given(
    SIZES,
    st.lists(st.integers(0, 900), max_size=12),
    st.integers(1, 100),
    st.tuples(st.integers(0, 29), st.integers(1, 30)),
)
def test_parts_hold_every_row_once_and_share_no_block(sizes, edges, size, rows):
    """Two threads that read one block would hash it twice."""
    contiguous = cut_at(sizes, edges)
    begin = min(rows[0], len(sizes) - 1)
    end = max(begin + 1, min(rows[1], len(sizes)))
    parts = list(contiguous.cut(begin, end, size))
    assert [row for part in parts for row in range(*part)] == list(range(begin, end))
    together = Blocks(contiguous.table)
    read, used = [], []
    for part in parts:
        blocks = Blocks(contiguous.table)
        read += contiguous.read(blocks, *part)
        used += set(blocks.read)
    assert read == contiguous.read(together, begin, end)
    assert len(used) == len(set(used))


@pytest.mark.parametrize(
    ("offsets", "sizes", "blocks", "total"),
    [
        ([0, 3], [3, 5], (8,), 9),
        ([0, 3], [3, 5], (9,), 8),
        ([0, 4], [3, 5], (8,), 8),
        ([1, 4], [3, 4], (8,), 8),
        ([0, 3], [3, 5], (8, 0), 8),
        ([0, 3, 3], [3, 0, 5], (8,), 8),
        ([0, None], [8, None], (8,), 8),
        ([0, 1], [True, 7], (8,), 8),
        ([0.0, 3], [3, 5], (8,), 8),
    ],
    ids=str,
)
def test_whatever_else_is_looked_at_closely(offsets, sizes, blocks, total):
    """What no writer makes must reach the checks that say what is wrong with it."""
    encoded = pack({"offset": offsets, "size": sizes})
    columns = Columns(len(sizes), {"payload": encoded})
    table = PayloadTable(tuple(range(len(blocks))), blocks, (b"",) * len(blocks))
    assert find_contiguous(columns, ["payload"], table, total, "a block") is None


def test_two_columns_are_not_one_behind_the_other():
    """Their payloads are mixed: row by row, or shared."""
    columns = Columns(1, {"a": pack({"offset": [0], "size": [1]}), "b": b""})
    table = PayloadTable((0,), (1,), (b"",))
    assert find_contiguous(columns, ["a", "b"], table, 1, "a block") is None
    assert find_contiguous(columns, ["a"], table, 1, "a block") is not None
