"""
Observing this process's torch: what it looked up, and what the keys were made of.

Torch makes a key of hundreds of things and keeps the hash. Here what it says of them
is kept as well, of each graph that it looks up, from the moment that somebody asks.
Nothing of it is torch's business: whatever fails here is noted, and torch goes on.
"""

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import attrs

from ..bundle import Bundle
from ..errors import OverwinterError
from ..files import Buffer, PathLike, is_url
from ..info import CacheInfo
from ..kinds import FactorsArtifact
from .factors import factors_of
from .versions import private_parts
from .wrapping import Original, wrap

__all__ = [
    "BYPASS",
    "GUARDS",
    "HIT",
    "MISS",
    "OBSERVER",
    "Load",
    "Lookup",
    "Observer",
    "whole_name",
]

HIT, MISS, GUARDS, BYPASS = "hit", "miss", "guard_miss", "bypass"
AOT, INDUCTOR = "aot_autograd", "inductor"
_AUTOGRAD = "torch._functorch._aot_autograd.autograd_cache"

_REFUSED = (
    "torch found it and could not use it: a graph that belongs to it missed too, or "
    "torch's log says why"
)
_LONGEST = 9 * 1024  # characters of a line: so much of it is used

Wrapper = Callable[[Original], Original]


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

    def observe(self) -> None:
        """
        Note from now on what torch looks up.

        A second call changes nothing, but for what could not be done the first time:
        a module of torch's may have been on its way into the process.
        """
        self.is_on = True
        problems: list[str] = []
        for module, owner, name, around in (
            ("torch._inductor.codecache", "FxGraphCache", "load_with_key", _loads),
            ("torch._inductor.codecache", "FxGraphCache", "prepare_key", _prepares),
            (_AUTOGRAD, "AOTAutogradCache", "try_load", _tries),
            (_AUTOGRAD, "AOTAutogradCache", "find_guarded_entry", _finds),
            (_AUTOGRAD, "", "autograd_cache_key", _makes_key),
            (_AUTOGRAD, "", "_get_debug_lines_for_cache_key", _prints),
        ):
            with private_parts(
                problems, f"observe {name}", "some misses stay a riddle"
            ):
                found = import_module(module)
                wrap(getattr(found, owner) if owner else found, name, around(self))
        self.unseen = problems

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
            self.note(AOT, self.made, MISS, _REFUSED)

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


# Each wrapper hands on what torch made, whatever it is, and looks at it afterwards.


def _loads(self: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def load_with_key(key: str, debug_lines: Any, *args: Any, **more: Any) -> Any:
            result = original(key, debug_lines, *args, **more)
            with self.safely():
                self.keep(INDUCTOR, key, debug_lines)
                self.note(INDUCTOR, key, *_outcome(*result))
            return result

        return load_with_key

    return around


def _prepares(self: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def prepare_key(*args: Any, **more: Any) -> Any:
            result = original(*args, **more)
            with self.safely():
                key, info = result
                if key is None:
                    self.note(INDUCTOR, "", BYPASS, info.get("cache_bypass_reason"))
            return result

        return prepare_key

    return around


def _tries(self: Observer) -> Wrapper:
    """Around what decides: a graph that was found may be refused, or need another."""

    def around(original: Original) -> Original:
        def try_load(*args: Any, **more: Any) -> Any:
            n, self.made, self.unmade = len(self.lookups), "", ""
            result = original(*args, **more)
            with self.safely():
                function = result[0] if isinstance(result, tuple) else result
                if function is None:
                    self.correct(n)
            return result

        return try_load

    return around


def _finds(self: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def find_guarded_entry(cls: Any, key: str, *args: Any, **more: Any) -> Any:
            result = original(cls, key, *args, **more)
            with self.safely():
                self.note(AOT, key, *_outcome(result[0], result[-1]))
            return result

        return find_guarded_entry

    return around


def _makes_key(self: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def autograd_cache_key(*args: Any, **more: Any) -> Any:
            try:
                result = original(*args, **more)
            except Exception as error:
                self.unmade = str(error) or type(error).__name__
                raise
            with self.safely():
                self.made, lines = result
                self.keep(AOT, self.made, lines)
            return result

        return autograd_cache_key

    return around


def _prints(self: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def debug_lines(pickler: Any, details: Any, key: str) -> Any:
            lines = original(pickler, details, key)
            with self.safely():
                # Torch makes them for its log only.
                self.keep(AOT, key, lines or pickler.debug_lines(details))
            return lines

        return debug_lines

    return around


OBSERVER = Observer()  # of this process, which has one torch


def whole_name(target: PathLike | Buffer) -> str | None:
    """Return the whole path or URL of a bundle; ``None`` of bytes."""
    if isinstance(target, str) and is_url(target):
        return target
    if isinstance(target, str | os.PathLike):
        name = os.fsdecode(target)
        try:
            return os.path.abspath(name)
        except OSError:  # the current directory is gone
            return name
    return None


def _outcome(found: object, info: Any) -> tuple[str, str]:
    if found is not None:
        return HIT, ""
    status = info.get("cache_status_detailed") if isinstance(info, dict) else None
    if status == GUARDS:
        return GUARDS, str(info.get("cache_status_guard_expr") or "")
    return MISS, ""
