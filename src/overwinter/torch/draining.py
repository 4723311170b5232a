"""
Draining: everything that this process compiled or hit, from torch's own list.

``torch.compiler.save_cache_artifacts`` copies every artifact into a buffer that
torch keeps for the life of the process: three times the payload at the peak and
twice for good. The list itself holds the same bytes, so that is what we read.

These are the bytes that torch compiled here, or read and ran: nothing is read again
from a directory into which others might have put something since.
"""

from collections.abc import Iterable, Iterator, Sequence

import attrs

from ..artifact import CacheArtifact
from ..errors import KindError, OverwinterError
from ..factory import CacheArtifactFactory
from ..kinds import AutotuneArtifact, FactorsArtifact
from .latest import latest
from .megacache import MegaCacheEntry, read_megacache
from .natives import natives
from .observer import OBSERVER
from .versions import is_known, private_parts

__all__ = ["Drained", "drain", "tuned_on"]


@attrs.frozen
class Drained:
    """What was found, and what could not be taken along."""

    artifacts: list[CacheArtifact]
    problems: list[str]


def drain() -> Drained:
    """Return the artifacts of this process's torch, native libraries included."""
    problems: list[str] = []
    entries: list[MegaCacheEntry] | None = None
    if is_known():
        with private_parts(problems, "read its list", "its own save must do"):
            entries = _from_list(problems)
    if entries is None:
        with private_parts(problems, "read what it saved", "nothing is saved"):
            entries = _from_blob()

    artifacts: list[CacheArtifact] = []
    for each in latest(entries or []):
        try:
            artifact = CacheArtifactFactory.create(each.kind, each.key, each.content)
            artifact.check_key(each.key)
        except KindError:
            problems.append(
                f"torch keeps artifacts of kind {each.kind!r}, which this release of "
                f"overwinter does not know: {each.key} was left out; upgrade overwinter"
            )
        except OverwinterError as error:
            problems.append(f"left out: {error}")
        else:
            artifacts.append(artifact)
    if artifacts:
        artifacts += [
            *natives(problems),
            *_factors(artifacts),
        ]
    return Drained(artifacts, problems)


def _factors(artifacts: Iterable[CacheArtifact]) -> Iterator[FactorsArtifact]:
    """Give what the keys of graphs among *artifacts* are made of, each once."""
    for kind, key in dict.fromkeys((each.type(), each.key) for each in artifacts):
        if factors := OBSERVER.factors(kind, key):
            yield factors


def tuned_on(
    device: str | list[str] | None, artifacts: Sequence[CacheArtifact]
) -> list[CacheArtifact]:
    """
    Return *artifacts* with the device in the tunings among them.

    Torch writes no device beside its times, and without one they compare with
    nothing.

    Args:
        device: As the driver reports it; ``None`` where none was used.
        artifacts: What was drained.
    """
    if not isinstance(device, str):
        return list(artifacts)
    return [
        attrs.evolve(each, device=device)
        if isinstance(each, AutotuneArtifact)
        else each
        for each in artifacts
    ]


def _from_list(problems: list[str]) -> list[MegaCacheEntry]:
    import torch
    from torch._dynamo.convert_frame import compile_lock
    from torch.compiler._cache import CacheArtifactManager

    with compile_lock:
        if torch._dynamo.config.caching_precompile:
            with private_parts(
                problems, "finish its precompiled functions", "they are compiled again"
            ):
                from torch._dynamo.precompile_context import PrecompileContext

                PrecompileContext.save_to_dynamo_cache()
        # What was seen, not what is new: a save before ours empties the latter.
        seen = list(CacheArtifactManager._seen_artifacts)
    return [MegaCacheEntry(each.type(), each.key, each.content) for each in seen]


def _from_blob() -> list[MegaCacheEntry]:
    import torch

    saved = torch.compiler.save_cache_artifacts()
    if saved is None:
        return []
    blob = read_megacache(saved[0], source="torch.compiler.save_cache_artifacts()")
    return list(blob.entries)
