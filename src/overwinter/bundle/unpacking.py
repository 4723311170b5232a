"""
Unpacking: references back to payloads. `packing` is the inverse.

Layout: ``schema/FORMAT.md``, "Record block" and "Payload block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise

from ..codec import Columns, unpack
from ..errors import BlockDamagedError, FormatError, TooLargeError
from ..limits import MAX_PAYLOADS
from .blocks import PayloadTable

__all__ = ["Span", "check_spans", "read_payloads", "read_spans"]

# Where a payload lies: offset in the concatenation of its table's blocks, and size.
Span = tuple[int, int]


def read_spans(columns: Columns, name: str, part: str) -> list[Span | None]:
    """
    Return where the payloads of one column lie, by row.

    Raises:
        BlockDamagedError: The column is no map of offsets and sizes.
    """
    part = f"{part}, column {name!r}"
    plain = unpack(columns.encoded(name), columns.source, part)
    good = (
        isinstance(plain, dict)
        and plain.keys() == {"offset", "size"}
        and all(
            type(column) is list
            and len(column) == columns.rows
            and all(v is None or (type(v) is int and v >= 0) for v in column)
            for column in plain.values()
        )
        and all(
            (offset is None) == (size is None)
            for offset, size in zip(plain["offset"], plain["size"], strict=True)
        )
    )
    if not good:
        raise BlockDamagedError(
            columns.source, part, "another layout", "offset and size"
        )
    pairs = zip(plain["offset"], plain["size"], strict=True)
    return [None if offset is None else (offset, size) for offset, size in pairs]


def check_spans(
    table: PayloadTable,
    columns: Iterable[list[Span | None]],
    payload_size: int,
    source: str,
    part: str,
) -> None:
    """
    Refuse references that no writer makes, before any payload is read.

    Each is a way to make few bytes cost much: a block decompressed for nothing, or
    again and again, or payloads that are more than the bundle seems to hold.

    Args:
        table: The payload blocks that the record block lists.
        columns: The references of each payload column.
        payload_size: Bytes of all payloads, as the statement says.
        source: Name of the bundle, for errors.
        part: Name of the record block, for errors.

    Raises:
        BlockDamagedError: A payload ends behind the last block, or overlaps another,
            a block is not used, or the sum is not *payload_size*.
        TooLargeError: Different payloads are more than ``MAX_PAYLOADS`` together.
    """

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


def read_payloads(
    read_block: Callable[[int, int, bytes], bytes],
    table: PayloadTable,
    spans: list[Span | None],
    faults: dict[int, FormatError],
) -> list[bytes | None]:
    """
    Return the payloads of one column, whose references were checked.

    Args:
        read_block: Returns a verified payload block, by number, size and digest.
        table: The payload blocks that the record block lists.
        spans: Where the payloads lie, by row.
        faults: Takes the error of each row whose payload is damaged.
    """
    ends = table.ends
    # In the order of the blocks, so that each is read once; equal payloads once, so
    # that their rows share them.
    found: dict[Span, bytes | FormatError] = {}
    for span in sorted({span for span in spans if span}):
        try:
            found[span] = _payload(read_block, table, ends, *span)
        except FormatError as error:
            found[span] = error
    payloads: list[bytes | None] = []
    for row, span_or_none in enumerate(spans):
        payload = None if span_or_none is None else found[span_or_none]
        if isinstance(payload, FormatError):
            faults[row], payload = payload, None
        payloads.append(payload)
    return payloads


def _payload(
    read_block: Callable[[int, int, bytes], bytes],
    table: PayloadTable,
    ends: list[int],
    offset: int,
    size: int,
) -> bytes:
    pieces = []
    index = bisect_right(ends, offset)
    while size > 0:
        block = read_block(
            table.blocks[index], table.sizes[index], table.digests[index]
        )
        at = offset - (ends[index] - table.sizes[index])
        piece = block[at : at + size]
        pieces.append(piece)
        offset, size, index = offset + len(piece), size - len(piece), index + 1
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
