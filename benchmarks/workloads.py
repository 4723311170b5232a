"""
What is measured: generated, and the same in every run.

W1 is 2,000 artifacts with payloads from a few bytes to 20 MB, as compilers leave
them; every second one by size can be compressed about as a shared object can.
W2 is 200,000 small artifacts: a record of six fields, and 200 bytes of payload.
"""

import base64
import io
import random
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any

import attrs

from overwinter.bundle import Bundle, KindStamp, Records, write_bundle
from overwinter.schema import Schema, read_schema

__all__ = [
    "W1_ROWS",
    "W2_ROWS",
    "StoredBlock",
    "common_row",
    "inductor_key",
    "schema_of",
    "stored_blocks",
    "w1_columns",
    "w2_columns",
]

W1_ROWS = 2_000
W1_MEDIAN, W1_LARGEST = 20_000, 20_000_000  # bytes of one payload
W1_SIGMA = 2.21  # of the logarithms of the sizes: 400 MB in all
W2_ROWS = 200_000
W2_PAYLOAD = 200  # bytes

_SEED = 20_261_123
_KNOBS = "block_m block_n block_k num_warps num_stages group_m".split()
_TAGS = "matmul pointwise reduction persistent scatter template foreach sort".split()

Columns = dict[str, list[Any]]


@attrs.frozen
class StoredBlock:
    """One record block as a bundle holds it, and what the statement says of it."""

    data: bytes
    rows: int
    first: str


def w1_columns(rows: int = W1_ROWS, median: int = W1_MEDIAN) -> Columns:
    """
    Return W1: keys of Inductor's and payloads, sorted by key.

    Args:
        rows: How many.
        median: Of the payloads' sizes, in bytes.
    """
    chance = random.Random(_SEED)
    # The quantiles themselves: a sample would be 300 MB with one seed and 500 with
    # another.
    normal = NormalDist(0, W1_SIGMA)
    largest = median * W1_LARGEST // W1_MEDIAN
    sizes = [
        min(largest, round(median * 2.718281828 ** normal.inv_cdf((rank + 0.5) / rows)))
        for rank in range(rows)
    ]
    pieces = [chance.randbytes(chance.randrange(3, 12)) for _ in range(256)]
    payloads = [
        chance.randbytes(size) if rank % 2 else _compressible(chance, pieces, size)
        for rank, size in enumerate(sizes)
    ]
    chance.shuffle(payloads)
    keys = sorted(inductor_key(chance) for _ in range(rows))
    return {"key": keys, "payload": payloads}


def common_row(columns: Columns) -> int:
    """Return the row whose payload is of the median size."""
    by_size = sorted(
        range(len(columns["payload"])), key=lambda row: len(columns["payload"][row])
    )
    return by_size[len(by_size) // 2]


def inductor_key(chance: random.Random) -> str:
    """Return a key such as Inductor makes."""
    return "f" + base64.b32encode(chance.randbytes(32)).decode().lower()[:51]


def _compressible(chance: random.Random, pieces: list[bytes], size: int) -> bytes:
    """Return *size* bytes of *pieces* in any order."""
    least = min(map(len, pieces))
    numbers = chance.randbytes(size // least + 1)
    # Most are longer: take no more of them than are needed.
    numbers = numbers[: size * len(pieces) // sum(map(len, pieces)) * 11 // 10 + 64]
    made = b"".join(map(pieces.__getitem__, numbers))
    return made[:size]


def w2_columns(rows: int = W2_ROWS) -> Columns:
    """
    Return W2: a text, an integer, a float, a map, a list, a time, and the payload.

    They are sorted by key, as a bundle sorts them, so that every contestant
    gives its records in the same order.
    """
    chance = random.Random(_SEED)
    payloads = memoryview(chance.randbytes(rows * W2_PAYLOAD))
    return {
        "key": sorted(f"{chance.getrandbits(96):024x}" for _ in range(rows)),
        "launches": [chance.randrange(100_000) for _ in range(rows)],
        "median_ms": [chance.lognormvariate(0, 2) for _ in range(rows)],
        "config": [
            {knob: 2 ** chance.randrange(8) for knob in chance.sample(_KNOBS, 3)}
            for _ in range(rows)
        ],
        "tags": [chance.sample(_TAGS, chance.randrange(1, 4)) for _ in range(rows)],
        "taken_ns": [chance.randrange(17 * 10**17, 18 * 10**17) for _ in range(rows)],
        "payload": [
            bytes(payloads[at : at + W2_PAYLOAD])
            for at in range(0, rows * W2_PAYLOAD, W2_PAYLOAD)
        ],
    }


def schema_of(kind: str, version: int, fields: Iterable[dict[str, Any]]) -> Schema:
    """Return the schema with these fields, said as in a schema file."""
    return read_schema(
        {
            "kind": kind,
            "version": version,
            "cardinality": "many",
            "fields": list(fields),
        }
    )


def stored_blocks(schema: Schema, columns: Columns) -> list[StoredBlock]:
    """Return the record blocks that the writer makes of *columns*, uncompressed."""
    stamp = KindStamp(
        schema.kind, schema.version, schema.fingerprint, 1, schema.as_plain()
    )
    file = io.BytesIO()
    records = Records(stamp, columns, schema.payload_names)
    write_bundle(file, [records], writer="overwinter benchmarks", key=None, level=0)
    return [
        StoredBlock(
            block.segment.read_record_block(block.number),
            block.stamp.rows,
            block.stamp.first,
        )
        for segment in Bundle(file.getvalue()).segments
        for block in segment.blocks
    ]
