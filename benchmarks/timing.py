"""
Timing: contestants by turns, so that a slow moment of the machine meets all of them.
"""

import gc
import sys
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import attrs

__all__ = ["Contestant", "Figures", "check_agreement", "measure", "say"]

LEAST_ROUNDS = 5

_BEGAN = perf_counter()


@attrs.frozen
class Contestant:
    """
    One way to do the work.

    Args:
        name: As the report calls it.
        run: The work; what it returns is dropped after the clock has stopped.
        values: What *run* returned, as rows that can be compared.
        before: What must be done first, each time and untimed.
        repeat: Runs in one round, whose median counts: for what takes milliseconds.
    """

    name: str
    run: Callable[[], Any]
    values: Callable[[Any], list[Any]]
    before: Callable[[], Any] = lambda: None
    repeat: int = 1


@attrs.frozen
class Figures:
    """What was found of one thing, round by round: seconds, if not said otherwise."""

    name: str
    values: tuple[float, ...]
    unit: str = "s"

    @property
    def median(self) -> float:
        """Median of the rounds."""
        return median(self.values)


def check_agreement(contestants: Sequence[Contestant]) -> None:
    """
    Run each contestant once, untimed, and compare what they made.

    Raises:
        AssertionError: One of them made other values than the first.
    """
    first = contestants[0]
    expected = _values(first)
    for each in contestants[1:]:
        found = _values(each)
        if found == expected:
            continue
        if len(found) != len(expected):
            what = f"{len(found):,} records, not {len(expected):,}"
        else:
            row = next(i for i, row in enumerate(found) if row != expected[i])
            what = f"row {row}: {found[row]!r:.200}, not {expected[row]!r:.200}"
        raise AssertionError(f"{each.name} and {first.name} differ: {what}")


def measure(contestants: Iterable[Contestant], rounds: int) -> dict[str, Figures]:
    """
    Return the seconds of each contestant, by its name.

    The collector runs, as it does in every program that nobody told otherwise, and
    with as many live objects: who spares it work shall gain by that.

    Args:
        contestants: What to run, in this order in every round.
        rounds: How often; five at least.
    """
    if rounds < LEAST_ROUNDS:
        raise ValueError(f"expected {LEAST_ROUNDS} rounds at least, got {rounds}")
    contestants = list(contestants)
    seconds: dict[str, list[float]] = {each.name: [] for each in contestants}
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        gc.collect()  # once: beside millions of records it takes as long as a load
        found: dict[str, list[float]] = {each.name: [] for each in contestants}
        for turn in range(max((each.repeat for each in contestants), default=0)):
            for each in contestants:
                if turn < each.repeat:
                    found[each.name].append(_seconds(each))
        for name, turns in found.items():
            seconds[name].append(median(turns))
    return {name: Figures(name, tuple(each)) for name, each in seconds.items()}


def say(words: str) -> None:
    """Tell who waits how far it is, and after how many seconds."""
    seconds = perf_counter() - _BEGAN
    print(f"{seconds:6.0f} s  {words}", file=sys.stderr, flush=True)


def _values(contestant: Contestant) -> list[Any]:
    contestant.before()
    return contestant.values(contestant.run())


def _seconds(contestant: Contestant) -> float:
    contestant.before()
    run = contestant.run
    begin = perf_counter()
    result = run()
    end = perf_counter()
    # Freed here: neither this run nor the next one pays for it.
    del result
    return end - begin
