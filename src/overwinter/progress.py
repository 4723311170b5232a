"""
Progress: how much of a long piece of work is done, for whoever wants to show it.
"""

from collections.abc import Callable
from typing import IO, Any, cast

__all__ = ["Counter", "Progress", "counted"]

# Called now and then, in the thread that works, with bytes done and bytes in all.
Progress = Callable[[int, int], None]


class Counter:
    """
    Adds up what is done of *total* bytes, and tells *progress* of it if given.

    A total that was guessed too small is never exceeded.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done = total, 0
        self._progress = progress

    def advance(self, n_bytes: int) -> None:
        """Count *n_bytes* more."""
        self.done = min(self.total, self.done + n_bytes)
        if self._progress is not None:
            self._progress(self.done, self.total)


def counted(file: IO[bytes], counter: Counter) -> IO[bytes]:
    """Return *file*, but that *counter* takes the size of what is written to it."""
    return cast(IO[bytes], _Counted(file, counter))


class _Counted:
    def __init__(self, file: IO[bytes], counter: Counter) -> None:
        self._file, self._counter = file, counter

    def write(self, data: bytes | memoryview) -> int:
        written = self._file.write(data)
        self._counter.advance(written)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
