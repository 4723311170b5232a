"""
Verifying: every byte of a bundle read and held against what was signed.

The three outcomes of damage, and their names: ``schema/FORMAT.md``, "Damage has
three outcomes".
"""

from collections.abc import Iterator

import attrs

from ..codec import unpack
from ..errors import FormatError, VersionError
from ..trust import public_text
from .reader import Bundle, RecordBlock, Segment

__all__ = ["QUARANTINED", "REFUSED", "TAIL_IGNORED", "Finding", "verify"]

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


def verify(bundle: Bundle) -> Iterator[Finding]:
    """
    Give everything that is wrong with an open bundle; nothing, if it is sound.

    A bundle whose prefix, header or trailer is damaged cannot be opened at all:
    that outcome is the error of `Bundle`.
    """
    if bundle.recovery:
        yield Finding(TAIL_IGNORED, "end of file", bundle.recovery)
    for number, error in bundle.refused:
        yield Finding(REFUSED, f"segment {number}", str(error))
    for segment in bundle.segments:
        yield from _verify_segment(segment)


def _verify_segment(segment: Segment) -> Iterator[Finding]:
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
    for block in segment.blocks:
        findings = list(_verify_block(block, used))
        yield from findings
        sound = sound and not findings
    unused = segment.statement.payload_blocks - len(used)
    if sound and unused:
        reason = f"{unused} payload blocks that no record uses, and nobody signed"
        yield Finding(QUARANTINED, segment.part, reason)


def _verify_block(block: RecordBlock, used: set[int]) -> Iterator[Finding]:
    kind = block.kind.kind
    try:
        columns, table = block.read_columns()
        used.update(table.blocks)
        rows = block.read()
        keys = rows.columns["key"]
        for name in columns:
            # Payloads stand as references; every other column is a list.
            if name in block.payload_names:
                unpack(columns.encoded(name), columns.source, f"column {name!r}")
            else:
                columns[name]
    except (FormatError, VersionError) as error:
        yield Finding(
            QUARANTINED, block.part, str(error), kind, (f"{block.stamp.first} …",)
        )
        return
    by_reason: dict[str, list[str]] = {}
    for row, fault in rows.faults.items():
        by_reason.setdefault(str(fault), []).append(str(keys[row]))
    for reason, damaged in by_reason.items():
        yield Finding(QUARANTINED, block.part, reason, kind, tuple(damaged))
