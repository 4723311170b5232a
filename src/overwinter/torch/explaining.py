"""
Explaining: why a graph missed, by the graph in a bundle that comes nearest to it.

Where the bundle has the very key, the key is no reason, and what a load says of it is.
Otherwise something that the key is made of differs; of all graphs in the bundle the
one with the same code and the fewest such differences is what was meant to be found.
"""

from collections import defaultdict
from collections.abc import Iterable

from ..bundle import Bundle
from ..decode import decode
from ..errors import OverwinterError
from ..files import Buffer, PathLike
from ..forecast import HIT, Foreseen, forecast
from ..info import CacheInfo
from ..kinds import FactorsArtifact
from ..trust import Policy
from . import facts
from .explanation import Explanation, Missed
from .factors import CODE, differences, likeness
from .observer import BYPASS, GUARDS, Lookup, Observer, whole_name

__all__ = ["explain"]

_UNOBSERVED = (
    "torch was not observed: call overwinter.torch.observe() before the first compile, "
    "or use overwinter.torch.warm() or overwinter run"
)
_NO_BUNDLE = "no bundle was loaded, so there is none to compare with: give one"
# Of the lines of two graphs' code; below it they have nothing to do with each other.
_AKIN = 0.5


def explain(target: PathLike | Buffer | None, seen: Observer) -> Explanation:
    """Explain the misses of an observed torch; see `overwinter.torch.explain`."""
    problems = list(seen.problems)
    if not seen.is_on:
        problems.append(_UNOBSERVED)
    if target is None:
        target = next(
            (each.bundle for each in reversed(seen.loads) if each.bundle), None
        )
    offer = _Offer()
    if target is None:
        problems.append(_NO_BUNDLE)
    else:
        try:
            offer.take(target)
        except OverwinterError as error:
            problems.append(str(error))
    missed = seen.missed()
    return Explanation(
        bundle=offer.name,
        hits=len(set(seen.lookups)) - len(missed),
        missed=tuple(_explained(each, offer, seen) for each in missed),
        problems=(*problems, *offer.problems),
    )


class _Offer:
    """What a bundle holds for this machine, and what it says of its graphs' keys."""

    def __init__(self) -> None:
        self.name = ""
        self.bundle: str | None = None
        self.problems: list[str] = []
        self.graphs: dict[tuple[str, str], Foreseen] = {}
        self.factors: dict[str, dict[str, FactorsArtifact]] = defaultdict(dict)

    def take(self, target: PathLike | Buffer) -> None:
        machine = facts.machine(self.problems, ask=False)
        found = forecast(target, environment=machine, keys=True)
        self.name, self.bundle = found.file, whole_name(target)
        self.problems += found.problems
        for block in found.blocks:
            for key in block.keys:
                # A later block, of another environment, may be for this machine.
                known = self.graphs.get((block.kind, key))
                if known is None or known.outcome != HIT:
                    self.graphs[block.kind, key] = block
        with Bundle(target) as bundle:
            for artifacts in decode(
                bundle,
                CacheInfo(),
                policy=Policy.of_this_machine(),
                wanted=lambda cls: cls is FactorsArtifact,
            ):
                for each in artifacts:
                    assert isinstance(each, FactorsArtifact)
                    kind, key = each.graph
                    self.factors[kind][key] = each

    def blocking(self, kind: str, key: str = "") -> dict[str, str]:
        """
        Return what keeps a graph from being used here, and why.

        Args:
            kind: Its kind.
            key: Its key; if not given, what keeps all of this kind.
        """
        found = [
            block
            for (of_kind, of_key), block in self.graphs.items()
            if of_kind == kind and key in ("", of_key)
        ]
        if any(each.outcome == HIT for each in found):
            return {}
        return {each.field: _words(each) for each in found}


def _explained(lookup: Lookup, offer: _Offer, seen: Observer) -> Missed:
    """Return why one lookup was no hit."""
    if lookup.outcome == BYPASS:
        return _missed(lookup, {BYPASS: f"torch passed by its cache: {lookup.reason}"})
    graph = lookup.kind, lookup.key
    if lookup.outcome == GUARDS:
        held = f"torch has the graph for other sizes: {lookup.reason or 'no guard'}"
        return _missed(lookup, {"guards": f"{held} does not hold here"})
    if foreseen := offer.graphs.get(graph):
        if foreseen.outcome != HIT:
            return _missed(lookup, {foreseen.field: _words(foreseen)})
        if any(graph in load.offered for load in seen.loads[: lookup.loads]):
            return _missed(lookup, {"cache": _LOST})
        if any(graph in load.offered for load in seen.loads):
            return _missed(lookup, {"late": _LATE})
        if offer.bundle not in {load.bundle for load in seen.loads}:
            return _missed(lookup, {"unloaded": _UNLOADED})
    if not offer.name:
        return _missed(lookup, {"unknown": "there is no bundle to compare with"})
    here = seen.factors(*graph)
    if here is None:
        return _missed(lookup, {"unknown": "what its key is made of was not seen"})
    # What this process saved itself is no answer.
    others = [
        each for key, each in offer.factors[lookup.kind].items() if key != lookup.key
    ]
    nearest = _nearest(here, others)
    if nearest is None:
        return _missed(lookup, {**offer.blocking(lookup.kind), **_nothing(others)})
    return _missed(
        lookup,
        {**dict(differences(here, nearest)), **offer.blocking(*nearest.graph)},
        nearest.graph[1],
    )


_LOST = (
    "the bundle has it and it was put into torch's cache, where torch did not find it: "
    "another directory by then, removed, or refused by torch, whose log says why"
)
_UNLOADED = "the bundle has it, and this process did not load that"
_LATE = "it was looked up before the bundle was loaded: load before the first compile"


def _words(block: Foreseen) -> str:
    return f"{block.field}: {block.reason}"


def _nothing(others: Iterable[FactorsArtifact]) -> dict[str, str]:
    if others:
        return {CODE: "the bundle has no graph whose code is like it"}
    return {
        "unknown": "the bundle does not say what keys are made of: save it from a "
        "process that is observed"
    }


def _nearest(
    here: FactorsArtifact, others: Iterable[FactorsArtifact]
) -> FactorsArtifact | None:
    """Return the graph with the likest code and, among these, fewest differences."""
    same = [e for e in others if e.digests.get(CODE) == here.digests.get(CODE)]
    mine = here.digests.items()
    if same:
        return min(same, key=lambda each: (len(mine ^ each.digests.items()), each.key))
    akin = [(likeness(here, each), each) for each in others]
    akin = [(share, each) for share, each in akin if share >= _AKIN]
    return max(akin, key=lambda pair: (pair[0], pair[1].key))[1] if akin else None


def _missed(lookup: Lookup, causes: dict[str, str], nearest: str = "") -> Missed:
    return Missed(lookup.kind, lookup.key, lookup.outcome, causes, nearest)
