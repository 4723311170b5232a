"""
Reading one record block: its columns at once, its payloads when asked.

Layout: ``schema/FORMAT.md``, "Record block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import attrs

from ..codec import Columns
from ..environment import Environment
from ..errors import FormatError
from ..schema import Schema, read_schema
from ..workers import Workers
from .blocks import PayloadTable, read_record_block
from .content import Content, Rows
from .contiguous import find_contiguous
from .statement import BlockStamp, KindStamp
from .unpacking import (
    Span,
    check_end,
    checked_spans,
    read_payloads,
    read_spans_of,
)

if TYPE_CHECKING:
    from .segment_reader import Segment

__all__ = ["Record", "RecordBlock"]

# Records of one key that are picked out of their columns, each by a walk up to it.
_FEW = 8


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

    @property
    def schema(self) -> Schema | None:
        """
        The schema that the segment carries.

        ``None`` where it is in a later schema language, or none at all: such a kind
        stays opaque, and its payloads stand as references.
        """
        return self.segment.schema_of(self.stamp.kind)

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
            self._is_flat,
        )

    def _is_flat(self, name: str) -> bool:
        """Return whether a column may hold no lists and no maps."""
        return self.schema is not None and name in self.schema.flat_names

    def open(self, data: bytes | None = None) -> Content:
        """
        Return the columns, and where the payloads lie; no payload is read.

        Args:
            data: The verified bytes of the block, if somebody has read them.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
        """
        columns, table = self.read_columns(data)
        if self.schema is None:
            return Content(self, columns, table, None, {})
        names = sorted(self.payload_names & columns.keys())
        size = self.stamp.payload_size
        contiguous = find_contiguous(columns, names, table, size, self.part)
        if contiguous is not None:
            return Content(self, columns, table, contiguous, None)
        spans = checked_spans(columns, names, table, size, self.part)
        return Content(self, columns, table, None, spans)

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
        # Read again where it was none, so that the error says why.
        schema = self.schema or read_schema(self.kind.plain_schema, self.part)
        names = schema.payload_names
        rows = [keys.index(key)]
        for _ in range(keys.count(key) - 1):
            rows.append(keys.index(key, rows[-1] + 1))
        fields = {
            name: self._payloads(columns, name, rows, table, view)
            if name in names
            else self._values(columns, name, rows)
            for name in columns
        }
        for values in zip(*fields.values(), strict=True):
            record = dict(zip(fields, values, strict=True))
            yield Record(self.kind, self.environment, record)

    @staticmethod
    def _values(columns: Columns, name: str, rows: list[int]) -> list[Any]:
        if len(rows) <= _FEW:
            return [columns.value(name, row) for row in rows]
        return [columns[name][row] for row in rows]

    def _payloads(
        self,
        columns: Columns,
        name: str,
        rows: list[int],
        table: PayloadTable,
        view: bool,
    ) -> list[bytes | memoryview | None]:
        """Return the payloads of some rows of one column; no block is read twice."""
        found: dict[Span, bytes | memoryview] = {}
        spans = read_spans_of(columns, name, rows, self.part)
        distinct = {span for span in spans if span is not None}
        for span in distinct:
            check_end(span, table.ends, self.segment.source.name, self.part)
            if view and (seen := self._viewed(table, span)) is not None:
                found[span] = seen
        unread = sorted(distinct - found.keys())
        read = read_payloads(self.segment, table, table.ends, unread)
        for span, payload in zip(unread, read, strict=True):
            if isinstance(payload, FormatError):
                raise payload
            found[span] = memoryview(payload) if view else payload
        return [None if span is None else found[span] for span in spans]

    def _viewed(self, table: PayloadTable, span: Span) -> memoryview | None:
        """Return a payload where it lies, or ``None`` where that is not possible."""
        (offset, size), ends = span, table.ends
        if not size:
            return None
        first, last = bisect_right(ends, offset), bisect_left(ends, offset + size)
        found = self.segment.view_payload_blocks(table, first, last)
        begin = offset - (ends[first] - table.sizes[first])
        return None if found is None else found[begin : begin + size]
