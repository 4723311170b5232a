"""
Uniting: the segments of several bundles in one, each as it is.

Layout: ``schema/FORMAT.md``, "Trailer", its paragraph on union.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import IO

import attrs

from ..errors import DamagedError
from ..files import write_all
from ..progress import Counter, Progress
from ..sources import Source
from .prefix import Header, write_prefix
from .rewriting import copy_bytes
from .trailer import SegmentEntry, write_trailer

__all__ = ["Listed", "write_union"]

_STEP = 8 * 2**20  # bytes between two calls of a progress


@attrs.frozen
class Listed:
    """A segment that the trailer of a part lists, and the number of that part."""

    part: int
    entry: SegmentEntry


def write_union(
    file: IO[bytes],
    segments: Iterable[Listed],
    source_of_part: Callable[[int], Source],
    *,
    writer: str,
    progress: Progress | None = None,
) -> list[SegmentEntry]:
    """
    Write the union of some bundles; return where its segments lie.

    Args:
        file: Empty and open for writing.
        segments: What the trailers of the bundles list.
        source_of_part: Returns a bundle by its number. It is asked again for each
            segment, and what it gave before may be closed by then.
        writer: Name and version of the program that unites.
        progress: Told of bytes done and in all.

    Raises:
        DamagedError: A bundle is shorter than its trailer says.
    """
    return _Union(file, list(segments), source_of_part, progress).write(writer)


class _Union:
    def __init__(
        self,
        file: IO[bytes],
        segments: list[Listed],
        source_of_part: Callable[[int], Source],
        progress: Progress | None,
    ) -> None:
        self.file, self.source_of_part = file, source_of_part
        segments.sort(key=_digest)
        self.groups = [list(group) for _, group in groupby(segments, key=_digest)]
        total = sum(
            _size(group) * (2 if len(group) > 1 else 1) for group in self.groups
        )
        self.counter = Counter(total, progress)

    def write(self, writer: str) -> list[SegmentEntry]:
        prefix = write_prefix(Header(writer))
        write_all(self.file, [prefix])
        position, entries = len(prefix), list[SegmentEntry]()
        for group in self.groups:
            for each in self.distinct(group):
                entry = each.entry
                self.copy(each)
                entries.append(SegmentEntry(position, entry.size, entry.digest))
                position += entry.size
        write_all(self.file, [write_trailer(entries, position)])
        return entries

    def distinct(self, group: list[Listed]) -> list[Listed]:
        """Return the segments of one digest that are different bytes, in order."""
        if len(group) == 1:
            return group
        by_bytes: dict[bytes, Listed] = {}
        for each in group:
            first = by_bytes.setdefault(self.hash(each), each)
            if first is not each:
                self.counter.advance(each.entry.size)  # it need not be copied
        return [each for _, each in sorted(by_bytes.items())]

    def hash(self, listed: Listed) -> bytes:
        found = hashlib.sha256()
        source = self.source_of_part(listed.part)
        for offset, size in _steps(listed.entry):
            data = source.read(offset, size)
            if len(data) != size:
                raise DamagedError(
                    source.name, "a segment", f"{len(data):,} bytes", f"{size:,}"
                )
            found.update(data)
            self.counter.advance(size)
        return found.digest()

    def copy(self, listed: Listed) -> None:
        source = self.source_of_part(listed.part)
        for offset, size in _steps(listed.entry):
            copy_bytes(self.file, source, offset, size)
            self.counter.advance(size)


def _digest(listed: Listed) -> bytes:
    return listed.entry.digest


def _size(group: Sequence[Listed]) -> int:
    return sum(each.entry.size for each in group)


def _steps(entry: SegmentEntry) -> Iterable[tuple[int, int]]:
    """Give offset and size of each step through a segment."""
    end = entry.offset + entry.size
    return (
        (offset, min(_STEP, end - offset)) for offset in range(entry.offset, end, _STEP)
    )
