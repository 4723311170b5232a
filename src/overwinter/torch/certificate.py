"""
A certificate: what a command did that started from a bundle and from nothing else.
"""

from collections import Counter
from typing import Any

import attrs

from ..words import printable
from .toolchain import Step

__all__ = ["Certificate", "Written"]

_REPORT_VERSION = 1
_SHOWN = 8  # of a list in the text; the JSON has all


@attrs.frozen
class Written:
    """
    An artifact that the command wrote into a cache, for it found none that serves.

    Args:
        kind: Its kind.
        key: Its key.
        in_bundle: The bundle has an artifact of this key, which did not serve.
    """

    kind: str
    key: str
    in_bundle: bool

    def __str__(self) -> str:
        why = "is in the bundle, but did not serve" if self.in_bundle else "is missing"
        return f"{self.kind} {self.key} {why}: it was made again"


@attrs.frozen
class Certificate:
    """
    What a command did that started from a bundle and from nothing else.

    Attributes:
        bundle: The bundle's path.
        command: What was run.
        exit_code: How it ended; see `overwinter.running.run_command`.
        reasons: Why it is not certified; empty where it is.
        steps: Every run of a compiler.
        graphs: Torch's own counts, of all its processes, by outcome: ``hit``, ``miss``,
            ``bypass``, ``guard_miss``.
        missed: Why graphs missed, as far as the bundle tells, each as a line.
        loaded: Kind to the number of artifacts that were put into the caches.
        left_out: What the load left out or could not do, each as a line.
        written: The artifacts that were written into the caches by the command.
        unclaimed: Files in the caches that are of no kind, by their paths.
        unused: What was put into the caches and not read, by its paths.
        processes: How many Python processes were observed.
    """

    bundle: str
    command: tuple[str, ...]
    exit_code: int
    reasons: tuple[str, ...]
    steps: tuple[Step, ...] = ()
    graphs: dict[str, int] = attrs.field(factory=dict)
    missed: tuple[str, ...] = ()
    loaded: dict[str, int] = attrs.field(factory=dict)
    left_out: tuple[str, ...] = ()
    written: tuple[Written, ...] = ()
    unclaimed: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    processes: int = 0

    @property
    def certified(self) -> bool:
        """Whether nothing was missing."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """Return the whole as plain values; the layout is versioned."""
        return {
            "version": _REPORT_VERSION,
            "certified": self.certified,
            **attrs.asdict(self, value_serializer=_as_list),
        }

    def __str__(self) -> str:
        purposes = Counter(step.purpose for step in self.steps)
        steps = ", ".join(f"{name} {n}" for name, n in purposes.items()) or "none"
        graphs = ", ".join(f"{name} {n}" for name, n in self.graphs.items()) or "none"
        loaded = ", ".join(f"{name} {n}" for name, n in self.loaded.items()) or "none"
        lines = [
            f"{'certified' if self.certified else 'not certified'}: {self.bundle}",
            f"loaded:    {loaded}; {len(self.unused)} of them not read",
            f"graphs:    {graphs}",
            f"compilers: {steps}",
            f"processes: {self.processes}",
            *_listed("reason", self.reasons),
            *_listed("missed", self.missed),
            *_listed("left out", self.left_out),
            *_listed("of no kind", self.unclaimed),
        ]
        return "\n".join(map(printable, lines))


def _as_list(_: object, __: object, value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _listed(name: str, values: tuple[str, ...]) -> list[str]:
    lines = [f"{name}: {value}" for value in values[:_SHOWN]]
    if len(values) > _SHOWN:
        lines.append(f"{name}: … and {len(values) - _SHOWN} more")
    return lines
