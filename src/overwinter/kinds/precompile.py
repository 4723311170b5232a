"""
``precompile``: a whole function that was compiled ahead, with its guards.
"""

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..grammar import KeyGrammar
from ..schema import Payload
from .torchinductor import CACHE, CACHES, GRAPH_RULES

__all__ = ["PrecompileArtifact"]


@attrs.frozen
class PrecompileArtifact(CacheArtifact):
    """A pickled package under the hash of its source function."""

    key: str
    content: Payload = attrs.field(repr=False)

    key_grammar = KeyGrammar(r"[0-9a-f]{64}", "64 hexadecimal digits")
    caches = CACHES
    populate_after = ("native", "autotune", "triton")
    # A process that found an entry and compiled more writes both over it.
    latest_wins = True
    environment_rules = GRAPH_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "precompile"

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``DiskDynamoStore._write_to_local_cache`` does."""
        self.check_key(self.key)
        return CacheEntry(CACHE, f"dynamo/{self.key}/entry", self.content)
