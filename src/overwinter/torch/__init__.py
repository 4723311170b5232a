"""
Draining a live torch into a bundle, and populating its caches from one.

    import overwinter.torch

    overwinter.torch.load("model.owb")      # before the first compile
    model = torch.compile(model)
    ...
    overwinter.torch.save("model.owb")      # whenever it suits

Importing this module does not import torch; its functions do.
"""

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..bundle import Bundle
from ..encode import Target
from ..environment import Environment
from ..errors import OverwinterError
from ..files import PathLike
from ..info import CacheInfo
from ..save import save as _save
from ..save import save_to_bytes
from . import facts, populating
from .draining import Drained, drain, tuned_on
from .exporting import export
from .rescuing import rescue

if TYPE_CHECKING:
    from .certificate import Certificate

__all__ = [
    "certify",
    "environment",
    "export",
    "load",
    "load_cache_artifacts",
    "rescue",
    "save",
    "save_cache_artifacts",
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
    drained = drain()
    machine = facts.environment(drained.problems)
    artifacts = tuned_on(machine.get("device_name"), drained.artifacts)
    info = _save(path, artifacts, environment=machine, replace=replace, target=target)
    _report(info, drained)
    return info


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
    drained = drain()
    machine = facts.environment(drained.problems)
    artifacts = tuned_on(machine.get("device_name"), drained.artifacts)
    saved = save_to_bytes(artifacts, environment=machine)
    _report(saved[1] if saved else CacheInfo(), drained)
    return saved


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


def _report(info: CacheInfo, drained: Drained) -> None:
    info.problems += drained.problems
    for problem in drained.problems:
        log.warning("%s", problem)
