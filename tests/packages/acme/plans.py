"""Acme's kind as overwinter sees it, and its records of every version."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from overwinter.artifact import CacheArtifact, CacheEntry
from overwinter.bundle import KindStamp, Records
from overwinter.errors import KeyGrammarError
from overwinter.factory import CacheArtifactFactory
from overwinter.kind import Kind
from overwinter.registry import Registry
from overwinter.schema import Payload, oldest_reader

_KEY = re.compile(r"[a-z0-9-]+")


def cache_directory() -> str:
    """Return the directory of acme's cache."""
    return os.environ["ACME_CACHE_DIR"]


@attrs.frozen
class Plan(CacheArtifact):
    """How acme runs one graph; the faster plan wins."""

    schema_package = "acme.schema"
    migrations_package = "acme.migrations"
    caches = {"acme": cache_directory}  # noqa: RUF012

    key: str
    program: Payload = attrs.field(repr=False)
    median_ns: int | None = None
    device: str = "unknown"
    tiles: tuple[int, ...] = ()

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "acme/plan"

    @property
    def content(self) -> bytes:
        """What runs."""
        return self.program

    @classmethod
    def from_content(cls, key: str, content: bytes) -> "Plan":
        """Return the plan that runs *content*."""
        return cls(key, content)

    @classmethod
    def check_key(cls, key: str) -> None:
        """Check that *key* is a graph's name."""
        if not _KEY.fullmatch(key):
            raise KeyGrammarError("acme/plan", key, "is no name", "a graph's name")

    def cache_entry(self) -> CacheEntry:
        """Return the file of the program."""
        self.check_key(self.key)
        return CacheEntry("acme", f"plans/{self.key}", self.program)

    def preference(self) -> tuple[Any, ...]:
        """Prefer the faster plan."""
        return (self.median_ns is None, self.median_ns or 0)


@contextmanager
def registered(
    *classes: type[CacheArtifact], without: tuple[str, ...] = ()
) -> Iterator[None]:
    """Have *classes* registered for a while, and no pack discovered."""
    before = CacheArtifactFactory.registry
    CacheArtifactFactory.registry = Registry(lambda: ())
    try:
        for name in before.names:
            if name not in without:
                CacheArtifactFactory.register(before.kind(name).cls)
        for cls in classes:
            CacheArtifactFactory.register(cls)
        yield
    finally:
        CacheArtifactFactory.registry = before


def records_of(version: int, **columns: list[Any]) -> Records:
    """Return records of acme's kind as a release of *version* wrote them."""
    kind = Kind(Plan)
    schema = kind.schemas[version]
    stamp = KindStamp(
        schema.kind,
        version,
        schema.fingerprint,
        oldest_reader(
            [kind.schemas[each] for each in range(1, version + 1)],
            kind.steps.converted,
        ),
        schema.as_plain(),
    )
    return Records(stamp, columns, schema.payload_names)
