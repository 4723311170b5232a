"""
W5: migrate W2 by a rename, an addition and a conversion of units, beside peers.

Every contestant takes the bytes that it would have stored, in blocks of as many
records as ours, and gives bytes again, or attrs objects. The payload stays out of
the peers' records; ours carry the references that stand for it. The conversion is
one multiplication: a dearer one would cost everybody the same.
"""

import sys
from collections.abc import Callable, Iterator
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

import attrs
import cattrs
import msgpack

from overwinter.bundle.blocks import read_record_block, write_record_block
from overwinter.codec import collector_paused, objects_of
from overwinter.kind import Kind
from overwinter.migrate import migrate
from overwinter.migration import Plan, Steps

from . import running
from .chain import CHAIN_ROWS, CHAIN_VERSIONS, chain_contestants
from .goals import AtLeast, Found, Goal, Within
from .migrations.bench.timing.v1_to_v2 import STEP
from .running import Options, Workload
from .timing import Contestant, check_agreement, measure
from .w5_files import OURS as OURS_FILE
from .w5_files import TORCH as TORCH_FILE
from .w5_files import Timing, file_contestants, raw_contestant
from .workloads import W2_ROWS, StoredBlock, stored_blocks, w2_columns

__all__ = [
    "GOALS",
    "NEW",
    "OLD",
    "STEP",
    "WORKLOAD",
    "msgspec_contestants",
    "w2_contestants",
]

NEW_FIELDS = "key launches median_us config labels taken_ns device".split()

KIND = Kind(Timing)
OLD, NEW = KIND.schemas[1], KIND.schemas[2]

OURS = "ours, bytes to bytes"
OURS_TO_OBJECTS = "ours, to attrs objects"
MAPS = "function on maps, bytes to bytes"
CATTRS = "cattrs on maps, bytes to bytes"
CATTRS_TO_OBJECTS = "cattrs on maps, to attrs objects"
MSGSPEC = "msgspec arrays, bytes to bytes"
MSGSPEC_RAW = "msgspec arrays with Raw, bytes to bytes"
CHAIN = "ours, a thousand versions"

GOALS: tuple[Goal, ...] = (
    AtLeast(OURS, MSGSPEC, target=10, floor=5, against="msgspec arrays"),
    AtLeast(OURS, MAPS, target=50, floor=25, against="a function on maps"),
    AtLeast(OURS, CATTRS, target=20, floor=20, against="cattrs on maps"),
    AtLeast(OURS_TO_OBJECTS, CATTRS_TO_OBJECTS, 5, 3, against="cattrs on maps"),
    AtLeast(OURS_FILE, TORCH_FILE, target=100, floor=40, against="torch's format"),
    Within(CHAIN, target=1, floor=2),
)


@attrs.frozen
class Record:
    """The record of today, without its payload."""

    key: str
    launches: int
    median_us: float
    config: dict[str, int]
    labels: list[str]
    taken_ns: int
    device: str


_ROW = attrgetter(*NEW_FIELDS)


def w2_contestants(columns: dict[str, list[Any]]) -> list[Contestant]:
    """Return who migrates W2 and needs no package but our own dependencies."""
    blocks = stored_blocks(OLD, columns)
    maps = [msgpack.packb(each) for each in _maps(columns, blocks)]
    return [*_ours(blocks), *_on_maps(maps)]


def _ours(blocks: list[StoredBlock]) -> Iterator[Contestant]:
    plan = Plan((STEP,))
    # Payloads were verified and put in by then; here they stay what they are.
    old, new = (
        attrs.evolve(each, fields=tuple(f for f in each.fields if not f.is_payload))
        for each in (OLD, NEW)
    )
    kind: Any = SimpleNamespace(
        name=NEW.kind,
        schema=new,
        schemas={OLD.version: old, NEW.version: new},
        steps=Steps(NEW.kind, NEW.version, {OLD.version: STEP}),
    )

    def to_bytes() -> list[bytes]:
        made = []
        for each in blocks:
            found, table = read_record_block(
                each.data, "bench", "block", each.rows, each.first
            )
            made.append(write_record_block(plan.apply(found), table))
        return made

    def to_objects() -> list[Record]:
        made: list[Record] = []
        for each in blocks:
            found, _ = read_record_block(
                each.data, "bench", "block", each.rows, each.first
            )
            with collector_paused(each.rows):  # as `overwinter.decode` does
                migrated = migrate(kind, OLD.version, found)
                assert not migrated.faults
                made += objects_of(Record, migrated.columns)
        return made

    def values(made: list[bytes]) -> list[Any]:
        rows: list[Any] = []
        for data, each in zip(made, blocks, strict=True):
            found, _ = read_record_block(data, "bench", "block", each.rows, each.first)
            rows += zip(*(found[name] for name in NEW_FIELDS), strict=True)
        return rows

    yield Contestant(OURS, to_bytes, values)
    yield Contestant(OURS_TO_OBJECTS, to_objects, _rows_of_objects)


