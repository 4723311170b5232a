"""
``native``: a compiled file that a framework's cache directory holds.

Torch's Mega-Cache leaves these behind, and so every C++ kernel is built again on
the machine that loads it: all of the time that a warm start should have saved.
"""

from types import MappingProxyType

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..environment import CONTAINED, EXACT, EXACT_REQUIRED
from ..grammar import KeyGrammar
from ..limits import MAX_PATH_PART
from ..schema import Payload
from .torchinductor import CACHES

__all__ = ["NativeArtifact"]

_PART = rf"(?!\.)[A-Za-z0-9_.+=@%,~-]{{1,{MAX_PATH_PART}}}"


@attrs.frozen
class NativeArtifact(CacheArtifact):
    """A file under the name of its cache directory and its path in that."""

    key: str
    content: Payload = attrs.field(repr=False)
    mode: int = 0o755

    key_grammar = KeyGrammar(
        rf"[a-z][a-z0-9_]*(?:/{_PART}){{1,16}}",
        "a cache's name and a relative path in it",
    )
    caches = CACHES
    # Machine code runs where it is put, so these are safety: a kernel for a newer
    # CPU is found on an older one and dies there, and one built with another torch's
    # headers is found where torch was upgraded in place. The paths are not: where
    # they differ, the framework asks for another file name. Of libc, not every
    # system has a name.
    environment_rules = MappingProxyType(
        {
            "os": EXACT_REQUIRED,
            "cpu_arch": EXACT_REQUIRED,
            "cpu_flags": CONTAINED,
            "libc": EXACT,
            "python_tag": EXACT_REQUIRED,
            "torch_version": EXACT_REQUIRED,
            "torch_prefix": EXACT,
            "python_include": EXACT,
        }
    )

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "native"

    def cache_entry(self) -> CacheEntry:
        """Return the file itself; no bits beyond plain permissions."""
        self.check_key(self.key)
        cache, _, path = self.key.partition("/")
        return CacheEntry(cache, path, self.content, self.mode & 0o755)
