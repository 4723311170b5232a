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
        failed: What failed in our hook, each as a line.
    """

    filled: Mapping[str, Listing]
    fillers: tuple[int, ...]
    loaded: Mapping[str, int]
    left_out: tuple[str, ...]
    torches: Mapping[int, Torch]
    failed: tuple[str, ...]

    @classmethod
    def by(cls, events: Iterable[Event]) -> "Told":
        """Return what *events* tell."""
        filled: dict[str, Listing] = {}
        fillers: list[int] = []
        loaded: Counter[str] = Counter()
        lines: list[str] = []
        failed: list[str] = []
        counts: dict[int, tuple[Any, Any]] = {}
        facts: dict[int, Any] = {}
        for event in events:
            said: tuple[Any, ...] = event.facts
            if event.name == "filled":
                directory, info, files = said
                fillers.append(event.pid)
                filled.setdefault(directory, {}).update(files)
                if info:
                    loaded += Counter({k: len(v) for k, v in info["artifacts"].items()})
                    lines += left_out(info)
            elif event.name == "graphs":
                counts[event.pid] = said
            elif event.name == "torch":
                facts[event.pid] = said
            elif event.name == "failed":
                failed.append(f"process {event.pid} could not {said[0]}: {said[1]}")
        torches = {
            pid: Torch(directory, _total(groups), *_facts(facts.get(pid)))
            for pid, (directory, groups) in counts.items()
        }
        return cls(
            filled, tuple(fillers), dict(loaded), tuple(lines), torches, tuple(failed)
        )

    @property
    def graphs(self) -> dict[str, int]:
        """How many lookups of graphs ended how, in all processes."""
        return _total(torch.graphs for torch in self.torches.values())


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


def _total(counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts.values() if isinstance(counts, dict) else counts:
        total.update(each)
    return dict(total)


def _facts(said: Any) -> tuple[Environment, str, tuple[str, ...]]:
    if said is None:
        return {}, "", ()
    environment, problems, pgo_key = said
    return environment, pgo_key, tuple(problems)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Log no warning meanwhile: a report will say it."""
    log = logging.getLogger("overwinter")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before
