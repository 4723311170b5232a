"""
Writing: records in, one signed segment out, in one pass over the payloads.

Equal input gives equal bytes: records are sorted, maps are canonical, nothing is
asked of the clock, and signatures are deterministic.
Layout: ``schema/FORMAT.md``.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, groupby, islice, pairwise
from operator import add, ge, itemgetter
from typing import IO, Any

import attrs

from ..codec import Columns, collector_paused, pack
from ..environment import Environment
from ..errors import WrongShapeError
from ..files import write_all
from ..limits import MAX_PAYLOADS, MAX_RECORD_BLOCK
from ..sources import Source
from ..trust import SigningKey
from ..workers import Workers
from .foot import Foot
from .identity import record_digest
from .prefix import PREFIX, Header, read_prefix, write_prefix
from .segment_writer import SegmentWriter
from .statement import KindStamp
from .trailer import SegmentEntry, read_trailer, write_trailer

__all__ = ["DEFAULT_LEVEL", "New", "Records", "append_segment", "write_bundle"]

DEFAULT_LEVEL = 3  # of zstd; 0 stores

BLOCK_ROWS = 2048
# What one record block's payloads may add up to. Readers take them in smaller parts;
# those before 0.3 hold all of one block.
BLOCK_PAYLOADS = 256 * 2**20
# What one record block's other fields may add up to, encoded; the rest is room for
# the references to payloads.
RECORD_FIELDS = MAX_RECORD_BLOCK // 2


@attrs.frozen
class Records:
    """
    Records of one kind and one environment, to be written; one for each in a segment.

    Args:
        stamp: Kind, version and schema.
        columns: Field to values, validated; payloads are bytes or ``None``.
        payload_names: The fields that are payloads.
        environment: What they were compiled for, where that matters.
    """

    stamp: KindStamp
    columns: Mapping[str, list[Any]]
    payload_names: frozenset[str]
    environment: Environment | None = None

    @property
    def sort_key(self) -> tuple[str, int, bytes]:
        """Kind, version, and environment with none first."""
        environment = b"" if self.environment is None else pack(dict(self.environment))
        return self.stamp.kind, self.stamp.version, environment


New = Callable[[Sequence[SegmentEntry], Sequence[Records]], Sequence[Records]]


def write_bundle(
    file: IO[bytes],
    records: Iterable[Records],
    *,
    writer: str,
    key: SigningKey | None,
    level: int = DEFAULT_LEVEL,
) -> SegmentEntry:
    """
    Write a new bundle of one segment to *file*; return where the segment lies.

    Args:
        file: Open for writing, at its start.
        records: What to write; one at least.
        writer: Name and version of the program, for the header.
        key: Signs the segment; without it nobody will populate from it.
        level: zstd level, 0 to store.

    Raises:
        WrongShapeError: A record is larger than readers accept.
    """
    prefix = write_prefix(Header(writer))
    write_all(file, [prefix])
    segment = _write_segment(file, records, key, level)
    entry = SegmentEntry(len(prefix), segment.segment_size, segment.digest)
    write_all(file, [write_trailer([entry], len(prefix) + segment.segment_size)])
    return entry


def append_segment(
    file: IO[bytes],
    source: Source,
    records: Sequence[Records],
    *,
    key: SigningKey | None,
    level: int = DEFAULT_LEVEL,
    new: New | None = None,
) -> SegmentEntry | None:
    """
    Append one segment to the bundle that is both *file* and *source*.

    Args:
        file: Open for writing, at its end, locked by the caller.
        source: The same bytes, for reading what is there.
        records: What to write; one at least.
        key: Signs the segment.
        level: zstd level, 0 to store.
        new: Says which of *records* the bundle needs, by the segments that it has;
            all if not given.

    Returns:
        Where the segment lies; ``None`` where it needs none, and nothing is written.

    Raises:
        FormatError: The bundle has no sound prefix or trailer.
        UnknownFeatureError: It must not be written by this release.
        WrongShapeError: A record is larger than readers accept.
    """
    header = read_prefix(source)
    header.check_writable(source.name)
    known = read_trailer(source, PREFIX.size + header.size).segments
    if new is not None:
        records = new(known, records)
        if not records:
            return None
    segment = _write_segment(file, records, key, level)
    entry = SegmentEntry(source.size, segment.segment_size, segment.digest)
    end = source.size + segment.segment_size
    write_all(file, [write_trailer([*known, entry], end)])
    return entry


def _write_segment(
    file: IO[bytes], records: Iterable[Records], key: SigningKey | None, level: int
) -> Foot:
    with Workers() as workers:
        writer = SegmentWriter(file, level, workers)
        for group in sorted(records, key=lambda group: group.sort_key):
            ordered = _ordered(group)
            for begin, end in _bounds(ordered):
                _write_rows(writer, ordered, begin, end)
        return writer.finish(key)


def _write_rows(writer: SegmentWriter, group: Records, begin: int, end: int) -> None:
    """Write the rows from *begin* to *end* as one block, or more where it is large."""
    columns: dict[str, list[Any] | bytes] = {}
    payloads: dict[str, list[bytes | None]] = {}
    # Sorting maps makes many that live for a moment: the collector would visit all
    # that the process holds, 0.1 s for each million.
    with collector_paused(0):
        for name in sorted(group.columns):
            rows = group.columns[name][begin:end]
            if name in group.payload_names:
                payloads[name] = rows
            else:
                columns[name] = pack(rows)
    size = sum(map(len, columns.values()))
    if size > RECORD_FIELDS and end - begin > 1:
        middle = (begin + end) // 2
        _write_rows(writer, group, begin, middle)
        _write_rows(writer, group, middle, end)
        return
    first, last = group.columns["key"][begin], group.columns["key"][end - 1]
    total = sum(sum(map(len, filter(None, each))) for each in payloads.values())
    for what, found, most in (
        ("fields", size, RECORD_FIELDS),
        ("payloads", total, MAX_PAYLOADS),
    ):
        if found > most:
            fault = f"{first!a:.80}: expected at most {most:,} bytes of {what}"
            raise WrongShapeError(
                f"saving {group.stamp.kind}", (f"{fault}, got {found:,}",)
            )
    encoded = Columns(end - begin, columns)
    writer.write(group.stamp, group.environment, first, last, encoded, payloads)


def _ordered(group: Records) -> Records:
    """Return the records by key, then digest; equal artifacts once."""
    keys = group.columns["key"]
    if not any(map(ge, keys, islice(keys, 1, None))):
        return group
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if any(keys[a] == keys[b] for a, b in pairwise(order)):
        order = _without_equals(group, order)
    # itemgetter gives one thing alone as it is, and more as a tuple.
    take = itemgetter(*order, order[0])
    columns = {name: list(take(column)[:-1]) for name, column in group.columns.items()}
    return attrs.evolve(group, columns=columns)


def _without_equals(group: Records, order: Sequence[int]) -> list[int]:
    # Variants of one key: only for them is the digest worth its cost.
    keys = group.columns["key"]
    result: list[int] = []
    for _, run in groupby(order, key=keys.__getitem__):
        rows = list(run)
        if len(rows) == 1:
            result += rows
            continue
        by_digest: dict[bytes, int] = {}
        for row in rows:
            record = {name: column[row] for name, column in group.columns.items()}
            by_digest.setdefault(record_digest(record, group.payload_names), row)
        result += [by_digest[digest] for digest in sorted(by_digest)]
    return result


def _bounds(group: Records) -> Iterator[tuple[int, int]]:
    """Cut the rows into those of one record block each: first, and first behind."""
    rows = len(group.columns["key"])
    payloads = [group.columns[name] for name in group.payload_names]
    for begin in range(0, rows, BLOCK_ROWS):
        end = min(begin + BLOCK_ROWS, rows)
        of_block = [filter(None, column[begin:end]) for column in payloads]
        if sum(map(len, chain.from_iterable(of_block))) <= BLOCK_PAYLOADS:
            yield begin, end
            continue
        sizes = [0] * (end - begin)
        for column in payloads:
            sizes = list(map(add, sizes, (len(p or b"") for p in column[begin:end])))
        size = 0
        for row, added in enumerate(sizes, begin):
            if row > begin and size + added > BLOCK_PAYLOADS:
                yield begin, row
                begin, size = row, 0
            size += added
        yield begin, end