def _on_maps(blocks: list[bytes]) -> Iterator[Contestant]:
    converter = cattrs.Converter()

    def migrated(data: bytes) -> list[dict[str, Any]]:
        # In place and in one loop: the fastest that a function on maps can be.
        records: list[dict[str, Any]] = msgpack.unpackb(data)
        for record in records:
            record["labels"] = record.pop("tags")
            record["device"] = "unknown"
            record["median_us"] = record.pop("median_ms") * 1_000.0
        return records

    def maps_to_bytes() -> list[bytes]:
        return [msgpack.packb(migrated(data)) for data in blocks]

    def cattrs_to_bytes() -> list[bytes]:
        made = []
        for data in blocks:
            objects = converter.structure(migrated(data), list[Record])
            plain = converter.unstructure(objects, list[Record])
            made.append(msgpack.packb(plain))
        return made

    def cattrs_to_objects() -> list[Record]:
        made: list[Record] = []
        for data in blocks:
            made += converter.structure(migrated(data), list[Record])
        return made

    def values(made: list[bytes]) -> list[Any]:
        return [
            tuple(record[name] for name in NEW_FIELDS)
            for data in made
            for record in msgpack.unpackb(data)
        ]

    yield Contestant(MAPS, maps_to_bytes, values)
    yield Contestant(CATTRS, cattrs_to_bytes, values)
    yield Contestant(CATTRS_TO_OBJECTS, cattrs_to_objects, _rows_of_objects)


def msgspec_contestants(columns: dict[str, list[Any]]) -> list[Contestant]:
    """
    Return msgspec's two ways to migrate W2, both with its array form.

    The second carries what the step does not touch as `msgspec.Raw`, unread and
    unchecked: nobody's everyday schema, but the least that it can do.
    """
    import msgspec

    raw = msgspec.Raw

    class Old(msgspec.Struct, array_like=True, gc=False):
        key: str
        launches: int
        median_ms: float
        config: dict[str, int]
        tags: list[str]
        taken_ns: int

    class New(msgspec.Struct, array_like=True, gc=False):
        key: str
        launches: int
        median_us: float
        config: dict[str, int]
        labels: list[str]
        taken_ns: int
        device: str

    class RawOld(msgspec.Struct, array_like=True, gc=False):
        key: raw
        launches: raw
        median_ms: float
        config: raw
        tags: raw
        taken_ns: raw

    class RawNew(msgspec.Struct, array_like=True, gc=False):
        key: raw
        launches: raw
        median_us: float
        config: raw
        labels: raw
        taken_ns: raw
        device: str

    encode = msgspec.msgpack.Encoder().encode
    names = list(Old.__struct_fields__)
    rows = [columns[name] for name in names]
    blocks = [
        encode(list(zip(*(column[begin:end] for column in rows), strict=True)))
        for begin, end in _bounds(stored_blocks(OLD, columns))
    ]

    def migrating(old: Any, new: Any) -> Callable[[], list[bytes]]:
        decode = msgspec.msgpack.Decoder(list[old]).decode

        def run() -> list[bytes]:
            return [
                encode(
                    [
                        new(
                            each.key,
                            each.launches,
                            each.median_ms * 1_000.0,
                            each.config,
                            each.tags,
                            each.taken_ns,
                            "unknown",
                        )
                        for each in decode(data)
                    ]
                )
                for data in blocks
            ]

        return run

    def values(made: list[bytes]) -> list[Any]:
        decode = msgspec.msgpack.Decoder(list[New]).decode
        return [_ROW(each) for data in made for each in decode(data)]

    return [
        Contestant(MSGSPEC, migrating(Old, New), values),
        Contestant(MSGSPEC_RAW, migrating(RawOld, RawNew), values),
    ]


def run(options: Options) -> Found:
    """Measure W5."""
    columns = w2_columns(W2_ROWS)
    w2 = [*w2_contestants(columns), *msgspec_contestants(columns)]
    chain = chain_contestants(CHAIN_ROWS, CHAIN_VERSIONS, ours=CHAIN)
    files = file_contestants(columns, options.directory)
    for each in (w2, chain, files):
        check_agreement(each)
    files.append(raw_contestant(options.directory))
    return measure([*w2, *chain, *files], options.rounds)


WORKLOAD = Workload(
    "W5",
    f"migrate {W2_ROWS:,} records; {CHAIN_ROWS:,} through {CHAIN_VERSIONS:,} versions",
    GOALS,
    run,
)


def _rows_of_objects(objects: list[Record]) -> list[Any]:
    return list(map(_ROW, objects))


def _bounds(blocks: list[StoredBlock]) -> Iterator[tuple[int, int]]:
    """Give the first row of each block, and the first after it."""
    begin = 0
    for each in blocks:
        yield begin, begin + each.rows
        begin += each.rows


def _maps(
    columns: dict[str, list[Any]], blocks: list[StoredBlock]
) -> Iterator[list[dict[str, Any]]]:
    names = [field.name for field in OLD.fields if not field.is_payload]
    rows = list(zip(*(columns[name] for name in names), strict=True))
    for begin, end in _bounds(blocks):
        yield [dict(zip(names, row, strict=True)) for row in rows[begin:end]]


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
