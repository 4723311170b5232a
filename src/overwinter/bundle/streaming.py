"""
Streaming: the records of many blocks, in parts of bounded size, read ahead.

While the caller uses one part, the next is read and verified. At most two are in
memory, whatever the size of the bundle; a part holds one payload at least.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from ..errors import FormatError
from ..workers import Job, Workers
from .record_block import RecordBlock, Requested, Rows

__all__ = ["PART", "read_rows"]

# Bytes of payloads in one part, and what is left of its last block.
PART = 2 * 2**20

# A part of a block, or why it cannot be read.
_Ahead = tuple[RecordBlock, Requested | FormatError]


def read_rows(
    blocks: Iterable[RecordBlock], workers: Workers, *, part: int = PART
) -> Iterator[tuple[RecordBlock, Rows | FormatError]]:
    """
    Give the rows of *blocks*, in order, or for a block that is damaged its error.

    Args:
        blocks: The blocks; one is asked for before the rows of the last are given.
        workers: Who reads, decompresses and verifies.
        part: Bytes of payloads after which the rows of a block are cut.
    """
    ahead: deque[_Ahead] = deque()
    for each in _requested(blocks, workers, part):
        ahead.append(each)
        if len(ahead) > 1:
            yield _given(ahead.popleft())
    while ahead:
        yield _given(ahead.popleft())


def _given(ahead: _Ahead) -> tuple[RecordBlock, Rows | FormatError]:
    block, requested = ahead
    if isinstance(requested, FormatError):
        return block, requested
    return block, requested.rows()


def _requested(
    blocks: Iterable[RecordBlock], workers: Workers, part: int
) -> Iterator[_Ahead]:
    for block, job in _record_blocks(blocks, workers):
        try:
            content = block.open(job.result())
        except FormatError as error:
            yield block, error
            continue
        for begin, end in content.bounds(part):
            yield block, content.request(begin, end, workers)


def _record_blocks(
    blocks: Iterable[RecordBlock], workers: Workers
) -> Iterator[tuple[RecordBlock, Job[bytes]]]:
    last: tuple[RecordBlock, Job[bytes]] | None = None
    for block in blocks:
        read = block.segment.read_record_block
        job = workers.submit(block.stamp.size, read, block.number)
        if last is not None:
            yield last
        last = block, job
    if last is not None:
        yield last
