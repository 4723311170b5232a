"""
Observing this process's torch: what it looked up, and what the keys were made of.

Torch makes a key of hundreds of things and keeps the hash. Here what it says of them
is kept as well, of each graph that it looks up, from the moment that somebody asks.
Nothing of it is torch's business: whatever fails here is noted, and torch goes on.
"""

import os
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import attrs

from ..bundle import Bundle
from ..errors import OverwinterError
from ..files import Buffer, PathLike, located
from ..info import CacheInfo
from ..kinds import FactorsArtifact
from .factors import factors_of
from .versions import private_parts

__all__ = [
    "AOT",
    "BYPASS",
    "GUARDS",
    "HIT",
    "INDUCTOR",
    "MISS",
    "OBSERVER",
    "Load",
    "Lookup",
    "Observer",
    "whole_name",
]

HIT, MISS, GUARDS, BYPASS = "hit", "miss", "guard_miss", "bypass"
AOT, INDUCTOR = "aot_autograd", "inductor"

_REFUSED = (
    "torch found it and could not use it: a graph that belongs to it missed too, or "
    "torch's log says why"
)
_LONGEST = 9 * 1024  # characters of a line: so much of it is used


@attrs.frozen
class Load:
    """
    One load of this process.

    Args:
        bundle: The bundle's whole path or URL; ``None`` where it was given as bytes.
        segments: Names of the segments that it had then; ``None`` where nobody
            observed.
        offered: Kind and key of what it put into torch's caches, or found there.
    """

    bundle: str | None
    segments: frozenset[bytes] | None
    offered: frozenset[tuple[str, str]]


@attrs.frozen
class Lookup:
    """
    One lookup of a graph in torch's caches.

    Args:
        kind: The kind of the artifact.
        key: Its key; empty where torch made none.
        outcome: ``hit``, ``miss``, ``guard_miss`` or ``bypass``.
        reason: The guards that did not hold, why torch passed by its cache, or that
            it refused what it found there.
        loads: How many loads came before it.
    """

    kind: str
    key: str
    outcome: str
    reason: str = ""
    loads: int = 0


@attrs.define
class Observer:
    """
    What was seen of this process's torch.

    Attributes:
        is_on: Whether torch is observed.
        loads: The bundles that were loaded.
        lookups: What torch looked up.
        unseen: What cannot be seen of this torch, each as a line.
        problems: What went wrong in observing it.
        made: The key that torch made last, to look for.
        unmade: Why it made none.
    """

    is_on: bool = False
    loads: list[Load] = attrs.field(factory=list)
    lookups: list[Lookup] = attrs.field(factory=list)
    unseen: list[str] = attrs.field(factory=list)
    problems: dict[str, None] = attrs.field(factory=dict)
    made: str = ""
    unmade: str = ""
    # What torch says of the keys, as it says it: 75 kB a graph, of which this is 10.
    _lines: dict[tuple[str, str], bytes] = attrs.field(factory=dict)

    def loaded(self, target: PathLike | Buffer, info: CacheInfo) -> None:
        """Note that a bundle was loaded."""
        segments = None
        if self.is_on:
            with suppress(OverwinterError), Bundle(target) as bundle:
                segments = frozenset(each.digest for each in bundle.trailer.segments)
        offered = {(kind, key) for kind, keys in info.artifacts.items() for key in keys}
        offered |= {(note.kind, note.key) for note in info.present}
        self.loads.append(Load(whole_name(target), segments, frozenset(offered)))

    def missed(self) -> list[Lookup]:
        """Return the lookups that were no hit, each once."""
        return [each for each in dict.fromkeys(self.lookups) if each.outcome != HIT]

    def factors(self, kind: str, key: str) -> FactorsArtifact | None:
        """Return what a graph's key is made of, if that was seen."""
        lines = self._lines.get((kind, key))
        if lines is None:
            return None
        return factors_of(kind, key, zlib.decompress(lines).decode().split("\0"))

    def note(self, kind: str, key: str, outcome: str, reason: object = "") -> None:
        """Note how a lookup ended."""
        self.lookups.append(
            Lookup(kind, key, outcome, str(reason or ""), len(self.loads))
        )

    def correct(self, n: int) -> None:
        """
        Note that AOTAutograd has nothing to use, whatever it found.

        Args:
            n: How many lookups there were before.
        """
        for place, each in enumerate(self.lookups[n:], n):
            if each.kind == AOT:
                if each.outcome == HIT:
                    missed = attrs.evolve(each, outcome=MISS, reason=_REFUSED)
                    self.lookups[place] = missed
                return
        if self.unmade:
            self.note(AOT, "", BYPASS, self.unmade)
        elif self.made:
            self.note(AOT, self.made, MISS)

    def keep(self, kind: str, key: str, lines: Iterable[str]) -> None:
        """Keep what torch says of a key, unless that is known."""
        if (kind, key) not in self._lines and (lines := list(lines)):
            text = "\0".join(line[:_LONGEST] for line in lines).encode(errors="replace")
            self._lines[kind, key] = zlib.compress(text)

    @contextmanager
    def safely(self) -> Iterator[None]:
        """Go on after any error: torch compiles, and must not notice."""
        problems: list[str] = []
        with private_parts(problems, "note a lookup", "its miss is not explained"):
            yield
        self.problems.update(dict.fromkeys(problems))


OBSERVER = Observer()  # of this process, which has one torch


def whole_name(target: PathLike | Buffer) -> str | None:
    """Return the whole path or URL of a bundle; ``None`` of bytes."""
    return located(target) if isinstance(target, str | os.PathLike) else None
