"""
``inductor``: one graph as Inductor compiled it.

One key may hold several variants with different guards, so the file's name is
the hash of its content and torch looks at all of them.
"""

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..grammar import KeyGrammar
from ..schema import Payload
from .torchinductor import CACHE, CACHES, GRAPH_RULES, content_name

__all__ = ["InductorArtifact"]


@attrs.frozen
class InductorArtifact(CacheArtifact):
    """A pickled CompiledFxGraph under the hash of its graph."""

    key: str
    content: Payload = attrs.field(repr=False)

    key_grammar = KeyGrammar(r"f[a-z2-7]{51}", "'f' and 51 characters of base 32")
    caches = CACHES
    # Its kernels must be there when torch finds the graph.
    populate_after = ("native", "autotune", "triton")
    environment_rules = GRAPH_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "inductor"

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``FxGraphCache._write_to_local_cache`` places it."""
        self.check_key(self.key)
        path = f"fxgraph/{self.key[1:3]}/{self.key}/{content_name(self.content)}"
        return CacheEntry(CACHE, path, self.content)
