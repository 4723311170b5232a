"""
Repacking: a bundle again as one segment, without what nobody needs.

Artifacts that are equal come once; of those that compete for one place in a cache
the winner stays, of the variants of a key the best. What is taken apart is signed by
who repacks, so only what this machine trusts is; everything else is carried as it is.
Records keep the versions that they have: bringing them to newer ones is `upgrade`.

Blocks are merged by key, so that only those are in memory whose ranges overlap.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import IO, Any

import attrs

from . import files
from .bundle import Bundle, KindStamp, RecordBlock, Segment
from .bundle.identity import record_digest
from .bundle.prefix import Header, write_prefix
from .bundle.record_block import Content
from .bundle.rewriting import copy_bytes, reason_to_keep
from .bundle.segment_writer import SegmentWriter
from .bundle.trailer import SegmentEntry, write_trailer
from .bundle.unpacking import read_payloads
from .bundle.writer import BLOCK_ROWS, DEFAULT_LEVEL, RECORD_FIELDS
from .codec import Columns, Payloads, pack
from .errors import ConflictError, FormatError, KindError, OverwinterError
from .factory import CacheArtifactFactory
from .files import Buffer, PathLike, write_all
from .info import Note
from .kind import Kind
from .limits import MAX_VARIANTS
from .migrate import migrate
from .progress import Counter, Progress
from .schema.model import ONE
from .trust import Policy, SigningKey, own_key
from .version import WRITER
from .workers import Workers

__all__ = ["RepackReport", "repack"]

_REPORT_VERSION = 1

# Bytes of payloads that are held before a record block is written.
_HELD = 8 * 2**20


@attrs.frozen
class RepackReport:
    """
    What a repack did.

    Args:
        file: The new bundle.
        kept: How many artifacts were written anew.
        duplicates: How many were there already, and left out.
        losers: Artifacts that lost against a better one of their key; left out.
        copied: How many segments were carried as they are.
        problems: What is damaged, and left out, or not trusted, and carried.
    """

    file: str
    kept: int
    duplicates: int
    losers: tuple[Note, ...]
    copied: int
    problems: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values; the layout is versioned."""
        return {"version": _REPORT_VERSION, **attrs.asdict(self)}


def repack(
    target: PathLike | Buffer,
    out: PathLike,
    *,
    policy: Policy | None = None,
    key: SigningKey | None = None,
    level: int = DEFAULT_LEVEL,
    progress: Progress | None = None,
) -> RepackReport:
    """
    Write a bundle again as one segment, without duplicates and losers.

    Every key stays, and of a kind with variants the best eight of each key.

    Args:
        target: The bundle's path, or its bytes; it stays as it is.
        out: The new bundle; nothing may be there yet. It appears whole or not at all.
        policy: Whose segments to take apart; this machine's own if not given.
        key: Signs the new segment; this machine's key if not given.
        level: zstd level, 0 to store.
        progress: Told of bytes done and in all.

    Raises:
        ConflictError: Something is at *out*.
        NotFoundError: There is no such file.
        FormatError: The bundle cannot be opened.
        VersionError: It was written for later readers or writers.
        StoreError: The file cannot be written; nothing is left of it.
    """
    CacheArtifactFactory.discover()
    with Bundle(target) as bundle:
        bundle.header.check_writable(bundle.name)
        try:
            with files.creating(out) as file, Workers() as workers:
                work = _Repack(bundle, policy or Policy.of_this_machine(), progress)
                return work.write(file, str(out), key, level, workers)
        except FileExistsError as error:
            raise ConflictError(str(out)) from error


@attrs.frozen(eq=False)
class _Row:
    """One record of an opened block, and what ranks it among those of its key."""

    content: Content
    number: int
    digest: bytes = b""

    @property
    def kind(self) -> KindStamp:
        return self.content.block.kind


