"""
Progress: how much of a long piece of work is done, for whoever wants to show it.
"""

from collections.abc import Callable

__all__ = ["Counter", "Progress"]

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
