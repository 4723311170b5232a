"""
Plans of the Acme kernel compiler, as a kind of overwinter.
"""

import enum
import os
from typing import Annotated

import attrs

from overwinter import CacheArtifact, CacheEntry, KeyGrammar, KindPack
from overwinter.schema import OpenEnum, Payload, Tagged

__all__ = ["PACK", "Copy", "Layout", "Matmul", "Plan", "Stage"]


def cache_directory() -> str:
    """Return the directory of acme's cache."""
    return os.environ.get("ACME_CACHE_DIR") or os.path.expanduser("~/.cache/acme")


class Layout(enum.Enum):
    """How a tile lies in memory."""

    ROW = "row"
    COLUMN = "column"


@attrs.frozen
class Matmul:
    """A stage that multiplies."""

    tiles: tuple[int, ...]
    layout: Layout = Layout.ROW


@attrs.frozen
class Copy:
    """A stage that moves."""

    n_bytes: int


@attrs.frozen
class Stage:
    """One stage of a plan."""

    name: str
    work: Annotated[Matmul | Copy, Tagged("does", matmul=Matmul, copy=Copy)]
    warps: int = 4


@attrs.frozen
class Plan(CacheArtifact):
    """A plan: its stages, and the program that they became."""

    schema_package = "acme_plans_schema"
    migrations_package = "acme_plans_migrations"
    key_grammar = KeyGrammar("[a-z0-9_]{1,100}", "a-z, 0-9 and _")
    caches = {"acme": cache_directory}  # noqa: RUF012

    key: str
    stages: tuple[Stage, ...]
    median_ns: int
    program: Payload = attrs.field(repr=False)
    device: Annotated[str, OpenEnum("a100", "h100")] = "a100"

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "acme/plan"

    @property
    def content(self) -> bytes:
        """The program."""
        return self.program

    def cache_entry(self) -> CacheEntry:
        """Return the file of the program."""
        self.check_key(self.key)
        return CacheEntry("acme", f"{self.key}.bin", self.program)


PACK = KindPack([Plan])
