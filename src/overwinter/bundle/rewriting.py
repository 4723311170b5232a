"""
Rewriting: a segment again, with some of its record blocks in the place of others.

What is not changed is carried as it is stored: payload blocks are neither
decompressed nor hashed, and a record block that stays keeps its bytes and its stamp.
Layout: ``schema/FORMAT.md``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import attrs

from ..codec import Columns, pack
from ..errors import DamagedError, FormatError
from ..files import Source, write_all
from ..trust import SigningKey
from .blocks import (
    PayloadTable,
    Placement,
    compress,
    digest_of,
    write_record_block,
)
from .reader import RecordBlock, Segment
from .segment import BlockStamp, Foot, KindStamp, Statement, write_words
from .unpacking import Span, check_spans, read_spans

__all__ = [
    "Kept",
    "Made",
    "Unread",
    "copy_bytes",
    "read_unread",
    "reason_to_keep",
    "rewrite_segment",
]

_COPY = 4 * 2**20  # bytes that are carried at once


@attrs.frozen
class Unread:
    """Records of one block whose payloads are where they were: their spans."""

    columns: Columns
    table: PayloadTable


@attrs.frozen
class Kept:
    """A record block that stays as it is."""

    block: RecordBlock


@attrs.frozen
class Made:
    """
    Records in the place of some.

    Args:
        stamp: Their kind and version.
        records: The records; payload columns hold spans, ``None``, or empty bytes.
        payload_names: The fields that are payloads.
        environment: Number of their environment in the segment.
    """

    stamp: KindStamp
    records: Unread
    payload_names: frozenset[str]
    environment: int | None


def reason_to_keep(segment: Segment) -> str:
    """Return why a segment cannot be taken apart without loss, or nothing."""
    if not segment.is_as_written:
        return "its statement says more than this release knows"
    try:
        return segment.untiled()
    except FormatError as error:
        return str(error)


def read_unread(block: RecordBlock) -> Unread | None:
    """
    Return the records of a block, with the spans of their payloads.

    Returns:
        ``None`` where the block holds more than this release knows.

    Raises:
        FormatError: The block is damaged.
    """
    columns, table = block.read_columns()
    if write_record_block(columns, table) != block.segment.read_record_block(
        block.number
    ):
        return None
    spans: dict[str, Any] = {
        name: read_spans(columns, name, block.part)
        for name in sorted(block.payload_names)
        if name in columns
    }
    size = block.stamp.payload_size
    check_spans(table, spans.values(), size, columns.source, block.part)
    whole = {**columns.items_unread(), **spans}
    unseen = frozenset(spans)
    return Unread(Columns(columns.rows, whole, columns.source, unseen=unseen), table)


def rewrite_segment(
    file: IO[bytes],
    segment: Segment,
    blocks: Sequence[Kept | Made],
    *,
    key: SigningKey | None,
    level: int,
) -> Foot:
    """
    Write *segment* with *blocks* as its record blocks; return its foot.

    Args:
        file: Open for writing.
        segment: What `reason_to_keep` has nothing against.
        blocks: What becomes of its record blocks, in any order.
        key: Signs the new segment.
        level: zstd level of what is made, 0 to store.
    """
    return _Rewriter(file, segment, level).write(blocks, key)


def copy_bytes(file: IO[bytes], source: Source, offset: int, size: int) -> None:
    """Write *size* bytes of *source*, from *offset*, to *file*."""
    end = offset + size
    while offset < end:
        data = source.read(offset, min(_COPY, end - offset))
        if not data:
            found = f"an end at {offset:,}"
            raise DamagedError(source.name, "a segment", found, f"{end:,} bytes")
        write_all(file, [data])
        offset += len(data)


class _Rewriter:
    def __init__(self, file: IO[bytes], segment: Segment, level: int) -> None:
        self.file, self.segment, self.level = file, segment, level
        self.position = 0
        self.written: list[tuple[KindStamp, BlockStamp, Placement]] = []

    def write(self, blocks: Sequence[Kept | Made], key: SigningKey | None) -> Foot:
        segment = self.segment
        made = {
            index: _packed(block)
            for index, block in enumerate(blocks)
            if isinstance(block, Made)
        }
        numbers = self.numbers(blocks, [table for _, table, _ in made.values()])
        for index, block in enumerate(blocks):
            if isinstance(block, Kept):
                self.keep(block.block, numbers)
            else:
                columns, table, payload_size = made[index]
                data = write_record_block(columns, _renumbered(table, numbers))
                self.store(block.stamp, block.environment, columns, data, payload_size)
        payloads = [self.carry(self.record_blocks + number) for number in numbers]
        return self.finish(payloads, segment.statement, key)

    @property
    def record_blocks(self) -> int:
        return len(self.segment.statement.blocks)

    def numbers(
        self, blocks: Iterable[Kept | Made], tables: Iterable[PayloadTable]
    ) -> Mapping[int, int]:
        """Return the old number of each payload block that stays, to its new one."""
        everything = range(self.segment.statement.payload_blocks)
        used = {number for table in tables for number in table.blocks}
        for block in blocks:
            if isinstance(block, Kept):
                try:
                    used.update(block.block.read_columns()[1].blocks)
                except FormatError:
                    # What it uses is lost with it: keep everything.
                    used.update(everything)
        stay = sorted(used.intersection(everything))
        return {old: new for new, old in enumerate(stay)}

    def keep(self, block: RecordBlock, numbers: Mapping[int, int]) -> None:
        stamp = block.stamp
        if all(old == new for old, new in numbers.items()):
            self.written.append((block.kind, stamp, self.carry(block.number)))
            return
        # Payload blocks before its own are gone: only its table is written again.
        columns, table = block.read_columns()
        data = write_record_block(columns, _renumbered(table, numbers))
        self.store(block.kind, stamp.environment, columns, data, stamp.payload_size)

    def carry(self, index: int) -> Placement:
        """Copy a stored block as it is."""
        placement = self.segment.placements[index]
        begin = self.segment.entry.offset + placement.offset
        copy_bytes(self.file, self.segment.source, begin, placement.stored_size)
        moved = attrs.evolve(placement, offset=self.position)
        self.position += placement.stored_size
        return moved

    def store(
        self,
        kind: KindStamp,
        environment: int | None,
        columns: Columns,
        data: bytes,
        payload_size: int,
    ) -> None:
        stored, codec = compress(data, self.level)
        placement = Placement(self.position, len(stored), codec)
        self.position += write_all(self.file, [stored])
        stamp = BlockStamp(
            kind=0,
            environment=environment,
            first=columns["key"][0],
            rows=columns.rows,
            size=len(data),
            digest=digest_of(data),
            payload_size=payload_size,
        )
        self.written.append((kind, stamp, placement))

    def finish(
        self, payloads: list[Placement], old: Statement, key: SigningKey | None
    ) -> Foot:
        kinds: list[KindStamp] = []
        for kind, _, _ in sorted(self.written, key=_kind_order):
            if kind not in kinds:
                kinds.append(kind)
        numbered = [
            (attrs.evolve(stamp, kind=kinds.index(kind)), placement)
            for kind, stamp, placement in self.written
        ]
        numbered.sort(key=_block_order)
        placements = [*(placement for _, placement in numbered), *payloads]
        blocks = tuple(stamp for stamp, _ in numbered)
        statement = Statement(tuple(kinds), old.environments, blocks, len(payloads))
        return write_words(self.file, self.position, placements, statement, key)


def _kind_order(
    written: tuple[KindStamp, BlockStamp, Placement],
) -> tuple[str, int, bytes]:
    kind = written[0]
    return kind.kind, kind.version, kind.fingerprint


def _block_order(numbered: tuple[BlockStamp, Placement]) -> tuple[int, int, str, bytes]:
    stamp = numbered[0]
    environment = -1 if stamp.environment is None else stamp.environment
    return stamp.kind, environment, stamp.first, stamp.digest


def _packed(block: Made) -> tuple[Columns, PayloadTable, int]:
    """Return columns with references, their table, and the size of the payloads."""
    columns, table = block.records.columns, block.records.table
    ends = table.ends
    spans: dict[str, list[Span | None]] = {
        # Where there is nothing to store, it lies nowhere.
        name: [(0, 0) if value == b"" else value for value in columns[name]]
        for name in sorted(block.payload_names)
    }
    used: set[int] = set()
    for column in spans.values():
        for span in column:
            if span and span[1]:
                last = bisect_left(ends, span[0] + span[1])
                used.update(range(bisect_right(ends, span[0]), last + 1))
    stay = [index for index in range(len(ends)) if index in used]
    # How many bytes before each block are gone.
    gone, missing = {}, 0
    for index, size in enumerate(table.sizes):
        gone[index] = missing
        missing += 0 if index in used else size
    references, payload_size = {}, 0
    for name, column in spans.items():
        offsets: list[int | None] = []
        for span in column:
            if span is None:
                offsets.append(None)
            else:
                first = bisect_right(ends, span[0])
                offsets.append(span[0] - gone[first] if span[1] else 0)
                payload_size += span[1]
        sizes = [None if span is None else span[1] for span in column]
        references[name] = pack({"offset": offsets, "size": sizes})
    rest = {
        name: column
        for name, column in columns.items_unread().items()
        if name not in columns.unseen and name not in references
    }
    kept = PayloadTable(
        tuple(table.blocks[index] for index in stay),
        tuple(table.sizes[index] for index in stay),
        tuple(table.digests[index] for index in stay),
    )
    return Columns(columns.rows, {**rest, **references}), kept, payload_size


def _renumbered(table: PayloadTable, numbers: Mapping[int, int]) -> PayloadTable:
    return attrs.evolve(table, blocks=tuple(numbers[each] for each in table.blocks))
