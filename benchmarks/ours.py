"""
The library as the workloads use it: its own kind for W2, saving, loading, fetching.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

import overwinter
from overwinter.artifact import CacheArtifact
from overwinter.bundle import Bundle, write_bundle
from overwinter.bundle.streaming import read_rows
from overwinter.codec import Columns
from overwinter.decode import decode
from overwinter.encode import encode
from overwinter.errors import FormatError
from overwinter.factory import CacheArtifactFactory
from overwinter.grammar import KeyGrammar
from overwinter.info import CacheInfo
from overwinter.kinds.inductor import InductorArtifact
from overwinter.schema import Payload, TimeNs
from overwinter.trust import Policy, SigningKey
from overwinter.workers import Workers

from .workloads import Columns as Values

__all__ = [
    "Record",
    "append",
    "fetch",
    "keys",
    "load",
    "read_blocks",
    "save",
    "save_durably",
    "w1_artifacts",
    "w2_artifacts",
]

SEED = bytes(range(32))
KEY = SigningKey(SEED)
ENVIRONMENT = {"python_tag": "cpython-311", "torch_version": "2.13.0"}


@attrs.frozen
class Record(CacheArtifact):
    """One artifact of W2."""

    schema_package = "benchmarks.schema"
    migrations_package = "benchmarks.migrations"
    key_grammar = KeyGrammar("[0-9a-f]{24}", "24 digits")

    key: str
    launches: int
    median_ms: float
    config: dict[str, int]
    tags: list[str]
    taken_ns: TimeNs
    payload: Payload = attrs.field(repr=False)

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "bench/record"

    @property
    def content(self) -> bytes:
        """The payload."""
        return self.payload


def register() -> None:
    """Register the kind of W2, once."""
    if Record.type() not in CacheArtifactFactory.kinds():
        CacheArtifactFactory.register(Record)


def w1_artifacts(columns: Values) -> list[InductorArtifact]:
    """Return W1 as artifacts."""
    return list(map(InductorArtifact, columns["key"], columns["payload"]))


def w2_artifacts(columns: Values) -> list[Record]:
    """Return W2 as artifacts."""
    return list(map(Record, *columns.values()))


def save(path: Path, artifacts: Sequence[CacheArtifact], *, level: int) -> Path:
    """Save into a plain file that nobody syncs, as most peers do; return *path*."""
    records = encode(artifacts, ENVIRONMENT)
    with open(path, "w+b", buffering=0) as file:
        write_bundle(file, records, writer="benchmarks", key=KEY, level=level)
    return path


def save_durably(path: Path, artifacts: Sequence[CacheArtifact], *, level: int) -> Path:
    """Save as everybody does: synced, and renamed into its place; return *path*."""
    overwinter.save(
        path,
        artifacts,
        environment=ENVIRONMENT,
        key=KEY,
        level=level,
        replace=True,
    )
    return path


def append(path: Path, artifact: CacheArtifact) -> None:
    """Append *artifact* to the bundle at *path*, durably."""
    overwinter.save(path, [artifact], environment=ENVIRONMENT, key=KEY)


def load(path: Path) -> list[Any]:
    """Return every artifact: signature, digests and values checked."""
    info = CacheInfo()
    artifacts: list[Any] = []
    with Bundle(path) as bundle:
        for each in decode(
            bundle, info, policy=Policy([KEY.public]), machine=ENVIRONMENT, strict=True
        ):
            artifacts += each
    return artifacts


def read_blocks(path: Path) -> Iterator[Columns]:
    """Give the columns in parts: payloads verified, the other fields unread."""
    with Bundle(path) as bundle, Workers() as workers:
        blocks = (block for each in bundle.segments for block in each.blocks)
        for _, rows in read_rows(blocks, workers):
            if isinstance(rows, FormatError):
                raise rows
            if rows.faults:
                raise next(iter(rows.faults.values()))
            columns = rows.columns
            del rows
            yield columns
            del columns  # before the next are read, as the caller may have


def keys(bundle: Bundle) -> dict[str, list[str]]:
    """Return the keys of each kind; no object is built."""
    return bundle.keys()


def fetch(bundle: Bundle, kind: str, key: str) -> list[dict[str, Any]]:
    """Return the fields of each artifact of *kind* with *key*, payloads verified."""
    return [each.fields for each in bundle.fetch(kind, key)]
