"""
Upgrading: a bundle again, its records brought to the newest versions.

Reading never rewrites; this does, into a new file, and keeps the old one. Payloads
are carried unread, and whatever is not upgraded is carried as it is: a segment that
this machine does not trust or cannot read, a kind that it does not know, a record
that a step fails on. The plan is the same walk without a file to write to.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import IO, Any

import attrs

from . import files
from .bundle import Bundle, RecordBlock, Segment
from .bundle.prefix import Header, write_prefix
from .bundle.rewriting import (
    Kept,
    Made,
    Unread,
    copy_bytes,
    make_blocks,
    read_unread,
    reason_to_keep,
    rewrite_segment,
)
from .bundle.trailer import SegmentEntry, write_trailer
from .bundle.writer import DEFAULT_LEVEL
from .codec import UnreadPayloadError
from .errors import ConflictError, FormatError, KindError, WrongShapeError
from .factory import CacheArtifactFactory
from .files import Buffer, PathLike, write_all
from .info import Note
from .kind import Kind
from .migrate import Migrated, migrate
from .progress import Counter, Progress, counted
from .trust import Policy, SigningKey, own_key
from .version import WRITER

__all__ = ["BlockPlan", "SegmentPlan", "UpgradePlan", "plan_upgrade", "upgrade"]

_REPORT_VERSION = 1

COPY, REWRITE = "copy", "rewrite"


@attrs.frozen
class BlockPlan:
    """
    What becomes of the records of one block.

    Args:
        kind: Their kind.
        version: The version that they have.
        becomes: The version that they get; the same where they stay as they are.
        rows: How many they are.
        first: Key of the first.
        reason: Why they stay, if they do.
        losses: What the steps lose, as they declare.
        failed: Records that a step fails on; they stay as they are.
    """

    kind: str
    version: int
    becomes: int
    rows: int
    first: str
    reason: str = ""
    losses: tuple[str, ...] = ()
    failed: tuple[Note, ...] = ()

    @property
    def migrated(self) -> int:
        """How many records get another version."""
        return 0 if self.becomes == self.version else self.rows - len(self.failed)


@attrs.frozen
class SegmentPlan:
    """
    What becomes of one segment.

    Args:
        name: Its digest, in hex.
        action: ``copy``, byte for byte with its signatures, or ``rewrite``, signed
            by who upgrades.
        reason: Why it is copied, where that is not for lack of anything to do.
        blocks: What becomes of its records; empty where it cannot be read.
    """

    name: str
    action: str
    reason: str = ""
    blocks: tuple[BlockPlan, ...] = ()


@attrs.frozen
class UpgradePlan:
    """
    What an upgrade does.

    Args:
        file: The bundle.
        segments: What becomes of each segment, in order.
        problems: What is damaged, or not trusted.
    """

    file: str
    segments: tuple[SegmentPlan, ...]
    problems: tuple[str, ...] = ()

    @property
    def migrated(self) -> int:
        """How many records get another version."""
        return sum(block.migrated for each in self.segments for block in each.blocks)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain values; the layout is versioned."""
        plain = {"version": _REPORT_VERSION, **attrs.asdict(self)}
        return {**plain, "migrated": self.migrated}


def plan_upgrade(
    target: PathLike | Buffer, *, policy: Policy | None = None
) -> UpgradePlan:
    """
    Return what `upgrade` would do; it does all of it but the writing.

    Args:
        target: The bundle's path, or its bytes.
        policy: Whose segments to upgrade; this machine's own if not given.

    Raises:
        NotFoundError: There is no such file.
        FormatError: It cannot be opened.
        VersionError: It was written for later readers.
    """
    CacheArtifactFactory.discover()
    with Bundle(target) as bundle:
        return _Upgrade(bundle, policy).plan()


