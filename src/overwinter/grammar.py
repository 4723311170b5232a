"""
The grammar of a kind's keys. Keys become paths, so the whole key must match.
"""

import re
from collections.abc import Iterable
from functools import cached_property

import attrs

from .errors import KeyGrammarError
from .limits import MAX_PATH_PART

__all__ = ["KeyGrammar"]


@attrs.frozen(slots=False)  # for the cached pattern
class KeyGrammar:
    """
    What the keys of a kind look like.

    Args:
        pattern: A regular expression that matches the whole of each.
        words: The same for people, as it ends an error: "expected …".
    """

    pattern: str
    words: str

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def fits_all(self, keys: Iterable[str]) -> bool:
        """Return whether every one of *keys* matches."""
        return all(map(self._compiled.fullmatch, keys))

    def check(self, kind: str, key: str) -> None:
        """
        Check *key*, of *kind*.

        Raises:
            KeyGrammarError: It does not match as a whole; the reason is named.
        """
        if not self._compiled.fullmatch(key):
            raise KeyGrammarError(kind, key, _reason(key), self.words)


def _reason(key: str) -> str:
    if "\0" in key:
        return "holds a NUL"
    if key.startswith("/"):
        return "is an absolute path"
    if ".." in key.replace("\\", "/").split("/"):
        return "leads out of the cache directory"
    if "\\" in key:
        return "holds a backslash"
    if not key:
        return "is empty"
    if not key.isprintable():
        return "holds a character that cannot be shown"
    if len(key) > MAX_PATH_PART:
        return f"is {len(key)} characters long"
    return "is none of this kind's"
