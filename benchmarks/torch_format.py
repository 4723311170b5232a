"""
Torch's own serializer, by the functions that ``torch.compiler._cache`` calls.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from torch.compiler import _cache
from torch.utils._appending_byte_serializer import AppendingByteSerializer

__all__ = ["TorchArtifact", "deserialize", "group", "new_serializer", "serialize"]

_KIND = "overwinter_benchmark"


@_cache.CacheArtifactFactory.register
class TorchArtifact(_cache.CacheArtifact):
    """A key and a content, as all artifacts of torch are."""

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return _KIND

    def populate_cache(self) -> None:
        """Do nothing: it is only serialized."""


def new_serializer(
    artifacts: Iterable[TorchArtifact],
) -> "AppendingByteSerializer[Any]":
    """Return a serializer that has *artifacts* in its buffer."""
    made = AppendingByteSerializer[Any](serialize_fn=_cache._serialize_single_cache)
    made.append(group(artifacts))
    return made


def group(artifacts: Iterable[TorchArtifact]) -> tuple[str, list[TorchArtifact]]:
    """Return *artifacts* as the serializer takes them."""
    return _KIND, list(artifacts)


def serialize(artifacts: Sequence[TorchArtifact]) -> bytes:
    """Return *artifacts* as ``CacheArtifactManager.serialize`` makes them."""
    return new_serializer(artifacts).to_bytes()


def deserialize(data: bytes) -> list[TorchArtifact]:
    """Return all artifacts: the format has no way to read fewer."""
    groups = AppendingByteSerializer.to_list(
        data, deserialize_fn=_cache._deserialize_single_cache
    )
    return [each for _, group in groups for each in group]
