"""
The foot: the sizes of a segment's parts, in the 96 bytes at its end.

Layout: ``schema/FORMAT.md``, "Foot".
"""

import struct
import zlib

import attrs

from ..errors import SegmentDamagedError, TooLargeError, TooNewError
from ..limits import MAX_BLOCKS, MAX_SIGNATURES, MAX_STATEMENT
from .blocks import LAYOUT_ENTRY

__all__ = ["FOOT", "Foot", "read_foot", "write_foot"]

MAGIC = b"\x89OWS\r\n\x1a\n"
FOOT = struct.Struct("<8sH6sQQQII32s12sI")
SEGMENT_VERSION = 1


@attrs.frozen
class Foot:
    """The sizes of a segment's parts; they lie back to back before the foot."""

    segment_size: int
    layout_size: int
    statement_size: int
    signatures_size: int
    signatures_crc: int
    digest: bytes

    @property
    def blocks_size(self) -> int:
        """Bytes from the segment's start that hold blocks."""
        return self.segment_size - (
            self.layout_size + self.statement_size + self.signatures_size + FOOT.size
        )

    @property
    def n_blocks(self) -> int:
        """Record and payload blocks together."""
        return self.layout_size // LAYOUT_ENTRY.size


def write_foot(foot: Foot) -> bytes:
    """Return the 96 bytes at a segment's end; `read_foot` is the inverse."""
    fields = FOOT.pack(
        MAGIC, SEGMENT_VERSION, bytes(6),
        foot.segment_size, foot.layout_size, foot.statement_size,
        foot.signatures_size, foot.signatures_crc, foot.digest, bytes(12), 0,
    )  # fmt: skip
    return fields[:-4] + struct.pack("<I", zlib.crc32(fields[:-4]))


def read_foot(data: bytes, source: str, part: str, segment_size: int) -> Foot:
    """
    Return the foot of a segment whose size is known from the trailer.

    Raises:
        SegmentDamagedError: The foot is changed, or its sizes do not add up.
        TooNewError: The segment's layout is of a later version.
        TooLargeError: A part is larger than a reader accepts.
    """

    def damaged(found: str, expected: str) -> SegmentDamagedError:
        return SegmentDamagedError(source, f"{part}, foot", found, expected)

    if len(data) != FOOT.size:
        raise damaged(f"{len(data)} bytes", f"{FOOT.size} bytes")
    fields = FOOT.unpack(data)
    crc = zlib.crc32(data[:-4])
    if fields[0] != MAGIC or fields[-1] != crc:
        raise damaged(f"CRC-32 {crc:08x}", f"{fields[-1]:08x} behind {MAGIC!r}")
    if fields[1] != SEGMENT_VERSION:
        raise TooNewError(source, "segment version", fields[1], SEGMENT_VERSION)
    foot = Foot(*fields[3:9])
    if any(fields[2] + fields[9]):
        raise damaged("a reserved bit", "zero")
    if foot.statement_size > MAX_STATEMENT:
        raise TooLargeError(
            source, f"{part}, statement", foot.statement_size, MAX_STATEMENT
        )
    if foot.signatures_size > MAX_SIGNATURES:
        raise TooLargeError(
            source, f"{part}, signatures", foot.signatures_size, MAX_SIGNATURES
        )
    if foot.segment_size != segment_size:
        raise damaged(f"a size of {foot.segment_size:,}", f"{segment_size:,}")
    if foot.blocks_size < 0 or foot.layout_size % LAYOUT_ENTRY.size:
        raise damaged("parts larger than the whole", f"a sum of {segment_size:,}")
    if foot.n_blocks > MAX_BLOCKS:
        raise TooLargeError(
            source, f"{part}, layout", foot.n_blocks, MAX_BLOCKS, "blocks"
        )
    return foot