class _Repack:
    def __init__(
        self, bundle: Bundle, policy: Policy, progress: Progress | None
    ) -> None:
        self.bundle, self.policy = bundle, policy
        self.problems = [bundle.recovery] if bundle.recovery else []
        self.losers: list[Note] = []
        self.kept = self.duplicates = 0
        entries = bundle.trailer.segments
        self.counter = Counter(sum(entry.size for entry in entries), progress)

    def write(
        self,
        file: IO[bytes],
        out: str,
        key: SigningKey | None,
        level: int,
        workers: Workers,
    ) -> RepackReport:
        apart, carried = self.sorted_out()
        prefix = write_prefix(Header(WRITER))
        write_all(file, [prefix])
        position, entries = len(prefix), []
        writer = SegmentWriter(file, level, workers, holds_payloads=False)
        for group in _groups(apart):
            self.merge(group, writer)
        if self.kept:
            foot = writer.finish(key or own_key())
            entries.append(SegmentEntry(position, foot.segment_size, foot.digest))
            position += foot.segment_size
        for entry in carried:
            copy_bytes(file, self.bundle.source, entry.offset, entry.size)
            entries.append(SegmentEntry(position, entry.size, entry.digest))
            position += entry.size
            self.counter.advance(entry.size)
        write_all(file, [write_trailer(entries, position)])
        return RepackReport(
            out,
            self.kept,
            self.duplicates,
            tuple(self.losers),
            len(carried),
            tuple(self.problems),
        )

    def sorted_out(self) -> tuple[list[Segment], list[SegmentEntry]]:
        """Return the segments to take apart, and where those lie that are carried."""
        refused = dict(self.bundle.refused)
        sound = {segment.number: segment for segment in self.bundle.segments}
        apart, carried = [], []
        for number, entry in enumerate(self.bundle.trailer.segments):
            if number in refused:
                self.problems.append(str(refused[number]))
                carried.append(entry)
                continue
            segment = sound[number]
            name = f"{self.bundle.name}, {segment.part}"
            refusal = self.policy.refusal(name, segment.signers)
            reason = str(refusal or "") or reason_to_keep(segment)
            if not reason and any(block.schema is None for block in segment.blocks):
                reason = f"{name}: a schema has types that this release does not know"
            if reason:
                self.problems.append(reason)
                carried.append(entry)
            else:
                apart.append(segment)
        return apart, carried

    def merge(self, blocks: list[RecordBlock], writer: SegmentWriter) -> None:
        """Write the records of *blocks*, of one kind and environment."""
        name = blocks[0].kind.kind
        outputs: dict[tuple[int, bytes, frozenset[str]], _Output] = {}
        for _, rows in groupby(self.merged(blocks), key=lambda each: each[0]):
            of_key = [row for _, row in rows]
            for row in self.winners(name, of_key) if len(of_key) > 1 else of_key:
                stamp = row.kind
                # A later writer may have added columns: they go with their like.
                place = stamp.version, stamp.fingerprint, frozenset(row.content.columns)
                if place not in outputs:
                    outputs[place] = _Output(writer, self.problems.append)
                outputs[place].add(row)
        for output in outputs.values():
            output.flush()
            self.kept += output.written

    def merged(self, blocks: list[RecordBlock]) -> Iterator[tuple[str, _Row]]:
        """Give all records by key; a block is opened when its first key is reached."""
        waiting = sorted(blocks, key=lambda block: block.stamp.first, reverse=True)
        heap: list[tuple[str, int, int, Iterator[tuple[str, _Row]], _Row]] = []
        opened = 0

        def advance(rows: Iterator[tuple[str, _Row]], order: int) -> None:
            for key, row in rows:
                heapq.heappush(heap, (key, order, row.number, rows, row))
                return

        while heap or waiting:
            while waiting and (not heap or waiting[-1].stamp.first <= heap[0][0]):
                opened += 1
                advance(self.rows(waiting.pop()), opened)
            if heap:
                key, order, _, rows, row = heapq.heappop(heap)
                yield key, row
                advance(rows, order)

    def rows(self, block: RecordBlock) -> Iterator[tuple[str, _Row]]:
        self.counter.advance(block.stamp.size)
        try:
            content = block.open()
            content.decode()  # now, while the block can be named
            keys = content.columns["key"]
        except FormatError as error:
            self.problems.append(str(error))
            return
        # They are sorted already; were they not, no key may get lost all the same.
        for number in sorted(range(len(keys)), key=keys.__getitem__):
            yield keys[number], _Row(content, number)

    def winners(self, name: str, rows: list[_Row]) -> list[_Row]:
        """Return those of *rows*, all of one key, that stay, in their order."""
        try:
            kind: Kind | None = CacheArtifactFactory.kind(name)
        except KindError:
            kind = None
        ranked: list[tuple[tuple[Any, ...], bytes, int, _Row]] = []
        distinct: dict[bytes, _Row] = {}
        for row in rows:
            try:
                columns = _one(row)
            except FormatError as error:
                self.problems.append(str(error))
                continue
            record = {each: columns[each][0] for each in columns}
            names = row.content.block.payload_names
            row = attrs.evolve(row, digest=record_digest(record, names))
            rank = _rank(kind, row.kind, columns)
            if rank is not None:
                ranked.append((*rank, -row.kind.version, row))
            elif row.digest not in distinct:
                # Unknown here, or unfit to be one: nobody can say which is better.
                distinct[row.digest] = row
            else:
                self.duplicates += 1
        ranked.sort(key=lambda each: each[:3])
        best: dict[bytes, _Row] = {}
        for _, digest, _, row in ranked:
            best.setdefault(digest, row)
        self.duplicates += len(ranked) - len(best)
        is_one = kind is not None and kind.schema.cardinality == ONE
        stay = 1 if is_one else MAX_VARIANTS
        key = str(rows[0].content.columns["key"][rows[0].number])
        reason = "another is better" if is_one else f"{stay} variants are better"
        self.losers += [Note(name, key, reason)] * max(0, len(best) - stay)
        return sorted(
            [*list(best.values())[:stay], *distinct.values()],
            key=lambda row: row.digest,
        )


