"""
``megacache``: what a container of torch holds of a kind that has no schema here.

It is kept, and goes into a container again; no cache is populated with it.
"""

import attrs

from ..artifact import CacheArtifact
from ..grammar import KeyGrammar
from ..limits import MAX_PATH_PART
from ..schema import Payload

__all__ = ["MegaCacheArtifact"]


@attrs.frozen
class MegaCacheArtifact(CacheArtifact):
    """An entry under its kind and its key, both as torch wrote them."""

    key: str
    content: Payload = attrs.field(repr=False)

    key_grammar = KeyGrammar(
        rf"(?!.*/\.\.?(?:/|$))[A-Za-z0-9_]{{1,64}}/(?!/)[^\x00-\x1f\x7f\\\ud800-\udfff]"
        rf"{{1,{MAX_PATH_PART}}}",
        f"a kind of torch's, '/', and a key of at most {MAX_PATH_PART} characters",
    )
    is_cached = False

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "megacache"

    @property
    def entry(self) -> tuple[str, str]:
        """Torch's kind, and its key."""
        kind, _, key = self.key.partition("/")
        return kind, key

    def cache_entry(self) -> None:
        """Return nothing: where torch would put it is not known."""
        self.check_key(self.key)
