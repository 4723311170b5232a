"""
The order of torch's list: of what has one place in a cache, the last stays there.
"""

from collections.abc import Iterable

from ..factory import CacheArtifactFactory
from .megacache import MegaCacheEntry

__all__ = ["latest"]


def latest(entries: Iterable[MegaCacheEntry]) -> list[MegaCacheEntry]:
    """
    Return *entries* without those that a later one replaced in torch's cache.

    Torch lists a job's code state anew each time that it learned something.
    """
    kept: dict[object, MegaCacheEntry] = {}
    for entry in entries:
        place = (entry.kind, entry.key) if _has_one_place(entry.kind) else entry
        kept[place] = entry
    return list(kept.values())


def _has_one_place(kind: str) -> bool:
    if kind not in CacheArtifactFactory.kinds():
        return False
    return CacheArtifactFactory.kind(kind).schema.cardinality == "one"