def upgrade(
    target: PathLike | Buffer,
    out: PathLike,
    *,
    policy: Policy | None = None,
    key: SigningKey | None = None,
    level: int = DEFAULT_LEVEL,
    progress: Progress | None = None,
) -> UpgradePlan:
    """
    Write a bundle again, its records brought to the newest versions.

    Args:
        target: The bundle's path, or its bytes; it stays as it is.
        out: The new bundle; nothing may be there yet. It appears whole or not at all.
        policy: Whose segments to upgrade; this machine's own if not given.
        key: Signs what is written anew; this machine's key if not given.
        level: zstd level of what is written anew, 0 to store.
        progress: Told of bytes done and in all; the sum is a guess, since what is
            written anew is seldom as large as it was.

    Returns:
        What was done.

    Raises:
        ConflictError: Something is at *out*.
        NotFoundError: There is no such file.
        FormatError: The bundle cannot be opened.
        VersionError: It was written for later readers.
        StoreError: The file cannot be written; nothing is left of it.
    """
    CacheArtifactFactory.discover()
    with Bundle(target) as bundle:
        bundle.header.check_writable(bundle.name)
        try:
            with files.creating(out) as file:
                return _Upgrade(bundle, policy, progress).write(file, key, level)
        except FileExistsError as error:
            raise ConflictError(str(out)) from error


class _Upgrade:
    def __init__(
        self, bundle: Bundle, policy: Policy | None, progress: Progress | None = None
    ) -> None:
        self.bundle, self.policy = bundle, policy or Policy.of_this_machine()
        self.problems = [bundle.recovery] if bundle.recovery else []
        self.keeps_blocks = False
        # Record blocks are first migrated, then written with all else.
        total = sum(entry.size for entry in bundle.trailer.segments) + sum(
            block.stamp.size for each in bundle.segments for block in each.blocks
        )
        self.counter = Counter(total, progress)

    def plan(self) -> UpgradePlan:
        plans = tuple(plan for _, _, plan, _ in self.walk())
        return UpgradePlan(self.bundle.name, plans, tuple(self.problems))

    def write(self, file: IO[bytes], key: SigningKey | None, level: int) -> UpgradePlan:
        self.keeps_blocks = True
        file = counted(file, self.counter)
        prefix = write_prefix(Header(WRITER))
        write_all(file, [prefix])
        position, plans = len(prefix), []
        entries: list[SegmentEntry] = []
        by_name: defaultdict[bytes, list[SegmentEntry]] = defaultdict(list)
        for entry, segment, plan, blocks in self.walk():
            plans.append(plan)
            if segment is not None and plan.action == REWRITE:
                key = key or own_key()
                self.policy.check_signer(key.public)
                foot = rewrite_segment(file, segment, blocks, key=key, level=level)
                digest, size = foot.digest, foot.segment_size
            else:
                digest, size = entry.digest, entry.size
                copy_bytes(file, self.bundle.source, entry.offset, size)
            new = SegmentEntry(position, size, digest)
            if any(_is_copy(file, each, new) for each in by_name[digest]):
                # Two that differed by their version alone are one now. Of one name
                # and other bytes, as with another signature or damage, both stay.
                file.seek(position)
                file.truncate()
                continue
            entries.append(new)
            by_name[digest].append(new)
            position += size
        write_all(file, [write_trailer(entries, position)])
        return UpgradePlan(self.bundle.name, tuple(plans), tuple(self.problems))

    def walk(
        self,
    ) -> Iterator[
        tuple[SegmentEntry, Segment | None, SegmentPlan, tuple[Kept | Made, ...]]
    ]:
        """Give each segment with what becomes of it and of its blocks."""
        refused = dict(self.bundle.refused)
        sound = {segment.number: segment for segment in self.bundle.segments}
        for number, entry in enumerate(self.bundle.trailer.segments):
            segment = sound.get(number)
            if segment is None:
                reason = str(refused[number])
                self.problems.append(reason)
                yield entry, None, SegmentPlan(entry.digest.hex(), COPY, reason), ()
            else:
                yield entry, segment, *self.segment(segment)

    def segment(self, segment: Segment) -> tuple[SegmentPlan, tuple[Kept | Made, ...]]:
        name = f"{self.bundle.name}, {segment.part}"
        reason = self.policy.unvouched(
            name, segment.kinds, segment.entry.digest, segment.signers
        )
        if reason:
            self.problems.append(reason)
        reason = reason or reason_to_keep(segment)
        plans, blocks = [], list[Kept | Made]()
        for block in segment.blocks:
            plan, made = (
                (_stays(block, block.kind.version, "its segment is copied"), ())
                if reason
                else self.block(block)
            )
            plans.append(plan)
            self.counter.advance(block.stamp.size)
            if self.keeps_blocks:
                blocks += made or (Kept(block),)
        is_changed = any(plan.migrated for plan in plans)
        action = REWRITE if is_changed else COPY
        return SegmentPlan(segment.name, action, reason, tuple(plans)), tuple(blocks)

    def block(self, block: RecordBlock) -> tuple[BlockPlan, tuple[Made, ...]]:
        stamp = block.kind
        try:
            kind = CacheArtifactFactory.kind(stamp.kind)
        except KindError as error:
            return _stays(block, stamp.version, str(error)), ()
        reason = _reason(block, kind)
        if reason or stamp.version == kind.schema.version:
            return _stays(block, stamp.version, reason), ()
        try:
            unread = read_unread(block)
            if unread is None:
                reason = "the block holds more than this release knows"
                return _stays(block, stamp.version, reason), ()
            columns = unread.columns
            migrated = migrate(kind, stamp.version, columns, unread_payloads=True)
            made = _made(block, kind, unread, migrated)
        except UnreadPayloadError as error:
            reason = f"a step reads or makes payloads ({error}), carried unread here"
            return _stays(block, stamp.version, reason), ()
        except (FormatError, WrongShapeError, ValueError) as error:
            # A ValueError: what was read can be nested deeper than what is written.
            self.problems.append(str(error))
            return _stays(block, stamp.version, str(error)), ()
        faults = sorted(migrated.faults)
        keys = columns["key"]
        plan = BlockPlan(
            kind.name,
            stamp.version,
            kind.schema.version,
            columns.rows,
            block.stamp.first,
            losses=kind.steps.plan(stamp.version).losses,
            failed=tuple(
                Note(kind.name, str(keys[row]), str(migrated.faults[row]))
                for row in faults
            ),
        )
        self.problems += [note.reason for note in plan.failed]
        return plan, made


