"""
Repacking: a bundle again as one segment, without what nobody needs.

Artifacts that are equal come once; of those that compete for one place in a cache
the winner stays, of the variants of a key the best. What is taken apart is signed by
who repacks, so only what this machine trusts is; everything else is carried as it is.
Records keep the versions that they have: bringing them to newer ones is `upgrade`.
"""

from collections.abc import Callable, Iterable
from itertools import groupby, islice
from operator import itemgetter
from typing import IO, Any

import attrs

from . import files
from .bundle import Bundle, RecordBlock, Segment
from .bundle.identity import record_digest
from .bundle.merging import Row, merge, read_payloads_of
from .bundle.prefix import Header, write_prefix
from .bundle.rewriting import copy_bytes, reason_to_keep
from .bundle.segment_writer import SegmentWriter
from .bundle.trailer import SegmentEntry, write_trailer
from .bundle.writer import BLOCK_ROWS, DEFAULT_LEVEL, RECORD_FIELDS
from .codec import Columns, pack
from .errors import ConflictError, FormatError, KindError
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


class _Repack:
    def __init__(
        self, bundle: Bundle, policy: Policy, progress: Progress | None
    ) -> None:
        self.bundle, self.policy = bundle, policy
        self.problems = [bundle.recovery] if bundle.recovery else []
        self.losers: list[Note] = []
        self.kept = self.duplicates = 0
        self.progress = progress
        self.counter = Counter(0, None)

    def write(
        self,
        file: IO[bytes],
        out: str,
        key: SigningKey | None,
        level: int,
        workers: Workers,
    ) -> RepackReport:
        apart, carried = self.sorted_out()
        blocks = [block.stamp for segment in apart for block in segment.blocks]
        total = sum(stamp.size + stamp.payload_size for stamp in blocks)
        total += sum(entry.size for entry in carried)
        self.counter = Counter(total, self.progress)
        prefix = write_prefix(Header(WRITER))
        write_all(file, [prefix])
        position, entries = len(prefix), []
        writer = SegmentWriter(file, level, workers, holds_payloads=False)
        for group in _groups(apart):
            self.write_group(group, writer)
        if self.kept:
            key = key or own_key()
            self.policy.check_signer(key.public)
            foot = writer.finish(key)
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
            reason = self.policy.unvouched(
                name, segment.kinds, entry.digest, segment.signers
            ) or reason_to_keep(segment)
            if not reason and any(block.schema is None for block in segment.blocks):
                reason = f"{name}: a schema has types that this release does not know"
            if not reason and any(
                block.schema and block.schema.fingerprint != block.kind.fingerprint
                for block in segment.blocks
            ):
                reason = f"{name}: a schema is not the one that it names"
            if reason:
                self.problems.append(reason)
                carried.append(entry)
            else:
                apart.append(segment)
        return apart, carried

    def write_group(self, blocks: list[RecordBlock], writer: SegmentWriter) -> None:
        """Write the records of *blocks*, of one kind and environment."""
        name = blocks[0].kind.kind
        outputs: dict[tuple[int, bytes, frozenset[str]], _Output] = {}
        merged = merge(blocks, damaged=self.damaged, advance=self.counter.advance)
        for _, rows in groupby(merged, key=itemgetter(0)):
            of_key = [row for _, row in rows]
            for row in self.winners(name, of_key) if len(of_key) > 1 else of_key:
                stamp = row.kind
                # A later writer may have added columns: they go with their like.
                place = stamp.version, stamp.fingerprint, frozenset(row.content.columns)
                if place not in outputs:
                    outputs[place] = _Output(writer, self.damaged)
                outputs[place].add(row)
        for output in outputs.values():
            output.flush()
            self.kept += output.written

    def damaged(self, error: Exception) -> None:
        """Note why something is left out."""
        self.problems.append(str(error))

    def winners(self, name: str, rows: list[Row]) -> list[Row]:
        """Return those of *rows*, all of one key, that stay, in their order."""
        try:
            kind: Kind | None = CacheArtifactFactory.kind(name)
        except KindError:
            kind = None
        ranked: list[tuple[tuple[Any, ...], bytes, int, bytes, Row]] = []
        distinct: dict[bytes, Row] = {}
        for row in rows:
            try:
                columns = row.read()
                record = {each: columns[each][0] for each in columns}
                stored = record_digest(record, row.content.block.payload_names)
            except (FormatError, ValueError) as error:
                # A ValueError: what was read can be nested deeper than what is written.
                self.damaged(error)
                continue
            rank = _rank(kind, row, columns)
            if rank is not None:
                ranked.append((*rank, -row.kind.version, stored, row))
            elif stored not in distinct:
                # Unknown here, or unfit to be one: nobody can say which is better.
                distinct[stored] = row
            else:
                self.duplicates += 1
        ranked.sort(key=lambda each: each[:3])
        best: dict[bytes, tuple[bytes, Row]] = {}
        for _, digest, _, stored, row in ranked:
            best.setdefault(digest, (stored, row))
        self.duplicates += len(ranked) - len(best)
        is_one = kind is not None and kind.schema.cardinality == ONE
        stay = 1 if is_one else MAX_VARIANTS
        key = str(rows[0].content.columns["key"][rows[0].number])
        reason = "another is better" if is_one else f"{stay} variants are better"
        self.losers += [Note(name, key, reason)] * max(0, len(best) - stay)
        chosen = [*islice(best.values(), stay), *distinct.items()]
        return [row for _, row in sorted(chosen, key=itemgetter(0))]


