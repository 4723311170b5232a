"""
Running workloads: options, report, JSON, picture, and the verdict as an exit code.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from .goals import Found, Goal
from .picture import picture
from .report import Result, as_plain, missed_floors, show, write_json
from .timing import say

__all__ = ["Options", "Workload", "main"]


@attrs.frozen
class Options:
    """
    How to run a workload.

    Args:
        rounds: How often each contestant runs.
        directory: For files, on a disk and not in memory; it is removed afterwards.
    """

    rounds: int
    directory: Path


@attrs.frozen
class Workload:
    """
    One workload.

    Args:
        name: As W1.
        title: What it is, in one line.
        goals: What is expected of its figures.
        run: Measures it.
    """

    name: str
    title: str
    goals: tuple[Goal, ...]
    run: Callable[[Options], Found]


def main(workloads: Sequence[Workload], arguments: list[str] | None = None) -> int:
    """Run workloads, print what they found; return 1 where a floor was missed."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Measure the library beside its peers."
    )
    names = [each.name for each in workloads]
    if len(names) > 1:
        parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5, help="five at least")
    parser.add_argument("--json", type=Path, help="write the run to this file")
    parser.add_argument("--svg", type=Path, help="draw the goals into this file")
    options = parser.parse_args(arguments)

    results = []
    for each in workloads:
        if each.name not in getattr(options, "only", names):
            continue
        say(f"{each.name}: {each.title}")
        # Here and not in /tmp, which may be memory.
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as directory:
            found = each.run(Options(options.rounds, Path(directory).absolute()))
        results.append(Result(each.name, each.title, found, each.goals))
        print(show(results[-1]), end="\n\n", flush=True)
    plain = as_plain(results)
    if options.json:
        write_json(options.json, plain)
    if options.svg:
        options.svg.write_text(picture(results, plain["machine"]), "utf-8")
    missed = [(each, name) for each in results for name in missed_floors(each)]
    for each, name in missed:
        print(f"floor missed: {each.workload}: {name}", file=sys.stderr)
    return 1 if missed else 0
