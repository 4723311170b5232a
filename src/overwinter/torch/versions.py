"""
What differs between versions of torch, and how to go on where one is not known.

A row says what was read in a version's sources; ``is_tested`` is what was also run.
What a running torch can be asked, it is asked: see ``layouts``.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType

import attrs

__all__ = ["TABLE", "Version", "is_known", "private_parts", "row", "version"]


@attrs.frozen
class Version:
    """
    One minor version of torch.

    Args:
        container: The layout of its Mega-Cache, named by the first version that
            wrote it: see ``megacache``.
        kinds: What its ``save_cache_artifacts`` writes and its loader takes.
        unpickles: Whether its ``load_cache_artifacts`` does.
        is_tested: Whether its caches are populated without asking it where they are.

    Source:
        ``torch/compiler/_cache.py`` of 2.7.1, 2.8.0, 2.9.1, 2.10.0, 2.11.0, 2.12.0,
        2.13.0 and 2.14.1.
    """

    container: str
    kinds: tuple[str, ...]
    unpickles: bool = False
    is_tested: bool = False


_FOUR = ("inductor", "autotune", "aot_autograd", "pgo")
_FIVE = (*_FOUR, "precompile")

TABLE: Mapping[tuple[int, int], Version] = MappingProxyType(
    {
        # Entries of AOTAutograd lie in <key>/entry, one for a key; later in
        # <key>/<hash of the content>. A keyed cache without variants.
        (2, 7): Version("2.7", _FOUR),
        # 2.8 and 2.9 have precompiled functions in containers of their own, which
        # save_cache_artifacts does not write.
        (2, 8): Version("2.8", _FOUR),
        (2, 9): Version("2.8", _FOUR),
        (2, 10): Version("2.8", _FIVE),
        (2, 11): Version("2.8", _FIVE),
        (2, 12): Version("2.8", _FIVE),
        (2, 13): Version("2.8", _FIVE, unpickles=True, is_tested=True),
        (2, 14): Version("2.8", _FIVE),
    }
)


def version() -> tuple[int, int]:
    """Return the installed torch's major and minor version."""
    import torch

    found = re.match(r"(\d+)\.(\d+)", torch.__version__)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def row(of: tuple[int, int]) -> Version:
    """
    Return what is known of a version; of a later one, what holds of the last.

    Raises:
        KeyError: It is earlier than every version that is known.
    """
    if of > max(TABLE):
        return attrs.evolve(TABLE[max(TABLE)], is_tested=False)
    return TABLE[of]


def is_known() -> bool:
    """Return whether the caches of the installed torch were tested with ours."""
    found = TABLE.get(version())
    return found is not None and found.is_tested


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
