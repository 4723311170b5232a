"""
``inductor``: one graph as Inductor compiled it.

One key may hold several variants with different guards, so the file's name is
the hash of its content and torch looks at all of them.
"""

import re

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..schema import Payload
from .torchinductor import CACHE, CACHES, PICKLE_RULES, check, content_name

__all__ = ["InductorArtifact"]

_KEY = re.compile(r"f[a-z2-7]{51}")


@attrs.frozen
class InductorArtifact(CacheArtifact):
    """A pickled CompiledFxGraph under the hash of its graph."""

    key: str
    content: Payload = attrs.field(repr=False)

    caches = CACHES
    # Its kernels must be there when torch finds the graph.
    populate_after = ("native", "autotune")
    environment_rules = PICKLE_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "inductor"

    @classmethod
    def check_key(cls, key: str) -> None:
        """Check that *key* is a graph's hash."""
        check("inductor", key, _KEY, "'f' and 51 characters of base 32")

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``FxGraphCache._write_to_local_cache`` places it."""
        self.check_key(self.key)
        path = f"fxgraph/{self.key[1:3]}/{self.key}/{content_name(self.content)}"
        return CacheEntry(CACHE, path, self.content)
