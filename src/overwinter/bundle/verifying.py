"""
Verifying: every byte of a bundle read and held against what was signed.

The three outcomes of damage, and their names: ``schema/FORMAT.md``, "Damage has
three outcomes".
"""

from collections.abc import Iterator

import attrs

from ..codec import Columns, unpack
from ..errors import FormatError
from ..progress import Counter, Progress
from ..trust import public_text
from ..workers import Workers
from .blocks import PayloadTable
from .reader import Bundle, RecordBlock, Rows, Segment
from .streaming import read_rows
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
    segments = bundle.segments
    total = sum(
        block.stamp.payload_size for segment in segments for block in segment.blocks
    )
    counter = Counter(total, progress)
    if bundle.recovery:
        yield Finding(TAIL_IGNORED, "end of file", bundle.recovery)
    yield from _verify_between(bundle)
    for number, error in bundle.refused:
        yield Finding(REFUSED, f"segment {number}", str(error))
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
    used: set[int] = set()
    sound = True
    with Workers() as workers:
        for block, rows in read_rows(segment.blocks, workers):
            for finding in _verify_rows(block, rows):
                sound = False
                yield finding
            if isinstance(rows, Rows):
                used.update(rows.table.blocks)
                if counter is not None:
                    counter.advance(rows.payload_size)
    unused = segment.statement.payload_blocks - len(used)
    if sound and unused:
        reason = f"{unused} payload blocks that no record uses, and nobody signed"
        yield Finding(QUARANTINED, segment.part, reason)


def _verify_rows(block: RecordBlock, rows: Rows | FormatError) -> Iterator[Finding]:
    kind, lost = block.kind.kind, (f"{block.stamp.first} …",)
    if isinstance(rows, FormatError):
        yield Finding(QUARANTINED, block.part, str(rows), kind, lost)
        return
    try:
        keys = rows.columns["key"]
        if block.schema is None:
            _verify_opaque(block.segment, rows.columns, rows.table)
        else:
            # With its payloads, each column is a list of one value for each row.
            dict(rows.columns)
    except FormatError as error:
        yield Finding(QUARANTINED, block.part, str(error), kind, lost)
        return
    by_reason: dict[str, list[str]] = {}
    for row, fault in rows.faults.items():
        by_reason.setdefault(str(fault), []).append(str(keys[row]))
    for reason, damaged in by_reason.items():
        yield Finding(QUARANTINED, block.part, reason, kind, tuple(damaged))


def _verify_opaque(segment: Segment, columns: Columns, table: PayloadTable) -> None:
    """Read what cannot be taken apart here: all the same it must be whole."""
    for name in columns:
        unpack(columns.encoded(name), columns.source, f"column {name!r}")
    for at in range(len(table.blocks)):
        segment.read_payload_blocks(table, at, at)
