"""
Verifying: every byte of a bundle read and held against what was signed.

The three outcomes of damage, and their names: ``schema/FORMAT.md``, "Damage has
three outcomes".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator

import attrs

from ..errors import FormatError
from ..limits import MAX_FAULTS
from ..memory import within_memory
from ..progress import Counter, Progress
from ..trust import public_text
from ..workers import Job, Workers
from .blocks import PayloadTable
from .content import Content
from .reader import Bundle, Segment
from .record_block import RecordBlock
from .streaming import forget_frames, read_ahead
from .trailer import SegmentEntry, is_old_trailer

__all__ = [
    "QUARANTINED",
    "REFUSED",
    "TAIL_IGNORED",
    "Finding",
    "verify",
    "verify_segment",
]

REFUSED = "refused"
QUARANTINED = "quarantined"
TAIL_IGNORED = "tail ignored"


@attrs.frozen
class Finding:
    """One thing that is wrong, what follows, and the artifacts that it costs."""

    outcome: str
    part: str
    reason: str
    kind: str = ""
    keys: tuple[str, ...] = ()


def verify(bundle: Bundle, *, progress: Progress | None = None) -> Iterator[Finding]:
    """
    Give everything that is wrong with an open bundle; nothing, if it is sound.

    A bundle whose prefix, header or trailer is damaged cannot be opened at all:
    that outcome is the error of `Bundle`.

    Args:
        bundle: The bundle.
        progress: Told of bytes of payloads, done and in all.
    """
    with within_memory(bundle.name, "what it holds"):
        yield from _verify(bundle, progress)


def _verify(bundle: Bundle, progress: Progress | None) -> Iterator[Finding]:
    segments = bundle.segments
    total = sum(
        block.stamp.payload_size for segment in segments for block in segment.blocks
    )
    counter = Counter(total, progress)
    if bundle.recovery:
        yield Finding(TAIL_IGNORED, "end of file", bundle.recovery)
    yield from _verify_between(bundle)
    for number, error in bundle.refused[:MAX_FAULTS]:
        yield Finding(REFUSED, f"segment {number}", str(error))
    if (more := len(bundle.refused) - MAX_FAULTS) > 0:
        yield Finding(REFUSED, "other segments", f"{more:,} more are refused")
    for segment in bundle.segments:
        yield from verify_segment(segment, counter)


def _verify_between(bundle: Bundle) -> Iterator[Finding]:
    """Between the segments lie the trailers of earlier appends, and nothing else."""
    position = bundle.start
    end = SegmentEntry(bundle.trailer.offset, 0, b"")
    for entry in sorted([*bundle.trailer.segments, end], key=lambda each: each.offset):
        if position != entry.offset and not is_old_trailer(
            bundle.source, bundle.start, position, entry.offset
        ):
            reason = (
                f"{entry.offset - position:,} bytes that belong to no segment and are "
                f"no old trailer: an append that was torn, or damage to that trailer; "
                f"no segment that is listed lost anything by it: nothing is to be done"
            )
            yield Finding(TAIL_IGNORED, f"bytes from {position:,}", reason)
        position = entry.offset + entry.size


def verify_segment(
    segment: Segment, counter: Counter | None = None
) -> Iterator[Finding]:
    """
    Give everything that is wrong with one segment whose words are sound.

    Args:
        segment: The segment.
        counter: Takes the size of each block once it is verified.
    """
    for signature in segment.signatures:
        if signature.algorithm == "ed25519" and signature.key not in segment.signers:
            reason = f"the signature of {public_text(signature.key)} does not hold"
            yield Finding(REFUSED, segment.part, reason)
    try:
        untiled = segment.untiled()
    except FormatError as error:
        untiled = str(error)
    if untiled:
        yield Finding(QUARANTINED, f"{segment.part}, layout", untiled)
    proved: dict[int, tuple[int, bytes]] = {}
    sound = True
    with Workers() as workers:
        for block, job in read_ahead(segment.blocks, workers):
            for finding in _verify_block(block, job, proved, workers):
                sound = False
                yield finding
            if counter is not None:
                counter.advance(block.stamp.payload_size)
    unused = segment.statement.payload_blocks - len(proved)
    if sound and unused:
        reason = f"{unused} payload blocks that no record uses, and nobody signed"
        yield Finding(QUARANTINED, segment.part, reason)


def _verify_block(
    block: RecordBlock,
    job: Job[bytes],
    proved: dict[int, tuple[int, bytes]],
    workers: Workers,
) -> Iterator[Finding]:
    """
    Give what is wrong with one record block, or with the payloads of its records.

    Payloads are proved block by block and never put together: what that takes in
    memory does not grow with them.

    Args:
        block: The record block.
        job: Reads it.
        proved: Size and digest of the payload blocks that were sound; takes more.
        workers: Who reads and hashes.
    """
    kind, lost = block.kind.kind, (f"{block.stamp.first} …",)
    try:
        content = block.open(job.result())
        if block.schema is not None:
            content.prove()
        else:
            # What cannot be taken apart here must be whole all the same.
            for name in content.columns:
                content.columns.prove(name, is_list=False)
        keys = content.columns["key"]
    except FormatError as error:
        yield Finding(QUARANTINED, block.part, str(error), kind, lost)
        return
    damaged = _damaged_blocks(block.segment, content.table, proved, workers)
    # By the error itself: a million rows may use one damaged block.
    by_fault: dict[FormatError, list[str]] = {}
    for row, fault in _damaged_rows(content, damaged):
        by_fault.setdefault(fault, []).append(str(keys[row]))
    if block.schema is None:
        by_fault = {fault: [*lost] for fault in damaged.values()}
    for fault, names in by_fault.items():
        yield Finding(QUARANTINED, block.part, str(fault), kind, tuple(names))


def _damaged_blocks(
    segment: Segment,
    table: PayloadTable,
    proved: dict[int, tuple[int, bytes]],
    workers: Workers,
) -> dict[int, FormatError]:
    """Return what is wrong with payload blocks, by their place in *table*."""
    jobs: dict[int, Job[None]] = {}
    words = list(zip(table.sizes, table.digests, strict=True))
    for at, number in enumerate(table.blocks):
        if proved.get(number) != words[at]:
            prove = segment.prove_payload_block
            jobs[at] = workers.submit(table.sizes[at], prove, table, at)
    damaged: dict[int, FormatError] = {}
    for at, job in jobs.items():
        try:
            job.result()
        except FormatError as error:
            forget_frames(error)
            damaged[at] = error
        else:
            proved[table.blocks[at]] = words[at]
    return damaged


def _damaged_rows(
    content: Content, damaged: dict[int, FormatError]
) -> Iterator[tuple[int, FormatError]]:
    """Give the rows with a payload in a damaged block, and why."""
    if not damaged:
        return
    ends, places = content.table.ends, sorted(damaged)
    for row, spans in enumerate(zip(*content.spans.values(), strict=True)):
        for span in spans:
            if not span or not span[1]:
                continue
            offset, size = span
            first, last = bisect_right(ends, offset), bisect_left(ends, offset + size)
            at = bisect_left(places, first)
            if at < len(places) and places[at] <= last:
                yield row, damaged[places[at]]
                break
