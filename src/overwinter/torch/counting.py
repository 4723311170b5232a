"""
What torch counts of its lookups, by the kinds of what it looks for.
"""

import sys
from collections.abc import Mapping

import attrs

from ..reconciled import LOOKUPS
from .versions import private_parts

__all__ = ["Since", "counts"]

# Kind to where torch counts, and what it calls it.
_COUNTERS = {
    "aot_autograd": ("aot_autograd", "autograd_cache"),
    "inductor": ("inductor", "fxgraph_cache"),
    "precompile": ("dynamo_cache", "dynamo_cache"),
}

Counts = Mapping[str, Mapping[str, int]]


def counts() -> Counts:
    """
    Return how many lookups of this process ended how: kind to outcome to number.

    Nothing where this torch counts otherwise: then nobody knows.

    Source:
        ``torch._dynamo.utils.counters`` of torch 2.13.
    """
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is None:  # so nothing was compiled
        return {}
    found: Counts = {}
    with private_parts([], "", ""):
        found = {
            kind: {e: int(utils.counters[group][f"{name}_{e}"]) for e in LOOKUPS}
            for kind, (group, name) in _COUNTERS.items()
        }
    return found


@attrs.frozen
class Since:
    """
    What torch counted since some moment.

    Args:
        before: What it had counted then.
    """

    before: Counts

    def __call__(self) -> Counts:
        """Return kind to outcome to number."""
        return {
            kind: {
                outcome: _since(self.before.get(kind, {}).get(outcome, 0), n)
                for outcome, n in each.items()
            }
            for kind, each in counts().items()
        }


def _since(before: int, now: int) -> int:
    # Whoever measures sets torch's counters back, which shows while they are lower.
    return now - before if now >= before else now
