"""
The library as the workloads use it: its own kind for W2, saving, loading, fetching.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

import overwinter
from overwinter.artifact import CacheArtifact
from overwinter.bundle import Bundle, RecordBlock, write_bundle
from overwinter.bundle.reader import Rows
from overwinter.codec import Columns
from overwinter.decode import decode
from overwinter.encode import encode
from overwinter.errors import KeyGrammarError
from overwinter.factory import CacheArtifactFactory
from overwinter.info import CacheInfo
from overwinter.kinds.inductor import InductorArtifact
from overwinter.schema import Payload, TimeNs
from overwinter.trust import Policy, SigningKey

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

_KEY = re.compile(r"[0-9a-f]{24}")


@attrs.frozen
class Record(CacheArtifact):
    """One artifact of W2."""

    schema_package = "benchmarks.schema"
    migrations_package = "benchmarks.migrations"

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

    @classmethod
    def check_key(cls, key: str) -> None:
        """Check that *key* is a number."""
        if not _KEY.fullmatch(key):
            raise KeyGrammarError("bench/record", key, "is no number", "24 digits")


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
    """Give the columns of each block: payloads verified, the other fields unread."""
    with Bundle(path) as bundle:
        for segment in bundle.segments:
            for block in segment.blocks:
                yield from map(_whole, _batches(block))


def _batches(block: RecordBlock) -> Iterable[Rows]:
    found = block.read()
    return [found] if isinstance(found, Rows) else found


def _whole(rows: Rows) -> Columns:
    if rows.faults:
        raise next(iter(rows.faults.values()))
    return rows.columns


def keys(bundle: Bundle) -> dict[str, list[str]]:
    """Return the keys of each kind; no object is built."""
    if hasattr(bundle, "keys"):
        return bundle.keys()
    found: dict[str, list[str]] = {}
    for segment in bundle.segments:
        for block in segment.blocks:
            columns, _ = block.read_columns()
            found.setdefault(block.kind.kind, []).extend(columns["key"])
    return found


def fetch(bundle: Bundle, kind: str, key: str) -> list[dict[str, Any]]:
    """Return the fields of each artifact of *kind* with *key*, payloads verified."""
    if hasattr(bundle, "fetch"):
        return [each.fields for each in bundle.fetch(kind, key)]
    from overwinter.bundle.unpacking import read_payloads, read_spans

    found = []
    for segment in bundle.segments:
        for block in segment.blocks:
            if block.kind.kind != kind or block.stamp.first > key:
                continue
            columns, table = block.read_columns()
            for row, each in enumerate(columns["key"]):
                if each != key:
                    continue
                fields = {}
                for name in columns:
                    if name not in block.payload_names:
                        fields[name] = columns[name][row]
                        continue
                    spans = [read_spans(columns, name, block.part)[row]]
                    read = segment.read_payload_block
                    (fields[name],) = read_payloads(read, table, spans, {})
                found.append(fields)
    return found
