"""
Reports: medians, ratios, and whether targets and floors were met.
"""

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import attrs

from .goals import Found, Goal, verdict
from .timing import Figures

__all__ = ["Result", "as_plain", "machine", "missed_floors", "show", "write_json"]

_PACKAGES = """
    attrs cattrs msgpack backports.zstd
    msgspec torch protobuf fastavro safetensors pydantic numpy
""".split()


@attrs.frozen
class Result:
    """
    What one workload found.

    Args:
        workload: Its name, as W1.
        title: What it is, in one line.
        found: The figures of each contestant, by its name.
        goals: What they are held against.
    """

    workload: str
    title: str
    found: Found
    goals: Sequence[Goal]


def show(result: Result) -> str:
    """Return the report of one workload as text."""
    lines = [f"{result.workload}: {result.title}", ""]
    lines.append(f"{'':56}{'median':>10}{'least':>10}{'most':>10}")
    for each in result.found.values():
        figures = each.median, min(each.values), max(each.values)
        lines.append(f"{each.name:56}{_in_small_units(each, figures)}")
    lines += ["", f"{'':72}{'found':>10}{'target':>10}{'floor':>10}"]
    for goal in result.goals:
        found = goal.figure(result.found)
        bounds = "".join(
            f"{f'{goal.sign} {bound:g}{goal.unit}':>10}"
            for bound in (goal.target, goal.floor)
        )
        shown = shown_figure(goal, found)
        lines.append(f"{goal.name:72}{shown:>10}{bounds}  {verdict(goal, found)}")
    return "\n".join(lines)


def shown_figure(goal: Goal, figure: float) -> str:
    """Return a figure of *goal* with as many digits as mean something."""
    digits = 0 if figure >= 100 or not goal.unit else 1 if figure >= 10 else 2
    return f"{figure:,.{digits}f}{goal.unit}"


def _in_small_units(each: Figures, figures: tuple[float, ...]) -> str:
    unit, scale = ("ms", 1_000) if each.unit == "s" else (each.unit, 1)
    shown = "".join(f"{figure * scale:10,.2f}" for figure in figures)
    return f"{shown} {unit}"


def missed_floors(result: Result) -> list[str]:
    """Return the names of the goals whose floor was missed."""
    return [
        goal.name
        for goal in result.goals
        if goal.relative(goal.figure(result.found), goal.floor) < 1
    ]


def as_plain(results: Sequence[Result]) -> dict[str, Any]:
    """Return the run as plain values: machine, every round, and every goal."""
    return {"machine": machine(), "workloads": [_plain(each) for each in results]}


def _plain(result: Result) -> dict[str, Any]:
    return {
        "workload": result.workload,
        "title": result.title,
        "figures": {
            name: {
                "unit": each.unit,
                "median": each.median,
                "values": list(each.values),
            }
            for name, each in result.found.items()
        },
        "goals": [
            {
                "name": goal.name,
                "sign": goal.sign,
                "unit": goal.unit.strip(),
                "found": goal.figure(result.found),
                "target": goal.target,
                "floor": goal.floor,
                "verdict": verdict(goal, goal.figure(result.found)),
            }
            for goal in result.goals
        ],
    }


def write_json(path: Path, plain: dict[str, Any]) -> None:
    """Write a run where other runs can be compared with it."""
    path.write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n", "utf-8")


def machine() -> dict[str, Any]:
    """Return what a figure depends on beside the code."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: _version(name) for name in _PACKAGES},
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
