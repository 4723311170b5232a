"""
Finding the records of some keys in all segments, by reading as little as that takes.

What a statement says of its blocks tells which may hold a key; only their keys are
decoded, and what was seen once is not read again.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property

from ..errors import FormatError, VersionError
from ..sources import Source
from .ends import Ends
from .merging import Row
from .record_block import RecordBlock
from .segment_reader import Segment
from .statement import Statement
from .trailer import SegmentEntry
from .writer import Records

__all__ = ["Finder", "remember"]

# A kind, the first and the last key (``None``: any) of what a segment holds of it,
# and number and digest of the block; of a segment that was written here, no block.
_Range = tuple[str, str, str | None, int, bytes]
_WHOLE = -1

# What this process saw of segments and blocks. Their digests are their names, so what
# was true of one stays so; without it a job that saves all day would read the words
# of each segment, and the keys of each block, at every save: 0.07 ms and 0.3 ms.
_RANGES: dict[bytes, tuple[_Range, ...]] = {}
_KEYS: dict[bytes, frozenset[str]] = {}
_MOST_SEGMENTS = 4096
_MOST_BLOCKS = 64
# Bytes of a record block: written ones have 2,048 keys at most, in some 0.1 MB. Keys
# of a larger one are more than is worth to keep.
_WORTH_KEEPING = 2**20


class Finder:
    """
    The segments of a bundle, read as far as their keys are asked for.

    Args:
        source: The bundle, which nobody changes meanwhile.
        entries: Its segments.
    """

    def __init__(self, source: Source, entries: Sequence[SegmentEntry]) -> None:
        self.entries = entries
        self._source = source
        self._segments: dict[int, Segment | None] = {}

    def find(
        self, kind: str, keys: Sequence[str], signer: bytes | None
    ) -> dict[str, list[Row]]:
        """
        Return the records of *keys*: in the order of the segments, and in theirs.

        What is damaged is left out, as any reader would.

        Args:
            kind: Their kind.
            keys: Their keys, sorted, each once.
            signer: A public key without whose signature a segment is passed over; it
                may be a false one.
        """
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for number, entry in enumerate(self.entries):
            ranges = _RANGES.get(entry.digest)
            if ranges is None or any(
                at == _WHOLE and _within(kind, keys, each, first, last)
                for each, first, last, at, _ in ranges
            ):
                ranges = self._ranges(number)
            for each, first, last, at, digest in ranges:
                if wanted := _within(kind, keys, each, first, last):
                    known = _KEYS.get(digest)
                    if known is None or not known.isdisjoint(wanted):
                        self._look(number, at, wanted, signer, found)
        return found

    def _look(
        self,
        number: int,
        at: int,
        keys: Sequence[str],
        signer: bytes | None,
        found: dict[str, list[Row]],
    ) -> None:
        """Add the records of *keys* that one block holds."""
        segment = self._segment(number)
        if segment is None:
            return
        if signer and all(each.key != signer for each in segment.signatures):
            return
        block = RecordBlock(segment, at, segment.statement.blocks[at])
        wanted = set(keys)
        try:
            data = segment.read_record_block(at)
            held = block.read_columns(data)[0]["key"]
            if len(data) <= _WORTH_KEEPING:
                _remember_keys(block.stamp.digest, held)
            if wanted.isdisjoint(held):
                return
            content = block.open(data)
        except FormatError:
            return  # damaged: who reads has nothing of it
        for row, key in enumerate(held):
            if key in wanted:
                found[key].append(Row(content, row))

    def _ranges(self, number: int) -> tuple[_Range, ...]:
        segment = self._segment(number)
        if segment is None:
            return ()
        ranges = tuple(_ranges_of(segment.statement))[::-1]
        _remember_ranges(segment.entry.digest, ranges)
        return ranges

    def _segment(self, number: int) -> Segment | None:
        """Return a segment, or ``None`` where no reader has anything of it."""
        if number not in self._segments:
            try:
                segment = Segment(self._ends, self.entries[number], number)
            except (FormatError, VersionError):
                self._segments[number] = None
            else:
                self._segments[number] = segment
        return self._segments[number]

    @cached_property
    def _ends(self) -> Ends:
        return Ends(self._source)


def remember(digest: bytes, records: Sequence[Records]) -> None:
    """Note what a segment holds that was appended, else the next save asks the file."""
    _remember_ranges(
        digest,
        tuple(
            (group.stamp.kind, min(keys), max(keys), _WHOLE, b"")
            for group in records
            if (keys := group.columns["key"])
        ),
    )


def _ranges_of(statement: Statement) -> Iterator[_Range]:
    """Give the range of keys of each record block, the last block first."""
    behind: dict[tuple[int, int | None], str | None] = {}
    for number in reversed(range(len(statement.blocks))):
        stamp = statement.blocks[number]
        group = stamp.kind, stamp.environment
        last = stamp.first if stamp.rows == 1 else stamp.last
        if last is None:
            # They lie apart: it ends where the next begins, or with that very key.
            last = behind.get(group)
        behind[group] = stamp.first
        kind = statement.kinds[stamp.kind].kind
        yield kind, stamp.first, last, number, stamp.digest


def _within(
    kind: str, keys: Sequence[str], of: str, first: str, last: str | None
) -> Sequence[str]:
    """Return those of *keys*, sorted, of *kind*, that a range may hold."""
    if of != kind or first > keys[-1] or (last is not None and last < keys[0]):
        return ()
    end = len(keys) if last is None else bisect_right(keys, last)
    return keys[bisect_left(keys, first) : end]


def _remember_ranges(digest: bytes, ranges: tuple[_Range, ...]) -> None:
    if len(_RANGES) >= _MOST_SEGMENTS:
        _RANGES.clear()
    if len(ranges) <= _MOST_BLOCKS:
        _RANGES[digest] = ranges


def _remember_keys(digest: bytes, keys: Sequence[str]) -> None:
    if len(_KEYS) >= _MOST_BLOCKS:
        _KEYS.clear()
    _KEYS[digest] = frozenset(keys)
