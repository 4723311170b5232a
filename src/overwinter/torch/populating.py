"""
Populating a live torch: our own writes where we know its caches, else torch's.
"""

import logging
import time
from collections.abc import Iterable

import attrs

from ..artifact import CacheArtifact
from ..files import Buffer, PathLike
from ..info import CacheInfo, Note
from ..kinds import NativeArtifact, PGOArtifact
from ..kinds.torchinductor import CACHE
from ..load import load as load_bundle
from .facts import environment
from .headers import make_header_lazy
from .versions import is_known

__all__ = ["load"]

log = logging.getLogger("overwinter")


def load(target: PathLike | Buffer, *, strict: bool) -> CacheInfo:
    """Load a bundle into this process's torch; see `overwinter.torch.load`."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    started = time.perf_counter()
    known = is_known()
    for_torch: list[CacheArtifact] = []

    def prepare(artifacts: list[CacheArtifact]) -> Iterable[CacheArtifact]:
        for artifact in artifacts:
            if known or isinstance(artifact, NativeArtifact):
                yield _for_this_job(artifact)
            else:
                for_torch.append(artifact)

    info = load_bundle(
        target,
        environment=environment(compiler=False),
        directories={CACHE: cache_dir},
        prepare=prepare,
        strict=strict,
    )
    _populate_through_torch(for_torch, info)
    if not make_header_lazy():
        info.problems.append(
            "this torch precompiles its header in a way that we do not know: a warm "
            "start takes some seconds more"
        )
    info.seconds = time.perf_counter() - started
    return info


def _for_this_job(artifact: CacheArtifact) -> CacheArtifact:
    """Return *artifact* under the key by which this job will look for it."""
    if isinstance(artifact, PGOArtifact) and artifact.key.startswith("mast:"):
        from torch._dynamo.pgo import get_cache_key

        # The key of a MAST job holds the job's name and version.
        return attrs.evolve(artifact, key=get_cache_key() or artifact.key)
    return artifact


def _populate_through_torch(artifacts: list[CacheArtifact], info: CacheInfo) -> None:
    if not artifacts:
        return
    import torch
    from torch.compiler._cache import CacheArtifactFactory, CacheArtifactManager

    info.problems.append(
        f"torch {torch.__version__} is not one whose caches we know: its own "
        "functions wrote the artifacts, which may unpickle them"
    )
    CacheArtifactManager._ensure_cache_artifacts_registered()
    for artifact in artifacts:
        kind, key = artifact.type(), artifact.key
        try:
            CacheArtifactFactory.create(kind, key, artifact.content).populate_cache()
        except Exception as error:  # whatever a foreign pickle may raise
            info.failed.append(Note(kind, key, f"torch: {error!r}"))
        else:
            info.artifacts[kind].append(key)
            info.n_bytes += len(artifact.content)
