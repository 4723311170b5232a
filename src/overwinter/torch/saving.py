"""
Saving what this process compiled or hit, for the machine that it is on.
"""

import logging
from collections.abc import Sequence

from ..artifact import CacheArtifact
from ..encode import Target
from ..environment import Environment
from ..files import PathLike
from ..info import CacheInfo
from ..save import save as save_bundle
from ..save import save_to_bytes as bundle_to_bytes
from . import facts
from .draining import Drained, drain, tuned_on

__all__ = ["save", "save_to_bytes"]

log = logging.getLogger("overwinter")


def save(
    path: PathLike, *, replace: bool = False, target: Target | None = None
) -> CacheInfo:
    """Save into the bundle at *path*; see `overwinter.torch.save`."""
    drained, machine, artifacts = _drained()
    info = save_bundle(
        path, artifacts, environment=machine, replace=replace, target=target
    )
    _report(info, drained)
    return info


def save_to_bytes() -> tuple[bytes, CacheInfo] | None:
    """Return a bundle; see `overwinter.torch.save_cache_artifacts`."""
    drained, machine, artifacts = _drained()
    saved = bundle_to_bytes(artifacts, environment=machine)
    _report(saved[1] if saved else CacheInfo(), drained)
    return saved


def _drained() -> tuple[Drained, Environment, Sequence[CacheArtifact]]:
    drained = drain()
    machine = facts.environment(drained.problems)
    return drained, machine, tuned_on(machine.get("device_name"), drained.artifacts)


def _report(info: CacheInfo, drained: Drained) -> None:
    info.problems += drained.problems
    for problem in drained.problems:
        log.warning("%s", problem)
