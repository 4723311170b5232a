"""
Merging: the records of many blocks in the order of their keys.

A block is opened when its first key is reached, so that only those are in memory
whose ranges of keys overlap.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from ..codec import Columns, Payloads
from ..errors import FormatError
from .content import Content
from .record_block import RecordBlock
from .statement import KindStamp
from .unpacking import Span, read_payloads

__all__ = ["Row", "merge", "read_payloads_of"]


@attrs.frozen(eq=False)
class Row:
    """One record of an opened block; its payloads are read when asked."""

    content: Content
    number: int

    @property
    def kind(self) -> KindStamp:
        """Kind and version of the record."""
        return self.content.block.kind

    @property
    def payload_size(self) -> int:
        """Bytes of its payloads."""
        spans = (column[self.number] for column in self.content.spans.values())
        return sum(span[1] for span in spans if span)

    def read(self) -> Columns:
        """
        Return the record as columns of one row.

        Raises:
            FormatError: A payload is damaged.
        """
        found = read_payloads_of(self.content, [self.number])
        held = self.content.columns
        columns: dict[str, list[object] | bytes] = {}
        for name in held:
            if name not in self.content.spans:
                columns[name] = [held[name][self.number]]
                continue
            span = self.content.spans[name][self.number]
            payload = None if span is None else found[span]
            if isinstance(payload, FormatError):
                raise payload
            columns[name] = Payloads([payload])
        return Columns(1, columns, held.source)


def merge(
    blocks: Iterable[RecordBlock],
    *,
    damaged: Callable[[FormatError], None],
    advance: Callable[[int], None],
) -> Iterator[tuple[str, Row]]:
    """
    Give the records of *blocks* with their keys, sorted by these.

    Args:
        blocks: The blocks, in any order.
        damaged: Takes the error of each block that cannot be read.
        advance: Told of the bytes of each block that is opened, and of the payloads
            of each record that is given.
    """
    waiting = sorted(blocks, key=lambda block: block.stamp.first, reverse=True)
    heap: list[tuple[str, int, int, Iterator[tuple[str, Row]], Row]] = []
    opened = 0

    def push(rows: Iterator[tuple[str, Row]], order: int) -> None:
        for key, row in rows:
            heapq.heappush(heap, (key, order, row.number, rows, row))
            return

    while heap or waiting:
        while waiting and (not heap or waiting[-1].stamp.first <= heap[0][0]):
            opened += 1
            block = waiting.pop()
            advance(block.stamp.size)
            push(_rows(block, damaged), opened)
        if heap:
            key, order, _, rows, row = heapq.heappop(heap)
            advance(row.payload_size)
            yield key, row
            push(rows, order)


def read_payloads_of(
    content: Content, rows: Sequence[int]
) -> dict[Span, bytes | FormatError]:
    """Return the payloads of some rows by where they lie, or their errors."""
    columns = content.spans.values()
    spans = sorted({span for column in columns for r in rows if (span := column[r])})
    segment, table = content.block.segment, content.table
    return dict(
        zip(spans, read_payloads(segment, table, table.ends, spans), strict=True)
    )


def _rows(
    block: RecordBlock, damaged: Callable[[FormatError], None]
) -> Iterator[tuple[str, Row]]:
    try:
        content = block.open()
        content.decode()  # now, while the block can be named
        keys = content.columns["key"]
    except FormatError as error:
        damaged(error)
        return
    # They are sorted already; were they not, no key may get lost all the same.
    for number in sorted(range(len(keys)), key=keys.__getitem__):
        yield keys[number], Row(content, number)
