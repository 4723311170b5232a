"""
Streaming: the records of many blocks, in parts of bounded size, read ahead.

While the caller uses one part, the next is read and verified, unless it is large.
So few parts are in memory, whatever the size of the bundle; a part holds one payload
at least.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from ..errors import FormatError, OutOfMemoryError
from ..memory import within_memory
from ..workers import Job, Workers
from .content import Content, Requested, Rows
from .record_block import RecordBlock

__all__ = ["PART", "forget_frames", "read_ahead", "read_rows"]

# Bytes of payloads in one part, and what is left of its last block.
PART = 2 * 2**20
# Two parts of more bytes than this are not in memory at once. With a fourth of it
# the threads have nothing to do around each payload of 20 MB: 400 MB take 360 ms
# to load instead of 305.
_AHEAD = 24 * 2**20

# A part that was asked for, or why its block cannot be read.
_Ahead = tuple[RecordBlock, Requested | FormatError]


def read_rows(
    blocks: Iterable[RecordBlock], workers: Workers, *, part: int = PART
) -> Iterator[tuple[RecordBlock, Rows | FormatError]]:
    """
    Give the rows of *blocks*, in order, or for a block that is damaged its error.

    Args:
        blocks: The blocks; the next is asked for before the rows of one are given.
        workers: Who reads, decompresses and verifies.
        part: Bytes of payloads after which the rows of a block are cut.
    """
    ahead: deque[_Ahead] = deque()
    for block, content, (begin, end) in _parts(blocks, workers, part):
        # No name for what was asked for: it would hold the payloads that were given.
        if isinstance(content, FormatError):
            ahead.append((block, content))
        else:
            size = content.payload_size(begin, end)
            while ahead and _size(ahead[0][1]) + size > _AHEAD:
                yield _given(*ahead.popleft())
            ahead.append((block, content.request(begin, end, workers)))
        if len(ahead) > 1:
            yield _given(*ahead.popleft())
    while ahead:
        yield _given(*ahead.popleft())


def _given(
    block: RecordBlock, requested: Requested | FormatError
) -> tuple[RecordBlock, Rows | FormatError]:
    if isinstance(requested, FormatError):
        return block, requested
    try:
        with within_memory(block.segment.source.name, block.part):
            return block, requested.rows()
    except OutOfMemoryError as error:
        forget_frames(error)
        return block, error


def _size(requested: Requested | FormatError) -> int:
    return 0 if isinstance(requested, FormatError) else requested.payload_size


def _parts(
    blocks: Iterable[RecordBlock], workers: Workers, part: int
) -> Iterator[tuple[RecordBlock, Content | FormatError, tuple[int, int]]]:
    """Give the parts of the blocks, as their first row and the first behind."""
    for block, job in read_ahead(blocks, workers):
        try:
            with within_memory(block.segment.source.name, block.part):
                content = block.open(job.result())
                parts = list(content.bounds(part))
                if len(parts) > 1:
                    content.decode()
        except FormatError as error:
            forget_frames(error)
            yield block, error, (0, 0)
            continue
        for bounds in parts:
            yield block, content, bounds


def read_ahead(
    blocks: Iterable[RecordBlock], workers: Workers
) -> Iterator[tuple[RecordBlock, Job[bytes]]]:
    """Give *blocks*, each with the job that reads it; the next is read meanwhile."""
    last: tuple[RecordBlock, Job[bytes]] | None = None
    for block in blocks:
        read = block.segment.read_record_block
        job = workers.submit(block.stamp.size, read, block.number)
        if last is not None:
            yield last
        last = block, job
    if last is not None:
        yield last


def forget_frames(error: BaseException) -> None:
    """
    Take the tracebacks from *error* and from what caused it.

    They lead to the frames here and back, and hold what was read: left to the
    collector, that is more than the block for each that is damaged.
    """
    cause: BaseException | None = error
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
