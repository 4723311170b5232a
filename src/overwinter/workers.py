"""
Threads for what leaves the interpreter alone: digests, compression, reading.

All three release its lock, so a few threads do them at once while the caller goes
on. Where no thread can be started, at the end of a process for instance, the
caller does the work itself.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from .closing import Closing

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["HANDED", "Job", "Workers"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# More would wait for the disk, or for the one thread that runs Python.
_MOST = 4
# Bytes to hand over at once. Fewer are done sooner than a thread gets the
# interpreter's lock back: 200,000 records load in 435 ms instead of 480 when the
# caller hashes their small blocks.
HANDED = 2**19


class Job(Protocol[T_co]):
    """Work that was handed over."""

    def result(self) -> T_co:
        """Wait for the end, and return what came of it or raise its error."""
        ...


class Workers(Closing):
    """
    A few threads for as long as one operation lasts, started when first needed.

    They are never shared: a process that forks would take a pool without threads
    along, and wait for it for ever.

    Args:
        count: How many; with one or none the caller does the work. One for each
            core that the process may use if not given, four at most.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = min(_cores(), _MOST) if count is None else count
        self._pool: ThreadPoolExecutor | None = None

    def submit(self, size: int, work: Callable[..., T], *arguments: Any) -> Job[T]:
        """
        Have *work* done, by the time that its result is asked for.

        Args:
            size: Bytes that it goes through: less than `HANDED` the caller does.
            work: What to call.
            arguments: What to call it with.
        """
        if self.count > 1 and size >= HANDED:
            try:
                return self._threads().submit(work, *arguments)
            except RuntimeError:
                # The interpreter is ending, or the system gives no more threads.
                self.count = 1
        return _Done(work, arguments)

    def _threads(self) -> "ThreadPoolExecutor":
        if self._pool is None:
            # Most processes never have enough to share.
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(self.count, "overwinter")
        return self._pool

    def close(self) -> None:
        """End the threads; what was not begun is not done."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


class _Done(Generic[T]):
    """Work that the caller did."""

    def __init__(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._error: Exception | None = None
        try:
            self._result = work(*arguments)
        except Exception as error:
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1
