"""
Records to artifacts: trusted, fit for this machine, verified, migrated, checked.

Whatever fails one of these is reported by kind and key and left out; the rest
goes on. Nothing here touches a cache.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from .artifact import CacheArtifact
from .bundle import Bundle, RecordBlock, Rows, Segment
from .bundle.streaming import read_rows
from .codec import Columns, collector_paused
from .environment import Environment, misfit
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
from .kind import Kind
from .limits import MAX_FAULTS
from .migrate import migrate
from .trust import Permission, Policy, Refusal
from .workers import Workers

__all__ = ["decode"]

log = logging.getLogger("overwinter")

_NAMED = 3  # segments in one problem

# Signatures by keys that change nothing, or that do not hold, in one bundle.
_LOOKED_AT = 256


def decode(
    bundle: Bundle,
    info: CacheInfo,
    *,
    policy: Policy,
    machine: Environment,
    strict: bool = False,
    required: bool = False,
) -> Iterator[list[CacheArtifact]]:
    """
    Give the artifacts that may be populated here, one block's at a time.

    Args:
        bundle: An open bundle.
        info: Takes a note for everything that is left out.
        policy: Whose segments may be used.
        machine: This machine's environment.
        strict: Raise at the first thing that would be noted as quarantined,
            refused, or a problem of the bundle.
        required: Raise where something is refused because nobody trusted signed it.

    Raises:
        TrustError: Only if *required* or *strict*.
        OverwinterError: Only if *strict*.
    """
    decoder = _Decoder(bundle, info, machine, strict, required)
    if bundle.recovery:
        decoder.problem(
            TailIgnoredError(bundle.name, "end of file", bundle.recovery, "a trailer")
        )
    for _, error in bundle.refused[:MAX_FAULTS]:
        decoder.problem(error)
    if (more := len(bundle.refused) - MAX_FAULTS) > 0:
        info.problems.append(
            f"{bundle.name}: {more:,} more segments are refused; overwinter verify "
            "lists them"
        )
    with Workers() as workers:
        for block, rows in read_rows(decoder.usable(bundle, policy), workers):
            yield decoder.artifacts(block, rows)


class _Decoder:
    def __init__(
        self,
        bundle: Bundle,
        info: CacheInfo,
        machine: Environment,
        strict: bool,
        required: bool,
    ) -> None:
        self.info, self.machine = info, machine
        self.strict, self.required = strict, required
        # Only a second segment can hold an artifact again.
        self.seen: set[tuple[str, str, bytes]] | None = (
            set() if len(bundle.segments) > 1 else None
        )

    def problem(self, error: Exception, *, needed: bool = False) -> None:
        if self.strict or needed:
            raise error
        self.info.problems.append(str(error))

    def refused(self, bundle: Bundle, policy: Policy) -> set[tuple[int, str]]:
        """
        Return the kinds of segments that nobody trusted signed; note why.

        Each reason is told once, and no such block is read: a stranger decides
        neither what that costs, nor how much is said of it.
        """
        judge = _Judge(policy)
        by_refusal: defaultdict[Refusal, list[Segment]] = defaultdict(list)
        refused: set[tuple[int, str]] = set()
        for segment in bundle.segments:
            for kind, verdict in judge.verdicts(segment).items():
                if isinstance(verdict, Refusal):
                    refused.add((segment.number, kind))
                    if segment not in by_refusal[verdict][-1:]:
                        by_refusal[verdict].append(segment)
                elif verdict.is_override:
                    log.warning(
                        "%s, %s: %s may run, whoever signed it: %s names segment %s",
                        *(bundle.name, segment.part, kind, verdict.by, segment.name),
                    )
        for refusal, segments in by_refusal.items():
            digests = [segment.entry.digest for segment in segments]
            error = refusal.error(f"{bundle.name}, {_parts(segments)}", digests)
            self.problem(error, needed=self.required)
            reason = str(error)
            self.info.refused += [
                Note(block.kind.kind, block.stamp.first, reason, block.stamp.rows)
                for segment in segments
                for block in segment.blocks
                if (segment.number, block.kind.kind) in refused
            ]
        return refused

    def usable(self, bundle: Bundle, policy: Policy) -> Iterator[RecordBlock]:
        """Give the blocks whose records may be used here; note the others."""
        refused = self.refused(bundle, policy)
        for segment in bundle.segments:
            for block in segment.blocks:
                if (segment.number, block.kind.kind) in refused:
                    continue
                kind = self.known_kind(block)
                if kind is None:
                    continue
                rules = kind.cls.environment_rules
                reason = misfit(block.environment, self.machine, rules)
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
        stamp = block.kind
        reason = ""
        try:
            kind = CacheArtifactFactory.kind(stamp.kind)
        except KindError as error:
            reason = f"{error}; it is kept as it is"
        else:
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
            elif (
                block.schema is None
                and kind.schemas[min(stamp.version, newest)].payload_names
            ):
                reason = (
                    f"the schema of its version {stamp.version} has types that this "
                    "release does not know, so its payloads cannot be told from its "
                    "fields: upgrade overwinter, or save again with this release"
                )
        if reason:
            self.note_all(self.info.opaque, block, reason)
            return None
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
        for row, error in errors.items():
            if self.strict:
                raise error
            self.info.quarantined.append(Note(kind.name, str(keys[row]), str(error)))

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


class _Judge:
    """
    Asks a policy about segments, and looks at few signatures that change nothing.

    A file of 1 MiB has room for thousands, each of which takes 0.1 ms to verify.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy, self._keys = policy, policy.keys
        self._false = self._strangers = _LOOKED_AT

    def verdicts(self, segment: Segment) -> dict[str, Permission | Refusal]:
        """Return what the policy says to each kind in *segment*."""
        digest = segment.entry.digest
        ours = [each for each in segment.signatures if each.key in self._keys]
        signers = segment.signed_by(self._keys) if ours and self._false > 0 else ()
        if not signers:
            self._false -= len(ours)
            if self._strangers > 0:
                # Only for the words: none of them is one that this machine knows.
                signers = segment.signers
                self._strangers -= len(segment.signatures)
            elif segment.signatures:
                verdicts = self._policy.verdicts(segment.kinds, digest, ())
                return {
                    kind: _NOT_LOOKED_AT if isinstance(each, Refusal) else each
                    for kind, each in verdicts.items()
                }
        return self._policy.verdicts(segment.kinds, digest, signers)


_NOT_LOOKED_AT = Refusal(
    "signed by keys that were not looked at, after too many that are not trusted",
    "a key that this machine trusts",
    "look at each with overwinter trust why",
)


def _parts(segments: Sequence[Segment]) -> str:
    """Return how segments are called: the first few by their numbers."""
    if len(segments) == 1:
        return segments[0].part
    numbers = ", ".join(str(each.number) for each in segments[:_NAMED])
    more = len(segments) - _NAMED
    return f"segments {numbers}" + (f" and {more} more" if more > 0 else "")
