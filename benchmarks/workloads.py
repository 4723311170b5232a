"""
The records that are measured: generated, and the same in every run.

W2 is 200,000 small artifacts: a record of six fields, and 200 bytes of payload.
"""

import io
import random
from collections.abc import Iterable
from typing import Any

import attrs

from overwinter.bundle import Bundle, KindStamp, Records, write_bundle
from overwinter.schema import Schema, read_schema

__all__ = ["W2_ROWS", "StoredBlock", "schema_of", "stored_blocks", "w2_columns"]

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
