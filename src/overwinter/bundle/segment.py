"""
A segment's own words: its statement, the signatures over that, and its foot.

Layout: ``schema/FORMAT.md``, "Foot", "Statement", "Signatures".
"""

import zlib
from collections.abc import Sequence
from typing import IO

import attrs

from ..codec import pack
from ..errors import SegmentDamagedError
from ..files import write_all
from ..limits import MAX_SIGNERS
from ..sources import Source
from ..trust import Signature, SigningKey
from .blocks import Placement, digest_of
from .foot import FOOT, Foot, read_foot, write_foot
from .shape import Shape
from .statement import Statement, read_statement

__all__ = [
    "read_parts",
    "read_signatures",
    "with_signatures",
    "write_signatures",
    "write_words",
]

_SIGNATURE_KEYS = ("algorithm", "key", "signature")


def write_signatures(signatures: Sequence[Signature]) -> bytes:
    """Return the bytes of a segment's signatures, sorted by key."""
    ordered = sorted(signatures, key=lambda each: each.key)
    return pack([attrs.asdict(each) for each in ordered])


def with_signatures(foot: Foot, signatures: Sequence[Signature]) -> tuple[Foot, bytes]:
    """Return the foot of a segment that has these signatures, and their bytes."""
    data = write_signatures(signatures)
    return attrs.evolve(
        foot,
        segment_size=foot.segment_size - foot.signatures_size + len(data),
        signatures_size=len(data),
        signatures_crc=zlib.crc32(data),
    ), data


def read_signatures(
    data: bytes, foot: Foot, source: str, part: str
) -> tuple[Signature, ...]:
    """
    Return a segment's signatures, not yet checked against its statement.

    Raises:
        SegmentDamagedError: They are changed, or not laid out as signatures.
    """
    part = f"{part}, signatures"
    if zlib.crc32(data) != foot.signatures_crc:
        raise SegmentDamagedError(
            source, part, f"CRC-32 {zlib.crc32(data):08x}", f"{foot.signatures_crc:08x}"
        )
    shape = Shape(source, part)
    return tuple(
        Signature(
            shape.get(each, "algorithm", str),
            shape.get(each, "key", bytes),
            shape.get(each, "signature", bytes),
        )
        for each in shape.maps({"": data}, "", MAX_SIGNERS, _SIGNATURE_KEYS)
    )


def write_words(
    file: IO[bytes],
    position: int,
    placements: Sequence[Placement],
    statement: Statement,
    key: SigningKey | None,
) -> Foot:
    """
    Write what stands behind a segment's blocks; return its foot.

    Args:
        file: Open for writing, behind the blocks.
        position: Bytes of the blocks.
        placements: Where they lie, in the order of the layout.
        statement: What the segment says.
        key: Signs it; without it nobody will populate from the segment.
    """
    layout = b"".join(each.pack() for each in placements)
    words = statement.pack()
    signatures = write_signatures([key.sign(words)] if key else [])
    parts = [layout, words, signatures]
    foot = Foot(
        segment_size=position + sum(map(len, parts)) + FOOT.size,
        layout_size=len(layout),
        statement_size=len(words),
        signatures_size=len(signatures),
        signatures_crc=zlib.crc32(signatures),
        digest=digest_of(words),
    )
    write_all(file, [*parts, write_foot(foot)])
    return foot


def read_parts(
    source: Source, offset: int, size: int, part: str
) -> tuple[Foot, Statement, bytes, tuple[Signature, ...]]:
    """
    Return foot, statement, the statement's bytes and signatures of one segment.

    Args:
        source: Where the segment lies.
        offset: Its first byte.
        size: Its bytes, as the trailer says.
        part: Its name, for errors.
    """
    if size < FOOT.size:
        raise SegmentDamagedError(source.name, part, f"{size} bytes", "96 at least")
    # Most statements and signatures fit: one read for all of them.
    window = min(size, _WINDOW)
    tail = source.read(offset + size - window, window)
    foot = read_foot(tail[-FOOT.size :], source.name, part, size)
    behind = foot.statement_size + foot.signatures_size + FOOT.size
    if behind > window:
        tail = source.read(offset + size - behind, behind)
    words = tail[len(tail) - behind :]
    statement = words[: foot.statement_size]
    signatures = words[foot.statement_size : foot.statement_size + foot.signatures_size]
    return (
        foot,
        read_statement(statement, foot, source.name, part),
        statement,
        read_signatures(signatures, foot, source.name, part),
    )


# Foot, signatures, and the statement of 400,000 records.
_WINDOW = 32 * 2**10