def _made(
    block: RecordBlock, kind: Kind, unread: Unread, migrated: Migrated
) -> tuple[Made, ...]:
    """Return the blocks of what came through, and of what stays as it was."""
    number, table = block.stamp.environment, unread.table
    made: list[Made] = []
    left = unread.columns.take(sorted(migrated.faults))
    for stamp, columns, names in (
        (kind.stamp, migrated.columns, kind.schema.payload_names),
        (block.kind, left, block.payload_names),
    ):
        if columns.rows and migrated.rows:
            made += make_blocks(stamp, number, Unread(columns, table), names)
    return tuple(made)


def _is_copy(file: IO[bytes], old: SegmentEntry, new: SegmentEntry) -> bool:
    """Return whether two segments of one name, just written, are the same bytes."""
    if old.size != new.size:
        return False
    return files.same_bytes(file, old.offset, new.offset, new.size)


def _stays(block: RecordBlock, version: int, reason: str) -> BlockPlan:
    stamp = block.stamp
    return BlockPlan(block.kind.kind, version, version, stamp.rows, stamp.first, reason)


def _reason(block: RecordBlock, kind: Kind) -> str:
    """Return why the records of a block stay what they are, or nothing."""
    stamp, newest = block.kind, kind.schema.version
    if stamp.version > newest:
        return f"version {stamp.version} is later than {newest}, the newest known here"
    known = kind.schemas[stamp.version]
    if known.fingerprint != stamp.fingerprint:
        return f"version {stamp.version} is not the released one"
    if block.schema != known:
        return "the schema in the bundle is not the one that it names"
    if kind.stamp.draft:
        return f"version {newest} is a draft, for which no promise holds"
    return ""
