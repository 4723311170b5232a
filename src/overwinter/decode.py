"""
Records to artifacts: trusted, fit for this machine, verified, migrated, checked.

Whatever fails one of these is reported by kind and key and left out; the rest
goes on. Nothing here touches a cache.
"""

import logging
from collections.abc import Callable, Iterator, Mapping

from .artifact import CacheArtifact
from .bundle import Bundle, RecordBlock, Rows
from .bundle.streaming import read_rows
from .codec import Columns, collector_paused
from .environment import Environment, Machine, misfit
from .errors import (
    FormatError,
    KeyGrammarError,
    KindError,
    OverwinterError,
    TailIgnoredError,
    WrongShapeError,
)
from .factory import CacheArtifactFactory
from .info import CacheInfo, Note
from .judging import judge, refusals
from .kind import Kind
from .limits import MAX_FAULTS
from .migrate import migrate
from .trust import Policy
from .workers import Workers

__all__ = ["decode", "kind_of"]

log = logging.getLogger("overwinter")

Fits = Callable[[type[CacheArtifact], Environment | None], str | None]
Wanted = Callable[[RecordBlock], bool]


def decode(
    bundle: Bundle,
    info: CacheInfo,
    *,
    policy: Policy,
    machine: Environment | Machine | None = None,
    fits: Fits | None = None,
    wanted: Wanted | None = None,
    strict: bool = False,
    required: bool = False,
) -> Iterator[list[CacheArtifact]]:
    """
    Give the artifacts that may be populated here, one block's at a time.

    Args:
        bundle: An open bundle.
        info: Takes a note for everything that is left out.
        policy: Whose segments may be used.
        machine: This machine's environment, or what gives it for that of artifacts
            which are trusted.
        fits: In its place: why artifacts of a class, made for an environment, are
            left out.
        wanted: Whether the artifacts of a block are asked for; others are passed
            over, and not read.
        strict: Raise at the first thing that would be noted as quarantined,
            refused, or a problem of the bundle.
        required: Raise where something is refused because nobody trusted signed it.

    Raises:
        TrustError: Only if *required* or *strict*.
        OverwinterError: Only if *strict*.
    """
    info.problems += policy.problems
    decoder = _Decoder(
        bundle, info, fits or _fits(machine or {}), wanted, strict, required
    )
    if bundle.recovery:
        decoder.problem(
            TailIgnoredError(bundle.name, "end of file", bundle.recovery, "a trailer")
        )
    for _, error in bundle.refused[:MAX_FAULTS]:
        decoder.problem(error)
    if (more := len(bundle.refused) - MAX_FAULTS) > 0:
        info.problems.append(
            f"{bundle.name}: {more:,} more segments are refused; fetch the file "
            "again, or restore a copy"
        )
    with Workers() as workers:
        for block, rows in read_rows(decoder.usable(bundle, policy), workers):
            yield decoder.artifacts(block, rows)


def _fits(machine: Environment | Machine) -> Fits:
    def fits(cls: type[CacheArtifact], stated: Environment | None) -> str | None:
        here = machine(stated or {}) if callable(machine) else machine
        found = misfit(stated, here, cls.environment_rules)
        return None if found is None else str(found)

    return fits


