"""
A bundle before a policy: which kinds of which segments may be populated here.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import attrs

from .bundle import Bundle, Segment
from .errors import TrustError
from .trust import Permission, Policy, Refusal

__all__ = ["Judged", "judge", "refusals"]

# Signatures by keys that change nothing, or that do not hold, in one bundle.
_LOOKED_AT = 256

_NAMED = 3  # segments in one refusal

_NOT_LOOKED_AT = Refusal(
    "signed by keys that were not looked at, after too many that are not trusted",
    "a key that this machine trusts",
    "overwinter trust why tells of each",
)


@attrs.frozen
class Judged:
    """One segment, and what a policy says to each kind in it."""

    segment: Segment
    verdicts: Mapping[str, Permission | Refusal]

    @property
    def refused(self) -> frozenset[str]:
        """The kinds that may not be populated."""
        return frozenset(
            kind for kind, each in self.verdicts.items() if isinstance(each, Refusal)
        )

    @property
    def override(self) -> str:
        """What lets it be populated whoever signed it, or nothing."""
        for each in self.verdicts.values():
            if isinstance(each, Permission) and each.is_override:
                return each.by
        return ""


def judge(
    bundle: Bundle, policy: Policy, *, looked_at: int = _LOOKED_AT
) -> list[Judged]:
    """
    Return what *policy* says to each segment of *bundle*; no block is read.

    Args:
        bundle: An open bundle.
        policy: Whom to trust.
        looked_at: How many signatures are verified that change nothing. A file of
            1 MiB has room for thousands, each of which takes 0.1 ms.
    """
    keys = policy.keys
    false = strangers = looked_at
    judged = []
    for segment in bundle.segments:
        digest = segment.entry.digest
        ours = [each for each in segment.signatures if each.key in keys]
        signers = segment.signed_by(keys) if ours and false > 0 else ()
        is_looked_at = True
        if not signers and segment.signatures:
            false -= len(ours)
            is_looked_at = strangers > 0
            if is_looked_at:
                # Only for the words: none of them is one that this machine knows.
                strangers -= len(segment.signatures)
                signers = segment.signers
        verdicts = policy.verdicts(segment.kinds, digest, signers)
        if not is_looked_at:
            verdicts = {
                kind: _NOT_LOOKED_AT if isinstance(each, Refusal) else each
                for kind, each in verdicts.items()
            }
        judged.append(Judged(segment, verdicts))
    return judged


def refusals(
    name: str, judged: Sequence[Judged]
) -> Iterator[tuple[TrustError, list[Judged]]]:
    """
    Give each reason of refusing once, and the segments that it is about.

    Args:
        name: What the bundle is called.
        judged: What `judge` returned.
    """
    by_refusal: defaultdict[Refusal, list[Judged]] = defaultdict(list)
    for each in judged:
        for verdict in dict.fromkeys(each.verdicts.values()):
            if isinstance(verdict, Refusal):
                by_refusal[verdict].append(each)
    for refusal, those in by_refusal.items():
        digests = [each.segment.entry.digest for each in those]
        yield refusal.error(f"{name}, {_parts(those)}", digests), those


def _parts(judged: Sequence[Judged]) -> str:
    """Return how segments are called: the first few by their numbers."""
    segments = [each.segment for each in judged]
    if len(segments) == 1:
        return segments[0].part
    numbers = ", ".join(str(each.number) for each in segments[:_NAMED])
    more = len(segments) - _NAMED
    return f"segments {numbers}" + (f" and {more} more" if more > 0 else "")
