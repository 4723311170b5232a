"""
Draining: everything that this process compiled or hit, from torch's own list.

``torch.compiler.save_cache_artifacts`` copies every artifact into a buffer that
torch keeps for the life of the process: three times the payload at the peak and
twice for good. The list itself holds the same bytes, so that is what we read.
"""

import attrs

from ..artifact import CacheArtifact, CacheArtifactFactory
from ..errors import KindError, OverwinterError
from .megacache import read_megacache
from .natives import natives
from .versions import is_known

__all__ = ["Drained", "drain"]


@attrs.frozen
class Drained:
    """What was found, and what could not be taken along."""

    artifacts: list[CacheArtifact]
    problems: list[str]


def drain() -> Drained:
    """Return the artifacts of this process's torch, native libraries included."""
    entries = _from_list() if is_known() else _from_blob()
    artifacts: list[CacheArtifact] = []
    problems = []
    for kind, key, content in entries:
        try:
            artifact = CacheArtifactFactory.create(kind, key, content)
            artifact.check_key(key)
        except KindError:
            problems.append(
                f"torch keeps artifacts of kind {kind!r}, which this release of "
                f"overwinter does not know: {key} was left out; upgrade overwinter"
            )
        except OverwinterError as error:
            problems.append(f"left out: {error}")
        else:
            artifacts.append(artifact)
    if artifacts:
        artifacts += natives()
    return Drained(artifacts, problems)


def _from_list() -> list[tuple[str, str, bytes]]:
    import torch
    from torch._dynamo.convert_frame import compile_lock
    from torch.compiler._cache import CacheArtifactManager

    with compile_lock:
        if torch._dynamo.config.caching_precompile:
            from torch._dynamo.precompile_context import PrecompileContext

            PrecompileContext.save_to_dynamo_cache()
        # What was seen, not what is new: a save before ours empties the latter.
        seen = list(CacheArtifactManager._seen_artifacts)
    return [(each.type(), each.key, each.content) for each in seen]


def _from_blob() -> list[tuple[str, str, bytes]]:
    import torch

    saved = torch.compiler.save_cache_artifacts()
    if saved is None:
        return []
    blob = read_megacache(saved[0], source="torch.compiler.save_cache_artifacts()")
    return [(each.kind, each.key, each.content) for each in blob.entries]
