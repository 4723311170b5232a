"""
Draining a live torch into a bundle, and populating its caches from one.

    import overwinter.torch

    with overwinter.torch.warm("model.owb"):    # before the first compile
        model = torch.compile(model)
        ...

`load` and `save` are its two halves; `explain` says why a graph missed.

Importing this module does not import torch; its functions do.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from ..bundle import Bundle
from ..encode import Target
from ..environment import Environment
from ..errors import OverwinterError
from ..files import Buffer, PathLike
from ..info import CacheInfo
from . import facts, populating, saving, warming
from .explaining import explain as _explain
from .explanation import Explanation
from .exporting import export
from .observer import OBSERVER
from .rescuing import rescue
from .watching import watch

if TYPE_CHECKING:
    from .certificate import Certificate

__all__ = [
    "certify",
    "environment",
    "explain",
    "export",
    "load",
    "load_cache_artifacts",
    "observe",
    "rescue",
    "save",
    "save_cache_artifacts",
    "warm",
]

log = logging.getLogger("overwinter")


def save(
    path: PathLike, *, replace: bool = False, target: Target | None = None
) -> CacheInfo:
    """
    Save what this process compiled or hit, and the libraries that it loaded.

    A bundle that exists gains a segment and loses nothing.

    Args:
        path: The bundle.
        replace: Write a new bundle in the place of one that exists.
        target: Write for this release of overwinter, as in `overwinter.save`.

    Raises:
        StoreError: The file cannot be written; what was there is whole.
        FormatError: What is at *path* is no bundle, or damaged at its end.
    """
    return saving.save(path, replace=replace, target=target)


def environment(*, sure: bool = False) -> Environment:
    """
    Return this machine's environment with torch's facts in it.

    For who saves and loads torch's artifacts by `overwinter.save`, `overwinter.load`
    or a manager: without these facts they are populated nowhere.

    Args:
        sure: Ask the compiler which vectors it can build, if this process has not
            compiled yet, which takes seconds; else it is taken that it can build
            for all of this CPU's.
    """
    problems: list[str] = []
    machine = facts.environment(problems, sure=sure)
    for problem in problems:
        log.warning("%s", problem)
    return machine


def load(path: PathLike, *, strict: bool = False, required: bool = False) -> CacheInfo:
    """
    Put the artifacts of a bundle into torch's caches, before the first compile.

    Whatever cannot be used is reported and left out; the job goes on.

    Args:
        path: The bundle.
        strict: Raise instead of reporting.
        required: As in `overwinter.load`.

    Raises:
        TrustError: Only if *required* or *strict*.
        OverwinterError: Only if *strict*, or *required* and it cannot be opened.
    """
    return populating.load(path, strict=strict, required=required)


def warm(
    path: PathLike, *, required: bool = False
) -> AbstractContextManager[CacheInfo]:
    """
    Load a bundle before a block of code, and append what is new in it after it.

        with overwinter.torch.warm("model.owb"):
            train()

    Args:
        path: The bundle; made if there is none yet. Any number of processes may use
            one at once, as the ranks of a job do. The URL of an object, such as
            ``s3://bucket/model.owb``, is loaded and not written.
        required: As in `overwinter.load`, of a bundle that is there.

    Returns:
        A context manager that gives what the load did. Nothing that goes wrong with
        caches ends the block, nor does what goes wrong in the block keep what it
        compiled from being saved.

    Raises:
        TrustError: Only if *required*.
        OverwinterError: Only if *required*, and it cannot be opened.
    """
    return warming.warm(path, required=required)


def observe() -> None:
    """
    Note from now on what torch looks up in its caches, and what the keys are made of.

    Before the first compile, for `explain`; and what is saved by this process then
    says what its graphs' keys are made of, for the `explain` of others. It takes some
    5 ms for each graph. `warm` and ``overwinter run`` do it.
    """
    watch(OBSERVER)


def explain(target: PathLike | Buffer | None = None) -> Explanation:
    """
    Return why graphs missed in this process, of all that were looked up.

    For each the nearest graph of a bundle is named, and what its key differs in: an
    input's shape or dtype, a setting, torch's own sources; or what keeps the very
    graph from being used here.

    Args:
        target: A bundle that was saved by a process that `observe` had noting; if not
            given, the one that was loaded last.
    """
    return _explain(target, OBSERVER)


def certify(path: PathLike, function: Callable[[], object]) -> "Certificate":
    """
    Call *function* in a new process that starts from a bundle and from nothing else.

    Args:
        path: The bundle.
        function: Called without arguments; one that a new process can import, for
            this one cannot forget what it compiled.

    Returns:
        What it missed, of which ``certified`` is whether it missed nothing.

    Raises:
        TypeError: No new process can import *function*.
        StoreError: There is no such bundle, or no space for the caches.
        FormatError: It is none, or damaged.
        VersionError: It needs a later release.
    """
    from . import certifying  # and processes, of which no other function knows

    return certifying.certify(path, function)


def save_cache_artifacts() -> tuple[bytes, CacheInfo] | None:
    """
    Return everything as the bytes of a bundle, and what it holds.

    Returns:
        ``None`` where nothing was compiled or hit.

    Source:
        ``torch.compiler.save_cache_artifacts``.
    """
    return saving.save_to_bytes()


def load_cache_artifacts(serialized_artifacts: bytes) -> CacheInfo | None:
    """
    Put the artifacts of a bundle into torch's caches, before the first compile.

    Args:
        serialized_artifacts: What `save_cache_artifacts` returned.

    Returns:
        ``None`` where the bytes are no bundle, with a warning that says what they
        are and what to do.

    Raises:
        TypeError: The argument is something else than bytes.

    Source:
        ``torch.compiler.load_cache_artifacts``.
    """
    given: object = serialized_artifacts
    if not isinstance(given, bytes):
        raise TypeError(
            f"expected the bytes of a bundle, got {type(given).__name__}; a path is "
            "for overwinter.torch.load()"
        )
    try:
        Bundle(serialized_artifacts).close()
    except OverwinterError as error:
        log.warning("%s", error)
        return None
    return populating.load(serialized_artifacts)
