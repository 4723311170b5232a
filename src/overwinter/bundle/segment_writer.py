"""
Writing one segment: blocks in any order, then what it says of them.

Digests and compression are the workers'; the caller packs records and writes. What
is written depends on the input alone: nobody asks whether a job is done already.
Layout: ``schema/FORMAT.md``, "Segment".
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import attrs

from ..codec import Columns, pack
from ..environment import Environment
from ..files import write_all
from ..trust import SigningKey
from ..workers import HANDED, Job, Workers
from .blocks import (
    STORED,
    Buffer,
    PayloadTable,
    Placement,
    Sealed,
    seal,
    write_record_block,
)
from .foot import Foot
from .packing import Packed, PayloadPacker, pack_size
from .segment import write_words
from .statement import BlockStamp, KindStamp, Statement

__all__ = ["RECORD_RUN", "SegmentWriter", "Written", "write_end"]

# Record blocks are written in runs, so that listing keys reads few ranges.
RECORD_RUN = 4 * 2**20

# Bytes on their way at most: all workers are busy, and the caller's memory is
# bounded. The same on every machine, or the blocks would lie elsewhere.
_UNDER_WAY = 16 * 2**20
# Bytes, and pieces, gathered into one write.
_GATHERED = 2**20
_GATHERED_PIECES = 512
# Pieces smaller than this are joined: copying them costs less than their number.
_WORTH_A_PIECE = 2**12


@attrs.frozen
class Written:
    """A record block that is in the file, and what the statement is to say of it."""

    kind: KindStamp
    environment: Environment | None
    first: str
    last: str | None
    rows: int
    size: int
    digest: bytes
    payload_size: int
    placement: Placement


@attrs.frozen
class _Block:
    """A record block on its way: its columns are encoded, its payloads packed."""

    kind: KindStamp
    environment: Environment | None
    first: str
    last: str
    columns: Columns
    packed: Packed


class SegmentWriter:
    """
    Writes one segment; positions count from its first byte.

    Args:
        file: Open for writing, where the segment begins.
        level: zstd level, 0 to store.
        workers: Who hashes and compresses.
        holds_payloads: Whether the caller holds all payloads until the end, so
            that remembering them costs nothing.
    """

    def __init__(
        self,
        file: IO[bytes],
        level: int,
        workers: Workers,
        *,
        holds_payloads: bool = True,
    ) -> None:
        self._file, self._level, self._workers = file, level, workers
        self._output = _Output(file)
        self._payloads = _PayloadBlocks(self._output, level, workers)
        self._packer = PayloadPacker(
            self._payloads.store,
            together=pack_size(level),
            by_digest=not holds_payloads,
        )
        self._waiting: deque[_Block] = deque()
        self._run: list[tuple[_Block, int, Job[list[Sealed]]]] = []
        self._run_size = 0
        self._written: list[Written] = []

    def write(
        self,
        kind: KindStamp,
        environment: Environment | None,
        first: str,
        last: str,
        columns: Columns,
        payloads: Mapping[str, Sequence[bytes | None]],
    ) -> None:
        """
        Write one record block, and the payloads that are not there yet.

        Args:
            kind: Kind and version of its records.
            environment: What they were compiled for, where that matters.
            first: Key of the first record.
            last: Key of the last.
            columns: The fields that are no payloads, encoded, sorted by key.
            payloads: The fields that are.
        """
        packed = self._packer.pack(payloads)
        self._payloads.hand_over()
        self._waiting.append(_Block(kind, environment, first, last, columns, packed))
        if len(self._waiting) > 1:
            # The one before: by now its payloads' digests are known, or soon.
            self._write_waiting()

    def finish(self, key: SigningKey | None) -> Foot:
        """
        Write what the segment says, signed by *key*; return its foot.

        Raises:
            ValueError: The segment holds no record.
        """
        while self._waiting:
            self._write_waiting()
        self._flush_run()
        payloads = self._payloads.finish()
        self._output.flush()
        return write_end(
            self._file, self._output.position, self._written, payloads, key
        )

    def _write_waiting(self) -> None:
        block = self._waiting.popleft()
        encoded = {**block.columns.items_unread(), **block.packed.references}
        data = write_record_block(
            block.columns.replaced(encoded), self._payloads.table(block.packed.blocks)
        )
        job = self._workers.submit(len(data), seal, [[data]], self._level)
        self._run.append((block, len(data), job))
        self._run_size += len(data)
        if self._run_size >= RECORD_RUN:
            self._flush_run()

    def _flush_run(self) -> None:
        for block, size, job in self._run:
            ((digest, stored, codec),) = job.result()
            self._written.append(
                Written(
                    block.kind,
                    block.environment,
                    block.first,
                    block.last,
                    block.columns.rows,
                    size,
                    digest,
                    block.packed.payload_size,
                    self._output.write(stored, codec),
                )
            )
        self._run, self._run_size = [], 0


def write_end(
    file: IO[bytes],
    position: int,
    blocks: Iterable[Written],
    payloads: Sequence[Placement],
    key: SigningKey | None,
) -> Foot:
    """
    Write what stands behind a segment's blocks; return its foot.

    Args:
        file: Open for writing, behind the blocks.
        position: Bytes of the blocks.
        blocks: The record blocks, in any order.
        payloads: Where the payload blocks lie, by number.
        key: Signs it; without it nobody will populate from the segment.

    Raises:
        ValueError: There is no record block.
    """
    kinds: list[KindStamp] = []
    environments: dict[bytes, Environment] = {}
    ordered = []
    for block in blocks:
        if not any(_is_same(kind, block.kind) for kind in kinds):
            kinds.append(block.kind)
        name = b""
        if block.environment is not None:
            name = pack(dict(block.environment))
            environments[name] = block.environment
        order = block.kind.kind, block.kind.version, block.kind.fingerprint
        # By the last key as well: a block of one key alone, whose variants fill it,
        # stands before the one in which they end.
        keys = block.first, block.last or ""
        ordered.append((order, name, keys, block.digest, block))
    if not ordered:
        raise ValueError("a segment holds one record at least")
    kinds.sort(key=lambda kind: (kind.kind, kind.version, kind.fingerprint))
    ordered.sort(key=lambda each: each[:4])
    numbers = {name: number for number, name in enumerate(sorted(environments))}
    overlapping = _overlapping(ordered)
    stamps = tuple(
        BlockStamp(
            next(n for n, kind in enumerate(kinds) if _is_same(kind, block.kind)),
            numbers.get(name),
            block.first,
            block.rows,
            block.size,
            block.digest,
            block.payload_size,
            block.last if overlapping else None,
        )
        for _, name, _, _, block in ordered
    )
    statement = Statement(
        tuple(kinds),
        tuple(environments[name] for name in numbers),
        stamps,
        len(payloads),
    )
    placements = [*(block.placement for *_, block in ordered), *payloads]
    return write_words(file, position, placements, statement, key)


def _overlapping(
    ordered: list[tuple[Any, bytes, tuple[str, str], bytes, Written]],
) -> bool:
    """Return whether blocks of one kind and environment overlap in their keys."""
    return any(
        one[:2] == other[:2] and (one[4].last is None or one[4].last > other[4].first)
        for one, other in pairwise(ordered)
    )


def _is_same(kind: KindStamp, other: KindStamp) -> bool:
    # The schemas are no part of the comparison of stamps, and may still differ.
    return kind == other and kind.schema == other.schema


class _Output:
    """The file, written in large pieces from where they lie."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.position = 0
        self._gathered: list[Buffer] = []
        self._flushed = 0

    def write(self, pieces: Sequence[Buffer], codec: int) -> Placement:
        """Write a stored block; return where it lies."""
        size = sum(map(len, pieces))
        placement = Placement(self.position, size, codec)
        self.position += size
        self._gathered += pieces
        waiting = self.position - self._flushed
        if waiting >= _GATHERED or len(self._gathered) >= _GATHERED_PIECES:
            self.flush()
        return placement

    def flush(self) -> None:
        """Write what was gathered."""
        write_all(self._file, self._gathered)
        self._gathered, self._flushed = [], self.position


