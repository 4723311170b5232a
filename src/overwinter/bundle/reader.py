"""
Reading, in strict order of distrust: nothing is used before it was verified.

Opening reads prefix, header, trailer and each segment's words, never a block.
A damaged segment is refused and a damaged block quarantined, by name; what is
sound beside them is read. Layout: ``schema/FORMAT.md``.
"""

from collections.abc import Iterator
from functools import cached_property
from types import TracebackType

import attrs

from ..codec import Columns, Payloads
from ..environment import Environment
from ..errors import (
    BlockDamagedError,
    FormatError,
    SegmentDamagedError,
    TooNewError,
)
from ..files import Buffer, FileSource, PathLike, Source, source_of
from ..limits import MAX_BLOCK, MAX_RECORD_BLOCK
from ..schema import Schema, read_schema
from ..schema.model import InvalidSchemaError
from ..trust import Signature, valid_signers
from .blocks import (
    LAYOUT_ENTRY,
    PayloadTable,
    Placement,
    read_block,
    read_record_block,
)
from .prefix import PREFIX, read_prefix
from .segment import BlockStamp, Foot, KindStamp, Statement, read_parts
from .trailer import SegmentEntry, Trailer, read_trailer
from .unpacking import check_spans, read_payloads, read_spans

__all__ = ["Bundle", "RecordBlock", "Rows", "Segment"]


class Bundle:
    """
    An open bundle. Safe on hostile bytes: nothing of it is run or written.

    Args:
        target: A path, the bytes of a bundle, or anything that reads ranges.

    Attributes:
        header: What the file requires, and who wrote it.
        trailer: Where the segments lie.
        segments: The sound segments.
        refused: For each other segment its number and the error that names why.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be read.
        FormatError: Prefix, header or trailer are damaged: nothing can be used.
        VersionError: It was written for later readers.
    """

    def __init__(self, target: PathLike | Buffer | Source) -> None:
        self.source = source_of(target)
        self._owned = self.source is not target
        segments, self.refused = [], list[tuple[int, Exception]]()
        try:
            self.header = read_prefix(self.source)
            self.trailer = read_trailer(self.source, self.start)
            if self.trailer.is_torn and isinstance(self.source, FileSource):
                self.trailer = self._settled(self.source)
            for number, entry in enumerate(self.trailer.segments):
                try:
                    segments.append(Segment(self.source, entry, number))
                except (FormatError, TooNewError) as error:
                    self.refused.append((number, error))
        except BaseException:
            self.close()
            raise
        self.segments = tuple(segments)

    def _settled(self, source: FileSource) -> Trailer:
        """Tell an append that goes on at this moment from one that was torn."""
        if source.is_being_appended():
            # What it appends belongs to the next reader.
            return attrs.evolve(self.trailer, recovery="", is_torn=False)
        source.look_again()
        return read_trailer(source, self.start)

    @property
    def name(self) -> str:
        """Path of the file, or what stands for it."""
        return self.source.name

    @property
    def start(self) -> int:
        """End of the header: the first segment may begin here."""
        return PREFIX.size + self.header.size

    @property
    def recovery(self) -> str:
        """Empty, or what was wrong at the end of the file."""
        return self.trailer.recovery

    def close(self) -> None:
        """Close what this bundle opened itself."""
        if self._owned and isinstance(self.source, FileSource):
            self.source.close()

    def __enter__(self) -> "Bundle":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Segment:
    """One sound segment: its words are verified, its blocks are not yet read."""

    def __init__(self, source: Source, entry: SegmentEntry, number: int) -> None:
        self.source, self.entry, self.number = source, entry, number
        self.part = f"segment {number}"
        foot, statement, words, signatures = read_parts(
            source, entry.offset, entry.size, self.part
        )
        if foot.digest != entry.digest:
            raise SegmentDamagedError(
                source.name,
                self.part,
                f"the name {foot.digest.hex()[:16]}…",
                f"{entry.digest.hex()[:16]}…, as the trailer says",
            )
        self.foot: Foot = foot
        self.statement: Statement = statement
        self.signatures: tuple[Signature, ...] = signatures
        self._words = words
        self._last: tuple[tuple[int, int, bytes], bytes | FormatError] | None = None

    @property
    def name(self) -> str:
        """The segment's name: SHA-256 of its statement, in hex."""
        return self.entry.digest.hex()

    @cached_property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys whose signatures over the statement hold."""
        return valid_signers(self._words, self.signatures)

    @property
    def is_as_written(self) -> bool:
        """Whether the statement says nothing that this release does not know."""
        try:
            return self.statement.pack() == self._words
        except (ValueError, TypeError):
            return False  # nested deeper than we write

    @property
    def blocks(self) -> Iterator["RecordBlock"]:
        """The record blocks, in order."""
        for number, stamp in enumerate(self.statement.blocks):
            yield RecordBlock(self, number, stamp)

    def untiled(self) -> str:
        """Return where the stored blocks leave a gap or overlap, or nothing."""
        position = 0
        for each in sorted(self.placements, key=lambda each: each.offset):
            if each.offset != position:
                return f"a block at {each.offset:,} where one must be at {position:,}"
            position += each.stored_size
        if position != self.foot.blocks_size:
            return f"an end of blocks at {position:,}, not {self.foot.blocks_size:,}"
        return ""

    @cached_property
    def placements(self) -> tuple[Placement, ...]:
        """The layout: record blocks in order, then payload blocks by number."""
        begin = self.entry.offset + self.foot.blocks_size
        data = self.source.read(begin, self.foot.layout_size)
        if len(data) != self.foot.layout_size:
            raise BlockDamagedError(
                self.source.name,
                f"{self.part}, layout",
                f"{len(data):,} bytes",
                f"{self.foot.layout_size:,}",
            )
        size = LAYOUT_ENTRY.size
        return tuple(
            Placement.unpack(data[at : at + size]) for at in range(0, len(data), size)
        )

    def read_record_block(self, number: int) -> bytes:
        """Return one record block's verified bytes."""
        stamp = self.statement.blocks[number]
        part = f"{self.part}, record block {number}"
        return self._read(number, stamp.size, stamp.digest, part, MAX_RECORD_BLOCK)

    def read_payload_block(self, number: int, size: int, digest: bytes) -> bytes:
        """
        Return one payload block's verified bytes.

        The last one is kept, whole or damaged: records are sorted as their
        payloads are packed, so the next record most likely asks for the same.
        """
        wanted = number, size, digest
        if self._last is None or self._last[0] != wanted:
            self._last = wanted, self._payload_block_or_error(number, size, digest)
        found = self._last[1]
        if isinstance(found, FormatError):
            raise found
        return found

    def _payload_block_or_error(
        self, number: int, size: int, digest: bytes
    ) -> bytes | FormatError:
        part = f"{self.part}, payload block {number}"
        total = self.statement.payload_blocks
        if number >= total:
            return BlockDamagedError(
                self.source.name, part, "a number", f"one below {total}"
            )
        index = len(self.statement.blocks) + number
        try:
            return self._read(index, size, digest, part, MAX_BLOCK)
        except FormatError as error:
            return error

    def _read(
        self, index: int, size: int, digest: bytes, part: str, limit: int
    ) -> bytes:
        return read_block(
            self.source,
            self.entry.offset,
            self.foot.blocks_size,
            self.placements[index],
            size,
            digest,
            part,
            limit=limit,
        )


