"""
``autotune``: the fastest launch configuration measured for one kernel.

Torch keeps it as a JSON file. Here its members are typed fields, so that they can
be compared and migrated; torch gets the very bytes back that it wrote.
"""

import json
from types import MappingProxyType
from typing import Any

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..environment import EXACT
from ..errors import WrongShapeError
from ..grammar import KeyGrammar
from .torchinductor import CACHE, CACHES

__all__ = ["AutotuneArtifact"]


# Members of torch's object that are fields of ours, the type they must have, and
# the field: a value of another type stays in `config`.
_MEMBERS: dict[str, tuple[type, str]] = {
    "num_warps": (int, "num_warps"),
    "num_stages": (int, "num_stages"),
    "configs_hash": (str, "configs_hash"),
    "found_by_coordesc": (bool, "found_by_coordesc"),
    "time_taken_ms": (int, "time_taken_ns"),
    "triton_cache_hash": (str, "triton_cache_hash"),
}
_NS_PER_MS = 1_000_000


@attrs.frozen
class AutotuneArtifact(CacheArtifact):
    """A launch configuration under the path of its kernel's record."""

    key: str
    config: dict[str, Any] = attrs.field(factory=dict)
    num_warps: int | None = None
    num_stages: int | None = None
    configs_hash: str | None = None
    found_by_coordesc: bool | None = None
    time_taken_ns: int | None = None
    triton_cache_hash: str | None = None
    order: tuple[str, ...] = ()
    verbatim: bytes | None = None
    device: str = "unknown"

    key_grammar = KeyGrammar(
        r"[0-9a-z]{2}/[0-9a-z]{16,128}\.best_config", "'xx/<hash>.best_config'"
    )
    caches = CACHES
    environment_rules = MappingProxyType({"torch_key": EXACT})

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "autotune"

    @staticmethod
    def encode(content: Any) -> bytes:
        """Return a JSON value as torch writes it."""
        if isinstance(content, bytes):
            found = "expected the JSON value, got its bytes"
            raise WrongShapeError("autotune", (found,))
        try:
            return json.dumps(content).encode("ascii")
        except (TypeError, ValueError, RecursionError) as error:
            raise WrongShapeError("autotune", (f"no JSON: {error}",)) from error

    @classmethod
    def from_content(cls, key: str, content: bytes) -> "AutotuneArtifact":
        """Return the artifact of torch's JSON; any bytes can be held."""
        verbatim = cls(key, verbatim=content)
        try:
            artifact = cls._of_members(key, json.loads(content))
            # Numbers like 1e3, doubled members, other spacing, nested members out
            # of order: what would come back otherwise is kept as it is.
            same = _holds(artifact) and artifact.content == content
        except (ValueError, TypeError, RecursionError):
            return verbatim
        return artifact if same else verbatim

    @classmethod
    def _of_members(cls, key: str, members: Any) -> "AutotuneArtifact":
        if not isinstance(members, dict):
            raise TypeError("torch writes an object")
        fields: dict[str, Any] = {}
        config: dict[str, Any] = {}
        for name, value in members.items():
            kind, field = _MEMBERS.get(name, (None, name))
            if kind is None or (value is not None and type(value) is not kind):
                config[name] = _ordered(value)
            elif name == "time_taken_ms" and isinstance(value, int):
                fields[field] = value * _NS_PER_MS
            else:
                fields[field] = value
        return cls(key, config, order=tuple(members), **fields)

    @property
    def content(self) -> bytes:
        """The JSON, byte for byte as torch wrote it."""
        if self.verbatim is not None:
            return self.verbatim
        members = {name: self._member(name) for name in self.order}
        return json.dumps(members).encode("ascii")

    def _member(self, name: str) -> Any:
        if name in self.config:
            return self.config[name]
        if name not in _MEMBERS:
            fault = f"order: expected names of members, got {name!r}"
            raise WrongShapeError("autotune", (fault,))
        value = getattr(self, _MEMBERS[name][1])
        if name == "time_taken_ms" and value is not None:
            return value // _NS_PER_MS
        return value

    def cache_entry(self) -> CacheEntry:
        """Return the file, as torch's LocalCacheBackend places it."""
        self.check_key(self.key)
        return CacheEntry(CACHE, self.key, self.content)

    def preference(self) -> tuple[Any, ...]:
        """Prefer a result of coordinate descent: it searched further."""
        return (self.found_by_coordesc is not True,)


def _ordered(value: Any) -> Any:
    """Return *value* as a bundle gives it back: the order of a map means nothing."""
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_ordered(each) for each in value]
    return value


def _holds(artifact: AutotuneArtifact) -> bool:
    """Return whether the fields fit their schema: 64 bits, no lone surrogate."""
    from ..factory import CacheArtifactFactory

    try:
        CacheArtifactFactory.kind("autotune").columns([artifact])
    except WrongShapeError:
        return False
    return True
