"""Small bundles for the tests: built, appended to, taken apart, damaged."""

import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from overwinter.bundle import Bundle, KindStamp, Records, append_segment, write_bundle
from overwinter.bundle.foot import FOOT
from overwinter.bundle.prefix import PREFIX
from overwinter.environment import Environment
from overwinter.errors import FormatError
from overwinter.schema import read_schema
from overwinter.sources import BytesSource
from overwinter.trust import SigningKey

KEY = SigningKey(bytes(range(32)))
WRITER = "tests 1"
ENVIRONMENT: Environment = {"os": "linux", "cpu_flags": ["avx", "sse"]}
# What must be said of a pickle of torch's, and is not known without a torch.
TORCH: dict[str, str | list[str]] = {
    "python_tag": "cpython-311",
    "torch_key": "00" * 32,
    "vector_isa": "avx2",
    "torch_version": "2.13.0",
}

Record = tuple[str, str, tuple[tuple[str, Any], ...]]
PAYLOAD = "payload"
OPTIONAL_PAYLOAD = {"optional": "payload"}


def stamp_of(kind: str, fields: dict[str, Any], version: int = 1) -> KindStamp:
    """Return the stamp of a kind whose fields, beside the key, are these."""
    schema = read_schema(
        {
            "kind": kind,
            "version": version,
            "cardinality": "many",
            "fields": [
                {"id": number, "name": name, "type": type_}
                for number, (name, type_) in enumerate(
                    {"key": "str", **fields}.items(), 1
                )
            ],
        }
    )
    return KindStamp(kind, version, schema.fingerprint, 1, schema.as_plain())


PLAN = stamp_of("acme/plan", {"content": PAYLOAD, "ratio": "f64"})
TILE = stamp_of("acme/tile", {"size": "i64", "extra": OPTIONAL_PAYLOAD})


def records_of(
    stamp: KindStamp,
    rows: Iterable[dict[str, Any]],
    environment: Environment | None = None,
) -> Records:
    """Return *rows* as records of one kind."""
    rows = list(rows)
    schema = read_schema(stamp.schema)
    columns = {field.name: [row[field.name] for row in rows] for field in schema.fields}
    return Records(stamp, columns, schema.payload_names, environment)


def plans(*rows: tuple[str, bytes], environment: Environment | None = None) -> Records:
    """Return plans from key and content."""
    return records_of(
        PLAN,
        [{"key": key, "content": content, "ratio": 0.5} for key, content in rows],
        environment,
    )


def tiles(*rows: tuple[str, bytes | None]) -> Records:
    """Return tiles from key and optional payload."""
    return records_of(
        TILE,
        [{"key": key, "size": len(key), "extra": extra} for key, extra in rows],
    )


def built(
    *records: Records,
    key: SigningKey | None = KEY,
    level: int = 0,
    writer: str = WRITER,
) -> bytes:
    """Return the bytes of a new bundle."""
    file = io.BytesIO()
    write_bundle(file, records, writer=writer, key=key, level=level)
    return file.getvalue()


def appended(
    data: bytes, *records: Records, key: SigningKey | None = KEY, level: int = 0
) -> bytes:
    """Return *data* with one more segment, equal to one that it has or not."""
    file = io.BytesIO(data)
    file.seek(0, io.SEEK_END)
    append_segment(file, BytesSource(data), records, key=key, level=level)
    return file.getvalue()


def sample() -> bytes:
    """Return a bundle of two kinds, four records, and four blocks."""
    return built(
        plans(("a", b"first payload"), ("b", b"second"), environment=ENVIRONMENT),
        tiles(("c", b"third payload!"), ("d", None)),
    )


def sample_of_two() -> bytes:
    """Return that bundle with a second segment."""
    return appended(sample(), plans(("e", b"appended"), ("f", b"appended too")))


def regions(data: bytes) -> dict[str, range]:
    """Return where each part of a sound bundle lies, in the order of the file."""
    bundle = Bundle(data)
    found: dict[str, range] = {
        "prefix": range(PREFIX.size),
        "header": range(PREFIX.size, bundle.start),
    }
    position = bundle.start
    for segment in bundle.segments:
        entry, foot = segment.entry, segment.foot
        if entry.offset > position:
            found[f"old trailer {segment.number - 1}"] = range(position, entry.offset)
        position = entry.offset
        for part, size in {
            "blocks": foot.blocks_size,
            "layout": foot.layout_size,
            "statement": foot.statement_size,
            "signatures": foot.signatures_size,
            "foot": FOOT.size,
        }.items():
            found[f"{part} {segment.number}"] = range(position, position + size)
            position += size
    middle = (position + len(data)) // 2
    found["first copy"] = range(position, middle)
    found["second copy"] = range(middle, len(data))
    return found


def part(data: bytes, name: str) -> bytes:
    """Return the bytes of one region of a sound bundle."""
    where = regions(data)[name]
    return data[where.start : where.stop]


def delivered(bundle: Bundle) -> Iterator[tuple[int, Record]]:
    """Give each record that can still be read, with the number of its segment."""
    for segment in bundle.segments:
        for block in segment.blocks:
            with suppress(FormatError):
                rows = block.read()
                for row in range(rows.columns.rows):
                    if row not in rows.faults:
                        record = {
                            name: rows.columns[name][row] for name in rows.columns
                        }
                        yield (
                            segment.number,
                            (block.kind.kind, record["key"], tuple(record.items())),
                        )


def environ_of_child(**changes: str) -> dict[str, str]:
    """Return an environment in which a child finds every module that we find."""
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path, **changes}


def flipped(data: bytes, position: int, bit: int) -> bytes:
    """Return *data* with one bit changed."""
    changed = bytearray(data)
    changed[position] ^= 1 << bit
    return bytes(changed)
