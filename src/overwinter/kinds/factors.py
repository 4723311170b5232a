"""
``factors``: what torch made the key of one graph of.

A key is one hash over hundreds of things, so a miss says nothing. Kept beside the
graphs, they tell in which one another machine, setting or input differs.
"""

import json
from typing import Any

import attrs

from ..artifact import CacheArtifact
from ..errors import WrongShapeError
from ..grammar import KeyGrammar

__all__ = ["FactorsArtifact"]


@attrs.frozen
class FactorsArtifact(CacheArtifact):
    """The factors of a graph's key, under the graph's kind and that key."""

    key: str
    digests: dict[str, str] = attrs.field(repr=False)
    texts: dict[str, str] = attrs.field(repr=False)

    key_grammar = KeyGrammar(
        r"(?:inductor/f|aot_autograd/a)[a-z2-7]{51}",
        "a kind of graph, '/', and a key of that kind",
    )
    is_cached = False

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "factors"

    @property
    def graph(self) -> tuple[str, str]:
        """The graph's kind and its key."""
        kind, _, key = self.key.partition("/")
        return kind, key

    @property
    def content(self) -> bytes:
        """The factors as JSON: torch has no cache of them."""
        return json.dumps({"digests": self.digests, "texts": self.texts}).encode()

    @classmethod
    def from_content(cls, key: str, content: bytes) -> "FactorsArtifact":
        """
        Return the artifact of a `content`.

        Raises:
            WrongShapeError: It is something else.
        """
        try:
            found: Any = json.loads(content)
            return cls(key, found["digests"], found["texts"])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise WrongShapeError(key, (f"no factors: {error!r:.200}",)) from error

    def cache_entry(self) -> None:
        """Return nothing: it is kept in bundles alone."""
        self.check_key(self.key)
