"""Huge lengths: numbers that would be allocated, added up or waited for."""

import os
import struct
import zlib
from functools import partial
from pathlib import Path

import attrs
import msgpack
from bundles import KEY
from forging import HEADER, entries_of, file_listing, forged_copy, prefix_of

from attacks.attack import (
    QUARANTINED,
    REFUSED,
    SEGMENT_REFUSED,
    TORN,
    Attack,
)
from attacks.graphs import BLOCK, graphs, references
from attacks.nesting import statement_of
from overwinter.bundle.blocks import LAYOUT_ENTRY, digest_of
from overwinter.bundle.foot import Foot, write_foot
from overwinter.bundle.trailer import SegmentEntry, write_trailer
from overwinter.limits import MAX_SEGMENTS

HUGE = 2**63 - 1
TIB = 2**40
COPIES = ("union", "union, command", "save", "upgrade", "upgrade, command", "repack",
          "repack, command")  # fmt: skip


def _sparse(path: Path, *, layout: int) -> None:
    """Write a segment of a tebibyte, nearly all of which is a hole."""
    forgery = graphs()
    block, prefix = forgery.record_block(), prefix_of()
    plain = msgpack.unpackb(statement_of(forgery.segment()))
    plain["payload_blocks"] = layout // LAYOUT_ENTRY.size - 1
    statement = msgpack.packb(plain)
    signatures = msgpack.packb([attrs.asdict(KEY.sign(statement))])
    foot = Foot(
        TIB, layout, len(statement), len(signatures), zlib.crc32(signatures),
        digest_of(statement),
    )  # fmt: skip
    tail = statement + signatures + write_foot(foot)
    end = len(prefix) + TIB
    with path.open("wb") as file:
        file.write(prefix + block)
        file.seek(end - len(tail))
        entry = SegmentEntry(len(prefix), TIB, foot.digest)
        file.write(tail + write_trailer([entry], end))


def _torn(path: Path) -> None:
    path.write_bytes(graphs().file())
    os.truncate(path, TIB)


def _no_bundle(path: Path) -> None:
    path.write_bytes(b"x")
    os.truncate(path, TIB)


def _header_at(size: int) -> bytes:
    return prefix_of(header_size=size) + bytes(70_000)


def _trailer(**changes: int) -> bytes:
    segment = graphs().segment()
    body = prefix_of() + segment
    copy = forged_copy(len(body), entries_of([segment], len(prefix_of())), **changes)
    return body + copy + copy


def _listed(offset: int, size: int) -> bytes:
    segment = graphs().segment()
    return file_listing(prefix_of() + segment, SegmentEntry(offset, size, bytes(32)))


def _array(head: int, count: int) -> bytes:
    return bytes([head]) + struct.pack(">I", count)


def _layout(offset: int, size: int) -> bytes:
    return graphs(layout={1: (offset, size, 0, bytes(7))}).file()


_SIZE = len(BLOCK)

