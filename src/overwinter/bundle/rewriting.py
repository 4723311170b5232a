"""
Rewriting: a segment again, with some of its record blocks in the place of others.

What is not changed is carried as it is stored: payload blocks are neither
decompressed nor hashed, and a record block that stays keeps its bytes and its stamp.
Layout: ``schema/FORMAT.md``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import IO

import attrs

from ..codec import Columns, Payloads, Reference, UnreadPayloadError, pack
from ..errors import BlockDamagedError, DamagedError, FormatError, WrongShapeError
from ..files import write_all
from ..sources import Source
from ..trust import SigningKey
from .blocks import PayloadTable, Placement, seal, write_record_block
from .contiguous import find_contiguous
from .foot import Foot
from .reader import RecordBlock, Segment
from .segment_writer import Written, write_end
from .statement import KindStamp
from .unpacking import checked_spans
from .writer import RECORD_FIELDS

__all__ = [
    "Kept",
    "Made",
    "Unread",
    "copy_bytes",
    "make_blocks",
    "read_unread",
    "reason_to_keep",
    "rewrite_segment",
]

_COPY = 4 * 2**20  # bytes that are carried at once


@attrs.frozen
class Unread:
    """Records of one block whose payloads are where they were: references."""

    columns: Columns
    table: PayloadTable


@attrs.frozen
class Kept:
    """A record block that stays as it is."""

    block: RecordBlock


@attrs.frozen
class Made:
    """
    A record block in the place of one, encoded but for its table's numbers.

    Args:
        stamp: Kind and version of its records.
        environment: Number of their environment in the segment.
        columns: The columns, encoded.
        table: The payload blocks that they use, by their old numbers.
        first: Key of the first record.
        last: Key of the last.
        payload_size: Bytes of the payloads, each row counted.
    """

    stamp: KindStamp
    environment: int | None
    columns: Columns
    table: PayloadTable
    first: str
    last: str
    payload_size: int


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
    Return the records of a block, with references for their payloads.

    Returns:
        ``None`` where the block holds more than this release knows.

    Raises:
        FormatError: The block is damaged.
    """
    columns, table = block.read_columns()
    if not _is_as_written(block, columns, table):
        return None
    missing = sorted(block.payload_names - columns.keys())
    total = block.segment.statement.payload_blocks
    if missing or any(number >= total for number in table.blocks):
        found = f"no column {missing[0]!r}" if missing else f"blocks {table.blocks}"
        expected = "each payload column" if missing else f"numbers below {total}"
        raise BlockDamagedError(columns.source, block.part, found, expected)
    names, size = sorted(block.payload_names), block.stamp.payload_size
    contiguous = find_contiguous(columns, names, table, size, block.part)
    if contiguous is not None:
        spans = contiguous.spans
    else:
        spans = checked_spans(columns, names, table, size, block.part)
    references = {
        name: Payloads(None if span is None else Reference(*span) for span in column)
        for name, column in spans.items()
    }
    return Unread(columns.replaced({**columns.items_unread(), **references}), table)


