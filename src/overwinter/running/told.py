"""
What the processes of a command told of torch: `overwinter.torch.inside`, read back.
"""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ..environment import Environment
from ..info import OUTCOMES
from ..observing import Event
from ..observing.listing import Listing

__all__ = ["Told", "Torch", "left_out", "silenced"]


@attrs.frozen
class Torch:
    """
    The torch of a process that has ended.

    Args:
        directory: Its cache directory.
        graphs: How many lookups of graphs ended how.
        environment: Its machine's, with its facts in it; empty if it told none.
        pgo_key: The key of what Dynamo learned in its job, if that has one.
        problems: What could not be found out.
    """

    directory: str
    graphs: Mapping[str, int]
    environment: Environment
    pgo_key: str
    problems: tuple[str, ...]

    @property
    def is_used(self) -> bool:
        """Whether a graph was looked up."""
        return any(self.graphs.values())


@attrs.frozen
class Told:
    """
    What the processes of a command told of torch.

    Args:
        filled: Each directory that was filled, and its files then.
        fillers: Numbers of the processes that filled one.
        loaded: Kind to the number of artifacts that were put into a cache.
        left_out: What was not, each as a line.
        torches: The torch of each process that ended by itself.
        missed: Why graphs missed that might have been in the bundle, each as a line.
        failed: What failed in our hook, each as a line.
    """

    filled: Mapping[str, Listing]
    fillers: tuple[int, ...]
    loaded: Mapping[str, int]
    left_out: tuple[str, ...]
    torches: Mapping[int, Torch]
    missed: tuple[str, ...]
    failed: tuple[str, ...]

    @classmethod
    def by(cls, events: Iterable[Event]) -> "Told":
        """Return what *events* tell."""
        told = _Telling()
        for event in events:
            try:
                told.take(event.name, event.pid, event.facts)
            except (LookupError, TypeError, ValueError, AttributeError):
                # The command may have an overwinter of its own.
                told.failed.append(
                    f"process {event.pid} told {event.name!r} as this release does "
                    "not: have one release here and in the command"
                )
        return cls(
            told.filled,
            tuple(told.fillers),
            dict(told.loaded),
            tuple(told.left_out),
            told.torches,
            tuple(dict.fromkeys(told.missed)),
            tuple(told.failed),
        )

    @property
    def graphs(self) -> dict[str, int]:
        """How many lookups of graphs ended how, in all processes."""
        return _total(torch.graphs for torch in self.torches.values())


@attrs.define
class _Telling:
    filled: dict[str, Listing] = attrs.field(factory=dict)
    fillers: list[int] = attrs.field(factory=list)
    loaded: Counter[str] = attrs.field(factory=Counter)
    left_out: list[str] = attrs.field(factory=list)
    torches: dict[int, Torch] = attrs.field(factory=dict)
    missed: list[str] = attrs.field(factory=list)
    failed: list[str] = attrs.field(factory=list)

    def take(self, name: str, pid: int, said: tuple[Any, ...]) -> None:
        if name == "filled":
            directory, info, files = said
            self.filled[directory] = {**self.filled.get(directory, {}), **files}
            self.fillers.append(pid)
            if info:
                self.left_out += left_out(info)
                self.loaded.update(
                    {kind: len(keys) for kind, keys in info["artifacts"].items()}
                )
        elif name == "graphs":
            directory, groups = said
            self.torches[pid] = Torch(directory, _total(groups.values()), {}, "", ())
        elif name == "torch":  # after "graphs"
            environment, problems, pgo_key = said
            self.torches[pid] = attrs.evolve(
                self.torches[pid],
                environment=dict(environment),
                pgo_key=str(pgo_key),
                problems=tuple(problems),
            )
        elif name == "missed":
            (lines,) = said
            self.missed += map(str, lines)
        elif name == "failed":
            task, error = said
            self.failed.append(f"process {pid} could not {task}: {error}")


def left_out(info: Mapping[str, Any]) -> list[str]:
    """Return what a load left out, from its report as plain values."""
    return [
        *info["problems"],
        *(
            f"{outcome}: {note['kind']} {note['key']}: {note['reason']}"
            for outcome in OUTCOMES
            if outcome not in ("present", "migrated", "reduced")
            for note in info[outcome]
        ),
    ]


def _total(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Log no warning meanwhile: a report will say it."""
    log = logging.getLogger("overwinter")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
