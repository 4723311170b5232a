"""
Reading one record block: its columns at once, its payloads when asked.

Layout: ``schema/FORMAT.md``, "Record block".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import attrs

from ..codec import Columns
from ..environment import Environment
from ..errors import FormatError
from ..schema import Schema, read_schema
from ..schema.model import InvalidSchemaError
from ..workers import Workers
from .blocks import PayloadTable, read_record_block
from .content import Content, Rows
from .contiguous import find_contiguous
from .segment import BlockStamp, KindStamp
from .unpacking import (
    Span,
    check_end,
    checked_spans,
    read_payloads,
    read_span,
)

if TYPE_CHECKING:
    from .segment_reader import Segment

__all__ = ["Record", "RecordBlock"]


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
