"""
Populating a live torch: our own writes where we know its caches, else torch's.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable

import attrs

from ..artifact import CacheArtifact
from ..errors import StoreError
from ..files import Buffer, PathLike
from ..info import CacheInfo, Note
from ..kinds import NativeArtifact, PGOArtifact, torchinductor
from ..load import load as load_bundle
from .building import build_only_what_is_missing
from .facts import machine
from .megacache import MegaCacheEntry, write_megacache
from .versions import is_known, private_parts, version

__all__ = ["load"]

log = logging.getLogger("overwinter")


def load(
    target: PathLike | Buffer, *, strict: bool = False, required: bool = False
) -> CacheInfo:
    """Load a bundle into this process's torch; see `overwinter.torch.load`."""
    started = time.perf_counter()
    problems: list[str] = []
    compiled = _compiled(problems)
    known = is_known()
    for_torch: list[CacheArtifact] = []

    def prepare(artifacts: list[CacheArtifact]) -> Iterable[CacheArtifact]:
        for artifact in artifacts:
            if known or isinstance(artifact, NativeArtifact):
                yield _for_this_job(artifact, problems)
            else:
                for_torch.append(artifact)

    info = load_bundle(
        target,
        environment=machine(problems),
        directories={torchinductor.CACHE: _cache_directory},
        prepare=prepare,
        strict=strict,
        required=required,
    )
    if for_torch:
        _populate_through_torch(for_torch, info, problems, strict=strict)
    else:
        problems += _too_late(info, compiled)
    with private_parts(problems, "keep it from building needlessly", _SECONDS):
        if not build_only_what_is_missing():
            problems.append(
                f"this torch builds in a way that we do not know: {_SECONDS}"
            )

    for problem in problems:  # those of the bundle were told already
        log.warning("%s", problem)
    info.problems += problems
    info.seconds = time.perf_counter() - started
    return info


_SECONDS = "a warm start takes some seconds more"


def _cache_directory() -> str:
    try:
        from torch._inductor.runtime.cache_dir_utils import cache_dir
    except ImportError:
        return torchinductor.cache_directory()
    directory: str = cache_dir()
    return directory


def _for_this_job(artifact: CacheArtifact, problems: list[str]) -> CacheArtifact:
    """Return *artifact* under the key by which this job will look for it."""
    if isinstance(artifact, PGOArtifact) and artifact.key.startswith("mast:"):
        with private_parts(problems, "ask for this job's key", "no code state is used"):
            from torch._dynamo.pgo import get_cache_key

            # The key of a MAST job holds the job's name and version.
            return attrs.evolve(artifact, key=get_cache_key() or artifact.key)
    return artifact


def _populate_through_torch(
    artifacts: list[CacheArtifact],
    info: CacheInfo,
    problems: list[str],
    *,
    strict: bool,
) -> None:
    """Give *artifacts* to torch's public function, one at a time: each may fail."""
    import torch

    problems.append(
        f"torch {torch.__version__} is not one whose caches we know: its own "
        "functions wrote the artifacts, which may unpickle them"
    )
    layout = "2.7" if version() == (2, 7) else "2.8"
    for artifact in artifacts:
        kind, key = artifact.type(), artifact.key
        try:
            entry = MegaCacheEntry(kind, key, artifact.content)
            blob = write_megacache([entry], layout=layout)
            if torch.compiler.load_cache_artifacts(blob) is None:
                raise ValueError("torch could not read it")
        except Exception as error:  # whatever a foreign pickle may raise
            if strict:
                raise StoreError(
                    key, f"give the {kind} to torch", repr(error)
                ) from error
            info.failed.append(Note(kind, key, f"torch: {error!r}"))
        else:
            info.add(artifact)
            info.n_bytes += len(artifact.content)


Keys = Counter[tuple[str, str]]  # kind and key to number of artifacts


def _compiled(problems: list[str]) -> Keys:
    """Return the graphs that this process compiled or hit before the load."""
    keys: Keys = Counter()
    with private_parts(problems, "read its list", "a load that is late goes unnoticed"):
        from torch.compiler._cache import CacheArtifactManager

        for each in list(CacheArtifactManager._seen_artifacts):
            if each.type() in ("inductor", "aot_autograd"):
                keys[each.type(), each.key] += 1
    return keys


def _too_late(info: CacheInfo, compiled: Keys) -> list[str]:
    """Return a line if graphs arrived that this process has had to compile."""
    arrived: Keys = Counter(
        (kind, key) for kind, keys in info.artifacts.items() for key in keys
    )
    arrived -= Counter((note.kind, note.key) for note in info.present)
    late = arrived & compiled
    if not late:
        return []
    return [
        f"{len(late)} graphs of this bundle were compiled before it was loaded and "
        "gain nothing from it; load it before the first compile"
    ]
