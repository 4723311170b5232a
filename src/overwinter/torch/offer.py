"""
What a bundle offers a process: its graphs, and what it says their keys are made of.
"""

from collections import defaultdict
from functools import cached_property

import attrs

from ..bundle import Bundle, RecordBlock
from ..decode import decode
from ..files import Buffer, PathLike
from ..forecast import HIT, Foreseen, forecast
from ..info import CacheInfo
from ..kinds import FactorsArtifact
from ..trust import Policy
from . import facts
from .factors import CODE
from .observer import Observer, whole_name

__all__ = ["Offer"]

Graph = tuple[str, str]  # kind and key


@attrs.define(slots=False)  # for what is found out when it is first asked
class Offer:
    """
    What a bundle held when a process loaded it.

    Attributes:
        name: The bundle, as errors call it; empty where there is none.
        is_loaded: Whether this process loaded it.
        graphs: What a load does with each graph here.
        factors: What keys are made of, by kind and the digest of the code.
        unread: Why factors that it has are not used, if so.
        problems: What is wrong with it, each as a line.
    """

    name: str = ""
    is_loaded: bool = False
    graphs: dict[Graph, Foreseen] = attrs.field(factory=dict)
    factors: dict[str, dict[str | None, list[FactorsArtifact]]] = attrs.field(
        factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    unread: str = ""
    problems: list[str] = attrs.field(factory=list)

    def take(self, target: PathLike | Buffer, seen: Observer) -> None:
        """
        Read a bundle.

        What came into it since it was loaded is no part of it: this process, and
        others of its job, save what they had to compile.

        Args:
            target: The bundle.
            seen: What was seen of this process.

        Raises:
            OverwinterError: It cannot be read.
        """
        where = whole_name(target)
        loads = [each for each in seen.loads if each.bundle == where]
        self.is_loaded = bool(loads)
        known = [each.segments for each in loads if each.segments is not None]
        # Of a bundle that was not loaded, what missed here was saved from here.
        own = set() if loads else {(each.kind, each.key) for each in seen.missed()}
        machine = facts.machine(self.problems, ask=False)
        with Bundle(target) as bundle:
            names = [each.digest for each in bundle.trailer.segments]

        def is_old(number: int) -> bool:
            if number >= len(names):  # another process appends at this moment
                return False
            return not known or names[number] in known[-1]

        found = forecast(target, environment=machine, keys=True)
        self.name = found.file
        self.problems += found.problems
        for block in found.blocks:
            for key in block.keys if is_old(block.segment) else ():
                # A later block, of another environment, may be for this machine.
                before = self.graphs.get((block.kind, key))
                if before is None or before.outcome != HIT:
                    self.graphs[block.kind, key] = block

        def wanted(block: RecordBlock) -> bool:
            is_factors = block.kind.kind == FactorsArtifact.type()
            return is_factors and is_old(block.segment.number)

        info = CacheInfo()
        with Bundle(target) as bundle:
            policy = Policy.of_this_machine()
            for artifacts in decode(bundle, info, policy=policy, wanted=wanted):
                for each in artifacts:
                    assert isinstance(each, FactorsArtifact)
                    if each.graph not in own:
                        code = each.digests.get(CODE)
                        self.factors[each.graph[0]][code].append(each)
        for note in (*info.refused, *info.quarantined):
            if note.kind == FactorsArtifact.type():
                self.unread = self.unread or note.reason

    def blocking(self, kind: str, key: str) -> dict[str, str]:
        """Return what keeps a graph from being used here, and why."""
        block = self.graphs.get((kind, key))
        return {} if block is None or block.outcome == HIT else words(block)

    def blocking_all(self, kind: str) -> dict[str, str]:
        """Return what keeps every graph of a kind from being used here, and why."""
        blocks = self._blocks.get(kind, [])
        if any(each.outcome == HIT for each in blocks):
            return {}
        return {name: why for each in blocks for name, why in words(each).items()}

    @cached_property
    def _blocks(self) -> dict[str, list[Foreseen]]:
        found: dict[str, dict[int, Foreseen]] = defaultdict(dict)
        for (kind, _), block in self.graphs.items():
            found[kind][id(block)] = block
        return {kind: list(blocks.values()) for kind, blocks in found.items()}


def words(block: Foreseen) -> dict[str, str]:
    """Return what decides on a block, and what it says."""
    return {block.field: f"{block.field}: {block.reason}"}
