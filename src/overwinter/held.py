"""
What a bundle holds already, so that saving again adds what is new and no more.

An artifact is left out of a save where no reader can miss it. Whoever would take the
new copy is given an equal one, or so many which are preferred that it would never be
used. So one that is held counts only where the same key signed it, its environment
and version are the same, this account has not revoked its segment, and its bytes are
whole: saving again is how a damaged bundle is mended.

Nothing is read but record blocks whose range of keys may hold one of those that are
saved, and payloads of as many bytes under the same key.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs

from .bundle import RecordBlock, Records
from .bundle.comparing import equal_rows, payload_sizes
from .bundle.finding import Finder, remember
from .bundle.merging import Row
from .bundle.trailer import SegmentEntry
from .codec import pack
from .errors import OverwinterError
from .factory import CacheArtifactFactory
from .info import Note
from .kind import Kind
from .limits import MAX_VARIANTS
from .migrate import migrate
from .schema.model import ONE
from .sources import Source
from .trust import SigningKey
from .trust.configuration import rules_of_this_account

__all__ = ["Held"]


class Held:
    """
    The artifacts of one bundle that is being appended to.

    Args:
        source: The bundle, which nobody else changes meanwhile.
        key: Will sign what is appended.

    Attributes:
        present: What is left out because an equal one is there.
        surplus: What is left out because others are preferred.
        surplus_size: Bytes of their payloads.
    """

    def __init__(self, source: Source, key: SigningKey) -> None:
        self.present: list[Note] = []
        self.surplus: list[Note] = []
        self.surplus_size = 0
        self._finder, self._key = Finder(source, ()), key
        self._source = source
        self._left: list[Records] = []
        self._counted: dict[int, bool] = {}

    def new(
        self, entries: Sequence[SegmentEntry], records: Sequence[Records]
    ) -> list[Records]:
        """
        Return what of *records* the bundle needs.

        Args:
            entries: Its segments.
            records: What is to be saved.
        """
        self._finder = Finder(self._source, entries)
        groups = (self._new_of(group) for group in records)
        self._left = [group for group in groups if group.columns["key"]]
        return self._left

    def is_in_vain(self, digest: bytes) -> bool:
        """Return whether a segment of this name is there already, and revoked."""
        there = any(entry.digest == digest for entry in self._finder.entries)
        return there and (self._revoked is None or digest in self._revoked)

    def remember(self, digest: bytes) -> None:
        """Note what the segment of this name holds, which was appended."""
        remember(digest, self._left)

    def _new_of(self, group: Records) -> Records:
        try:
            return self._compared(group)
        except OverwinterError:
            # What cannot be read costs no save: it is written again.
            return group

    def _compared(self, group: Records) -> Records:
        keys = group.columns["key"]
        kind = CacheArtifactFactory.kind(group.stamp.kind)
        # What others signed matters only where it may be later than what we did.
        signer = None if kind.cls.latest_wins else self._key.public
        found = self._finder.find(kind.name, sorted(set(keys)), signer)
        if not found:
            return group
        if kind.cls.latest_wins:
            # Of what is written over, only the latest can make another needless.
            found = {key: rows[-1:] for key, rows in found.items()}
        counts = {
            content: self._counts(content.block, group)
            for content in {row.content for rows in found.values() for row in rows}
        }
        usable = {
            key: [row for row in rows if counts[row.content]]
            for key, rows in found.items()
        }
        equal = equal_rows(group, usable)
        left: list[int] = []
        for row, key in enumerate(keys):
            if row in equal:
                reason = "the bundle holds it already"
                self.present.append(Note(kind.name, key, reason))
            elif reason := _preferred(kind, group, row, usable.get(key, ())):
                self.surplus.append(Note(kind.name, key, reason))
                self.surplus_size += sum(payload_sizes(group, row).values())
            else:
                left.append(row)
        if len(left) == len(keys):
            return group
        columns = {
            name: [column[row] for row in left]
            for name, column in group.columns.items()
        }
        return attrs.evolve(group, columns=columns)

    def _counts(self, block: RecordBlock, group: Records) -> bool:
        """Return whether who would read *group* reads this block, to the same end."""
        if block.kind != group.stamp:
            return False
        if _packed(block.environment) != _packed(group.environment):
            return False
        if block.schema is None or block.schema.fingerprint != block.kind.fingerprint:
            return False
        number = block.segment.number
        if number not in self._counted:
            self._counted[number] = (
                self._revoked is not None
                and block.segment.entry.digest not in self._revoked
                and bool(block.segment.signed_by([self._key.public]))
            )
        return self._counted[number]

    @cached_property
    def _revoked(self) -> Mapping[bytes, str] | None:
        """The segments that this account revokes; ``None``: it trusts nothing."""
        try:
            return rules_of_this_account().revoked_segments
        except OverwinterError:  # which a load says
            return None


def _preferred(kind: Kind, group: Records, row: int, usable: Sequence[Row]) -> str:
    """Return what is preferred to a row wherever it would be loaded, or nothing."""
    is_one = kind.schema.cardinality == ONE
    most = 1 if is_one else MAX_VARIANTS
    if (
        kind.cls.latest_wins
        or len(usable) < most
        or group.stamp.version != kind.schema.version
    ):
        return ""
    try:
        new = _rank(kind, {name: [each[row]] for name, each in group.columns.items()})
        better = {rank for held in usable if (rank := _rank_of(kind, held)) < new}
    except Exception:  # damage, or a kind's own code: it is written, and a load tells
        return ""
    if len(better) < most:
        return ""
    those = "one that is" if is_one else f"{most} variants that are"
    return f"the bundle holds {those} preferred"


def _rank(kind: Kind, columns: Mapping[str, list[Any]]) -> tuple[Any, ...]:
    (artifact,) = kind.build(columns)
    return kind.rank(artifact, 0), kind.digest(artifact)


def _rank_of(kind: Kind, held: Row) -> tuple[Any, ...]:
    return _rank(kind, migrate(kind, held.kind.version, held.read()).columns)


def _packed(environment: Mapping[str, Any] | None) -> bytes | None:
    return None if environment is None else pack(dict(environment))
