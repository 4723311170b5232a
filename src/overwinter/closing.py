"""
Objects that are closed at the end of a ``with``.
"""

from types import TracebackType
from typing import Self

__all__ = ["Closing"]


class Closing:
    """A context manager that gives itself, and is closed in the end."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what this object holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