class _PayloadBlocks:
    """The payload blocks of a segment: what is known of them, and what is under way."""

    def __init__(self, output: _Output, level: int, workers: Workers) -> None:
        self._output, self._level, self._workers = output, level, workers
        self._sizes: list[int] = []
        self._digests: list[bytes] = []
        self._placements: list[Placement] = []
        self._open: list[Sequence[Buffer]] = []
        self._open_size = 0
        self._jobs: deque[tuple[int, Job[list[Sealed]]]] = deque()
        self._under_way = 0

    def store(self, pieces: Sequence[Buffer]) -> None:
        """Take the pieces of the next block."""
        size = sum(map(len, pieces))
        if size < len(pieces) * _WORTH_A_PIECE:
            pieces = [b"".join(pieces)]
        self._sizes.append(size)
        self._open.append(pieces)
        self._open_size += size
        if not self._level:
            # Written while the digests are made.
            self._placements.append(self._output.write(pieces, STORED))
        if self._open_size >= HANDED:
            self.hand_over()

    def hand_over(self) -> None:
        """Have the blocks that were taken hashed and compressed."""
        if not self._open:
            return
        job = self._workers.submit(self._open_size, seal, self._open, self._level)
        self._jobs.append((self._open_size, job))
        self._under_way += self._open_size
        self._open, self._open_size = [], 0
        while self._under_way > _UNDER_WAY:
            self._settle()

    def table(self, blocks: tuple[int, ...]) -> PayloadTable:
        """Return the table of a record block that uses *blocks*."""
        while len(self._digests) <= max(blocks, default=-1):
            self._settle()
        return PayloadTable(
            blocks,
            tuple(self._sizes[number] for number in blocks),
            tuple(self._digests[number] for number in blocks),
        )

    def finish(self) -> list[Placement]:
        """Return where all blocks lie, by number."""
        while self._jobs:
            self._settle()
        return self._placements

    def _settle(self) -> None:
        """Wait for the oldest job."""
        size, job = self._jobs.popleft()
        self._under_way -= size
        for digest, pieces, codec in job.result():
            self._digests.append(digest)
            if self._level:
                self._placements.append(self._output.write(pieces, codec))
