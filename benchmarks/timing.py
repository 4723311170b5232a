"""
Timing: contestants by turns, so that a slow moment of the machine meets all of them.
"""

import gc
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import attrs

__all__ = ["Contestant", "Timing", "check_agreement", "measure"]

LEAST_ROUNDS = 5


@attrs.frozen
class Contestant:
    """
    One way to do the work.

    Args:
        name: As the report calls it.
        run: The work; what it returns is dropped after the clock has stopped.
        values: What *run* returned, as rows that can be compared.
    """

    name: str
    run: Callable[[], Any]
    values: Callable[[Any], list[Any]]


@attrs.frozen
class Timing:
    """The seconds that one contestant took, round by round."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the rounds, in seconds."""
        return median(self.seconds)


def check_agreement(contestants: Sequence[Contestant]) -> None:
    """
    Run each contestant once, untimed, and compare what they made.

    Raises:
        AssertionError: One of them made other values than the first.
    """
    first = contestants[0]
    expected = first.values(first.run())
    for each in contestants[1:]:
        found = each.values(each.run())
        if found == expected:
            continue
        if len(found) != len(expected):
            what = f"{len(found):,} records, not {len(expected):,}"
        else:
            row = next(i for i, row in enumerate(found) if row != expected[i])
            what = f"row {row}: {found[row]!r:.200}, not {expected[row]!r:.200}"
        raise AssertionError(f"{each.name} and {first.name} differ: {what}")


def measure(contestants: Iterable[Contestant], rounds: int) -> dict[str, Timing]:
    """
    Return the timing of each contestant, by its name.

    The collector is paused for all alike, as a bulk reader pauses it: with it,
    whoever makes most objects would pay for everybody's.

    Args:
        contestants: What to run, in this order in every round.
        rounds: How often; five at least.
    """
    if rounds < LEAST_ROUNDS:
        raise ValueError(f"expected {LEAST_ROUNDS} rounds at least, got {rounds}")
    contestants = list(contestants)
    seconds: dict[str, list[float]] = {each.name: [] for each in contestants}
    for _ in range(rounds):
        for each in contestants:
            seconds[each.name].append(_seconds(each.run))
    return {name: Timing(name, tuple(each)) for name, each in seconds.items()}


def _seconds(run: Callable[[], Any]) -> float:
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        begin = perf_counter()
        result = run()
        end = perf_counter()
        # Freed here: neither this run nor the next one pays for it.
        del result
        return end - begin
    finally:
        if was_enabled:
            gc.enable()