class _Decoder:
    def __init__(
        self,
        bundle: Bundle,
        info: CacheInfo,
        fits: Fits,
        wanted: Wanted | None,
        strict: bool,
        required: bool,
    ) -> None:
        self.info, self.fits, self.wanted = info, fits, wanted
        self.strict, self.required = strict, required
        # Only a second segment can hold an artifact again.
        self.seen: set[tuple[str, str, bytes]] | None = (
            set() if len(bundle.segments) > 1 else None
        )

    def problem(self, error: Exception, *, needed: bool = False) -> None:
        if self.strict or needed:
            raise error
        self.info.problems.append(str(error))

    def refused(self, bundle: Bundle, policy: Policy) -> dict[int, frozenset[str]]:
        """
        Return the kinds that nobody trusted signed, by segment; note why.

        Each reason is told once, and no such block is read: a stranger decides
        neither what that costs, nor how much is said of it.
        """
        judged = judge(bundle, policy)
        for error, those in refusals(bundle.name, judged):
            self.problem(error, needed=self.required)
            reason = str(error)
            self.info.refused += [
                Note(block.kind.kind, block.stamp.first, reason, block.stamp.rows)
                for each in those
                for block in each.segment.blocks
                if block.kind.kind in each.refused
            ]
        for each in judged:
            if place := each.override:
                log.warning(
                    "%s, %s may be populated, whoever signed it: %s names segment %s",
                    *(bundle.name, each.segment.part, place, each.segment.name),
                )
        return {each.segment.number: each.refused for each in judged}

    def usable(self, bundle: Bundle, policy: Policy) -> Iterator[RecordBlock]:
        """Give the blocks whose records may be used here; note the others."""
        refused = self.refused(bundle, policy)
        for segment in bundle.segments:
            for block in segment.blocks:
                if block.kind.kind in refused[segment.number]:
                    continue
                kind = self.known_kind(block)
                if kind is None or (self.wanted and not self.wanted(block)):
                    continue
                reason = self.fits(kind.cls, block.environment)
                if reason is None:
                    yield block
                else:
                    self.note_all(self.info.skipped, block, reason)

    def artifacts(
        self, block: RecordBlock, rows: Rows | FormatError
    ) -> list[CacheArtifact]:
        """Return the artifacts in *rows* of a block; note what is left out."""
        try:
            if isinstance(rows, FormatError):
                raise rows
            kind = CacheArtifactFactory.kind(block.kind.kind)
            columns = rows.columns
            keys = columns["key"]
            self.quarantine(kind, keys, rows.faults)
            if rows.faults:
                good = [row for row in range(len(keys)) if row not in rows.faults]
                columns = columns.take(good)
            with collector_paused(columns.rows):
                columns = self.migrated(kind, block, columns)
                return self.build(kind, columns)
        except FormatError as error:
            # The keys are lost with the block: name it by its first.
            if self.strict:
                raise
            self.note_block(self.info.quarantined, block, error)
            return []

    def known_kind(self, block: RecordBlock) -> Kind | None:
        """Return the kind where its records can be read here; else note why not."""
        kind, reason = kind_of(block)
        if reason:
            self.note_all(self.info.opaque, block, reason)
        return kind

    def migrated(self, kind: Kind, block: RecordBlock, columns: Columns) -> Columns:
        """Return *columns* checked against their version and brought to the newest."""
        version = min(block.kind.version, kind.schema.version)
        migrated = migrate(kind, version, columns)
        self.quarantine(kind, columns["key"], migrated.faults)
        if version != kind.schema.version:
            reason = f"version {version} -> {kind.schema.version}"
            keys = [columns["key"][row] for row in migrated.rows]
            self.info.migrated += [Note(kind.name, key, reason) for key in keys]
        return migrated.columns

    def build(self, kind: Kind, columns: Columns) -> list[CacheArtifact]:
        built = self.built(kind, self.with_good_keys(kind, columns))
        if self.seen is None:
            return built
        return [artifact for artifact in built if self.is_new(kind, artifact)]

    def with_good_keys(self, kind: Kind, columns: Columns) -> Columns:
        """Return the rows whose keys can be of *kind*."""
        keys = columns["key"]
        try:
            kind.check_keys(keys)
        except KeyGrammarError:
            bad: dict[int, OverwinterError] = {}
            for row, key in enumerate(keys):
                try:
                    kind.check_keys([key])
                except KeyGrammarError as error:
                    bad[row] = error
            self.quarantine(kind, keys, bad)
            return columns.take([row for row in range(len(keys)) if row not in bad])
        return columns

    def built(self, kind: Kind, columns: Columns) -> list[CacheArtifact]:
        """Return one artifact for each row that the class of *kind* accepts."""
        if not columns.rows:
            return []
        try:
            return kind.build(columns)
        except Exception as error:  # its validators may ask more than the schema
            if columns.rows == 1:
                fault = f"{kind.name}: {error!r}"
                refused = WrongShapeError(columns.source, (fault,))
                self.quarantine(kind, columns["key"], {0: refused})
                return []
        rows = [columns.take([row]) for row in range(columns.rows)]
        return [artifact for row in rows for artifact in self.built(kind, row)]

    def is_new(self, kind: Kind, artifact: CacheArtifact) -> bool:
        assert self.seen is not None
        if kind.cls.latest_wins:
            # Saved again after another one, it is the latest again.
            return True
        identity = kind.name, artifact.key, kind.digest(artifact)
        if identity in self.seen:
            return False
        self.seen.add(identity)
        return True

    def quarantine(
        self,
        kind: Kind,
        keys: list[str],
        errors: Mapping[int, OverwinterError],
    ) -> None:
        # What many rows share, as a damaged block, is said in one text.
        distinct = {id(error): error for error in errors.values()}
        reasons = {name: str(error) for name, error in distinct.items()}
        for row, error in errors.items():
            if self.strict:
                raise error
            note = Note(kind.name, str(keys[row]), reasons[id(error)])
            self.info.quarantined.append(note)

    def note_all(
        self, notes: list[Note], block: RecordBlock, reason: "str | OverwinterError"
    ) -> None:
        """Note every artifact of a block that is not used."""
        try:
            keys = [key for key in block.read_columns()[0]["key"] if type(key) is str]
        except FormatError as error:
            self.note_block(notes, block, f"{reason}; {error}")
            return
        notes += [Note(block.kind.kind, key, str(reason)) for key in keys]

    def note_block(
        self, notes: list[Note], block: RecordBlock, reason: "str | OverwinterError"
    ) -> None:
        """Note a block whose keys cannot be read."""
        rows = block.stamp.rows
        key = (
            f"{block.stamp.first} and {rows - 1} after it"
            if rows > 1
            else block.stamp.first
        )
        notes.append(Note(block.kind.kind, key, str(reason)))


