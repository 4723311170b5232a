"""
What was loaded, beside what a framework's lookups did with it since.

A load can only say what it put into caches. That nothing is faster afterwards is what
users complain of first, and whether anything was found only the framework knows.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

__all__ = ["LOOKUPS", "Counters", "Reckoning", "Reconciled", "reconciled"]

_REPORT_VERSION = 1
LOOKUPS = ("hit", "miss", "guard_miss", "bypass")  # how one may end

# Kind to outcome to how many lookups ended so since the load.
Counters = Callable[[], Mapping[str, Mapping[str, int]]]


@attrs.frozen
class Reckoning:
    """
    One kind's artifacts and lookups.

    Args:
        loaded: Artifacts that are in the cache since the load, or were before.
        hit: Lookups that found one.
        miss: Lookups that found none.
        guard_miss: Of these, where one was found whose guards did not hold.
        bypass: Times that the framework passed by its cache.
    """

    loaded: int = 0
    hit: int = 0
    miss: int = 0
    guard_miss: int = 0
    bypass: int = 0


@attrs.frozen
class Reconciled:
    """
    What became of a load.

    Args:
        kinds: What was loaded or looked up, by kind.
        remarks: What does not fit together, each as a line.
    """

    kinds: Mapping[str, Reckoning]
    remarks: tuple[str, ...] = ()

    @property
    def is_warm(self) -> bool:
        """Whether something was looked up, and every lookup was a hit."""
        all_ = self.kinds.values()
        return any(e.hit for e in all_) and not any(e.miss or e.bypass for e in all_)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; the layout is versioned."""
        return {
            "version": _REPORT_VERSION,
            "is_warm": self.is_warm,
            **attrs.asdict(self),
        }

    def __str__(self) -> str:
        columns = ("loaded", *LOOKUPS)
        lines = [f"{'kind':<16}" + "".join(f"{each:>12}" for each in columns)]
        for kind, reckoning in sorted(self.kinds.items()):
            numbers = attrs.astuple(reckoning)
            lines.append(f"{kind:<16}" + "".join(f"{each:>12,}" for each in numbers))
        return "\n".join([*lines, *self.remarks])


def reconciled(loaded: Mapping[str, int], counters: Counters | None) -> Reconciled:
    """
    Return *loaded*, kind to number, beside what *counters* say.

    Args:
        loaded: Artifacts in the caches.
        counters: What the framework counted since; ``None`` where none was asked.
    """
    if counters is None:
        return Reconciled(
            {kind: Reckoning(n) for kind, n in loaded.items() if n},
            (
                "no framework was asked to count its lookups: overwinter.torch.load "
                "has torch do it",
            ),
        )
    counts = {kind: each for kind, each in counters().items() if any(each.values())}
    kinds = {
        kind: Reckoning(loaded.get(kind, 0), **counts.get(kind, {}))
        for kind in sorted({*(kind for kind, n in loaded.items() if n), *counts})
    }
    return Reconciled(kinds, tuple(_remarks(kinds, bool(counts))))


def _remarks(kinds: Mapping[str, Reckoning], any_lookups: bool) -> list[str]:
    if not any_lookups:
        return [
            "nothing was looked up since: this process compiled nothing, or did so "
            "before the load"
        ]
    lines = []
    for kind, each in kinds.items():
        if each.miss:
            lines.append(
                f"{kind}: {each.miss} lookups missed; overwinter.torch.explain() says "
                "why, where overwinter.torch.observe() came before them"
            )
        if each.bypass:
            lines.append(f"{kind}: its cache was passed by {each.bypass} times")
    return lines