class _Output:
    """Records of one kind, version and environment, gathered into record blocks."""

    def __init__(
        self, writer: SegmentWriter, damaged: Callable[[Exception], None]
    ) -> None:
        self._writer, self._damaged = writer, damaged
        self._rows: list[Row] = []
        self._size = 0
        self.written = 0

    def add(self, row: Row) -> None:
        """Take the next record."""
        size = row.payload_size
        if self._rows and (len(self._rows) == BLOCK_ROWS or self._size + size > _HELD):
            self.flush()
        self._rows.append(row)
        self._size += size

    def flush(self) -> None:
        """Write what was taken; a record whose payload is damaged is left out."""
        rows, self._rows, self._size = self._rows, [], 0
        payloads: dict[str, list[bytes | None]] = {}
        kept: list[Row] = []
        for content, run in groupby(rows, key=lambda row: row.content):
            of_content = list(run)
            found = read_payloads_of(content, [row.number for row in of_content])
            for row in of_content:
                values: dict[str, bytes | None] = {}
                for name, column in content.spans.items():
                    span = column[row.number]
                    value = None if span is None else found[span]
                    if isinstance(value, FormatError):
                        self._damaged(value)
                        break
                    values[name] = value
                else:
                    kept.append(row)
                    for name, value in values.items():
                        payloads.setdefault(name, []).append(value)
        if kept:
            self._write(kept, payloads)

    def _write(self, rows: list[Row], payloads: dict[str, list[bytes | None]]) -> None:
        names = [name for name in rows[0].content.columns if name not in payloads]
        values = {
            name: [row.content.columns[name][row.number] for row in rows]
            for name in names
        }
        try:
            encoded = {name: pack(column) for name, column in values.items()}
            fits = sum(map(len, encoded.values())) <= RECORD_FIELDS
        except ValueError as error:  # nested deeper than what is written
            if len(rows) == 1:
                self._damaged(error)
                return
            fits = False
        if not fits and len(rows) > 1:
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


def _rank(
    kind: Kind | None, row: Row, columns: Columns
) -> tuple[tuple[Any, ...], bytes] | None:
    """Return what a record is compared by: better first; ``None`` if by nothing."""
    stamp = row.kind
    if kind is None or stamp.version > kind.schema.version:
        return None
    if kind.schemas[stamp.version].fingerprint != stamp.fingerprint:
        return None
    try:
        migrated = migrate(kind, stamp.version, columns)
        if migrated.faults:
            return None
        (artifact,) = kind.build(migrated.columns)
        place = row.content.block.segment.number
        return kind.rank(artifact, place), kind.digest(artifact)
    except Exception:  # a step may fail, and the validators of the class ask for more
        return None
