"""
Events: what the processes of an observed command noted, read back.

A process is killed whenever somebody likes, so a line may be torn; and what a program
writes into our directory is its own business. Such lines are none.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs

from ..sources import read_text

__all__ = ["Event", "read_events"]


@attrs.frozen
class Event:
    """
    Something that a process noted.

    Args:
        name: What happened: ``python`` began, it did ``start`` a program or ``read``
            a file of a cache, something in our hook ``failed``; others are those of
            `overwinter.torch.inside`.
        pid: Number of the process.
        facts: What the name needs.
    """

    name: str
    pid: int
    facts: tuple[object, ...]


def read_events(root: Path) -> list[Event]:
    """Return what was noted in a workspace, process by process."""
    folder = root / "events"
    return [
        event
        for path in sorted(folder.iterdir() if folder.is_dir() else ())
        for line in read_text(path, errors="replace").splitlines()
        for event in _event(line)
    ]


def _event(line: str) -> Iterator[Event]:
    try:
        name, pid, *facts = ast.literal_eval(line)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
    if isinstance(name, str) and isinstance(pid, int):
        yield Event(name, pid, tuple(facts))
