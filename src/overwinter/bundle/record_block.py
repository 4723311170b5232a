"""
Reading one record block: its columns at once, its payloads when asked.

Layout: ``schema/FORMAT.md``, "Record block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from ..codec import Columns, Payloads
from ..environment import Environment
from ..errors import FormatError
from ..schema import Schema, read_schema
from ..schema.model import InvalidSchemaError
from ..workers import HANDED, Job, Workers
from .blocks import PayloadTable, read_record_block
from .segment import BlockStamp, KindStamp
from .unpacking import (
    Span,
    check_end,
    check_spans,
    read_payloads,
    read_span,
    read_spans,
)

if TYPE_CHECKING:
    from .segment_reader import Segment

__all__ = ["Content", "Record", "RecordBlock", "Rows"]


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


@attrs.frozen
class Record:
    """
    One record as it was written.

    Args:
        kind: Kind and version.
        environment: What it was compiled for, where somebody said.
        fields: Field to plain value; payloads are bytes, or a view of them.
    """

    kind: KindStamp
    environment: Environment | None
    fields: dict[str, Any]


class RecordBlock:
    """Records of one kind and one environment, read when asked."""

    def __init__(self, segment: "Segment", number: int, stamp: BlockStamp) -> None:
        self.segment, self.number, self.stamp = segment, number, stamp
        self.part = f"{segment.part}, record block {number}"

    @property
    def kind(self) -> KindStamp:
        """Kind and version of the records."""
        return self.segment.statement.kinds[self.stamp.kind]

    @property
    def environment(self) -> Environment | None:
        """What the records were compiled for, where somebody said."""
        number = self.stamp.environment
        return None if number is None else self.segment.statement.environments[number]

    @cached_property
    def schema(self) -> Schema | None:
        """
        The schema that the segment carries.

        ``None`` where it is in a later schema language: such a kind stays opaque,
        and its payloads stand as references.
        """
        try:
            return read_schema(self.kind.schema, self.part)
        except InvalidSchemaError:
            return None

    @property
    def payload_names(self) -> frozenset[str]:
        """The payload fields, by the schema that the segment carries."""
        return self.schema.payload_names if self.schema else frozenset()

    def read_columns(self, data: bytes | None = None) -> tuple[Columns, PayloadTable]:
        """
        Return the columns, unread, with payloads as references.

        Args:
            data: The verified bytes of the block, if somebody has read them.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
        """
        if data is None:
            data = self.segment.read_record_block(self.number)
        return read_record_block(
            data,
            self.segment.source.name,
            self.part,
            self.stamp.rows,
            self.stamp.first,
        )

    def open(self, data: bytes | None = None) -> "Content":
        """
        Return the columns, and where the payloads lie; no payload is read.

        Args:
            data: The verified bytes of the block, if somebody has read them.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
        """
        columns, table = self.read_columns(data)
        spans = {
            name: read_spans(columns, name, self.part)
            for name in sorted(self.payload_names)
            if name in columns
        }
        is_plain = self.schema is not None and check_spans(
            table, spans.values(), self.stamp.payload_size, columns.source, self.part
        )
        return Content(self, columns, table, spans, is_plain)

    def read(self) -> Rows:
        """
        Return the columns with all payloads in them, verified.

        `overwinter.bundle.streaming` gives them in parts of bounded size.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
                A damaged payload only takes its own rows along, in ``faults``.
        """
        return self.open().request(0, self.stamp.rows, Workers(0)).rows()

    def fetch(self, key: str, *, view: bool = False) -> Iterator[Record]:
        """
        Give the records of *key*; beside them nothing is decoded but the keys.

        Args:
            key: The key.
            view: Give payloads as views of where they lie, unverified.

        Raises:
            FormatError: The block, or a payload of the record, is damaged.
            InvalidSchemaError: Its schema is in a later language.
        """
        columns, table = self.read_columns()
        keys = columns["key"]
        if key not in keys:
            return
        names = read_schema(self.kind.schema, self.part).payload_names
        row = -1
        for _ in range(keys.count(key)):
            row = keys.index(key, row + 1)
            fields = {}
            for name in columns:
                if name in names:
                    span = read_span(columns, name, row, self.part)
                    fields[name] = self._payload(table, span, view)
                else:
                    fields[name] = columns.value(name, row)
            yield Record(self.kind, self.environment, fields)

    def _payload(
        self, table: PayloadTable, span: Span | None, view: bool
    ) -> bytes | memoryview | None:
        if span is None:
            return None
        ends = table.ends
        check_end(span, ends, self.segment.source.name, self.part)
        if view and span[1]:
            offset, size = span
            first, last = bisect_right(ends, offset), bisect_left(ends, offset + size)
            found = self.segment.view_payload_blocks(table, first, last)
            if found is not None:
                begin = offset - (ends[first] - table.sizes[first])
                return found[begin : begin + size]
        (payload,) = read_payloads(self.segment, table, ends, [span])
        if isinstance(payload, FormatError):
            raise payload
        return memoryview(payload) if view else payload


@attrs.frozen(eq=False)
class Content:
    """
    A record block whose columns were read, and its payloads not.

    Args:
        block: The block.
        columns: Its columns; payloads as references.
        table: The payload blocks.
        spans: Of each payload column, where the payloads lie, by row.
        is_plain: Whether there is one such column, its payloads back to back.
    """

    block: RecordBlock
    columns: Columns
    table: PayloadTable
    spans: dict[str, list[Span | None]]
    is_plain: bool

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
        for name in self.columns.keys() - self.spans.keys():
            self.columns[name]

    def payload_size(self, begin: int, end: int) -> int:
        """Return the bytes of the payloads of some rows, each row counted."""
        if end - begin == self.columns.rows:
            return self.block.stamp.payload_size
        columns = self.spans.values()
        return sum(_size(filter(None, column[begin:end])) for column in columns)

    def request(self, begin: int, end: int, workers: Workers) -> "Requested":
        """Have the payloads of the rows from *begin* to *end* read."""
        spans = self._distinct(begin, end)
        ends = self.table.ends
        jobs = [
            workers.submit(
                _size(part),
                read_payloads,
                self.block.segment,
                self.table,
                ends,
                part,
            )
            for part in _handed(spans, ends)
        ]
        return Requested(self, begin, end, spans, jobs)

    def _distinct(self, begin: int, end: int) -> Sequence[Span]:
        """Return the spans of these rows, each once, in the order of the blocks."""
        columns = self.spans.values()
        if self.is_plain:
            (column,) = columns
            return column[begin:end]  # type: ignore[return-value]  # none is null
        return sorted(
            {span for column in columns for span in column[begin:end] if span}
        )


@attrs.frozen
class Requested:
    """Rows whose payloads somebody reads at this moment."""

    content: Content
    begin: int
    end: int
    spans: Sequence[Span]
    jobs: list[Job[list[bytes | FormatError]]]

    @property
    def payload_size(self) -> int:
        """Bytes of the payloads, those that are equal once."""
        return _size(self.spans)

    def rows(self) -> Rows:
        """Wait for the payloads, and return the rows."""
        content = self.content
        read = [payload for job in self.jobs for payload in job.result()]
        faults: dict[int, FormatError] = {}
        payloads: dict[str, Payloads] = {}
        if content.is_plain and set(map(type, read)) == {bytes}:
            (name,) = content.spans
            payloads[name] = Payloads(read)
        else:
            found = dict(zip(self.spans, read, strict=True))
            for name, column in content.spans.items():
                payloads[name] = Payloads()
                for row, span in enumerate(column[self.begin : self.end]):
                    payload = None if span is None else found[span]
                    if isinstance(payload, FormatError):
                        faults[row], payload = payload, None
                    payloads[name].append(payload)
        columns = content.columns
        if (self.begin, self.end) != (0, columns.rows):
            held = columns.items_unread()
            plain = {name: held[name] for name in held if name not in payloads}
            columns = columns.replaced(plain).take(range(self.begin, self.end))
        columns = columns.replaced({**columns.items_unread(), **payloads})
        return Rows(columns, faults, content.table, self.payload_size)


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