@attrs.frozen
class Rows:
    """
    The records of one block, as columns.

    ``faults`` says for each row that cannot be used why; its payloads are null.
    """

    columns: Columns
    faults: dict[int, FormatError]


class RecordBlock:
    """Records of one kind and one environment, read when asked."""

    def __init__(self, segment: Segment, number: int, stamp: BlockStamp) -> None:
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

    def read_columns(self) -> tuple[Columns, PayloadTable]:
        """
        Return the columns, unread, with payloads as references.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
        """
        return read_record_block(
            self.segment.read_record_block(self.number),
            self.segment.source.name,
            self.part,
            self.stamp.rows,
            self.stamp.first,
        )

    def read(self) -> Rows:
        """
        Return the columns with the payloads in them, verified.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
                A damaged payload only takes its own rows along, in ``faults``.
        """
        columns, table = self.read_columns()
        spans = {
            name: read_spans(columns, name, self.part)
            for name in sorted(self.payload_names)
            if name in columns
        }
        if self.schema is not None:
            check_spans(
                table,
                spans.values(),
                self.stamp.payload_size,
                columns.source,
                self.part,
            )
        faults: dict[int, FormatError] = {}
        read_block = self.segment.read_payload_block
        payloads = {
            name: Payloads(read_payloads(read_block, table, column, faults))
            for name, column in spans.items()
        }
        return Rows(columns.replaced({**columns.items_unread(), **payloads}), faults)
