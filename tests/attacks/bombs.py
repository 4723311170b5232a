"""Decompression bombs: few bytes that become many, or that say so."""

import struct
from functools import partial

import msgpack
from forging import Forgery

from attacks.attack import ODD_COLUMN, QUARANTINED, SEGMENT_REFUSED, SOUND, Attack
from attacks.graphs import BLOCK, contents, graphs, maps_after
from overwinter.bundle.blocks import zstd

MIB = 2**20


def _packed(data: bytes, level: int = 3) -> tuple[bytes, int]:
    return zstd.compress(data, level), 1


def _maps(count: int) -> bytes:
    return b"\xdd" + struct.pack(">I", count) + b"\x80" * count


def _frame(descriptor: int, rest: bytes) -> bytes:
    return struct.pack("<IB", 0xFD2FB528, descriptor) + rest + b"\x01\0\0"


def _block(data: bytes) -> Forgery:
    """Return graphs whose record block is *data*, compressed well."""
    return graphs(whole={"block": data}, stored={0: _packed(data, 19)})


def _unknown_member() -> Forgery:
    plain = _plain()
    return _block(maps_after(plain, zzz=_maps(MIB // 4)))


def _plain() -> dict[str, object]:

    return {name: msgpack.unpackb(value) for name, value in contents(graphs()).items()}


def _column(name: str, value: bytes) -> Forgery:
    plain = _plain()
    columns = {**plain["columns"], name: value}  # type: ignore[dict-item]
    return _block(maps_after({**plain, "columns": columns}))


def _zeros(n_bytes: int) -> Forgery:
    data = bytes(n_bytes)
    return graphs(data, b"", stored={1: _packed(data)})


def _text_of(n_bytes: int) -> Forgery:
    data = maps_after(
        _plain(), zzz=b"\xdb" + struct.pack(">I", n_bytes) + bytes(n_bytes)
    )
    return _block(data)


def _payload(stored: bytes) -> Forgery:
    return graphs(stored={1: (stored, 1)})


_FRAME = zstd.compress(BLOCK, 3)
_SKIPPED = b"\x50\x2a\x4d\x18\x04\0\0\0skip"

ATTACKS = [
    Attack(
        "zero_payload",
        "A payload of 16 MiB of zeros, honestly said, in 1 KiB.",
        partial(_zeros, 16 * MIB), SOUND, (bytes(16 * MIB), b""), declares=48,
    ),
    Attack(
        "text_4m", "A record block with a text of 4 MiB in a member that nobody knows.",
        partial(_text_of, 4 * MIB), SOUND, declares=64,
    ),
    Attack(
        "maps_block", "262,144 empty maps in a member that nobody knows.",
        _unknown_member, SOUND, declares=4, traced=True,
    ),
    Attack(
        "maps_key_column", "262,144 empty maps where two keys belong.",
        lambda: _column("key", _maps(MIB // 4)), QUARANTINED, declares=4, traced=True,
    ),
    Attack(
        "maps_unknown_column", "262,144 empty maps in a column of a later version.",
        lambda: _column("later", _maps(MIB // 4)), ODD_COLUMN, declares=4, traced=True,
    ),
    Attack(
        "longer_than_said", "A frame that gives one byte more than was signed.",
        lambda: _payload(zstd.compress(BLOCK + b"!", 3)), QUARANTINED,
    ),
    Attack(
        "shorter_than_said", "A frame that gives one byte less.",
        lambda: _payload(zstd.compress(BLOCK[:-1], 3)), QUARANTINED,
    ),
    Attack(
        "much_longer_than_said", "A frame that gives 64 MiB for 80 bytes.",
        lambda: _payload(zstd.compress(bytes(64 * MIB), 3)), QUARANTINED,
    ),
    Attack(
        "frame_claims_2g", "A frame whose header says 2 GiB, and that ends there.",
        lambda: _payload(_frame(0xE0, struct.pack("<Q", 2**31))), QUARANTINED,
    ),
    Attack(
        "frame_claims_2_63", "A frame whose header says 8 EiB.",
        lambda: _payload(_frame(0xE0, struct.pack("<Q", 2**63 - 1))), QUARANTINED,
    ),
    Attack(
        "window_27", "An empty frame that wants a window of 128 MiB.",
        lambda: _payload(_frame(0, bytes([17 << 3]))), QUARANTINED,
    ),
    Attack(
        "window_31", "An empty frame that wants a window of 2 GiB.",
        lambda: _payload(_frame(0, bytes([21 << 3]))), QUARANTINED,
    ),
    Attack(
        "two_frames", "A second frame behind the first.",
        lambda: _payload(_FRAME + _FRAME), QUARANTINED,
    ),
    Attack(
        "skippable", "A thousand frames to be skipped before the one.",
        lambda: _payload(_SKIPPED * 1000 + _FRAME), QUARANTINED,
    ),
    Attack(
        "twice_compressed", "A frame in a frame: it is unpacked once.",
        lambda: _payload(zstd.compress(_FRAME, 3)), QUARANTINED,
    ),
    Attack(
        "block_64m", "A record block that is 64 MiB of zeros.",
        lambda: _block(bytes(64 * MIB)), QUARANTINED, declares=192,
    ),
    Attack(
        "block_over_64m", "A record block that says a byte more than any may have.",
        lambda: graphs(stored={0: _packed(bytes(64 * MIB))}, stamp={"size": 2**26 + 1}),
        QUARANTINED,
    ),
    Attack(
        "statement_zeros", "A statement of 16 MiB of zeros, which no statement is.",
        lambda: graphs(whole={"statement": bytes(16 * MIB)}), SEGMENT_REFUSED,
    ),
]  # fmt: skip