class _Output:
    """Records of one kind, version and environment, gathered into record blocks."""

    def __init__(self, writer: SegmentWriter, report: Callable[[str], None]) -> None:
        self._writer, self._report = writer, report
        self._rows: list[_Row] = []
        self._size = 0
        self.written = 0

    def add(self, row: _Row) -> None:
        """Take the next record."""
        spans = [column[row.number] for column in row.content.spans.values()]
        size = sum(span[1] for span in spans if span)
        if self._rows and (len(self._rows) == BLOCK_ROWS or self._size + size > _HELD):
            self.flush()
        self._rows.append(row)
        self._size += size

    def flush(self) -> None:
        """Write what was taken; a record whose payload is damaged is left out."""
        rows, self._rows, self._size = self._rows, [], 0
        payloads: dict[str, list[bytes | None]] = {}
        kept: list[_Row] = []
        for content, run in groupby(rows, key=lambda row: row.content):
            of_content = list(run)
            found = _payloads(content, [row.number for row in of_content])
            for row in of_content:
                values: dict[str, bytes | None] = {}
                for name, column in content.spans.items():
                    span = column[row.number]
                    value = None if span is None else found[span]
                    if isinstance(value, FormatError):
                        self._report(str(value))
                        break
                    values[name] = value
                else:
                    kept.append(row)
                    for name, value in values.items():
                        payloads.setdefault(name, []).append(value)
        if kept:
            self._write(kept, payloads)

    def _write(self, rows: list[_Row], payloads: dict[str, list[bytes | None]]) -> None:
        names = [name for name in rows[0].content.columns if name not in payloads]
        values = {
            name: [row.content.columns[name][row.number] for row in rows]
            for name in names
        }
        encoded = {name: pack(column) for name, column in values.items()}
        if sum(map(len, encoded.values())) > RECORD_FIELDS and len(rows) > 1:
            middle = len(rows) // 2
            for half in (slice(0, middle), slice(middle, None)):
                self._write(rows[half], {n: c[half] for n, c in payloads.items()})
            return
        block = rows[0].content.block
        keys = values["key"]
        self._writer.write(
            block.kind,
            block.environment,
            keys[0],
            keys[-1],
            Columns(len(rows), dict(encoded)),
            payloads,
        )
        self.written += len(rows)


def _groups(segments: Iterable[Segment]) -> list[list[RecordBlock]]:
    """Return the record blocks by kind and environment."""
    groups: dict[tuple[str, bytes], list[RecordBlock]] = {}
    for segment in segments:
        for block in segment.blocks:
            environment = block.environment
            name = b"" if environment is None else pack(dict(environment))
            groups.setdefault((block.kind.kind, name), []).append(block)
    return [groups[name] for name in sorted(groups)]


def _payloads(
    content: Content, rows: list[int]
) -> dict[tuple[int, int], bytes | FormatError]:
    columns = content.spans.values()
    spans = sorted({span for column in columns for r in rows if (span := column[r])})
    ends = content.table.ends
    segment = content.block.segment
    return dict(
        zip(spans, read_payloads(segment, content.table, ends, spans), strict=True)
    )


def _one(row: _Row) -> Columns:
    """Return one record as columns, its payloads read."""
    content = row.content
    found = _payloads(content, [row.number])
    columns: dict[str, Any] = {}
    for name in content.columns:
        if name not in content.spans:
            columns[name] = [content.columns[name][row.number]]
            continue
        span = content.spans[name][row.number]
        payload = None if span is None else found[span]
        if isinstance(payload, FormatError):
            raise payload
        columns[name] = Payloads([payload])
    return Columns(1, columns, content.columns.source)


def _rank(
    kind: Kind | None, stamp: KindStamp, columns: Columns
) -> tuple[tuple[Any, ...], bytes] | None:
    """Return what a record is compared by: better first; ``None`` if by nothing."""
    if kind is None or stamp.version > kind.schema.version:
        return None
    if kind.schemas[stamp.version].fingerprint != stamp.fingerprint:
        return None
    try:
        migrated = migrate(kind, stamp.version, columns)
        if migrated.faults:
            return None
        (artifact,) = kind.build(migrated.columns)
        return artifact.preference(), kind.digest(artifact)
    except OverwinterError:
        return None
    except Exception:  # the validators of its class may ask more than the schema
        return None
