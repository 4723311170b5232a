"""
``file``: a file of a cache directory that no other kind knows.

What `overwinter run` finds in the caches of a command: compiled programs of jax, and
whatever else a directory holds that its user named.
"""

import os
from types import MappingProxyType

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..environment import CONTAINED, EXACT, EXACT_REQUIRED
from ..errors import StoreError
from ..grammar import KeyGrammar
from ..limits import MAX_PATH_PART
from ..schema import Payload

__all__ = ["CACHE_NAME", "FileArtifact"]

CACHE_NAME = r"[a-z][a-z0-9_]*"
# Plain ASCII, as more than one file system spells it alike; spaces only within.
_PART = rf"(?![. ])[ -.0-\[\]-~]{{1,{MAX_PATH_PART}}}(?<! )"


def _jax_directory() -> str:
    """Return jax's cache directory, if it has one."""
    found = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not found:
        raise StoreError(
            "jax", "find its cache", "JAX_COMPILATION_CACHE_DIR names no directory"
        )
    return found


@attrs.frozen
class FileArtifact(CacheArtifact):
    """A file under the name of its cache directory and its path in that."""

    key: str
    content: Payload = attrs.field(repr=False)
    mode: int = 0o644

    key_grammar = KeyGrammar(
        rf"{CACHE_NAME}(?:/{_PART}){{1,16}}",
        "a cache's name and a relative path in it",
    )
    caches = MappingProxyType({"jax": _jax_directory})
    # It may hold machine code, as jax's do for a CPU, so these are safety. What else
    # it depends on is for the framework to know, which looks it up by a key of its own.
    environment_rules = MappingProxyType(
        {
            "os": EXACT_REQUIRED,
            "cpu_arch": EXACT_REQUIRED,
            "cpu_flags": CONTAINED,
            "libc": EXACT,
        }
    )

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "file"

    def cache_entry(self) -> CacheEntry:
        """Return the file itself; no bits beyond plain permissions."""
        self.check_key(self.key)
        cache, _, path = self.key.partition("/")
        return CacheEntry(cache, path, self.content, self.mode & 0o755)
