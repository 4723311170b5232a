"""
Countersigning: a bundle again, its segments with one more signature.

For who trusts this account and not those who saved. It is an explicit act, as this
account then answers for what others wrote: only for what it trusts without limits
and finds sound. Statements, and so the names of segments, stay as they are.
"""

import os
from typing import IO, Any

import attrs

from . import files
from .bundle import Bundle, Segment
from .bundle.foot import FOOT, write_foot
from .bundle.prefix import Header, write_prefix
from .bundle.rewriting import copy_bytes
from .bundle.segment import with_signatures
from .bundle.trailer import SegmentEntry, write_trailer
from .bundle.verifying import verify_segment
from .errors import ConflictError
from .files import PathLike, write_all
from .limits import MAX_SIGNATURES, MAX_SIGNERS
from .progress import Counter, Progress
from .sources import Source
from .trust import Policy, SigningKey, own_key
from .version import WRITER

__all__ = ["CountersignReport", "countersign"]

_REPORT_VERSION = 1


@attrs.frozen
class CountersignReport:
    """
    What a countersigning did.

    Args:
        file: The new bundle.
        signed: How many segments have a signature more.
        already: How many had it before.
        carried: How many others are as they were.
        problems: Why, and what else is wrong with the bundle.
    """

    file: str
    signed: int
    already: int
    carried: int
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values; the layout is versioned."""
        return {"version": _REPORT_VERSION, **attrs.asdict(self)}


def countersign(
    target: PathLike | files.Buffer | Source,
    out: PathLike,
    *,
    policy: Policy | None = None,
    key: SigningKey | None = None,
    progress: Progress | None = None,
) -> CountersignReport:
    """
    Write a bundle again, with one more signature where this account answers for it.

    Every segment is read as a whole. One that is damaged, or not trusted without
    limits, is carried as it is. To revoke its first signer later does not reach what
    is signed here.

    Args:
        target: The bundle; it stays as it is.
        out: The new bundle; nothing may be there yet. It appears whole or not at all.
        policy: Whose segments to sign; those that this machine trusts if not given.
        key: Signs; this machine's key if not given.
        progress: Told of bytes done and in all.

    Raises:
        ConflictError: Something is at *out*.
        NotFoundError: There is no such file.
        FormatError: The bundle cannot be opened.
        VersionError: It was written for later readers or writers.
        TrustError: This machine's key, or what it says of others, cannot be used.
        StoreError: The file cannot be written; nothing is left of it.
    """
    with Bundle(target) as bundle:
        bundle.header.check_writable(bundle.name)
        policy = policy or Policy.of_this_machine()
        key = key or own_key()
        policy.check_signer(key.public)
        try:
            with files.creating(out) as file:
                work = _Countersigning(bundle, policy, key, progress)
                return work.write(file, os.fspath(out))
        except FileExistsError as error:
            raise ConflictError(os.fspath(out)) from error


class _Countersigning:
    def __init__(
        self,
        bundle: Bundle,
        policy: Policy,
        key: SigningKey,
        progress: Progress | None,
    ) -> None:
        self.bundle, self.policy, self.key = bundle, policy, key
        self.problems = [bundle.recovery] if bundle.recovery else []
        self.signed = self.already = 0
        total = sum(entry.size for entry in bundle.trailer.segments)
        self.counter = Counter(total, progress)

    def write(self, file: IO[bytes], out: str) -> CountersignReport:
        refused = dict(self.bundle.refused)
        sound = {segment.number: segment for segment in self.bundle.segments}
        prefix = write_prefix(Header(WRITER))
        write_all(file, [prefix])
        position, entries = len(prefix), []
        for number, entry in enumerate(self.bundle.trailer.segments):
            if number in refused:
                self.problems.append(str(refused[number]))
                size = self.carry(file, entry)
            elif self.is_to_sign(sound[number]):
                size = self.sign(file, sound[number])
            else:
                size = self.carry(file, entry)
            entries.append(SegmentEntry(position, size, entry.digest))
            position += size
            self.counter.advance(entry.size)
        write_all(file, [write_trailer(entries, position)])
        carried = len(entries) - self.signed - self.already
        return CountersignReport(
            out, self.signed, self.already, carried, tuple(self.problems)
        )

    def is_to_sign(self, segment: Segment) -> bool:
        """Return whether a segment lacks nothing but the signature."""
        if segment.signed_by([self.key.public]):
            self.already += 1
            return False
        reasons = self.reasons(segment)
        self.problems += reasons
        return not reasons

    def reasons(self, segment: Segment) -> list[str]:
        """Return why this account does not answer for a segment, cheapest first."""
        name = f"{self.bundle.name}, {segment.part}"
        count, foot = len(segment.signatures), segment.foot
        if count >= MAX_SIGNERS or foot.signatures_size > MAX_SIGNATURES // 2:
            size = f"{foot.signatures_size:,} bytes"
            return [f"{name}: it has {count} signatures already, of {size}"]
        as_written = with_signatures(foot, segment.signatures)[0] == foot
        if not (as_written and segment.is_as_written):
            # Signatures with more to them would lose it, and what a statement means
            # is what is answered for.
            return [f"{name}: it says more than this release knows"]
        reason = self.policy.unvouched(
            name, segment.kinds, segment.entry.digest, segment.signers
        )
        if reason:
            return [reason]
        return [finding.reason for finding in verify_segment(segment)]

    def sign(self, file: IO[bytes], segment: Segment) -> int:
        """Write a segment with this account's signature; return its size."""
        entry = segment.entry
        signatures = [*segment.signatures, segment.sign(self.key)]
        foot, data = with_signatures(segment.foot, signatures)
        rest = entry.size - segment.foot.signatures_size - FOOT.size
        copy_bytes(file, self.bundle.source, entry.offset, rest)
        write_all(file, [data, write_foot(foot)])
        self.signed += 1
        return foot.segment_size

    def carry(self, file: IO[bytes], entry: SegmentEntry) -> int:
        copy_bytes(file, self.bundle.source, entry.offset, entry.size)
        return entry.size
