"""A kind of acme's with every type that the schema language has."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import attrs

from overwinter.artifact import CacheArtifact, CacheEntry
from overwinter.schema import U64, OpenEnum, Payload, Tagged, TimeNs

from .plans import cache_directory


class Mode(enum.Enum):
    """How hard acme tries."""

    FAST = "fast"
    BEST = "best"


@attrs.frozen
class Source:
    """A file that a graph was made from."""

    name: str
    lines: tuple[int, ...] = ()


@attrs.frozen
class Compile:
    """Acme compiles a source."""

    source: Source
    flags: list[str]


@attrs.frozen
class Link:
    """Acme links two."""

    flags: list[str]


@attrs.frozen
class Graph(CacheArtifact):
    """One of everything."""

    schema_package = "acme.schema"
    migrations_package = "acme.migrations"
    caches = {"acme": cache_directory}  # noqa: RUF012

    key: str
    program: Payload
    mode: Mode
    target: Annotated[str, OpenEnum("cpu", "gpu")]
    source: Source
    sources: tuple[Source, ...]
    by_name: dict[str, Source]
    spare: Source | None
    action: Annotated[Compile | Link, Tagged("does", compile=Compile, link=Link)]
    actions: tuple[
        Annotated[Compile | Link, Tagged("does", compile=Compile, link=Link)], ...
    ]
    modes: dict[str, Mode]
    seen: TimeNs
    size: U64
    score: float | None
    nothing: None
    is_done: bool
    digest: bytes
    more: Any
    grid: dict[str, list[int]] = attrs.field(factory=dict)

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "acme/graph"

    @property
    def content(self) -> bytes:
        """What runs."""
        return self.program

    @classmethod
    def from_content(cls, key: str, content: bytes) -> Graph:
        """Refuse: content alone makes no graph."""
        raise NotImplementedError

    @classmethod
    def check_key(cls, key: str) -> None:
        """Accept any key."""

    def cache_entry(self) -> CacheEntry:
        """Return the file of the program."""
        return CacheEntry("acme", f"graphs/{self.key}", self.program)
