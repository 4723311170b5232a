"""
``pgo``: what Dynamo learned about dynamic shapes while a job ran.
"""

import re

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..errors import KeyGrammarError
from ..grammar import KeyGrammar
from ..limits import MAX_PATH_PART
from ..schema import Payload
from .torchinductor import CACHE, CACHES, PICKLE_RULES

__all__ = ["PGOArtifact"]

# `job_id:rank:tag`, of whatever a job may be called; the file's name is made
# safe as torch does it, so only what no file name may hold is refused.
_MAX_KEY = MAX_PATH_PART - len("code_state_.pkl")
_KEY = KeyGrammar(
    r"(?!.*(?:^|[\\/])\.\.(?:[\\/]|$))(?![\\/])[^\x00-\x1f\x7f\\\ud800-\udfff]+",
    f"'job_id:rank:tag' of at most {_MAX_KEY} bytes",
)
_UNSAFE = re.compile(r'[<>:"/\\|?*]')


@attrs.frozen
class PGOArtifact(CacheArtifact):
    """A pickled code state under the name of its job."""

    key: str
    content: Payload = attrs.field(repr=False)

    key_grammar = _KEY
    caches = CACHES
    # A job writes what it learned over what it knew before.
    latest_wins = True
    environment_rules = PICKLE_RULES

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "pgo"

    @classmethod
    def check_key(cls, key: str) -> None:
        """Check that *key* can be a job's."""
        super().check_key(key)
        size = len(key.encode())
        if size > _MAX_KEY:
            raise KeyGrammarError("pgo", key, f"is {size} bytes long", _KEY.words)

    def cache_entry(self) -> CacheEntry:
        """Return the file, as ``torch._dynamo.pgo.code_state_path`` places it."""
        self.check_key(self.key)
        name = _UNSAFE.sub("_", f"code_state_{self.key}.pkl")
        return CacheEntry(CACHE, f"dynamo/{name}", self.content)
