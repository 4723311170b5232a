"""
Where the caches of this machine are, by the names that artifacts use.
"""

from collections.abc import Callable, Mapping

from .kinds import torchinductor

__all__ = ["directories"]


def directories() -> Mapping[str, Callable[[], str]]:
    """Return name of a cache to what finds its directory."""
    return {torchinductor.CACHE: torchinductor.cache_directory}
