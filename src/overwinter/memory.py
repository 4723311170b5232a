"""
Memory that is not to be had, told as an error of ours.

What a bundle may claim is bounded (`overwinter.limits`), and a process may be given
less than that.
"""

from types import TracebackType
from typing import Any

from .errors import OutOfMemoryError

__all__ = ["within_memory"]


class within_memory:
    """
    Tell of a lack of memory as `OutOfMemoryError`.

    Args:
        source: Name of the bundle.
        part: Name of the part within it.
    """

    # A class, as it stands around each column: it costs a quarter of a generator.
    __slots__ = ("_part", "_source")

    def __init__(self, source: str, part: str) -> None:
        self._source, self._part = source, part

    def __enter__(self) -> Any:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error of ours."""
        if isinstance(error, MemoryError):
            raise OutOfMemoryError(self._source, self._part) from None
