"""
Reading, in strict order of distrust: nothing is used before it was verified.

Opening reads prefix, header, trailer and each segment's words, never a block.
A damaged segment is refused and a damaged block quarantined, by name; what is
sound beside them is read. Layout: ``schema/FORMAT.md``.
"""

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from types import TracebackType

import attrs

from ..codec import Columns, unpack
from ..environment import Environment
from ..errors import (
    BlockDamagedError,
    FormatError,
    SegmentDamagedError,
    TooNewError,
)
from ..files import Buffer, FileSource, PathLike, Source, source_of
from ..schema import read_schema
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
from .trailer import SegmentEntry, read_trailer

__all__ = ["Bundle", "RecordBlock", "Rows", "Segment"]


class Bundle:
    """
    An open bundle. Safe on hostile bytes: nothing of it is run or written.

    Args:
        target: A path, the bytes of a bundle, or anything that reads ranges.

    Attributes:
        header: What the file requires, and who wrote it.
        segments: The sound segments.
        refused: For each other segment its number and the error that names why.
        recovery: Empty, or what was wrong at the end of the file.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be read.
        FormatError: Prefix, header or trailer are damaged: nothing can be used.
        VersionError: It was written for later readers.
    """

    def __init__(self, target: PathLike | Buffer | Source) -> None:
        self.source = source_of(target)
        self._owned = self.source is not target
        try:
            self.header = read_prefix(self.source)
            start = PREFIX.size + self.header.size
            trailer = read_trailer(self.source, start)
        except BaseException:
            self.close()
            raise
        self.entries, self.recovery = trailer.segments, trailer.recovery
        segments, self.refused = [], list[tuple[int, Exception]]()
        for number, entry in enumerate(trailer.segments):
            try:
                segments.append(Segment(self.source, entry, number))
            except (FormatError, TooNewError) as error:
                self.refused.append((number, error))
        self.segments = tuple(segments)

    @property
    def name(self) -> str:
        """Path of the file, or what stands for it."""
        return self.source.name

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
        return self._read(number, stamp.size, stamp.digest, part)

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
        try:
            return self._read(len(self.statement.blocks) + number, size, digest, part)
        except FormatError as error:
            return error

    def _read(self, index: int, size: int, digest: bytes, part: str) -> bytes:
        return read_block(
            self.source,
            self.entry.offset,
            self.foot.blocks_size,
            self.placements[index],
            size,
            digest,
            part,
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

    @property
    def payload_names(self) -> frozenset[str]:
        """The payload fields, by the schema that the segment carries."""
        try:
            return read_schema(self.kind.schema, self.part).payload_names
        except InvalidSchemaError:
            # A later schema language: such a kind stays opaque.
            return frozenset()

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
        )

    def read(self) -> Rows:
        """
        Return the columns with the payloads in them, verified.

        Raises:
            BlockDamagedError: The block is damaged; all of its artifacts are.
                A damaged payload only takes its own rows along, in ``faults``.
        """
        columns, table = self.read_columns()
        faults: dict[int, FormatError] = {}
        payloads = {
            name: self._payloads(columns, table, name, faults)
            for name in self.payload_names
            if name in columns
        }
        return Rows(columns.replaced({**columns.items_unread(), **payloads}), faults)

    def _payloads(
        self,
        columns: Columns,
        table: PayloadTable,
        name: str,
        faults: dict[int, FormatError],
    ) -> list[bytes | None]:
        offsets, sizes = self._references(columns, name)
        ends = table.ends
        found: list[bytes | None] = []
        for row, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
            if offset is None or size is None:
                found.append(None)
                continue
            try:
                found.append(self._payload(table, ends, offset, size))
            except FormatError as error:
                faults[row] = error
                found.append(None)
        return found

    def _references(
        self, columns: Columns, name: str
    ) -> tuple[list[int | None], list[int | None]]:
        part = f"{self.part}, column {name!r}"
        plain = unpack(columns.encoded(name), self.segment.source.name, part)
        good = (
            isinstance(plain, dict)
            and plain.keys() == {"offset", "size"}
            and all(
                type(column) is list
                and len(column) == columns.rows
                and all(v is None or (type(v) is int and v >= 0) for v in column)
                for column in plain.values()
            )
        )
        if not good:
            raise BlockDamagedError(
                self.segment.source.name, part, "another layout", "offset and size"
            )
        return plain["offset"], plain["size"]

    def _payload(
        self, table: PayloadTable, ends: list[int], offset: int, size: int
    ) -> bytes:
        if size == 0:
            return b""
        if not ends or offset + size > ends[-1]:
            raise BlockDamagedError(
                self.segment.source.name,
                self.part,
                f"a payload that ends at {offset + size:,}",
                f"at most {ends[-1] if ends else 0:,}",
            )
        pieces = []
        index = bisect_right(ends, offset)
        while size > 0:
            block = self.segment.read_payload_block(
                table.blocks[index], table.sizes[index], table.digests[index]
            )
            at = offset - (ends[index] - table.sizes[index])
            piece = block[at : at + size]
            pieces.append(piece)
            offset, size, index = offset + len(piece), size - len(piece), index + 1
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
