"""
The two ends of a source, each read once: all that opening a bundle needs.

A source that answers in milliseconds, as an object store does, is asked twice; so
is one whose size comes with its first answer.
"""

from ..sources import Source

__all__ = ["Ends"]

_HEAD = 4 * 2**10  # prefix and header take some hundred bytes
# Trailer, foot, statement and layout of a bundle of 200,000 records.
_TAIL = 64 * 2**10


class Ends:
    """A source that keeps what lies at the two ends of another one."""

    def __init__(self, source: Source) -> None:
        self._source, self.name = source, source.name
        self._head = source.read(0, _HEAD)
        # Only now: a source may know it from its first answer.
        self.size = source.size
        begin = max(0, self.size - _TAIL)
        if begin <= len(self._head):
            # They meet: kept as one.
            rest = self.size - len(self._head)
            more = source.read(len(self._head), rest) if rest > 0 else b""
            self._tail_at, self._tail = 0, self._head[: self.size] + more
        else:
            self._tail_at = begin
            self._tail = source.read(begin, self.size - begin)

    def read(self, offset: int, size: int) -> bytes:
        """Return *size* bytes from *offset*, fewer only where the source ends."""
        end = min(offset + size, self.size)
        if offset >= self._tail_at and end <= self._tail_at + len(self._tail):
            return self._tail[offset - self._tail_at : end - self._tail_at]
        if end <= len(self._head):
            return self._head[offset:end]
        return self._source.read(offset, size)

    def extents(self, start: int, most: int) -> list[tuple[int, int]] | None:
        """Return where there is more than zeros, or ``None`` where nobody knows."""
        known = getattr(self._source, "extents", None)
        found: list[tuple[int, int]] | None = known(start, most) if known else None
        return found

    def view(self, offset: int, size: int) -> memoryview:
        """Return *size* bytes from *offset* as they are at this moment, unverified."""
        view = getattr(self._source, "view", None)
        if view is None:
            return memoryview(self.read(offset, size))
        found: memoryview = view(offset, size)
        return found