ATTACKS = [
    Attack("header_4g", "A header of 4 GiB.", partial(_header_at, 2**32 - 1), REFUSED),
    Attack("header_65537", "A header of a byte too much.",
           partial(_header_at, 65_537), REFUSED),
    Attack("header_array", "A header that announces 2^32 values and holds none.",
           lambda: prefix_of(_array(0xDD, 2**32 - 1)), REFUSED),
    Attack("header_text", "A header that announces a text of 4 GiB.",
           lambda: prefix_of(_array(0xDB, 2**32 - 1)), REFUSED),
    Attack("requires_many", "A header that requires 9,000 features.",
           lambda: prefix_of(msgpack.packb({**HEADER, "requires": ["feature"] * 8000})),
           REFUSED),
    Attack("segment_2_63", "A foot that says 8 EiB.",
           lambda: graphs(foot={"segment_size": HUGE}), SEGMENT_REFUSED),
    Attack("statement_2_63", "A statement of 8 EiB.",
           lambda: graphs(foot={"statement_size": HUGE}), SEGMENT_REFUSED),
    Attack("signatures_2_32", "Signatures of 4 GiB.",
           lambda: graphs(foot={"signatures_size": 2**32 - 1}), SEGMENT_REFUSED),
    Attack("layout_2_64", "A layout of 16 EiB.",
           lambda: graphs(foot={"layout_size": 2**64 - 1}), SEGMENT_REFUSED),
    Attack("payload_blocks_2_64", "A statement that has 2^64 - 1 payload blocks.",
           lambda: graphs(statement={"payload_blocks": 2**64 - 1}), SEGMENT_REFUSED),
    Attack("array32_of_nothing", "A statement that announces 2^32 values.",
           lambda: graphs(whole={"statement": _array(0xDD, 2**32 - 1)}),
           SEGMENT_REFUSED),
    Attack("map32_of_nothing", "A statement that announces 2^32 members.",
           lambda: graphs(whole={"statement": _array(0xDF, 2**32 - 1)}),
           SEGMENT_REFUSED),
    Attack("signatures_array", "Signatures that announce 2^32 of them.",
           lambda: graphs(signatures=_array(0xDD, 2**32 - 1)), SEGMENT_REFUSED),
    Attack("rows_2_32", "A block of 2^32 rows, of which it holds two.",
           lambda: graphs(stamp={"rows": 2**32}, block={"rows": 2**32}), QUARANTINED),
    Attack("rows_2_63", "A block of 2^63 - 1 rows.",
           lambda: graphs(stamp={"rows": HUGE}, block={"rows": HUGE}), QUARANTINED),
    Attack("rows_2_20_of_2", "As many rows as a block may have, of which it holds two.",
           lambda: graphs(stamp={"rows": 2**20}, block={"rows": 2**20}), QUARANTINED),
    Attack("size_2_63", "A record block of 8 EiB.",
           lambda: graphs(stamp={"size": HUGE}), QUARANTINED),
    Attack("payload_block_2_63", "A payload block of 8 EiB.",
           lambda: graphs(table={"sizes": [HUGE]}), QUARANTINED),
    Attack("payload_size_2_64", "Payloads of 16 EiB in all.",
           lambda: graphs(stamp={"payload_size": 2**64 - 1}), QUARANTINED),
    Attack("payload_2_63", "One payload of 8 EiB, everywhere the same lie.",
           lambda: graphs(columns=references([0, 5], [5, HUGE - 5]),
                          table={"sizes": [HUGE]}, stamp={"payload_size": HUGE}),
           QUARANTINED),
    Attack("offset_2_64", "A payload that begins at 2^64 - 1.",
           lambda: graphs(columns=references([0, 2**64 - 1], [5, 5])), QUARANTINED),
    Attack("stored_wraps", "A block whose offset and size are 2^64 together.",
           partial(_layout, 2**64 - _SIZE, _SIZE), QUARANTINED),
    Attack("stored_far", "A block that lies beyond the segment.",
           partial(_layout, 2**40, _SIZE), QUARANTINED),
    Attack("stored_long", "A block that is longer than the segment.",
           partial(_layout, 0, 2**40), QUARANTINED),
    Attack("trailer_count_2_32", "A trailer of 2^32 - 1 segments.",
           partial(_trailer, count=2**32 - 1), REFUSED),
    Attack("trailer_size_2_32", "A trailer of 4 GiB.",
           partial(_trailer, size=2**32 - 1), REFUSED),
    Attack("trailer_too_many", "A trailer of one segment too many.",
           partial(_trailer, count=MAX_SEGMENTS + 1,
                   size=40 + 48 * (MAX_SEGMENTS + 1)), REFUSED),
    Attack("entry_far", "A trailer whose segment lies at 2^63.",
           partial(_listed, HUGE, 200), REFUSED),
    Attack("entry_wraps", "A trailer whose segment ends where it begins, by overflow.",
           partial(_listed, 2**64 - 1, 2**64 - 1), REFUSED),
    Attack("sparse_1tib", "A segment of a tebibyte, all but 2 KiB of it a hole.",
           partial(_sparse, layout=2 * LAYOUT_ENTRY.size), QUARANTINED,
           writes=True, without=COPIES),
    Attack("sparse_layout_512g", "A layout of 512 GiB, all of it a hole.",
           partial(_sparse, layout=TIB // 2 // 24 * 24), SEGMENT_REFUSED,
           writes=True, without=COPIES),
    Attack("torn_1tib", "A sound bundle, and a hole of a tebibyte behind it.",
           _torn, TORN, writes=True, without=COPIES),
    Attack("hole_1tib", "A hole of a tebibyte.", _no_bundle, REFUSED,
           writes=True, without=COPIES),
]  # fmt: skip
