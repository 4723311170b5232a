"""
``aot_autograd``: one graph with its derivatives traced and partitioned.

Like Inductor's graphs, several variants may share one key.
"""

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..grammar import KeyGrammar
from ..schema import Payload
from .torchinductor import CACHE, CACHES, GRAPH_RULES, content_name

__all__ = ["AOTAutogradArtifact"]


@attrs.frozen
class AOTAutogradArtifact(CacheArtifact):
    """A pickled entry of AOTAutogradCache under the hash of its graph."""

    key: str
    content: Payload = attrs.field(repr=False)

    key_grammar = KeyGrammar(r"a[a-z2-7]{51}", "'a' and 51 characters of base 32")
    caches = CACHES
    # An entry names the graphs of Inductor that it needs.
    populate_after = ("inductor",)
    environment_rules = GRAPH_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "aot_autograd"

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``AOTAutogradCache._write_to_local_cache`` does."""
        self.check_key(self.key)
        path = f"aotautograd/{self.key}/{content_name(self.content)}"
        return CacheEntry(CACHE, path, self.content)
