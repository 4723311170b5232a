"""
The report of a run: what was loaded, what torch did with it, and what is kept.
"""

from collections import Counter
from typing import Any

import attrs

from ..info import CacheInfo
from .told import Told, left_out

__all__ = ["Report"]

_REPORT_VERSION = 1
_SHOWN = 8  # of a list in the lines; the JSON has all


@attrs.define
class Report:
    """
    What became of a command and its caches.

    Attributes:
        bundle: The bundle's path.
        command: What was run.
        exit_code: How it ended; see `overwinter.running.run_command`.
        loaded: Kind to the number of artifacts that were put into the caches.
        graphs: Torch's own counts, of all its processes, by outcome.
        missed: Why graphs missed that might have been in the bundle, each as a line.
        saved: Kind to the number of artifacts that were appended to the bundle.
        saved_jax: Whether files of jax are among these.
        problems: What was left out, and why, each as a line.
        notes: What else there is to know, each as a line.
    """

    bundle: str
    command: tuple[str, ...]
    exit_code: int = 0
    loaded: Counter[str] = attrs.field(factory=Counter)
    graphs: dict[str, int] = attrs.field(factory=dict)
    missed: list[str] = attrs.field(factory=list)
    saved: Counter[str] = attrs.field(factory=Counter)
    saved_jax: bool = False
    problems: list[str] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)

    def take(self, told: Told) -> None:
        """Take what the processes of the command told."""
        self.loaded.update(told.loaded)
        self.graphs = told.graphs
        self.missed += told.missed
        self.problems += [*told.left_out, *told.failed]

    def take_load(self, info: CacheInfo) -> None:
        """Take what was put into the caches before the command."""
        self.loaded.update({kind: len(keys) for kind, keys in info.artifacts.items()})
        self.problems += left_out(info.as_dict())

    def take_save(self, info: CacheInfo) -> None:
        """Take what was saved after it."""
        self.saved.update({kind: len(keys) for kind, keys in info.artifacts.items()})
        # What the bundle held already was not appended.
        self.saved -= Counter(note.kind for note in info.present)
        self.saved_jax = any(key.startswith("jax/") for key in info.artifacts["file"])
        self.problems += info.problems

    def lines(self) -> list[str]:
        """Return it for people."""
        # A bundle that cannot be opened is told by each that tries.
        problems = list(dict.fromkeys(self.problems))
        lines = [*self.notes, *problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"… and {len(problems) - _SHOWN} more that were left out")
        lines += [f"missed: {each}" for each in self.missed[:_SHOWN]]
        if len(self.missed) > _SHOWN:
            lines.append(f"… and {len(self.missed) - _SHOWN} more that missed")
        graphs = {name: n for name, n in self.graphs.items() if n}
        lines.append(
            f"{self.bundle}: loaded {_counts(self.loaded)}; graphs: {_counts(graphs)}; "
            f"kept {_counts(self.saved)}"
        )
        return lines

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; the layout is versioned."""
        return {
            "version": _REPORT_VERSION,
            "bundle": self.bundle,
            "command": list(self.command),
            "exit_code": self.exit_code,
            "loaded": dict(self.loaded),
            "graphs": dict(self.graphs),
            "missed": list(self.missed),
            "saved": dict(self.saved),
            "problems": list(dict.fromkeys(self.problems)),
            "notes": list(self.notes),
        }


def _counts(counts: "Counter[str] | dict[str, int]") -> str:
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
