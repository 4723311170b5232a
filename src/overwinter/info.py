"""
What a save or a load did: torch's lists of keys, and everything torch never says.
"""

from collections import Counter, defaultdict
from typing import Any

import attrs

from .artifact import CacheArtifact
from .factory import CacheArtifactFactory
from .reconciled import Counters, Reconciled, reconciled
from .words import printable

__all__ = ["OUTCOMES", "CacheInfo", "Note"]

# What may become of an artifact beside being saved or put into its cache.
OUTCOMES = {
    "migrated": "brought to the newest version of its kind",
    "present": "there already, and left as it was",
    "surplus": "left out, for as many others of its key as are used are preferred",
    "reduced": "written for older readers, without what they do not know",
    "opaque": "of a kind or version that this release does not know; kept",
    "quarantined": "damaged, or with a key that is none; left out",
    "skipped": "made for another environment",
    "refused": "signed by nobody that this machine trusts",
    "failed": "could not be put into its cache",
}

_REPORT_VERSION = 1
_SHOWN = 5  # reasons of one outcome in the text; the JSON has all


@attrs.frozen
class Note:
    """
    What became of an artifact, and why.

    Args:
        kind: Its kind.
        key: Its key; of many that were not looked at, the first one's.
        reason: Why.
        artifacts: How many; one, but for those that were not looked at.
    """

    kind: str
    key: str
    reason: str
    artifacts: int = 1


@attrs.define
class CacheInfo:
    """
    Return value of saving and loading.

    Attributes:
        artifacts: Kind to the keys that were saved, loaded or populated;
            ``inductor_artifacts`` and the like give one kind's list.
        problems: What was wrong with the bundle as a whole.
        n_bytes: Bytes of the artifacts' contents.
        seconds: Time that it took.
        migrated, present, surplus, reduced, opaque, quarantined, skipped, refused,
            failed: See ``OUTCOMES``; each a list of `Note`.
        counters: What tells how a framework's lookups ended since; see `reconcile`.

    Source:
        ``torch.compiler._cache.CacheInfo``.
    """

    artifacts: defaultdict[str, list[str]] = attrs.field(
        factory=lambda: defaultdict(list)
    )
    problems: list[str] = attrs.field(factory=list)
    n_bytes: int = 0
    seconds: float = 0.0
    migrated: list[Note] = attrs.field(factory=list)
    present: list[Note] = attrs.field(factory=list)
    surplus: list[Note] = attrs.field(factory=list)
    reduced: list[Note] = attrs.field(factory=list)
    opaque: list[Note] = attrs.field(factory=list)
    quarantined: list[Note] = attrs.field(factory=list)
    skipped: list[Note] = attrs.field(factory=list)
    refused: list[Note] = attrs.field(factory=list)
    failed: list[Note] = attrs.field(factory=list)
    counters: Counters | None = attrs.field(default=None, repr=False, eq=False)

    def __getattr__(self, name: str) -> list[str]:
        """Give ``<kind>_artifacts`` of every registered kind."""
        if name.endswith("_artifacts"):
            for kind in CacheArtifactFactory.kinds():
                if f"{kind.replace('/', '_')}_artifacts" == name:
                    return self.artifacts.get(kind, [])
        raise AttributeError(f"{type(self).__name__!r} has no attribute {name!r}")

    def add(self, artifact: CacheArtifact) -> None:
        """Count *artifact* as saved, loaded or populated."""
        self.artifacts[artifact.type()].append(artifact.key)

    def clear(self) -> None:
        """Forget everything."""
        self.artifacts.clear()
        self.problems.clear()
        for outcome in OUTCOMES:
            getattr(self, outcome).clear()
        self.n_bytes, self.seconds = 0, 0.0

    def empty(self) -> bool:
        """Return whether no artifact was saved, loaded or populated."""
        return not any(self.artifacts.values())

    def reconcile(self) -> Reconciled:
        """Return what was loaded beside what was looked up since, and how it ended."""
        loaded = Counter({kind: len(keys) for kind, keys in self.artifacts.items()})
        return reconciled(loaded, self.counters)

    def warnings(self) -> list[str]:
        """Return what who starts cold should know: a line for each thing, and why."""
        lines = list(self.problems)
        for outcome in ("opaque", "quarantined", "skipped", "failed"):
            notes: list[Note] = getattr(self, outcome)
            if notes:
                first = notes[0]
                lines.append(
                    f"{_count(notes)} artifacts {outcome} ({OUTCOMES[outcome]}); the "
                    f"first is {first.kind} {first.key}: {first.reason}"
                )
        return [printable(line) for line in lines]

    def as_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values; the layout is versioned."""
        return {
            "version": _REPORT_VERSION,
            "artifacts": {kind: list(keys) for kind, keys in self.artifacts.items()},
            "n_bytes": self.n_bytes,
            "seconds": self.seconds,
            "problems": list(self.problems),
            **{
                outcome: [attrs.asdict(note) for note in getattr(self, outcome)]
                for outcome in OUTCOMES
            },
        }

    def __str__(self) -> str:
        lines = [f"{'kind':<16}{'artifacts':>10}"]
        lines += [
            f"{kind:<16}{len(self.artifacts[kind]):>10}"
            for kind in sorted(self.artifacts)
        ]
        lines.append(f"{self.n_bytes:,} bytes, {self.seconds:.2f} s")
        lines += [f"problem: {each}" for each in self.problems]
        for outcome, meaning in OUTCOMES.items():
            notes = getattr(self, outcome)
            if notes:
                lines.append(f"{outcome}: {_count(notes)} ({meaning})")
                if outcome not in ("migrated", "present"):
                    shown = notes[:_SHOWN]
                    lines += [f"  {n.kind} {n.key}: {n.reason}" for n in shown]
                    if _count(notes) > _count(shown):
                        more = _count(notes) - _count(shown)
                        lines.append(f"  … and {more} more")
        return "\n".join(map(printable, lines))


def _count(notes: list[Note]) -> int:
    return sum(note.artifacts for note in notes)
