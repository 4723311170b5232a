"""
Goals: a figure of one run, what it should be (the target) and must be (the floor).
"""

from collections.abc import Mapping
from typing import Protocol

import attrs

from .timing import Figures

__all__ = [
    "AtLeast",
    "AtMost",
    "Found",
    "Goal",
    "Never",
    "Share",
    "Within",
    "verdict",
]

Found = Mapping[str, Figures]


class Goal(Protocol):
    """A figure of one run, with what it should be and what it must be."""

    target: float
    floor: float

    @property
    def name(self) -> str:
        """What is measured."""
        ...

    @property
    def unit(self) -> str:
        """What the figures are multiples of."""
        ...

    @property
    def sign(self) -> str:
        """How a good figure compares with target and floor."""
        ...

    def figure(self, found: Found) -> float:
        """Return the figure of this run."""
        ...

    def relative(self, figure: float, bound: float) -> float:
        """Return how many times as good as *bound* a figure is; 1 meets it."""
        ...


@attrs.frozen
class AtLeast:
    """
    *ours* is so many times as fast as *peer*.

    Args:
        ours: Who is measured.
        peer: Who is measured beside it.
        target: What the ratio should be.
        floor: What it must be.
        against: The peer in fewer words.
    """

    ours: str
    peer: str
    target: float
    floor: float
    against: str = ""
    unit = "×"
    sign = "≥"

    @property
    def name(self) -> str:
        """Both sides of the ratio."""
        return f"{self.ours}, against {self.against or self.peer}"

    def figure(self, found: Found) -> float:
        """Return the ratio of the medians."""
        return found[self.peer].median / found[self.ours].median

    def relative(self, figure: float, bound: float) -> float:
        """Return how many times as good as *bound* a figure is."""
        return figure / bound


@attrs.frozen
class AtMost:
    """
    *ours* is at most so many times the largest of *peers*.

    Args:
        ours: Time or size.
        peers: What it is held against.
        target: What it should be.
        floor: What it must be.
        against: What the peers are together, if there is a word for it.
    """

    ours: str
    peers: tuple[str, ...]
    target: float
    floor: float
    against: str = ""
    unit = "×"
    sign = "≤"

    @property
    def name(self) -> str:
        """Both sides of the ratio."""
        return f"{self.ours}, against {self.against or ' or '.join(self.peers)}"

    def figure(self, found: Found) -> float:
        """Return the ratio of the medians."""
        return found[self.ours].median / max(found[each].median for each in self.peers)

    def relative(self, figure: float, bound: float) -> float:
        """Return how many times as good as *bound* a figure is."""
        return bound / figure


@attrs.frozen
class Within:
    """*ours* takes so much at most, in the unit that it is measured in."""

    ours: str
    target: float
    floor: float
    unit: str = " s"
    sign = "≤"

    @property
    def name(self) -> str:
        """What is measured."""
        return self.ours

    def figure(self, found: Found) -> float:
        """Return the median."""
        return found[self.ours].median

    def relative(self, figure: float, bound: float) -> float:
        """Return how many times as good as *bound* a figure is."""
        # What cannot be told from nothing, a millionth of the bound, counts as that.
        return bound / max(figure, bound / 1e6)


@attrs.frozen
class Share:
    """
    *part* takes so many of a hundred parts of *whole* at most.

    Args:
        part: What is measured by itself.
        whole: What it is a part of, measured in the same run.
        target: What the share should be, in per cent.
        floor: What it must be.
        of: The whole in fewer words.
    """

    part: str
    whole: str
    target: float
    floor: float
    of: str
    unit = " %"
    sign = "≤"

    @property
    def name(self) -> str:
        """The part, and of what."""
        return f"{self.part}, of {self.of}"

    def figure(self, found: Found) -> float:
        """Return the share of the medians."""
        return 100 * found[self.part].median / found[self.whole].median

    def relative(self, figure: float, bound: float) -> float:
        """Return how many times as good as *bound* a figure is."""
        return bound / max(figure, bound / 1e6)


@attrs.frozen
class Never:
    """*ours* is counted, and must not happen at all."""

    ours: str
    target: float = 0
    floor: float = 0
    unit = ""
    sign = "="

    @property
    def name(self) -> str:
        """What is counted."""
        return self.ours

    def figure(self, found: Found) -> float:
        """Return how often it happened in the worst round."""
        return max(found[self.ours].values)

    def relative(self, figure: float, bound: float) -> float:
        """Return 1 for nothing, and less the more often it happened."""
        return 1 / (1 + figure - bound)


def verdict(goal: Goal, found: float) -> str:
    """Return which of target and floor *found* meets."""
    if goal.relative(found, goal.target) >= 1:
        return "target met"
    return "floor met" if goal.relative(found, goal.floor) >= 1 else "FLOOR MISSED"
