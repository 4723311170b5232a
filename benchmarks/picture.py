"""
The picture of a run: how far each figure is from its target, as SVG by hand.

One row for each goal. The axis says how many times as good as its target a figure
is, so that times, sizes and counts share it: right of the line is better.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from .goals import Goal, verdict
from .report import Result, shown_figure

__all__ = ["LONGEST_NAME", "picture"]

# Everything is in pixels; the text is 12 high, and its mean letter 6 wide.
WIDTH = 980
ROW = 19
GROUP = 34  # from the last row of a workload to the first of the next
TOP = 40
NAMES, LEFT, RIGHT = 24, 460, 740  # where names begin, and the axis' two ends
FOUND, TARGET, FLOOR = 820, 896, 972  # where the columns of figures end
LONGEST_NAME = 60  # letters that fit between NAMES and LEFT

# Beyond these a point says no more by lying further out; the figure stands beside it.
WORST, BEST = 1 / 16, 64

_STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif;
  fill: #333 }
.figure { text-anchor: end; font-variant-numeric: tabular-nums }
.axis { text-anchor: middle }
.quiet { fill: #767676 }
.workload { font-weight: 600 }
.line { stroke: #bbb; stroke-width: 1 }
.target { stroke: #333; stroke-width: 1 }
.reach { stroke: #999; stroke-width: 1.5 }
.floor { stroke: #767676; stroke-width: 1.5 }
.point { fill: #333; stroke: #333; stroke-width: 1.5 }
.short { fill: #fff }
.missed { fill: #c1121f; stroke: #c1121f }
text.missed { stroke: none; font-weight: 600 }
@media (prefers-color-scheme: dark) {
  text { fill: #d0d0d0 }
  .quiet { fill: #949494 }
  .line { stroke: #484848 }
  .target { stroke: #d0d0d0 }
  .reach { stroke: #777 }
  .floor { stroke: #949494 }
  .point { fill: #d0d0d0; stroke: #d0d0d0 }
  .short { fill: #0d1117 }
  .missed { fill: #ff6b6b; stroke: #ff6b6b }
}
"""


def picture(results: Sequence[Result], machine: Mapping[str, Any]) -> str:
    """
    Return an SVG of every goal of *results*.

    Args:
        results: What the workloads found.
        machine: Where, as `report.machine` says it.
    """
    axis = _Axis([each for result in results for each in _relatives(result)])
    rows: list[str] = []
    y = TOP
    for result in results:
        y += GROUP - ROW if rows else 0
        rows.append(_text(8, y, f"{result.workload}: {result.title}", "workload"))
        for goal in result.goals:
            y += ROW
            rows += _row(y, goal, goal.figure(result.found), axis)
        y += ROW
    bottom = y - ROW + 12
    height = bottom + 62
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['python']}"
    legend = (
        "A stroke is the floor. Full: target met; ring: floor met; red: floor missed."
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" role="img" aria-label="Figures '
        'of the benchmarks, relative to their targets">',
        f"<style>{_STYLE}</style>",
        *_head(),
        *axis.lines(TOP + 6, bottom),
        *rows,
        _text(8, height - 10, f"{legend} Medians on {where}.", "quiet"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _head() -> Iterator[str]:
    y = TOP - 22
    yield _text(LEFT, y, "worse than the target", "quiet")
    yield _text(RIGHT, y, "better", "figure quiet")
    for x, words in ((FOUND, "found"), (TARGET, "target"), (FLOOR, "floor")):
        yield _text(x, y, words, "figure quiet")


def _relatives(result: Result) -> Iterator[float]:
    for goal in result.goals:
        yield goal.relative(goal.figure(result.found), goal.target)
        yield goal.relative(goal.floor, goal.target)


class _Axis:
    """A logarithmic axis in powers of two around the target."""

    def __init__(self, relatives: Sequence[float]) -> None:
        inside = [min(max(each, WORST), BEST) for each in relatives]
        self.low = math.floor(min(-1, *map(math.log2, inside)))
        self.high = math.ceil(max(1, *map(math.log2, inside)))

    def x(self, relative: float) -> float:
        place = math.log2(min(max(relative, 2**self.low), 2**self.high))
        part = (place - self.low) / (self.high - self.low)
        return round(LEFT + part * (RIGHT - LEFT), 1)

    def lines(self, top: float, bottom: float) -> Iterator[str]:
        for power in range(self.low, self.high + 1):
            x = self.x(2**power)
            kind = "target" if power == 0 else "line"
            yield _line(x, top if power == 0 else bottom - 4, x, bottom, kind)
            words = "target" if power == 0 else f"{2**power}×"
            if power < 0:
                words = f"1/{2**-power}"
            yield _text(x, bottom + 14, words, "axis quiet")
        yield _line(LEFT, bottom, RIGHT, bottom, "line")


def _row(y: int, goal: Goal, found: float, axis: _Axis) -> Iterator[str]:
    outcome = verdict(goal, found)
    missed = " missed" if outcome == "FLOOR MISSED" else ""
    relative = goal.relative(found, goal.target)
    middle = y - 4
    x, target = axis.x(relative), axis.x(1)
    floor = axis.x(goal.relative(goal.floor, goal.target))
    yield _text(NAMES, y, goal.name, missed.strip())
    yield _line(target, middle, x, middle, "reach")
    if floor != target:
        yield _line(floor, middle - 5, floor, middle + 5, "floor")
    hollow = " short" if outcome == "floor met" else ""
    yield f'<circle cx="{x}" cy="{middle}" r="3.5" class="point{hollow}{missed}"/>'
    if not WORST <= relative <= BEST:
        ahead = 5 if relative > BEST else -5
        tip = x + 2 * ahead
        yield (
            f'<path d="M{tip - ahead / 2} {middle - 3} L{tip} {middle} '
            f'L{tip - ahead / 2} {middle + 3}" fill="none" class="floor"/>'
        )
    yield _text(FOUND, y, shown_figure(goal, found), f"figure{missed}")
    for end, bound in ((TARGET, goal.target), (FLOOR, goal.floor)):
        words = f"{goal.sign} {bound:,g}{goal.unit}"
        yield _text(end, y, words, "figure quiet")


def _text(x: float, y: float, words: str, kind: str) -> str:
    said = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{said}>{escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{kind}"/>'
