"""
Observing this process's torch: what it looked up, and what the keys were made of.

Torch makes a key of hundreds of things and keeps the hash. Here what it says of them
is kept as well, of each graph that it looks up, from the moment that somebody asks.
Nothing of it is torch's business: whatever fails here is noted, and torch goes on.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import attrs

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
]

HIT, MISS, GUARDS, BYPASS = "hit", "miss", "guard_miss", "bypass"
AOT, INDUCTOR = "aot_autograd", "inductor"


@attrs.frozen
class Load:
    """
    One load of this process.

    Args:
        bundle: The bundle's path; ``None`` where it was given as bytes.
        offered: Kind and key of what it put into torch's caches, or found there.
    """

    bundle: str | None
    offered: frozenset[tuple[str, str]]


@attrs.frozen
class Lookup:
    """
    One lookup of a graph in torch's caches.

    Args:
        kind: The kind of the artifact.
        key: Its key; empty where torch made none.
        outcome: ``hit``, ``miss``, ``guard_miss`` or ``bypass``.
        reason: The guards that did not hold, or why torch passed by its cache.
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
        factors: What the keys are made of, by kind and key of the graph.
        problems: What cannot be seen of this torch.
    """

    is_on: bool = False
    loads: list[Load] = attrs.field(factory=list)
    lookups: list[Lookup] = attrs.field(factory=list)
    factors: dict[tuple[str, str], FactorsArtifact] = attrs.field(factory=dict)
    problems: dict[str, None] = attrs.field(factory=dict)

    def observe(self) -> None:
        """Note from now on what torch looks up; a second call changes nothing."""
        if self.is_on:
            return
        self.is_on = True
        problems: list[str] = []
        with private_parts(problems, "observe its lookups", "no miss is explained"):
            from torch._inductor.codecache import FxGraphCache

            wrap(FxGraphCache, "load_with_key", self._around_load)
            wrap(FxGraphCache, "prepare_key", self._around_key)
        with private_parts(problems, "observe AOTAutograd", "its misses stay a riddle"):
            from torch._functorch._aot_autograd import autograd_cache

            cache = autograd_cache.AOTAutogradCache
            wrap(cache, "find_guarded_entry", self._around_find)
            wrap(autograd_cache, "autograd_cache_key", self._around_aot_key)
            wrap(
                autograd_cache, "_get_debug_lines_for_cache_key", self._around_aot_lines
            )
        self._took(problems)

    def loaded(self, bundle: str | None, info: CacheInfo) -> None:
        """Note that a bundle was loaded."""
        offered = {(kind, key) for kind, keys in info.artifacts.items() for key in keys}
        offered |= {(note.kind, note.key) for note in info.present}
        self.loads.append(Load(bundle, frozenset(offered)))

    def factors_of(self, graphs: Iterable[tuple[str, str]]) -> list[FactorsArtifact]:
        """Return what is known of *graphs*, each a kind and a key."""
        found = (self.factors.get(each) for each in dict.fromkeys(graphs))
        return [each for each in found if each is not None]

    def _took(self, problems: list[str]) -> None:
        self.problems.update(dict.fromkeys(problems))

    def _noted(self, kind: str, key: str, outcome: str, reason: object = "") -> None:
        self.lookups.append(
            Lookup(kind, key, outcome, str(reason or ""), len(self.loads))
        )

    def _keep(self, kind: str, key: str, lines: Iterable[str]) -> None:
        if (kind, key) not in self.factors and (lines := list(lines)):
            self.factors[kind, key] = factors_of(kind, key, lines)

    def _around_load(self, original: Original) -> Original:
        def load_with_key(key: str, debug_lines: Any, *args: Any, **more: Any) -> Any:
            graph, info = result = original(key, debug_lines, *args, **more)
            with self._safely():
                self._keep(INDUCTOR, key, debug_lines)
                self._noted(INDUCTOR, key, *_outcome(graph, info))
            return result

        return load_with_key

    def _around_key(self, original: Original) -> Original:
        def prepare_key(*args: Any, **more: Any) -> Any:
            key_info, info = result = original(*args, **more)
            with self._safely():
                if key_info is None:
                    self._noted(INDUCTOR, "", BYPASS, info.get("cache_bypass_reason"))
            return result

        return prepare_key

    def _around_aot_key(self, original: Original) -> Original:
        def autograd_cache_key(*args: Any, **more: Any) -> Any:
            try:
                key, lines = result = original(*args, **more)
            except Exception as error:
                self._noted(AOT, "", BYPASS, error)
                raise
            with self._safely():
                self._keep(AOT, key, lines)
            return result

        return autograd_cache_key

    def _around_aot_lines(self, original: Original) -> Original:
        def debug_lines(pickler: Any, details: Any, key: str) -> Any:
            lines = original(pickler, details, key)
            with self._safely():
                # Torch makes them for its log only.
                self._keep(AOT, key, lines or pickler.debug_lines(details))
            return lines

        return debug_lines

    def _around_find(self, original: Original) -> Original:
        def find_guarded_entry(cls: Any, key: str, *args: Any, **more: Any) -> Any:
            result = original(cls, key, *args, **more)
            with self._safely():
                self._noted(AOT, key, *_outcome(result[0], result[-1]))
            return result

        return find_guarded_entry

    @contextmanager
    def _safely(self) -> Iterator[None]:
        problems: list[str] = []
        with private_parts(problems, "note a lookup", "its miss is not explained"):
            yield
        self._took(problems)


OBSERVER = Observer()  # of this process, which has one torch


def _outcome(found: object, info: Any) -> tuple[str, str]:
    if found is not None:
        return HIT, ""
    status = info.get("cache_status_detailed") if isinstance(info, dict) else None
    if status == GUARDS:
        return GUARDS, str(info.get("cache_status_guard_expr") or "")
    return MISS, ""
