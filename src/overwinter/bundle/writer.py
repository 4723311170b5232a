"""
Writing: records in, one signed segment out, in one pass over the payloads.

Equal input gives equal bytes: records are sorted, maps are canonical, nothing is
asked of the clock, and signatures are deterministic.
Layout: ``schema/FORMAT.md``.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import IO, Any

import attrs

from ..codec import Columns, pack
from ..environment import Environment
from ..files import Source, write_all
from ..trust import SigningKey
from .blocks import Placement, compress, digest_of, write_record_block
from .identity import record_digest
from .packing import PayloadPacker
from .prefix import Header, read_prefix, write_prefix
from .segment import (
    FOOT,
    BlockStamp,
    Foot,
    KindStamp,
    Statement,
    write_foot,
    write_signatures,
)
from .trailer import SegmentEntry, read_trailer, write_trailer

__all__ = ["DEFAULT_LEVEL", "Records", "append_segment", "write_bundle"]

DEFAULT_LEVEL = 3  # of zstd; 0 stores

BLOCK_ROWS = 2048
# What one record block's payloads may add up to, so that who reads by block
# holds a bounded part of the bundle.
BLOCK_PAYLOADS = 32 * 2**20
# Record blocks are written in runs, so that listing keys reads few ranges.
RECORD_RUN = 4 * 2**20


@attrs.frozen
class Records:
    """
    Records of one kind and one environment, to be written.

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
        Where the segment lies; ``None`` where the bundle holds it already, in
        which case the caller cuts the file back.

    Raises:
        FormatError: The bundle has no sound prefix or trailer.
        UnknownFeatureError: It must not be written by this release.
    """
    header = read_prefix(source)
    header.check_writable(source.name)
    start = 32 + header.size
    known = read_trailer(source, start).segments
    segment = _SegmentWriter(file, level).write(records, key)
    if any(entry.digest == segment.digest for entry in known):
        return None
    entry = SegmentEntry(source.size, segment.segment_size, segment.digest)
    end = source.size + segment.segment_size
    write_all(file, [write_trailer([*known, entry], end)])
    return entry


class _SegmentWriter:
    """Writes one segment; positions count from its first byte."""

    def __init__(self, file: IO[bytes], level: int) -> None:
        self._file, self._level = file, level
        self._position = 0
        self._payloads = PayloadPacker(self._store)
        self._run: list[tuple[int, bytes, int]] = []
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
        layout = b"".join(each.pack() for each in placements)
        statement = Statement(
            tuple(kinds),
            tuple(environments),
            tuple(self._stamps),
            len(self._payloads.placements),
        ).pack()
        signatures = write_signatures([key.sign(statement)] if key else [])
        parts = [layout, statement, signatures]
        foot = Foot(
            segment_size=self._position + sum(map(len, parts)) + FOOT.size,
            layout_size=len(layout),
            statement_size=len(statement),
            signatures_size=len(signatures),
            signatures_crc=zlib.crc32(signatures),
            digest=digest_of(statement),
        )
        write_all(self._file, [*parts, write_foot(foot)])
        return foot

    def _write_group(self, group: Records, kind: int, environment: int | None) -> None:
        order = _order(group)
        for rows in _split(group, order):
            columns = {
                name: [column[row] for row in rows]
                for name, column in group.columns.items()
            }
            table, references, payload_size = self._payloads.write(
                {name: columns[name] for name in sorted(group.payload_names)}
            )
            data = write_record_block(
                Columns(len(rows), {**columns, **references}), table
            )
            self._stamps.append(
                BlockStamp(
                    kind=kind,
                    environment=environment,
                    first=columns["key"][0],
                    rows=len(rows),
                    size=len(data),
                    digest=digest_of(data),
                    payload_size=payload_size,
                )
            )
            stored, codec = compress(data, self._level)
            self._run.append((len(self._stamps) - 1, stored, codec))
            self._run_size += len(stored)
            if self._run_size >= RECORD_RUN:
                self._flush_run()

    def _flush_run(self) -> None:
        for _, stored, codec in self._run:
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
