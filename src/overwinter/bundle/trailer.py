"""
The trailer: where the segments lie. It stands twice at the end of the file.

Layout: ``schema/FORMAT.md``, "Trailer".
"""

import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise

import attrs

from ..errors import NoTrailerError, TooLargeError
from ..limits import MAX_RECOVERY_SCAN, MAX_SEGMENTS
from ..sources import Source

__all__ = [
    "ENTRY",
    "FOOT",
    "HEAD",
    "SegmentEntry",
    "Trailer",
    "is_old_trailer",
    "read_trailer",
    "write_trailer",
]

MAGIC = b"\x89OWT\r\n\x1a\n"
END = b"\x89OWE\r\n\x1a\n"
HEAD = struct.Struct("<8sQII")
ENTRY = struct.Struct("<QQ32s")
FOOT = struct.Struct("<II8s")

_WINDOW = 8 * 2**10  # read at once from the end: some 160 segments' trailers
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

    Attributes:
        segments: Where they lie.
        offset: Where the trailer's first copy lies; all segments are before it.
        recovery: Empty, or what was wrong at the end of the file.
        is_torn: Whether that was bytes behind the trailer, as an append that is
            still going on leaves them too.
    """

    segments: tuple[SegmentEntry, ...]
    offset: int
    recovery: str = ""
    is_torn: bool = False


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
        return Trailer(segments, offset, recovery)
    return _recover(source, start)


def is_old_trailer(source: Source, start: int, offset: int, end: int) -> bool:
    """
    Return whether both copies of a trailer lie from *offset* to *end*, whole.

    Args:
        source: The bundle.
        start: End of its header.
        offset: First byte of what should be a pair, in bytes from the start.
        end: First byte behind it.
    """
    second = _copy_that_ends_at(source, end, start)
    if second is None:
        return False
    first = _copy_that_ends_at(source, end - second[1], start)
    return first == second and second[0] == offset


def _recover(source: Source, start: int) -> Trailer:
    """Search backwards for the last complete copy, and say what it means."""
    counted = _Counted(source)
    position = source.size
    while position > start and counted.n_read < MAX_RECOVERY_SCAN:
        begin = max(start, position - _SCAN_STEP)
        # The overlap finds an end that straddles two steps.
        window = counted.read(begin, min(position + len(END), source.size) - begin)
        at = window.rfind(END)
        # A forger can write an end every eight bytes: what it costs to look at
        # them counts too.
        while at >= 0 and counted.n_read < MAX_RECOVERY_SCAN:
            end = begin + at + len(END)
            found = _copy_that_ends_at(counted, end, start)
            if found is not None:
                offset, size, segments = found
                behind = source.size - (offset + 2 * size)
                what = "its second copy is damaged; nothing is lost"
                if behind > 0:
                    what = f"{behind:,} bytes behind it are an append that was torn"
                return Trailer(
                    segments,
                    offset,
                    f"the last complete trailer ends at {end:,}; {what}",
                    is_torn=behind > 0,
                )
            at = window.rfind(END, 0, at)
        position = begin
    raise NoTrailerError(
        source.name,
        "trailer",
        f"none in {source.size:,} bytes"
        if position <= start
        else f"none in the last {counted.n_read:,} of {source.size:,} bytes",
        "one at the end: the file was cut, or never finished",
    )


class _Counted:
    """A source that knows how much was read of it."""

    def __init__(self, source: Source) -> None:
        self.name, self.size = source.name, source.size
        self.n_read = 0
        self._source = source

    def read(self, offset: int, size: int) -> bytes:
        self.n_read += size
        return self._source.read(offset, size)


def _copy_that_ends_at(
    source: Source, end: int, start: int
) -> tuple[int, int, tuple[SegmentEntry, ...]] | None:
    """Return offset of the pair, size of a copy, and segments; or ``None``."""
    if end - start < HEAD.size + FOOT.size:
        return None
    begin = max(start, end - _WINDOW)
    data = source.read(begin, end - begin)
    if len(data) != end - begin:
        # Another process took a torn append back after we had asked for the size.
        return None
    size, crc, magic = FOOT.unpack(data[-FOOT.size :])
    count, rest = divmod(size - HEAD.size - FOOT.size, ENTRY.size)
    if magic != END or rest or not count >= 0 or size > end - start:
        return None
    whole = size <= len(data)
    head = data[-size:] if whole else source.read(end - size, HEAD.size)
    magic, offset, stated, zero = HEAD.unpack_from(head)
    # A copy knows where its pair begins, so bytes of a payload that look like a
    # trailer are only one by a forger's hand, and signatures hold against him.
    mine = offset in (end - size, end - 2 * size)
    if magic != MAGIC or stated != count or zero or not mine:
        return None
    if count > MAX_SEGMENTS:
        raise TooLargeError(
            source.name, "trailer", size, HEAD.size + ENTRY.size * MAX_SEGMENTS
        )
    copy = head if whole else source.read(end - size, size)
    if zlib.crc32(copy[:-12]) != crc:
        return None
    segments = tuple(
        SegmentEntry(*ENTRY.unpack_from(copy, HEAD.size + ENTRY.size * index))
        for index in range(count)
    )
    if not _lie_apart(segments, start, offset):
        return None
    return offset, size, segments


def _lie_apart(segments: Sequence[SegmentEntry], start: int, end: int) -> bool:
    """Return whether *segments* lie between *start* and *end* without overlap."""
    # One that is listed a million times would be read a million times.
    spans = sorted((each.offset, each.offset + each.size) for each in segments)
    bounds = [(start, start), *spans, (end, end)]
    return all(before[1] <= after[0] for before, after in pairwise(bounds))
