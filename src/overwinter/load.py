"""
Loading: file, bundle, segment, record, artifact, cache.

Every artifact is verified, migrated, checked and staged before the first cache
is touched.
"""

import logging
import time
from collections.abc import Callable, Mapping

from .artifact import CacheArtifact
from .bundle import Bundle, RecordBlock
from .caches import directories as known_directories
from .decode import decode
from .environment import Environment, Machine, capture
from .errors import OverwinterError
from .factory import CacheArtifactFactory
from .files import Buffer, PathLike
from .info import CacheInfo
from .populate import Prepare, Staging
from .trust import Policy

__all__ = ["load"]

log = logging.getLogger("overwinter")


def load(
    target: PathLike | Buffer,
    *,
    policy: Policy | None = None,
    environment: Environment | Machine | None = None,
    directories: Mapping[str, Callable[[], str]] | None = None,
    prepare: Prepare | None = None,
    strict: bool = False,
    required: bool = False,
) -> CacheInfo:
    """
    Put the artifacts of a bundle into this machine's caches.

    A miss never breaks a job: whatever cannot be used is reported and left out,
    a bundle that cannot be opened is a problem in the report, and the job goes
    on cold.

    Args:
        target: The bundle's path, or its bytes.
        policy: Whose segments to use; this machine's own if not given.
        environment: What to hold artifacts against; if not given, this machine as
            far as it is known without any framework. Torch's artifacts need torch's
            facts: see `overwinter.torch.load`. A function gets the environment of
            artifacts that are trusted, and returns what to hold these against: for
            a framework some of whose facts cost time to find.
        directories: Name of a cache to what finds its directory.
        prepare: Changes artifacts before they are staged, for a framework whose
            keys depend on the job.
        strict: Raise instead of reporting.
        required: Raise, and populate nothing, where the bundle cannot be opened or
            something in it is refused because nobody trusted signed it.

    Returns:
        What was populated, and what became of everything else.

    Raises:
        TrustError: Only if *required* or *strict*.
        OverwinterError: Only if *strict*, or *required* and it cannot be opened.
    """
    started = time.perf_counter()
    # Before a byte of the bundle is read: it must not decide what is imported.
    CacheArtifactFactory.discover()
    info = CacheInfo()
    try:
        _load(
            target,
            info,
            policy or Policy.of_this_machine(),
            capture() if environment is None else environment,
            known_directories() if directories is None else directories,
            prepare or list,
            strict,
            required,
        )
    except OverwinterError as error:
        if strict or required:
            raise
        info.problems.append(str(error))
    for line in info.warnings():
        log.warning("%s", line)
    info.seconds = time.perf_counter() - started
    return info


def _load(
    target: PathLike | Buffer,
    info: CacheInfo,
    policy: Policy,
    machine: Environment | Machine,
    directories: Mapping[str, Callable[[], str]],
    prepare: Prepare,
    strict: bool,
    required: bool,
) -> None:
    # File to bundle: prefix, header, trailer, statements; no block yet.
    with (
        Bundle(target) as bundle,
        Staging(directories, info, strict=strict) as staging,
    ):
        # Segments to artifacts: trusted, fit for this machine, verified, migrated.
        for artifacts in decode(
            bundle,
            info,
            policy=policy,
            machine=machine,
            wanted=_has_a_cache,
            strict=strict,
            required=required,
        ):
            # Artifacts to files beside the caches.
            staging.stage(artifacts, prepare)
        # Files into the caches.
        staging.publish()


def _has_a_cache(block: RecordBlock) -> bool:
    cls: type[CacheArtifact] = CacheArtifactFactory.kind(block.kind.kind).cls
    return cls.is_cached
