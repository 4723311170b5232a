"""
W5 from file to file, durably: a bundle upgraded, and torch's format written again.

Both sides read a file that the system holds in memory, migrate every record, write
another file, payloads included, and sync it and its directory.
"""

import pickle
from pathlib import Path
from typing import Any

import attrs

from overwinter.artifact import CacheArtifact
from overwinter.bundle import Records, write_bundle
from overwinter.factory import CacheArtifactFactory
from overwinter.kind import Kind
from overwinter.schema import Payload, TimeNs
from overwinter.trust import Policy
from overwinter.upgrade import upgrade

from . import ours, raw
from .timing import Contestant
from .workloads import Columns

__all__ = ["OURS", "RAW", "TORCH", "Timing", "file_contestants", "raw_contestant"]

OURS = "ours, file to file, durable"
RAW = "raw copy, durable"
TORCH = "torch's format, file to file, durable"

_FIELDS = "key launches median_us config labels taken_ns device payload".split()


@attrs.frozen
class Timing(CacheArtifact):
    """One artifact of W5, in its second version."""

    schema_package = "benchmarks.schema"
    migrations_package = "benchmarks.migrations"
    key_grammar = ours.Record.key_grammar

    key: str
    launches: int
    config: dict[str, int]
    taken_ns: TimeNs
    payload: Payload = attrs.field(repr=False)
    median_us: float
    labels: list[str]
    device: str = "unknown"

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "bench/timing"

    @property
    def content(self) -> bytes:
        """The payload."""
        return self.payload


def file_contestants(columns: Columns, directory: Path) -> list[Contestant]:
    """Return ours and torch's format, each beside a file of version 1."""
    if Timing.type() not in CacheArtifactFactory.kinds():
        CacheArtifactFactory.register(Timing)
    return [_ours(columns, directory), _torch(columns, directory)]


def _ours(columns: Columns, directory: Path) -> Contestant:
    path, out = directory / "old", directory / "new"
    _write_old(path, columns)
    policy = Policy([ours.KEY.public])

    def run() -> Path:
        done = upgrade(path, out, policy=policy, key=ours.KEY, level=0)
        if done.migrated != len(columns["key"]):
            raise AssertionError(done)
        return out

    def rows(made: Path) -> list[Any]:
        return [
            row
            for each in ours.read_blocks(made)
            for row in zip(*(each[name] for name in _FIELDS), strict=True)
        ]

    return Contestant(OURS, run, rows, lambda: out.unlink(missing_ok=True))


def _torch(columns: Columns, directory: Path) -> Contestant:
    from .torch_format import TorchArtifact, deserialize, serialize

    path, out = directory / "old.torch", directory / "new.torch"
    names = list(columns)
    maps = (
        dict(zip(names, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    )
    old = [TorchArtifact(each["key"], pickle.dumps(each, protocol=5)) for each in maps]
    raw.write(path, [serialize(old)], durably=True)

    def migrated(artifact: TorchArtifact) -> TorchArtifact:
        record = pickle.loads(artifact.content)
        record["labels"] = record.pop("tags")
        record["device"] = "unknown"
        record["median_us"] = record.pop("median_ms") * 1_000.0
        return TorchArtifact(artifact.key, pickle.dumps(record, protocol=5))

    def run() -> Path:
        found = deserialize(path.read_bytes())
        made = serialize(list(map(migrated, found)))
        return raw.write(out, [made], durably=True)

    def rows(made: Path) -> list[Any]:
        records = (
            pickle.loads(each.content) for each in deserialize(made.read_bytes())
        )
        return [tuple(each[name] for name in _FIELDS) for each in records]

    return Contestant(TORCH, run, rows, lambda: out.unlink(missing_ok=True))


def raw_contestant(directory: Path) -> Contestant:
    """Return who copies ours as it is: nobody can be faster than that."""
    path, out = directory / "old", directory / "copy"
    return Contestant(
        RAW,
        lambda: raw.write(out, [path.read_bytes()], durably=True),
        list,
        lambda: out.unlink(missing_ok=True),
    )


def _write_old(path: Path, columns: Columns) -> None:
    kind = Kind(Timing)
    records = Records(kind.stamp_of(1), columns, kind.schemas[1].payload_names)
    with open(path, "w+b", buffering=0) as file:
        write_bundle(file, [records], writer="benchmarks", key=ours.KEY, level=0)
    raw.sync(path)
