"""
Writing: records in, one signed segment out, in one pass over the payloads.

Equal input gives equal bytes: records are sorted, maps are canonical, nothing is
asked of the clock, and signatures are deterministic.
Layout: ``schema/FORMAT.md``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import attrs

from ..codec import Columns, pack
from ..environment import Environment
from ..errors import FormatError, VersionError, WrongShapeError
from ..files import Source, write_all
from ..limits import MAX_PAYLOADS, MAX_RECORD_BLOCK
from ..trust import SigningKey
from .blocks import Placement, compress, digest_of, write_record_block
from .identity import record_digest
from .packing import PayloadPacker
from .prefix import PREFIX, Header, read_prefix, write_prefix
from .reader import Segment
from .segment import BlockStamp, Foot, KindStamp, Statement, write_words
from .trailer import SegmentEntry, read_trailer, write_trailer
from .verifying import verify_segment

__all__ = ["DEFAULT_LEVEL", "Records", "append_segment", "write_bundle"]

DEFAULT_LEVEL = 3  # of zstd; 0 stores

BLOCK_ROWS = 2048
# What one record block's payloads may add up to, so that who reads by block
# holds a bounded part of the bundle.
BLOCK_PAYLOADS = 32 * 2**20
# What one record block's other fields may add up to, encoded; the rest is room for
# the references to payloads.
RECORD_FIELDS = MAX_RECORD_BLOCK // 2
# Record blocks are written in runs, so that listing keys reads few ranges.
RECORD_RUN = 4 * 2**20


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
    segment = _SegmentWriter(file, level).write(records, key)
    entry = SegmentEntry(len(prefix), segment.segment_size, segment.digest)
    write_all(file, [write_trailer([entry], len(prefix) + segment.segment_size)])
    return entry


def append_segment(
    file: IO[bytes],
    source: Source,
    records: Iterable[Records],
    *,
    key: SigningKey | None,
    level: int = DEFAULT_LEVEL,
) -> SegmentEntry | None:
    """
    Append one segment to the bundle that is both *file* and *source*.

    Args:
        file: Open for writing, at its end, locked by the caller.
        source: The same bytes, for reading what is there.
        records: What to write; one at least.
        key: Signs the segment.
        level: zstd level, 0 to store.

    Returns:
        Where the segment lies; ``None`` where the bundle holds it already, whole
        and signed by *key*, in which case the caller cuts the file back.

    Raises:
        FormatError: The bundle has no sound prefix or trailer.
        UnknownFeatureError: It must not be written by this release.
        WrongShapeError: A record is larger than readers accept.
    """
    header = read_prefix(source)
    header.check_writable(source.name)
    known = read_trailer(source, PREFIX.size + header.size).segments
    segment = _SegmentWriter(file, level).write(records, key)
    if any(_is_held(source, entry, segment.digest, key) for entry in known):
        return None
    entry = SegmentEntry(source.size, segment.segment_size, segment.digest)
    end = source.size + segment.segment_size
    write_all(file, [write_trailer([*known, entry], end)])
    return entry


def _is_held(
    source: Source, entry: SegmentEntry, digest: bytes, key: SigningKey | None
) -> bool:
    """Return whether *entry* is the segment of this name, whole and signed by *key*."""
    if entry.digest != digest:
        return False
    try:
        segment = Segment(source, entry, 0)
    except (FormatError, VersionError):
        return False
    signed = key is None or key.public in segment.signers
    # Its blocks are read as well: saving again is how a damaged bundle is mended.
    return signed and not any(verify_segment(segment))


class _SegmentWriter:
    """Writes one segment; positions count from its first byte."""

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._file, self._level = file, level
        self._position = 0
        self._payloads = PayloadPacker(self._store)
        self._run: list[tuple[bytes, int]] = []
        self._run_size = 0
        self._stamps: list[BlockStamp] = []
        self._placements: list[Placement] = []

    def write(self, records: Iterable[Records], key: SigningKey | None) -> Foot:
        groups = sorted(records, key=lambda group: group.sort_key)
        kinds: list[KindStamp] = []
        for group in groups:
            if group.stamp not in kinds:
                kinds.append(group.stamp)
        known = {
            group.sort_key[2]: group.environment
            for group in groups
            if group.environment is not None
        }
        environments = [known[name] for name in sorted(known)]
        for group in groups:
            environment = group.environment
            number = None if environment is None else environments.index(environment)
            self._write_group(group, kinds.index(group.stamp), number)
        self._flush_run()
        if not self._stamps:
            raise ValueError("a segment holds one record at least")

        placements = [*self._placements, *self._payloads.placements]
        statement = Statement(
            tuple(kinds),
            tuple(environments),
            tuple(self._stamps),
            len(self._payloads.placements),
        )
        return write_words(self._file, self._position, placements, statement, key)

    def _write_group(self, group: Records, kind: int, environment: int | None) -> None:
        for rows in _split(group, _order(group)):
            self._write_rows(group, rows, kind, environment)

    def _write_rows(
        self, group: Records, rows: list[int], kind: int, environment: int | None
    ) -> None:
        columns = {
            name: pack([column[row] for row in rows])
            for name, column in group.columns.items()
            if name not in group.payload_names
        }
        payloads = {
            name: [group.columns[name][row] for row in rows]
            for name in sorted(group.payload_names)
        }
        size = sum(map(len, columns.values()))
        if size > RECORD_FIELDS and len(rows) > 1:
            middle = len(rows) // 2
            self._write_rows(group, rows[:middle], kind, environment)
            self._write_rows(group, rows[middle:], kind, environment)
            return
        first = group.columns["key"][rows[0]]
        total = sum(len(each or b"") for column in payloads.values() for each in column)
        for what, found, most in (
            ("fields", size, RECORD_FIELDS),
            ("payloads", total, MAX_PAYLOADS),
        ):
            if found > most:
                fault = f"{first!a:.80}: expected at most {most:,} bytes of {what}"
                raise WrongShapeError(
                    f"saving {group.stamp.kind}", (f"{fault}, got {found:,}",)
                )

        table, references, payload_size = self._payloads.write(payloads)
        data = write_record_block(Columns(len(rows), {**columns, **references}), table)
        self._stamps.append(
            BlockStamp(
                kind=kind,
                environment=environment,
                first=first,
                rows=len(rows),
                size=len(data),
                digest=digest_of(data),
                payload_size=payload_size,
            )
        )
        self._run.append(compress(data, self._level))
        self._run_size += len(self._run[-1][0])
        if self._run_size >= RECORD_RUN:
            self._flush_run()

    def _flush_run(self) -> None:
        for stored, codec in self._run:
            self._placements.append(Placement(self._position, len(stored), codec))
            self._position += write_all(self._file, [stored])
        self._run, self._run_size = [], 0

    def _store(self, data: bytes) -> Placement:
        stored, codec = compress(data, self._level)
        placement = Placement(self._position, len(stored), codec)
        self._position += write_all(self._file, [stored])
        return placement


def _order(group: Records) -> list[int]:
    """Return the rows by key, then digest; equal artifacts once."""
    keys = group.columns["key"]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    if all(keys[a] != keys[b] for a, b in pairwise(order)):
        return order

    # Variants of one key: only for them is the digest worth its cost.
    result: list[int] = []
    for rows in _runs(order, keys):
        if len(rows) == 1:
            result += rows
            continue
        by_digest: dict[bytes, int] = {}
        for row in rows:
            record = {name: column[row] for name, column in group.columns.items()}
            by_digest.setdefault(record_digest(record, group.payload_names), row)
        result += [by_digest[digest] for digest in sorted(by_digest)]
    return result


def _runs(order: Sequence[int], keys: Sequence[str]) -> Iterator[list[int]]:
    run: list[int] = []
    for row in order:
        if run and keys[run[0]] != keys[row]:
            yield run
            run = []
        run.append(row)
    if run:
        yield run


def _split(group: Records, order: Sequence[int]) -> Iterator[list[int]]:
    """Cut the rows into those of one record block each."""
    payloads = [group.columns[name] for name in group.payload_names]
    rows: list[int] = []
    size = 0
    for row in order:
        added = sum(len(column[row] or b"") for column in payloads)
        if rows and (len(rows) == BLOCK_ROWS or size + added > BLOCK_PAYLOADS):
            yield rows
            rows, size = [], 0
        rows.append(row)
        size += added
    if rows:
        yield rows
