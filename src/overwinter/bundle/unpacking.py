"""
Unpacking: references back to payloads. `packing` is the inverse.

Layout: ``schema/FORMAT.md``, "Record block" and "Payload block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Protocol

from ..codec import Columns, unpack_flat
from ..errors import BlockDamagedError, FormatError, TooLargeError
from ..limits import MAX_PAYLOADS
from .blocks import PayloadTable

__all__ = [
    "PayloadBlocks",
    "Span",
    "check_end",
    "checked_spans",
    "read_blocks",
    "read_payloads",
    "read_places",
    "read_spans",
    "read_spans_of",
]

# Where a payload lies: offset in the concatenation of its table's blocks, and size.
Span = tuple[int, int]


def read_spans(columns: Columns, name: str, part: str) -> list[Span | None]:
    """
    Return where the payloads of one column lie, by row.

    Raises:
        BlockDamagedError: The column is no map of offsets and sizes.
    """
    offsets, sizes = read_places(columns, name, part)
    return _spans(offsets, sizes, columns.source, f"{part}, column {name!r}")


def read_spans_of(
    columns: Columns, name: str, rows: Sequence[int], part: str
) -> list[Span | None]:
    """
    Return where the payloads of some rows lie; of the others nothing is asked.

    Raises:
        BlockDamagedError: The column is no map of offsets and sizes.
    """
    offsets, sizes = read_places(columns, name, part)
    return _spans(
        [offsets[row] for row in rows],
        [sizes[row] for row in rows],
        columns.source,
        f"{part}, column {name!r}",
    )


def read_places(columns: Columns, name: str, part: str) -> tuple[list[Any], list[Any]]:
    """
    Return the offsets and the sizes of one column, of whatever type.

    Raises:
        BlockDamagedError: The column is no map of two such lists.
    """
    part = f"{part}, column {name!r}"
    encoded = columns.encoded(name)
    plain = unpack_flat(encoded, columns.source, part, lists=2, maps=1)
    if (
        not isinstance(plain, dict)
        or plain.keys() != {"offset", "size"}
        or any(type(each) is not list for each in plain.values())
        or any(len(each) != columns.rows for each in plain.values())
    ):
        raise _no_spans(columns.source, part)
    return plain["offset"], plain["size"]


def _spans(
    offsets: list[Any], sizes: list[Any], source: str, part: str
) -> list[Span | None]:
    pairs = list(zip(offsets, sizes, strict=True))
    kinds = set(map(type, offsets)) | set(map(type, sizes))
    if kinds == {int} and min(offsets) >= 0 and min(sizes) >= 0:
        return list[Span | None](pairs)
    spans: list[Span | None] = []
    for offset, size in pairs:
        if offset is None and size is None:
            spans.append(None)
        elif type(offset) is type(size) is int and offset >= 0 and size >= 0:
            spans.append((offset, size))
        else:
            raise _no_spans(source, part)
    return spans


def _no_spans(source: str, part: str) -> BlockDamagedError:
    return BlockDamagedError(source, part, "another layout", "offset and size")


def checked_spans(
    columns: Columns,
    names: Iterable[str],
    table: PayloadTable,
    payload_size: int,
    part: str,
) -> dict[str, list[Span | None]]:
    """
    Return where the payloads of a record block lie, by column and row.

    References that no writer makes are refused before any payload is read. Each is a
    way to make few bytes cost much: a block decompressed for nothing, or again and
    again, or payloads that are more than the bundle seems to hold.

    Args:
        columns: The record block.
        names: Its payload columns.
        table: The payload blocks that it lists.
        payload_size: Bytes of all payloads, as the statement says.
        part: Name of the record block, for errors.

    Raises:
        BlockDamagedError: A column is no map of offsets and sizes, a payload ends
            behind the last block or overlaps another, a block is not used, or the
            sum is not *payload_size*.
        TooLargeError: Different payloads are more than ``MAX_PAYLOADS`` together.
    """
    spans = {name: read_spans(columns, name, part) for name in names}
    _check_spans(table, spans.values(), payload_size, columns.source, part)
    return spans


def _check_spans(
    table: PayloadTable,
    columns: Iterable[list[Span | None]],
    payload_size: int,
    source: str,
    part: str,
) -> None:
    def damaged(found: str, expected: str) -> BlockDamagedError:
        return BlockDamagedError(source, part, found, expected)

    ends = table.ends
    end = ends[-1] if ends else 0
    used: set[int] = set()
    total = distinct_total = 0
    for column in columns:
        total += sum(span[1] for span in column if span)
        spans = sorted({span for span in column if span and span[1]})
        distinct_total += sum(size for _, size in spans)
        for offset, size in spans:
            if offset + size > end:
                raise damaged(f"a payload that ends at {offset + size:,}", f"≤ {end:,}")
        for (offset, size), (after, _) in pairwise(spans):
            if offset + size > after:
                raise damaged(f"payloads that overlap at {after:,}", "them apart")
        for offset, size in spans:
            last = bisect_left(ends, offset + size)
            used.update(range(bisect_right(ends, offset), last + 1))
    if distinct_total > MAX_PAYLOADS:
        raise TooLargeError(source, f"{part}, payloads", distinct_total, MAX_PAYLOADS)
    if len(used) != len(ends):
        unused = len(ends) - len(used)
        raise damaged(f"{unused} payload blocks that no record uses", "none")
    if total != payload_size:
        raise damaged(f"{total:,} bytes of payloads", f"{payload_size:,}")


def check_end(span: Span, ends: list[int], source: str, part: str) -> None:
    """Refuse a payload behind the last block or too large, as `checked_spans` does."""
    end = ends[-1] if ends else 0
    if span[1] and sum(span) > end:
        found = f"a payload that ends at {sum(span):,}"
        raise BlockDamagedError(source, part, found, f"≤ {end:,}")
    if span[1] > MAX_PAYLOADS:
        raise TooLargeError(source, f"{part}, payload", span[1], MAX_PAYLOADS)


class PayloadBlocks(Protocol):
    """The payload blocks of a segment, verified as they are read."""

    def read_payload_blocks(self, table: PayloadTable, first: int, last: int) -> bytes:
        """Return the bytes from block *first* of *table* to *last*, that one too."""
        ...


def read_payloads(
    segment: PayloadBlocks, table: PayloadTable, ends: list[int], spans: Iterable[Span]
) -> list[bytes | FormatError]:
    """
    Return the payloads at *spans*, or for each that is damaged its error.

    Args:
        segment: Where the payload blocks are.
        table: The payload blocks that the record block lists.
        ends: Where each of them ends, in bytes from the start of the first.
        spans: Where the payloads lie, sorted: each block is read once.
    """
    found: list[bytes | FormatError] = []
    at, begin, end = -1, 0, 0
    block: bytes | FormatError = b""
    for offset, size in spans:
        if not size:
            found.append(b"")
            continue
        if not begin <= offset < end:
            at = bisect_right(ends, offset)
            begin, end = ends[at] - table.sizes[at], ends[at]
            if offset + size <= end:
                block = read_blocks(segment, table, at, at)
        if offset + size <= end:
            if isinstance(block, bytes):
                found.append(block[offset - begin : offset - begin + size])
            else:
                found.append(block)
            continue
        # In pieces: read as one, so that nothing is joined where it is whole blocks.
        last = bisect_left(ends, offset + size)
        whole = read_blocks(segment, table, at, last)
        if isinstance(whole, bytes):
            whole = whole[offset - begin : offset - begin + size]
        found.append(whole)
        # The next may begin in the last of them.
        begin = end = 0
    return found


def read_blocks(
    segment: PayloadBlocks, table: PayloadTable, first: int, last: int
) -> bytes | FormatError:
    """Return the bytes of some blocks, the *last* too, or why they cannot be had."""
    try:
        return segment.read_payload_blocks(table, first, last)
    except FormatError as error:
        return error
