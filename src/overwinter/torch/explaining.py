"""
Explaining: why a graph missed, by the graph in a bundle that comes nearest to it.

Where the bundle has the very key, the key is no reason, and what a load says of it is.
Otherwise something that the key is made of differs; of all graphs in the bundle the
one with the same code and the fewest such differences is what was meant to be found.
"""

from ..errors import OverwinterError
from ..files import Buffer, PathLike
from ..forecast import HIT
from ..kinds import FactorsArtifact
from .explanation import Explanation, Missed
from .factors import CODE, code_lines, differences, likeness
from .observer import BYPASS, GUARDS, Lookup, Observer
from .offer import Offer, words

__all__ = ["explain"]

_UNOBSERVED = (
    "torch was not observed: call overwinter.torch.observe() before the first compile, "
    "or use overwinter.torch.warm() or overwinter run"
)
_NO_BUNDLE = "no bundle was loaded, so there is none to compare with: give one"
# Of the lines of two graphs' code; below it they have nothing to do with each other.
_AKIN = 0.5


def explain(
    target: PathLike | Buffer | None, seen: Observer, *, most: int | None = None
) -> Explanation:
    """
    Explain the misses of an observed torch; see `overwinter.torch.explain`.

    Args:
        target: A bundle, or else the one that was loaded last.
        seen: What was seen of this process.
        most: So many are explained at most, and the others counted.
    """
    problems = [*seen.unseen, *seen.problems]
    if not seen.is_on:
        problems.append(_UNOBSERVED)
    if target is None:
        target = next(
            (each.bundle for each in reversed(seen.loads) if each.bundle), None
        )
    offer = Offer()
    if target is None:
        problems.append(_NO_BUNDLE)
    else:
        try:
            offer.take(target, seen)
        except OverwinterError as error:
            problems.append(str(error))
    missed = seen.missed()
    explainer = _Explainer(offer, seen)
    if most is not None and len(missed) > most:
        problems.append(f"{len(missed) - most} more missed, and are not explained")
    return Explanation(
        bundle=offer.name,
        hits=len(set(seen.lookups)) - len(missed),
        missed=tuple(explainer.explained(each) for each in missed[:most]),
        problems=(*problems, *offer.problems),
    )


class _Explainer:
    def __init__(self, offer: Offer, seen: Observer) -> None:
        self._offer, self._seen = offer, seen
        self._code: dict[str, frozenset[str]] = {}

    def explained(self, lookup: Lookup) -> Missed:
        """Return why one lookup was no hit."""
        causes = self._known(lookup)
        if causes is not None:
            return _missed(lookup, causes)
        offer, graph = self._offer, (lookup.kind, lookup.key)
        if not offer.name:
            return _missed(lookup, {"unknown": "there is no bundle to compare with"})
        here = self._seen.factors(*graph)
        if here is None:
            return _missed(lookup, {"unknown": "what its key is made of was not seen"})
        nearest = self._nearest(here)
        if nearest is None:
            blocking = offer.blocking_all(lookup.kind)
            return _missed(lookup, {**blocking, **self._nothing(lookup.kind)})
        found = {**dict(differences(here, nearest)), **offer.blocking(*nearest.graph)}
        return _missed(lookup, found, nearest.graph[1])

    def _known(self, lookup: Lookup) -> dict[str, str] | None:
        """Return what it was, where that is known without comparing keys."""
        graph = lookup.kind, lookup.key
        if lookup.outcome == BYPASS:
            return {BYPASS: f"torch passed by its cache: {lookup.reason}"}
        if lookup.outcome == GUARDS:
            return {"guards": _guards(lookup.reason)}
        if lookup.reason:
            return {"refused": lookup.reason}
        foreseen = self._offer.graphs.get(graph)
        if foreseen is None:
            return None
        if foreseen.outcome != HIT:
            return words(foreseen)
        loads = self._seen.loads
        if any(graph in load.offered for load in loads[: lookup.loads]):
            return {"cache": _LOST}
        if any(graph in load.offered for load in loads):
            return {"late": _LATE}
        return None if self._offer.is_loaded else {"unloaded": _UNLOADED}

    def _nearest(self, here: FactorsArtifact) -> FactorsArtifact | None:
        """Return the graph with the likest code and then the fewest differences."""
        kind, key = here.graph
        by_code = self._offer.factors[kind]
        mine = here.digests.items()
        same = [e for e in by_code[here.digests.get(CODE)] if e.graph[1] != key]
        if same:
            return min(same, key=lambda e: (len(mine ^ e.digests.items()), e.key))
        code, best, nearest = code_lines(here), _AKIN, None
        for each in (each for group in by_code.values() for each in group):
            if each.key not in self._code:
                self._code[each.key] = code_lines(each)
            share = likeness(code, self._code[each.key])
            if each.graph[1] != key and share >= best:
                best, nearest = share, each
        return nearest

    def _nothing(self, kind: str) -> dict[str, str]:
        if any(self._offer.factors[kind].values()):
            return {CODE: "the bundle has no graph whose code is like it"}
        if self._offer.unread:
            return {
                "unknown": f"what keys are made of is not read: {self._offer.unread}"
            }
        return {
            "unknown": "the bundle does not say what keys are made of: save it from a "
            "process that is observed"
        }


_LOST = (
    "the bundle has it and it was put into torch's cache, where torch did not find it: "
    "another directory by then, removed, or refused by torch, whose log says why"
)
_UNLOADED = "the bundle has it, and this process did not load that"
_LATE = "it was looked up before the bundle was loaded: load before the first compile"


def _guards(guards: str) -> str:
    # Torch refuses so also what was built for other libraries of a device.
    if not guards:
        return "torch found it, and it is for other sizes or libraries than here"
    return f"torch found it, and it is for other sizes: the last one asks for {guards}"


def _missed(lookup: Lookup, causes: dict[str, str], nearest: str = "") -> Missed:
    return Missed(lookup.kind, lookup.key, lookup.outcome, causes, nearest)
