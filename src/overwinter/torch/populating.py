"""
Populating a live torch, in the middle of a job that must not notice a failure.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterable

import attrs

from ..artifact import CacheArtifact
from ..files import Buffer, PathLike
from ..info import CacheInfo, Note
from ..kinds import FileArtifact, PGOArtifact, torchinductor, triton
from ..load import load as load_bundle
from .building import build_only_what_is_missing
from .counting import Since, counts
from .facts import machine
from .layouts import misplaced
from .observer import OBSERVER
from .versions import is_known, private_parts
from .watching import watch

__all__ = ["load"]

log = logging.getLogger("overwinter")


def load(
    target: PathLike | Buffer, *, strict: bool = False, required: bool = False
) -> CacheInfo:
    """Load a bundle into this process's torch; see `overwinter.torch.load`."""
    started = time.perf_counter()
    problems: list[str] = []
    compiled = _compiled(problems)
    left_out: list[Note] = []
    elsewhere = frozenset() if is_known() else misplaced(_cache_directory(), problems)

    def prepare(artifacts: list[CacheArtifact]) -> Iterable[CacheArtifact]:
        for artifact in artifacts:
            if isinstance(artifact, FileArtifact):
                continue  # of other caches than torch's
            if artifact.type() in elsewhere:
                left_out.append(Note(artifact.type(), artifact.key, _ELSEWHERE))
            else:
                yield _for_this_job(artifact, problems)

    info = load_bundle(
        target,
        environment=machine(problems),
        directories={
            torchinductor.CACHE: _cache_directory,
            triton.CACHE: triton.triton_directory,
        },
        prepare=prepare,
        strict=strict,
        required=required,
    )
    info.skipped += left_out
    with OBSERVER.safely():
        OBSERVER.loaded(target, info)
        if OBSERVER.is_on:  # by now torch is whole
            watch(OBSERVER)
    info.counters = Since(counts())
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


_ELSEWHERE = "this torch may look for it elsewhere; see the problems"
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
