"""
Reading one segment: its words are verified at once, its blocks when asked.

Layout: ``schema/FORMAT.md``, "Segment".
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import cached_property

from ..errors import BlockDamagedError, FormatError, SegmentDamagedError
from ..limits import MAX_BLOCK, MAX_RECORD_BLOCK, MAX_SHARED
from ..schema import Schema, read_schema
from ..schema.model import InvalidSchemaError
from ..trust import Signature, SigningKey, valid_signers
from .blocks import (
    LAYOUT_ENTRY,
    STORED,
    PayloadTable,
    Placement,
    StoredBlock,
    check_block,
)
from .ends import Ends
from .foot import Foot
from .record_block import RecordBlock
from .segment import read_parts
from .statement import Statement
from .trailer import SegmentEntry

__all__ = ["Segment"]

# Bytes of the layout that are read at once: whole entries.
_PAGE = LAYOUT_ENTRY.size * 2730


class Segment:
    """One sound segment: its words are verified, its blocks are not yet read."""

    def __init__(self, source: Ends, entry: SegmentEntry, number: int) -> None:
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
        self._pages: dict[int, bytes] = {}
        self._schemas: dict[int, Schema | None] = {}
        self._n_read = 0

    @property
    def name(self) -> str:
        """The segment's name: SHA-256 of its statement, in hex."""
        return self.entry.digest.hex()

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds that it may have artifacts of."""
        return frozenset(stamp.kind for stamp in self.statement.kinds)

    @cached_property
    def signers(self) -> tuple[bytes, ...]:
        """Public keys whose signatures over the statement hold."""
        return valid_signers(self._words, self.signatures)

    def signed_by(self, keys: Collection[bytes]) -> tuple[bytes, ...]:
        """Return those of *keys* whose signatures over the statement hold."""
        named = [each for each in self.signatures if each.key in keys]
        return valid_signers(self._words, named)

    def sign(self, key: SigningKey) -> Signature:
        """Return the signature of the statement by *key*."""
        return key.sign(self._words)

    def schema_of(self, kind: int) -> Schema | None:
        """
        Return the schema that the segment carries of one of its kinds.

        ``None`` where it is in a later schema language, or none at all.
        """
        if kind not in self._schemas:
            try:
                plain = self.statement.kinds[kind].plain_schema
                self._schemas[kind] = read_schema(plain, f"{self.part}, kind {kind}")
            except (FormatError, InvalidSchemaError):
                self._schemas[kind] = None
        return self._schemas[kind]

    @property
    def is_as_written(self) -> bool:
        """Whether the statement says nothing that this release does not know."""
        try:
            return self.statement.pack() == self._words
        except (ValueError, TypeError, FormatError):
            return False  # nested deeper than we write, or a schema that is none

    @property
    def blocks(self) -> Iterator[RecordBlock]:
        """The record blocks, in order."""
        for number, stamp in enumerate(self.statement.blocks):
            yield RecordBlock(self, number, stamp)

    def blocks_of(self, kind: str, key: str) -> Iterator[RecordBlock]:
        """
        Give the record blocks that may hold records of *key*.

        As a rule that is one for each version and environment of the kind.
        """
        groups: dict[tuple[int, int | None], list[int]] = {}
        for number, stamp in enumerate(self.statement.blocks):
            if self.statement.kinds[stamp.kind].kind == kind and stamp.first <= key:
                groups.setdefault((stamp.kind, stamp.environment), []).append(number)
        for numbers in groups.values():
            for number in self._covering(numbers, key):
                yield RecordBlock(self, number, self.statement.blocks[number])

    def _covering(self, numbers: list[int], key: str) -> Iterator[int]:
        stamps = self.statement.blocks
        lasts = [stamps[number].last for number in numbers]
        if any(last is not None for last in lasts):
            for number, last in zip(numbers, lasts, strict=True):
                if last is None or key <= last:
                    yield number
            return
        # They lie apart: the last that begins before the key, and where that begins
        # with it, also those before, which may end with it.
        for number in reversed(numbers):
            yield number
            if stamps[number].first < key:
                return

    def untiled(self) -> str:
        """
        Return where the stored blocks leave a gap or overlap, or nothing.

        Where as many blocks begin as end at each place, but the first and the last,
        one lies at each: only places whose other side was not yet seen are held.
        """
        edges: defaultdict[int, int] = defaultdict(int, {0: -1})
        edges[self.foot.blocks_size] += 1
        for begin, end in self._stored_at():
            for at, change in ((begin, 1), (end, -1)):
                edges[at] += change
                if not edges[at]:
                    del edges[at]
        if not any(edges.values()):
            return ""
        at = min(at for at, excess in edges.items() if excess)
        return f"blocks that leave a gap or overlap at {at:,}"

    def _stored_at(self) -> Iterator[tuple[int, int]]:
        """Give begin and end of each stored block, of which none is kept."""
        for page in range(-(-self.foot.layout_size // _PAGE)):
            for offset, size, *_ in LAYOUT_ENTRY.iter_unpack(self._read_page(page)):
                yield offset, offset + size

    def placement(self, index: int) -> Placement:
        """
        Return one entry of the layout.

        The layout grows with the payloads, so only the page around it is read.
        """
        page, at = divmod(index * LAYOUT_ENTRY.size, _PAGE)
        if page not in self._pages:
            self._pages[page] = self._read_page(page)
        return Placement.unpack(self._pages[page][at : at + LAYOUT_ENTRY.size])

    def _read_page(self, page: int) -> bytes:
        begin = self.entry.offset + self.foot.blocks_size + page * _PAGE
        size = min(_PAGE, self.foot.layout_size - page * _PAGE)
        data = self.source.read(begin, size)
        if len(data) != size:
            raise BlockDamagedError(
                self.source.name,
                f"{self.part}, layout",
                f"{len(data):,} bytes",
                f"{size:,}",
            )
        return data

    def read_record_block(self, number: int) -> bytes:
        """Return one record block's verified bytes."""
        stamp = self.statement.blocks[number]
        part = f"{self.part}, record block {number}"
        self._n_read += 1
        # Who fetches one key reads one block or two, and no layout for them.
        if self._n_read > MAX_SHARED and number in self._shared:
            raise BlockDamagedError(
                self.source.name,
                part,
                f"bytes that {len(self._shared):,} blocks share",
                "its own",
            )
        block = self._stored(number, stamp.size, stamp.digest, part, MAX_RECORD_BLOCK)
        return block.read()

    def read_payload_blocks(self, table: PayloadTable, first: int, last: int) -> bytes:
        """
        Return the verified bytes of blocks of *table*, from *first* to *last*.

        Raises:
            BlockDamagedError: One of them is damaged.
            TooLargeError: One is larger than a reader accepts.
        """
        if first == last:
            return self._payload_block(table, first).read()
        whole = self._read_adjacent(table, first, last)
        if whole is None:
            blocks = range(first, last + 1)
            return b"".join(self._payload_block(table, at).read() for at in blocks)
        return whole

    @cached_property
    def _shared(self) -> frozenset[int]:
        """
        The record blocks whose stored bytes others use too, where these are many.

        A damaged layout lets one lie on another. Thousands are a forger's, who has
        few bytes decompressed and decoded again for each: no more of them are read.
        """
        places = sorted(
            (place.offset, place.offset + place.stored_size, index)
            for index in range(len(self.statement.blocks))
            if (place := self.placement(index)).stored_size
        )
        shared: set[int] = set()
        end, last = 0, -1
        for begin, behind, index in places:
            if begin < end:
                shared |= {last, index}
            if behind > end:
                end, last = behind, index
        return frozenset(shared if len(shared) > MAX_SHARED else ())

    def prove_payload_block(self, table: PayloadTable, at: int) -> None:
        """
        Hold one block of *table* against what was signed, and keep nothing of it.

        Raises:
            BlockDamagedError: It is damaged.
            TooLargeError: It is larger than a reader accepts.
        """
        for _ in self.payload_pieces(table, at):
            pass

    def payload_pieces(self, table: PayloadTable, at: int) -> Iterator[bytes]:
        """Give one block of *table* in pieces; see `StoredBlock.pieces`."""
        if self._is_crowded:
            raise BlockDamagedError(
                self.source.name,
                self._payload_part(table.blocks[at]),
                "bytes that others have, too, many times over",
                "its own",
            )
        return self._payload_block(table, at).pieces()

    @cached_property
    def _is_crowded(self) -> bool:
        """
        Whether the stored blocks are many times what there is room for.

        One whose place was damaged adds as much again at most. Thousands on the same
        bytes are a forger's, who has these decompressed and hashed for each.
        """
        room = self.foot.blocks_size
        taken = (end - begin for begin, end in self._stored_at() if end <= room)
        return sum(taken) > (1 + MAX_SHARED) * room

    def _payload_block(self, table: PayloadTable, at: int) -> StoredBlock:
        number = table.blocks[at]
        return self._stored(
            self._payload_index(number),
            table.sizes[at],
            table.digests[at],
            self._payload_part(number),
            MAX_BLOCK,
        )

    def _read_adjacent(
        self, table: PayloadTable, first: int, last: int
    ) -> bytes | None:
        """Return stored blocks that lie one behind the other, read as one."""
        place = self._adjacent(table, first, last)
        if place is None:
            return None  # read one by one, which says what is wrong, if it is
        data = self.source.read(*place)
        view, end = memoryview(data), 0
        for at in range(first, last + 1):
            piece = view[end : end + table.sizes[at]]
            end += table.sizes[at]
            part = self._payload_part(table.blocks[at])
            check_block(
                piece, table.sizes[at], table.digests[at], self.source.name, part
            )
        return data

    def view_payload_blocks(
        self, table: PayloadTable, first: int, last: int
    ) -> memoryview | None:
        """Return stored blocks where they lie, unverified; ``None`` if they do not."""
        place = self._adjacent(table, first, last)
        if place is None:
            return None
        found = self.source.view(*place)
        return found if len(found) == place[1] else None

    def _adjacent(
        self, table: PayloadTable, first: int, last: int
    ) -> tuple[int, int] | None:
        """Return offset and size of stored blocks that lie one behind the other."""
        blocks = range(first, last + 1)
        places = [self.placement(self._payload_index(table.blocks[n])) for n in blocks]
        position = begin = places[0].offset
        for at, place in zip(blocks, places, strict=True):
            if (place.codec, place.offset) != (STORED, position) or (
                place.stored_size != table.sizes[at] or place.stored_size > MAX_BLOCK
            ):
                return None
            position += place.stored_size
        if position > self.foot.blocks_size:
            return None
        return self.entry.offset + begin, position - begin

    def _payload_index(self, number: int) -> int:
        total = self.statement.payload_blocks
        if number >= total:
            raise BlockDamagedError(
                self.source.name,
                self._payload_part(number),
                "a number",
                f"one below {total}",
            )
        return len(self.statement.blocks) + number

    def _payload_part(self, number: int) -> str:
        return f"{self.part}, payload block {number}"

    def _stored(
        self, index: int, size: int, digest: bytes, part: str, limit: int
    ) -> StoredBlock:
        return StoredBlock(
            self.source,
            self.entry.offset,
            self.foot.blocks_size,
            self.placement(index),
            size,
            digest,
            part,
            limit,
        )