def kind_of(block: RecordBlock) -> tuple[Kind | None, str]:
    """Return the kind of a block where its records can be read here, or why not."""
    stamp = block.kind
    reason = ""
    try:
        kind = CacheArtifactFactory.kind(stamp.kind)
    except KindError as error:
        return None, f"{error}; it is kept as it is"
    newest = kind.schema.version
    if stamp.version > newest and stamp.oldest_reader > newest:
        reason = (
            f"written as version {stamp.version}, which readers of "
            f"{stamp.oldest_reader} know; this release knows {newest}: upgrade "
            "overwinter, or save again with this release"
        )
    elif stamp.version in kind.schemas and (
        kind.schemas[stamp.version].fingerprint != stamp.fingerprint
    ):
        was = "was a draft when it was written, " if stamp.draft else ""
        reason = (
            f"its version {stamp.version} {was}is not the released one "
            f"({stamp.fingerprint.hex()[:16]}…); ask who wrote the bundle for "
            "the schema that they used"
        )
    elif _is_misnamed(block, kind):
        reason = (
            f"the schema of its version {stamp.version} in the bundle is not "
            f"the one that it names ({stamp.fingerprint.hex()[:16]}…); ask who "
            "signed it to save it again"
        )
    elif (
        block.schema is None and kind.schemas[min(stamp.version, newest)].payload_names
    ):
        reason = (
            f"the schema of its version {stamp.version} has types that this "
            "release does not know, so its payloads cannot be told from its "
            "fields: upgrade overwinter, or save again with this release"
        )
    return (None if reason else kind), reason


def _is_misnamed(block: RecordBlock, kind: Kind) -> bool:
    """Return whether a schema has not the fingerprint that stands beside it."""
    version, schema = block.kind.version, block.schema
    if version in kind.schemas:  # whose fingerprint it is; comparing costs a tenth
        return schema != kind.schemas[version]
    return schema is not None and schema.fingerprint != block.kind.fingerprint
