"""
W8: how a bundle grows when it is saved to again, and by several ranks at once.

Sizes, not times: one run tells them all. A graph is 50 KB that nothing compresses,
and each bundle is held against the bytes of its graphs. Beside these a segment has
some 2 KB of its own: what it says, its signature, and two more trailers.
"""

import multiprocessing
import random
import sys
from collections.abc import Iterable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import overwinter
from overwinter.kinds import InductorArtifact, PGOArtifact
from overwinter.limits import MAX_VARIANTS

from . import ours, running
from .goals import AtMost, Found, Goal
from .running import Options, Workload
from .timing import Figures
from .workloads import inductor_key

__all__ = ["GOALS", "WORKLOAD", "sizes"]

CONTENT = 50_000  # bytes of one graph
SAVES, RANKS, SHARED, STARTS = 10, 8, 20, 64

AGAIN = f"{SAVES} saves, one more graph each"
SAME = f"{SAVES} saves of the same"
AT_ONCE = f"{RANKS} ranks at once, {SHARED} graphs shared, 1 own"
COLD = f"{STARTS} cold starts of one graph"
STATES = f"{SAVES} states of one job"

_OF = "its graphs"

# Of a graph that is compiled anew, the bytes are others each time: the best so many
# are loaded, and another is written only where it is one of these.
GOALS: tuple[Goal, ...] = (
    *(
        AtMost(name, (f"{name}: {_OF}",), target=1.1, floor=1.2, against=_OF)
        for name in (AGAIN, SAME, AT_ONCE, STATES)
    ),
    AtMost(
        COLD, (f"{COLD}: {_OF}",), target=4, floor=6, against=f"{MAX_VARIANTS} of them"
    ),
)


def graph(number: int, variant: int = 0) -> InductorArtifact:
    """Return a graph: of one number the same key, of one variant the same bytes."""
    key = inductor_key(random.Random(number))
    content = random.Random(number * 1_000 + variant).randbytes(CONTENT)
    return InductorArtifact(key, content)


def sizes(directory: Path) -> dict[str, tuple[int, int]]:
    """Return the bytes of each bundle, and of what it should hold."""
    graphs = list(map(graph, range(SAVES)))
    found = {
        AGAIN: (_saved(directory, (graphs[: n + 1] for n in range(SAVES))), SAVES),
        SAME: (_saved(directory, [graphs] * SAVES), SAVES),
        AT_ONCE: (_at_once(directory / "at once"), SHARED + RANKS),
        COLD: (_saved(directory, ([graph(0, n)] for n in range(STARTS))), MAX_VARIANTS),
        STATES: (_saved(directory, ([_state(n)] for n in range(SAVES))), SAVES),
    }
    return {name: (size, n * CONTENT) for name, (size, n) in found.items()}


def _state(number: int) -> PGOArtifact:
    return PGOArtifact("job:0:", graph(number).content)


def _saved(directory: Path, saves: Iterable[list[overwinter.CacheArtifact]]) -> int:
    """Return the size of a bundle after *saves*."""
    path = directory / "bundle"
    path.unlink(missing_ok=True)
    for artifacts in saves:
        overwinter.save(path, artifacts, environment=ours.ENVIRONMENT, key=ours.KEY)
    return path.stat().st_size


def _at_once(path: Path) -> int:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(RANKS)
    ranks = [
        context.Process(target=_rank, args=(path, number, barrier))
        for number in range(RANKS)
    ]
    for each in ranks:
        each.start()
    for each in ranks:
        each.join()
    if any(each.exitcode for each in ranks):
        raise RuntimeError(f"exit codes {[each.exitcode for each in ranks]}")
    return path.stat().st_size


def _rank(path: Path, number: int, barrier: Barrier) -> None:
    artifacts = [*map(graph, range(SHARED)), graph(SHARED + number)]
    barrier.wait()
    overwinter.save(path, artifacts, environment=ours.ENVIRONMENT, key=ours.KEY)


def run(options: Options) -> Found:
    """Measure W8."""
    found: dict[str, Figures] = {}
    for name, (size, content) in sizes(options.directory).items():
        found[name] = Figures(name, (size / 1e3,), "kB")
        content_name = f"{name}: {_OF}"
        found[content_name] = Figures(content_name, (content / 1e3,), "kB")
    return found


WORKLOAD = Workload("W8", "save again, and at once", GOALS, run)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
