"""
What a record block holds once its columns were read: rows, their payloads asked for.

Layout: ``schema/FORMAT.md``, "Record block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING

import attrs

from ..codec import Columns, Payloads
from ..errors import FormatError
from ..workers import HANDED, Job, Workers
from .blocks import PayloadTable
from .contiguous import Contiguous
from .unpacking import Span, read_payloads

if TYPE_CHECKING:
    from .record_block import RecordBlock

__all__ = ["Content", "Requested", "Rows"]


@attrs.frozen
class Rows:
    """
    Records of one block, as columns.

    Args:
        columns: The columns, with the payloads in them.
        faults: For each row that cannot be used why; its payloads are null.
        table: The payload blocks of the whole record block.
        payload_size: Bytes of payloads that were read for these rows.
    """

    columns: Columns
    faults: dict[int, FormatError]
    table: PayloadTable
    payload_size: int


@attrs.frozen(eq=False)
class Content:
    """
    A record block whose columns were read, and its payloads not.

    Args:
        block: The block.
        columns: Its columns; payloads as references.
        table: The payload blocks.
        contiguous: The payloads, where they lie back to back; else
        apart: where they lie, by column and row.
    """

    block: "RecordBlock"
    columns: Columns
    table: PayloadTable
    contiguous: Contiguous | None
    apart: dict[str, list[Span | None]] | None

    @cached_property
    def spans(self) -> dict[str, list[Span | None]]:
        """Of each payload column, where the payloads lie, by row."""
        if self.contiguous is not None:
            return self.contiguous.spans
        assert self.apart is not None
        return self.apart

    @property
    def payload_names(self) -> list[str]:
        """The payload columns."""
        return [self.contiguous.name] if self.contiguous else [*self.spans]

    def bounds(self, limit: int) -> Iterator[tuple[int, int]]:
        """
        Cut the rows into parts: first row, and first behind.

        Args:
            limit: Bytes of payloads from which on a part ends, where the next row
                begins another payload block: as a rule no block is read for two parts.
        """
        rows = self.columns.rows
        if self.block.stamp.payload_size <= limit:
            yield 0, rows
            return
        ends = self.table.ends
        begin = size = 0
        used = -1
        for row, spans in enumerate(zip(*self.spans.values(), strict=True)):
            present = [span for span in spans if span and span[1]]
            first = min((bisect_right(ends, at) for at, _ in present), default=used + 1)
            # Payloads of blocks before this one stand last in the table: where a row
            # uses one of them, no row behind it begins another block.
            if size >= limit and (first > used or size >= 4 * limit):
                yield begin, row
                begin, size = row, 0
            for offset, length in present:
                size += length
                used = max(used, bisect_left(ends, offset + length))
        yield begin, rows

    def decode(self) -> None:
        """
        Decode every column: rows that are taken apart need all of them.

        Raises:
            DamagedError: A column is no list of as many values as there are rows.
        """
        for name in self.columns.keys() - set(self.payload_names):
            self.columns[name]

    def prove(self) -> None:
        """
        Prove of every column what `decode` asks, and keep none.

        Raises:
            DamagedError: A column is no list of as many values as there are rows.
        """
        for name in self.columns.keys() - set(self.payload_names):
            self.columns.prove(name)

    def payload_size(self, begin: int, end: int) -> int:
        """Return the bytes of the payloads of some rows, each row counted."""
        if self.contiguous is not None:
            return self.contiguous.begin(end) - self.contiguous.begin(begin)
        columns = self.spans.values()
        return sum(_size(filter(None, column[begin:end])) for column in columns)

    def request(self, begin: int, end: int, workers: Workers) -> "Requested":
        """Have the payloads of the rows from *begin* to *end* read."""
        segment, contiguous = self.block.segment, self.contiguous
        if contiguous is not None:
            size = self.payload_size(begin, end)
            jobs = [
                workers.submit(
                    self.payload_size(*part), contiguous.read, segment, *part
                )
                for part in contiguous.cut(begin, end, HANDED)
            ]
            return Requested(self, begin, end, None, size, jobs)
        columns = self.spans.values()
        # Each once, in the order of the blocks.
        spans = sorted(
            {span for column in columns for span in column[begin:end] if span}
        )
        ends = self.table.ends
        jobs = [
            workers.submit(_size(part), read_payloads, segment, self.table, ends, part)
            for part in _handed(spans, ends)
        ]
        return Requested(self, begin, end, spans, _size(spans), jobs)


@attrs.frozen
class Requested:
    """
    Rows whose payloads somebody reads at this moment.

    Args:
        content: The record block.
        begin: The first row.
        end: The first behind.
        spans: Where their payloads lie; ``None`` where that is as many as rows.
        payload_size: Bytes of the payloads, those that are equal once.
        jobs: Give the payloads in this order.
    """

    content: Content
    begin: int
    end: int
    spans: Sequence[Span] | None
    payload_size: int
    jobs: list[Job[list[bytes | FormatError]]]

    def rows(self) -> Rows:
        """Wait for the payloads, and return the rows."""
        content = self.content
        read = [payload for job in self.jobs for payload in job.result()]
        payloads, faults = self._whole(read) or self._apart(read)
        columns = content.columns
        if (self.begin, self.end) != (0, columns.rows):
            held = columns.items_unread()
            plain = {name: held[name] for name in held if name not in payloads}
            columns = columns.replaced(plain).take(range(self.begin, self.end))
        columns = columns.replaced({**columns.items_unread(), **payloads})
        return Rows(columns, faults, content.table, self.payload_size)

    def _whole(
        self, read: list[bytes | FormatError]
    ) -> tuple[dict[str, Payloads], dict[int, FormatError]] | None:
        """Return what was read as the one column, where none of it is damaged."""
        contiguous = self.content.contiguous
        if contiguous is None or set(map(type, read)) != {bytes}:
            return None
        return {contiguous.name: Payloads(read)}, {}

    def _apart(
        self, read: list[bytes | FormatError]
    ) -> tuple[dict[str, Payloads], dict[int, FormatError]]:
        faults: dict[int, FormatError] = {}
        payloads: dict[str, Payloads] = {}
        columns = {
            name: column[self.begin : self.end]
            for name, column in self.content.spans.items()
        }
        spans: Iterable[Span | None] | None = self.spans
        if spans is None:  # contiguous: one column, each of its own
            (spans,) = columns.values()
        found = dict(zip(spans, read, strict=True))
        for name, column in columns.items():
            payloads[name] = Payloads()
            for row, span in enumerate(column):
                payload = None if span is None else found[span]
                if isinstance(payload, FormatError):
                    faults[row], payload = payload, None
                payloads[name].append(payload)
        return payloads, faults


def _size(spans: Iterable[Span]) -> int:
    return sum(map(itemgetter(1), spans))


def _handed(spans: Sequence[Span], ends: list[int]) -> Iterator[Sequence[Span]]:
    """Cut *spans* into what one worker reads: no block is read by two."""
    begin = at = 0
    while begin < len(spans):
        offset = spans[begin][0]
        at = max(at, bisect_left(ends, offset + HANDED))
        while at < len(ends):
            end = bisect_left(spans, (ends[at], 0))
            if end == len(spans) or (end > begin and sum(spans[end - 1]) <= ends[at]):
                break
            at += 1
        else:
            end = len(spans)
        yield spans[begin:end]
        begin, at = end, at + 1
