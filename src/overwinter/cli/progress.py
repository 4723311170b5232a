"""
A bar on standard error for work that takes longer than a second.

Only where somebody looks: on a terminal that can move its cursor. Data and words
are printed when the bar is gone again.
"""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..progress import Progress

if TYPE_CHECKING:
    import rich.progress

__all__ = ["shown"]

_PATIENCE = 1.0  # seconds of silence before a bar appears


@contextlib.contextmanager
def shown(action: str) -> Iterator[Progress | None]:
    """
    Give what shows the progress of *action*, or ``None`` where nobody looks.

    However the block ends, the bar is gone and the cursor is back.

    Args:
        action: What is done, in a word or two.
    """
    terminal = os.environ.get("TERM", "").lower()
    if not sys.stderr.isatty() or terminal in ("", "dumb", "unknown"):
        yield None
        return
    bar = _Bar(action)
    try:
        yield bar
    finally:
        bar.stop()


class _Bar:
    def __init__(self, action: str) -> None:
        self.action = action
        self.begin = time.monotonic() + _PATIENCE
        self.bar: rich.progress.Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self.bar is None:
            if time.monotonic() < self.begin:
                return
            try:
                self.bar = _new_bar()
            except ImportError:
                self.begin = math.inf  # without rich the work is done all the same
                return
            self.bar.add_task(self.action, total=total)
            self.bar.start()
        self.bar.update(self.bar.task_ids[0], completed=done, total=total)

    def stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()


def _new_bar() -> "rich.progress.Progress":
    # Here, because importing it takes a tenth of a second.
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        # What is printed on standard output would appear on standard error.
        redirect_stdout=False,
    )
