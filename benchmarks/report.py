"""
Reports: medians, ratios, and whether targets and floors were met.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import attrs

from .timing import Timing

__all__ = [
    "AtLeast",
    "Goal",
    "Within",
    "as_plain",
    "missed_floors",
    "show",
    "write_json",
]

_PEERS = "attrs cattrs msgpack msgspec".split()

Timings = Mapping[str, Timing]


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

    def figure(self, timings: Timings) -> float:
        """Return the figure of this run."""
        ...

    def is_met(self, figure: float, bound: float) -> bool:
        """Return whether *figure* is on the right side of *bound*."""
        ...


@attrs.frozen
class AtLeast:
    """*ours* is so many times as fast as *peer*."""

    ours: str
    peer: str
    target: float
    floor: float
    unit = "×"
    sign = "≥"

    @property
    def name(self) -> str:
        """Both sides of the ratio."""
        return f"{self.ours}, against {self.peer}"

    def figure(self, timings: Timings) -> float:
        """Return the ratio of the medians."""
        return timings[self.peer].median / timings[self.ours].median

    def is_met(self, figure: float, bound: float) -> bool:
        """Return whether it is fast enough."""
        return figure >= bound


@attrs.frozen
class Within:
    """*ours* takes so many seconds at most."""

    ours: str
    target: float
    floor: float
    unit = " s"
    sign = "≤"

    @property
    def name(self) -> str:
        """Whose time it is."""
        return self.ours

    def figure(self, timings: Timings) -> float:
        """Return the median, in seconds."""
        return timings[self.ours].median

    def is_met(self, figure: float, bound: float) -> bool:
        """Return whether it is fast enough."""
        return figure <= bound


def show(title: str, timings: Timings, goals: Sequence[Goal]) -> str:
    """Return the report of one workload as text."""
    lines = [title, "", f"{'':44}{'median ms':>10}{'fastest':>10}{'slowest':>10}"]
    for each in timings.values():
        figures = each.median, min(each.seconds), max(each.seconds)
        shown = "".join(f"{figure * 1_000:10,.1f}" for figure in figures)
        lines.append(f"{each.name:44}{shown}")
    lines += ["", f"{'':60}{'found':>10}{'target':>10}{'floor':>10}"]
    for goal in goals:
        found = goal.figure(timings)
        bounds = "".join(
            f"{f'{goal.sign} {bound:g}{goal.unit}':>10}"
            for bound in (goal.target, goal.floor)
        )
        shown = f"{found:.{2 if found < 10 else 1}f}{goal.unit}"
        lines.append(f"{goal.name:60}{shown:>10}{bounds}  {_verdict(goal, found)}")
    return "\n".join(lines)


def missed_floors(timings: Timings, goals: Sequence[Goal]) -> list[str]:
    """Return the names of the goals whose floor was missed."""
    return [
        goal.name for goal in goals if not goal.is_met(goal.figure(timings), goal.floor)
    ]


def as_plain(workload: str, timings: Timings, goals: Sequence[Goal]) -> dict[str, Any]:
    """Return the run as plain values: machine, every round, and every goal."""
    return {
        "workload": workload,
        "machine": _machine(),
        "seconds": {name: list(each.seconds) for name, each in timings.items()},
        "medians": {name: each.median for name, each in timings.items()},
        "goals": [
            {
                "name": goal.name,
                "unit": goal.unit.strip(),
                "found": goal.figure(timings),
                "target": goal.target,
                "floor": goal.floor,
                "verdict": _verdict(goal, goal.figure(timings)),
            }
            for goal in goals
        ],
    }


def write_json(path: Path, plain: dict[str, Any]) -> None:
    """Write a run where other runs can be compared with it."""
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _verdict(goal: Goal, found: float) -> str:
    if goal.is_met(found, goal.target):
        return "target met"
    return "floor met" if goal.is_met(found, goal.floor) else "FLOOR MISSED"


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in _PEERS},
    }


def _processor() -> str:
    # platform.processor() is empty on most Linux systems.
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.machine()).strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
