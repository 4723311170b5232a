"""
What we know about the versions of torch, and how to go on where one is different.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["is_known", "private_parts", "version"]

# Versions whose cache layout was read and tested: for these we check every key
# and write the files ourselves. On others torch's own functions are used.
_KNOWN = frozenset([(2, 13)])


def version() -> tuple[int, int]:
    """Return the installed torch's major and minor version."""
    import torch

    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def is_known() -> bool:
    """Return whether the caches of the installed torch are laid out as we know."""
    return version() in _KNOWN


@contextmanager
def private_parts(problems: list[str], task: str, loss: str) -> Iterator[None]:
    """
    Go on where torch's private parts are not what they were.

    They change without notice, even within one version, and a cache must never
    break a job.

    Args:
        problems: Takes a line that says what happened.
        task: What is done with them, as in "could not …".
        loss: What the user loses.
    """
    import torch

    try:
        yield
    except Exception as error:
        problems.append(
            f"torch {torch.__version__}: could not {task} ({error!r}): {loss}; "
            "upgrade overwinter, or report this"
        )
