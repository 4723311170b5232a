"""Whatever is written comes back by every way of reading, at every edge of a size."""

import hashlib
from typing import Any

from both_readers import difference
from bundles import OPTIONAL_PAYLOAD, PAYLOAD, built, records_of, stamp_of
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overwinter.bundle import Bundle, verify, writer
from overwinter.bundle.streaming import read_rows
from overwinter.workers import Workers

STAMP = stamp_of(
    "acme/both", {"one": PAYLOAD, "two": OPTIONAL_PAYLOAD, "three": OPTIONAL_PAYLOAD}
)
SMALL, BLOCK, PIECE = 4096, 2**16, 2**22
NOISE = hashlib.shake_256(b"noise").digest(2 * PIECE + 2)


def payload(size: int, start: int, is_noise: bool) -> bytes:
    """Return a payload; few different starts, so that some are equal."""
    if is_noise:
        return NOISE[start : start + size]
    return b"%d" % start * size


def payloads() -> st.SearchStrategy[bytes]:
    """Give payloads around every size at which they are treated otherwise."""
    edges = [
        edge + near for edge in (256, SMALL, BLOCK // 2, BLOCK) for near in (-1, 0, 1)
    ]
    sizes = st.one_of(
        st.sampled_from([0, 1]),
        st.sampled_from(edges),
        st.sampled_from(edges),
        st.integers(0, 300),
        st.sampled_from([PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 2 * PIECE + 1]),
    )
    return st.builds(payload, sizes, st.integers(0, 1), st.booleans())


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from("abcdef"),
            "one": payloads(),
            "two": st.none() | payloads(),
            "three": st.none() | payloads(),
        }
    ),
    min_size=1,
    max_size=8,
)


def plain(record: Any) -> tuple[Any, ...]:
    """Return a record as values, its views as bytes, to be compared and sorted."""
    names = ("key", "one", "two", "three")
    values = (record[name] for name in names)
    return tuple(bytes(v) if isinstance(v, memoryview) else v for v in values)


def streamed(bundle: Bundle, part: int, count: int) -> list[tuple[Any, ...]]:
    """Return all records, read in parts by *count* threads."""
    blocks = (block for segment in bundle.segments for block in segment.blocks)
    found = []
    with Workers(count) as workers:
        for _, rows in read_rows(blocks, workers, part=part):
            assert rows.faults == {}
            columns = {name: rows.columns[name] for name in rows.columns}
            for row in range(rows.columns.rows):
                found.append(plain({name: columns[name][row] for name in columns}))
    return found


def row(key: str, one: bytes, three: bytes | None = None) -> dict[str, Any]:
    """Return a record of few bytes."""
    return {"key": key, "one": one, "two": None, "three": three}


# A key whose variants end in the block after the one that they fill.
@example([row("a", b""), row("a", b"0"), row("b", b""), row("a", b"", b"0")], 0, 2)
@settings(max_examples=20, deadline=None)
@given(ROWS, st.sampled_from([0, 3]), st.sampled_from([1, 2, 2048]))
def test_what_is_written_comes_back_by_every_way_of_reading(rows, level, block_rows):
    """Whole, in parts, by key, as views; by both readers, and without a finding."""
    before, writer.BLOCK_ROWS = writer.BLOCK_ROWS, block_rows
    try:
        data = built(records_of(STAMP, rows), level=level)
    finally:
        writer.BLOCK_ROWS = before
    bundle = Bundle(data)
    expected = {plain(row) for row in rows}

    whole = [
        plain({name: found.columns[name][row] for name in found.columns})
        for block in bundle.segments[0].blocks
        for found in [block.read()]
        for row in range(found.columns.rows)
    ]
    assert [row[0] for row in whole] == sorted(row[0] for row in whole)
    assert {block.stamp.last for block in bundle.segments[0].blocks} == {None}
    assert (len(whole), set(whole)) == (len(expected), expected)
    for part, count in ((1, 0), (1, 2), (BLOCK, 2), (PIECE, 2)):
        assert streamed(bundle, part, count) == whole
    for key in "abcdef":
        of_key = [row for row in whole if row[0] == key]
        for ask in (bundle.fetch, bundle.view):
            assert sorted(
                (plain(record.fields) for record in ask("acme/both", key)), key=repr
            ) == sorted(of_key, key=repr)
    assert list(verify(bundle)) == []
    assert difference(data) == ""