def make_blocks(
    stamp: KindStamp,
    environment: int | None,
    records: Unread,
    payload_names: frozenset[str],
) -> list[Made]:
    """
    Return *records* as blocks that readers accept.

    Args:
        stamp: Their kind and version.
        environment: Number of their environment in the segment.
        records: The records; what was added as a payload is null or empty.
        payload_names: The fields that are payloads.

    Raises:
        UnreadPayloadError: A payload was made, and there is nowhere to store it.
        ValueError: A value cannot be written.
        WrongShapeError: One record is larger than readers accept.
    """
    columns = records.columns
    encoded = {n: columns.encoded(n) for n in columns if n not in payload_names}
    size = sum(map(len, encoded.values()))
    if size > RECORD_FIELDS:
        key = columns["key"][0]
        if columns.rows == 1:
            fault = f"{key!a:.80}: expected at most {RECORD_FIELDS:,} bytes of fields"
            raise WrongShapeError(columns.source, (f"{fault}, got {size:,}",))
        middle = columns.rows // 2
        return [
            made
            for rows in (range(middle), range(middle, columns.rows))
            for made in make_blocks(
                stamp,
                environment,
                Unread(columns.take(rows), records.table),
                payload_names,
            )
        ]
    references, table, payload_size = _references(columns, payload_names, records.table)
    whole = Columns(columns.rows, {**encoded, **references}, columns.source)
    first, last = columns["key"][0], columns["key"][-1]
    return [Made(stamp, environment, whole, table, first, last, payload_size)]


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
        self.written: list[Written] = []

    def write(self, blocks: Sequence[Kept | Made], key: SigningKey | None) -> Foot:
        numbers = self.numbers(blocks)
        for block in blocks:
            if isinstance(block, Kept):
                self.keep(block.block, numbers)
            else:
                table = _renumbered(block.table, numbers)
                data = write_record_block(block.columns, table)
                self.store(
                    block.stamp,
                    block.environment,
                    block.first,
                    block.last,
                    block.columns.rows,
                    data,
                    block.payload_size,
                )
        payloads = [self.carry(self.record_blocks + number) for number in numbers]
        return write_end(self.file, self.position, self.written, payloads, key)

    @property
    def record_blocks(self) -> int:
        return len(self.segment.statement.blocks)

    def numbers(self, blocks: Iterable[Kept | Made]) -> Mapping[int, int]:
        """Return the old number of each payload block that stays, to its new one."""
        everything = range(self.segment.statement.payload_blocks)
        used: set[int] = set()
        for block in blocks:
            if isinstance(block, Made):
                used.update(block.table.blocks)
                continue
            try:
                columns, table = block.block.read_columns()
                is_known = _is_as_written(block.block, columns, table) and all(
                    number in everything for number in table.blocks
                )
            except FormatError:
                is_known = False
            # What it uses is lost with it, or cannot be written with other numbers.
            used.update(table.blocks if is_known else everything)
        stay = sorted(used.intersection(everything))
        return {old: new for new, old in enumerate(stay)}

    def keep(self, block: RecordBlock, numbers: Mapping[int, int]) -> None:
        stamp = block.stamp
        if all(old == new for old, new in numbers.items()):
            self.written.append(
                Written(
                    block.kind,
                    block.environment,
                    stamp.first,
                    _last(block),
                    stamp.rows,
                    stamp.size,
                    stamp.digest,
                    stamp.payload_size,
                    self.carry(block.number),
                )
            )
            return
        # Payload blocks before its own are gone: only its table is written again.
        columns, table = block.read_columns()
        data = write_record_block(columns, _renumbered(table, numbers))
        self.store(
            block.kind,
            stamp.environment,
            stamp.first,
            _last(block),
            stamp.rows,
            data,
            stamp.payload_size,
        )

    def carry(self, index: int) -> Placement:
        """Copy a stored block as it is."""
        placement = self.segment.placement(index)
        begin = self.segment.entry.offset + placement.offset
        copy_bytes(self.file, self.segment.source, begin, placement.stored_size)
        moved = attrs.evolve(placement, offset=self.position)
        self.position += placement.stored_size
        return moved

    def store(
        self,
        kind: KindStamp,
        environment: int | None,
        first: str,
        last: str | None,
        rows: int,
        data: bytes,
        payload_size: int,
    ) -> None:
        ((digest, stored, codec),) = seal([[data]], self.level)
        size = sum(map(len, stored))
        placement = Placement(self.position, size, codec)
        self.position += write_all(self.file, stored)
        environments = self.segment.statement.environments
        self.written.append(
            Written(
                kind,
                None if environment is None else environments[environment],
                first,
                last,
                rows,
                len(data),
                digest,
                payload_size,
                placement,
            )
        )


def _last(block: RecordBlock) -> str | None:
    """Return the last key of a block, or ``None`` where it is damaged."""
    if block.stamp.last is not None:
        return block.stamp.last
    try:
        last = block.read_columns()[0]["key"][-1]
    except FormatError:
        return None
    return last if isinstance(last, str) else None


def _is_as_written(block: RecordBlock, columns: Columns, table: PayloadTable) -> bool:
    """Return whether a block says nothing that this release does not know."""
    data = block.segment.read_record_block(block.number)
    try:
        return write_record_block(columns, table) == data
    except ValueError:
        return False


def _references(
    columns: Columns, payload_names: frozenset[str], table: PayloadTable
) -> tuple[dict[str, bytes], PayloadTable, int]:
    """Return payload columns as a block holds them, their table, and their size."""
    nowhere = Reference(0, 0)
    spans: dict[str, list[Reference | None]] = {}
    for name in sorted(payload_names):
        spans[name] = [nowhere if each == b"" else each for each in columns[name]]
        if any(type(each) not in (Reference, NoneType) for each in spans[name]):
            raise UnreadPayloadError(name)
    ends = table.ends
    used: set[int] = set()
    for column in spans.values():
        for span in column:
            if span is not None and span.size:
                last = bisect_left(ends, span.offset + span.size)
                used.update(range(bisect_right(ends, span.offset), last + 1))
    # How many bytes before each block are gone.
    gone, missing = [], 0
    for index, size in enumerate(table.sizes):
        gone.append(missing)
        missing += 0 if index in used else size
    references, payload_size = {}, 0
    for name, column in spans.items():
        offsets: list[int | None] = []
        for span in column:
            if span is None or not span.size:
                # Where there is nothing to store, it lies nowhere.
                offsets.append(None if span is None else 0)
            else:
                offsets.append(span.offset - gone[bisect_right(ends, span.offset)])
                payload_size += span.size
        sizes = [None if span is None else span.size for span in column]
        references[name] = pack({"offset": offsets, "size": sizes})
    stay = sorted(used)
    kept = PayloadTable(
        tuple(table.blocks[index] for index in stay),
        tuple(table.sizes[index] for index in stay),
        tuple(table.digests[index] for index in stay),
    )
    return references, kept, payload_size


def _renumbered(table: PayloadTable, numbers: Mapping[int, int]) -> PayloadTable:
    return attrs.evolve(table, blocks=tuple(numbers[each] for each in table.blocks))
