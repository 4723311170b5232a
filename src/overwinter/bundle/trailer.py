"""
The trailer: where the segments lie. It stands twice at the end of the file.

Layout: ``schema/FORMAT.md``, "Trailer".
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import attrs

from ..errors import NoTrailerError, TooLargeError
from ..limits import (
    MAX_ENDS,
    MAX_EXTENTS,
    MAX_RECOVERY_SCAN,
    MAX_SEGMENTS,
    MIN_SEGMENT,
)
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
        elif source.read(offset, size) != source.read(offset + size, size):
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
    for end in _ends(counted, _extents(source, start)):
        # Both copies are read and all between them; a forger's heads and ends, each
        # of which closes half of the file, are not.
        if counted.n_read > 4 * source.size + _SCAN_STEP:
            break
        found = _copy_that_ends_at(counted, end, start, FOOT.size)
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
    raise NoTrailerError(
        source.name,
        "trailer",
        f"none in {source.size:,} bytes, of which {counted.n_read:,} were read",
        "one at the end: the file was cut, or never finished",
    )


def _extents(source: Source, start: int) -> Sequence[tuple[int, int]]:
    """Return where a file may hold more than zeros: begin and end, in order."""
    known = getattr(source, "extents", None)
    found = known(start, MAX_EXTENTS) if known else None
    return [(start, source.size)] if found is None else found


def _ends(source: "_Counted", extents: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Give where an end of a copy seems to be, the last first."""
    looked_at = 0
    for low, high in reversed(extents):
        position = high
        while position > low and source.n_read < MAX_RECOVERY_SCAN:
            begin = max(low, position - _SCAN_STEP)
            # The overlap finds an end that straddles two steps.
            window = source.read(begin, min(position + len(END) - 1, high) - begin)
            at = window.rfind(END)
            while at >= 0:
                # A forger can write an end every eight bytes.
                looked_at += 1
                if looked_at > MAX_ENDS:
                    return
                yield begin + at + len(END)
                at = window.rfind(END, 0, at + len(END) - 1)
            position = begin


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
    source: Source, end: int, start: int, window: int = _WINDOW
) -> tuple[int, int, tuple[SegmentEntry, ...]] | None:
    """
    Return offset of the pair, size of a copy, and segments; or ``None``.

    Args:
        source: The bundle.
        end: First byte behind the copy.
        start: End of the header.
        window: Bytes to read at first.
    """
    if end - start < HEAD.size + FOOT.size:
        return None
    begin = max(start, end - window)
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
    listed = copy[HEAD.size : HEAD.size + ENTRY.size * count]
    if not _lie_apart(listed, start, offset):
        return None
    entries = ENTRY.iter_unpack(listed)
    return offset, size, tuple(SegmentEntry(*each) for each in entries)


def _lie_apart(listed: bytes, start: int, end: int) -> bool:
    """Return whether segments lie between *start* and *end* without overlap."""
    # One that is listed a million times would be read a million times; and of those
    # that are smaller than a foot, none of which is whole, a million take no room.
    entries = ENTRY.iter_unpack(listed)
    spans = sorted((offset, offset + size) for offset, size, _ in entries)
    if any(behind - begin < MIN_SEGMENT for begin, behind in spans):
        return False
    bounds = [(start, start), *spans, (end, end)]
    return all(before[1] <= after[0] for before, after in pairwise(bounds))
