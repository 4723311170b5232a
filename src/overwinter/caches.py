"""
Where the caches of this machine are, by the names that artifacts use.
"""

from collections.abc import Callable, Mapping

from .factory import CacheArtifactFactory

__all__ = ["directories"]


def directories() -> Mapping[str, Callable[[], str]]:
    """Return name of a cache to what finds its directory, of every registered kind."""
    return {
        name: find
        for kind in CacheArtifactFactory.kinds()
        for name, find in CacheArtifactFactory.kind(kind).cls.caches.items()
    }
