"""
The trailer: where the segments lie. It stands twice at the end of the file.

Layout: ``schema/FORMAT.md``, "Trailer".
"""

import struct
import zlib
from collections.abc import Sequence

import attrs

from ..errors import NoTrailerError, TooLargeError
from ..files import Source
from ..limits import MAX_RECOVERY_SCAN, MAX_SEGMENTS

__all__ = [
    "ENTRY",
    "FOOT",
    "HEAD",
    "SegmentEntry",
    "Trailer",
    "read_trailer",
    "write_trailer",
]

MAGIC = b"\x89OWT\r\n\x1a\n"
END = b"\x89OWE\r\n\x1a\n"
HEAD = struct.Struct("<8sQII")
ENTRY = struct.Struct("<QQ32s")
FOOT = struct.Struct("<II8s")

_WINDOW = 64 * 2**10  # read at once from the end: some 600 segments' trailers
_SCAN_STEP = 2**20


@attrs.frozen
class SegmentEntry:
    """Where one segment lies, in bytes from the start of the file."""

    offset: int
    size: int
    digest: bytes


@attrs.frozen
class Trailer:
    """
    The segments of a file, in order.

    ``recovery`` is empty, or says what was wrong at the end of the file.
    """

    segments: tuple[SegmentEntry, ...]
    recovery: str = ""


def write_trailer(segments: Sequence[SegmentEntry], offset: int) -> bytes:
    """Return both copies of the trailer that begins at *offset*."""
    size = HEAD.size + ENTRY.size * len(segments) + FOOT.size
    parts = [HEAD.pack(MAGIC, offset, len(segments), 0)]
    parts += [ENTRY.pack(each.offset, each.size, each.digest) for each in segments]
    parts.append(struct.pack("<I", size))
    body = b"".join(parts)
    copy = body + struct.pack("<I8s", zlib.crc32(body), END)
    return copy + copy


def read_trailer(source: Source, start: int) -> Trailer:
    """
    Return the last complete trailer of *source*.

    Args:
        source: The bundle.
        start: End of its header; nothing before it is looked at.

    Raises:
        NoTrailerError: No complete trailer was found.
        TooLargeError: It lists more than ``MAX_SEGMENTS`` segments.
    """
    found = _copy_that_ends_at(source, source.size, start)
    if found is not None:
        offset, size, segments = found
        recovery = ""
        if offset + 2 * size != source.size:
            # This is the first copy of its pair: the second was cut away whole.
            recovery = "the second copy of the trailer is missing; nothing is lost"
        elif _copy_that_ends_at(source, source.size - size, start) != found:
            recovery = "the first copy of the trailer is damaged; nothing is lost"
        return Trailer(segments, recovery)
    return _recover(source, start)


def _recover(source: Source, start: int) -> Trailer:
    """Search backwards for the last complete copy, and say what it means."""
    lowest = max(start, source.size - MAX_RECOVERY_SCAN)
    position = source.size
    while position > lowest:
        begin = max(lowest, position - _SCAN_STEP)
        # The overlap finds an end that straddles two steps.
        window = source.read(begin, min(position + len(END), source.size) - begin)
        at = window.rfind(END)
        while at >= 0:
            end = begin + at + len(END)
            found = _copy_that_ends_at(source, end, start)
            if found is not None:
                offset, size, segments = found
                behind = source.size - (offset + 2 * size)
                what = "its second copy is damaged; nothing is lost"
                if behind > 0:
                    what = f"{behind:,} bytes behind it are an append that was torn"
                return Trailer(
                    segments, f"the last complete trailer ends at {end:,}; {what}"
                )
            at = window.rfind(END, 0, at)
        position = begin
    raise NoTrailerError(
        source.name,
        "trailer",
        f"none in {source.size:,} bytes",
        "one at the end: the file was cut, or never finished",
    )


def _copy_that_ends_at(
    source: Source, end: int, start: int
) -> tuple[int, int, tuple[SegmentEntry, ...]] | None:
    """Return offset of the pair, size of a copy, and segments; or ``None``."""
    if end - start < HEAD.size + FOOT.size:
        return None
    begin = max(start, end - _WINDOW)
    data = source.read(begin, end - begin)
    size, crc, magic = FOOT.unpack(data[-FOOT.size :])
    count, rest = divmod(size - HEAD.size - FOOT.size, ENTRY.size)
    if magic != END or rest or not count >= 0 or size > end - start:
        return None
    if count > MAX_SEGMENTS:
        raise TooLargeError(
            source.name, "trailer", size, HEAD.size + ENTRY.size * MAX_SEGMENTS
        )
    copy = data[-size:] if size <= len(data) else source.read(end - size, size)
    if zlib.crc32(copy[:-12]) != crc:
        return None
    head, offset, stated, zero = HEAD.unpack_from(copy)
    if head != MAGIC or stated != count or zero:
        return None
    # A copy knows where its pair begins, so bytes of a payload that look like a
    # trailer are only one by a forger's hand, and signatures hold against him.
    if offset not in (end - size, end - 2 * size):
        return None
    segments = tuple(
        SegmentEntry(*ENTRY.unpack_from(copy, HEAD.size + ENTRY.size * index))
        for index in range(count)
    )
    if any(
        each.offset < start or each.offset + each.size > offset for each in segments
    ):
        return None
    return offset, size, segments
