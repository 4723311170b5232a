"""
Explanations: what torch missed in a process, and why.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ..words import printable

__all__ = ["Explanation", "Missed"]

_REPORT_VERSION = 1
_SHOWN = 8  # causes of one graph in the text; the JSON has all


@attrs.frozen
class Missed:
    """
    A lookup that was no hit.

    Args:
        kind: Kind of the artifact that torch looked for.
        key: Its key; empty where torch made none.
        outcome: ``miss``, ``guard_miss`` or ``bypass``.
        causes: What it was, and in words. Either a factor of its key in torch's own
            name; or a field of the environment; or ``trust``, ``version``,
            ``guards``, ``bypass``, ``refused``, ``late``, ``unloaded``, ``cache``,
            ``unknown``.
        nearest: Key of the graph in the bundle that comes nearest.
    """

    kind: str
    key: str
    outcome: str
    causes: Mapping[str, str]
    nearest: str = ""


@attrs.frozen
class Explanation:
    """
    Why graphs missed in this process.

    Args:
        bundle: What they were compared with.
        hits: How many graphs that were looked up hit, each counted once.
        missed: Those that did not.
        problems: What could not be seen.
    """

    bundle: str
    hits: int
    missed: tuple[Missed, ...]
    problems: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; the layout is versioned."""
        return {"version": _REPORT_VERSION, **attrs.asdict(self)}

    def lines(self) -> list[str]:
        """Return it for people: graphs that missed for the same causes together."""
        together: dict[tuple[str, ...], list[Missed]] = defaultdict(list)
        for each in self.missed:
            together[each.outcome, *_joined(each.causes.values())].append(each)
        lines = []
        for (_, *causes), those in together.items():
            first = those[0]
            name = f"{first.kind} {first.key}".strip()
            more = f" and {len(those) - 1} more" if those[1:] else ""
            lines.append(f"{name}{more}: {'; '.join(causes[:_SHOWN])}")
            if causes[_SHOWN:]:
                lines[-1] += f"; and {len(causes) - _SHOWN} more differences"
        return [printable(line) for line in (*lines, *self.problems)]

    def __str__(self) -> str:
        total = self.hits + len(self.missed)
        head = f"{len(self.missed)} of {total} graphs were no hit"
        return "\n".join([head, *self.lines()])


def _joined(causes: Iterable[str]) -> Iterator[str]:
    """Give *causes* with inputs that differ alike in one."""
    inputs: dict[str, list[str]] = defaultdict(list)
    others = []
    for each in causes:
        called, _, rest = each.partition(": ")
        if called.startswith("input "):
            inputs[rest].append(called.removeprefix("input "))
        else:
            others.append(each)
    for rest, numbers in inputs.items():
        if len(numbers) > 1:
            called = f"inputs {', '.join(numbers[:-1])} and {numbers[-1]}"
        else:
            called = f"input {numbers[0]}"
        yield f"{called}: {rest}"
    yield from others
