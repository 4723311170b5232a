"""
``precompile``: a whole function that was compiled ahead, with its guards.
"""

import re

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..schema import Payload
from .torchinductor import CACHE, CACHES, PICKLE_RULES, check

__all__ = ["PrecompileArtifact"]

_KEY = re.compile(r"[0-9a-f]{64}")


@attrs.frozen
class PrecompileArtifact(CacheArtifact):
    """A pickled package under the hash of its source function."""

    key: str
    content: Payload = attrs.field(repr=False)

    caches = CACHES
    populate_after = ("native", "autotune")
    environment_rules = PICKLE_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "precompile"

    @classmethod
    def check_key(cls, key: str) -> None:
        """Check that *key* is a source function's hash."""
        check("precompile", key, _KEY, "64 hexadecimal digits")

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``DiskDynamoStore._write_to_local_cache`` does."""
        self.check_key(self.key)
        return CacheEntry(CACHE, f"dynamo/{self.key}/entry", self.content)
