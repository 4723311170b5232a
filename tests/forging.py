"""Bundles whose parts lie: every checksum, digest and signature holds, nothing else."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import msgpack
from bundles import KEY, PLAN

from overwinter.bundle import KindStamp, trailer
from overwinter.bundle.blocks import LAYOUT_ENTRY, digest_of
from overwinter.bundle.foot import FOOT, Foot, write_foot
from overwinter.bundle.prefix import MAGIC, PREFIX
from overwinter.bundle.trailer import END, SegmentEntry, write_trailer
from overwinter.environment import Environment
from overwinter.trust import SigningKey

HEADER: Mapping[str, Any] = {
    "digest": "sha256",
    "requires": [],
    "write_requires": [],
    "writer": "tests 1",
}


def checked(body: bytes) -> bytes:
    """Return *body* and its CRC-32."""
    return body + struct.pack("<I", zlib.crc32(body))


def prefix_of(
    header: Mapping[str, Any] | bytes = HEADER,
    *,
    major: int = 1,
    minor: int = 0,
    oldest_reader: int = 1,
    zeros: tuple[int, int] = (0, 0),
    header_size: int | None = None,
) -> bytes:
    """Return prefix and header."""
    body = header if isinstance(header, bytes) else msgpack.packb(header)
    size = len(body) if header_size is None else header_size
    fields = PREFIX.pack(
        MAGIC, major, minor, oldest_reader, zeros[0],
        size, zlib.crc32(body), zeros[1], 0,
    )  # fmt: skip
    return checked(fields[:-4]) + body


def entries_of(segments: Sequence[bytes], start: int) -> list[SegmentEntry]:
    """Return where *segments* lie when they follow each other from *start*."""
    entries = []
    for segment in segments:
        digest = segment[-FOOT.size :][48:80]
        entries.append(SegmentEntry(start, len(segment), digest))
        start += len(segment)
    return entries


def file_of(*segments: bytes, prefix: bytes | None = None) -> bytes:
    """Return a bundle of *segments*."""
    prefix = prefix_of() if prefix is None else prefix
    body = prefix + b"".join(segments)
    return body + write_trailer(entries_of(segments, len(prefix)), len(body))


def file_listing(body: bytes, *entries: SegmentEntry) -> bytes:
    """Return *body*, which begins with a prefix, with a trailer that lists these."""
    return body + write_trailer(entries, len(body))


def forged_copy(offset: int, entries: Sequence[SegmentEntry], **changes: int) -> bytes:
    """Return one copy of a trailer, with lies whose CRC is right."""
    size = trailer.HEAD.size + trailer.ENTRY.size * len(entries) + trailer.FOOT.size
    head = trailer.HEAD.pack(
        trailer.MAGIC,
        offset,
        changes.get("count", len(entries)),
        changes.get("zero", 0),
    )
    body = head + b"".join(
        trailer.ENTRY.pack(each.offset, each.size, each.digest) for each in entries
    )
    body += struct.pack("<I", changes.get("size", size))
    return body + struct.pack("<I8s", changes.get("crc", zlib.crc32(body)), END)


@attrs.define
class Forgery:
    """
    A segment of two plans with one payload block, every part of it free to lie.

    Args:
        of: The kind of its records instead: the key and one payload.
        keys: Their keys.
        environment: What they were compiled for.
        signers: Who signs.
        columns: Values of columns, by name, to change; ``None`` leaves one out.
        payloads: The payload blocks.
        table, block, stamp, kind, statement: What to change in these maps.
        whole: The bytes of the record block, or of the statement, instead.
        stored: By index of a block, what is stored for it, and its codec.
        layout: What to change in entries of the layout, by index.
        signatures: The bytes of the signatures.
        foot: What to change in the foot.
    """

    of: KindStamp = PLAN
    keys: tuple[str, str] = ("a", "b")
    environment: Environment | None = None
    signers: Sequence[SigningKey] = (KEY,)
    columns: dict[str, Any] = attrs.field(factory=dict)
    payloads: list[bytes] = attrs.field(factory=lambda: [b"firstsecond"])
    table: dict[str, Any] = attrs.field(factory=dict)
    block: dict[str, Any] = attrs.field(factory=dict)
    stamp: dict[str, Any] = attrs.field(factory=dict)
    kind: dict[str, Any] = attrs.field(factory=dict)
    statement: dict[str, Any] = attrs.field(factory=dict)
    whole: dict[str, bytes] = attrs.field(factory=dict)
    stored: dict[int, tuple[bytes, int]] = attrs.field(factory=dict)
    layout: dict[int, tuple[int, int, int, bytes]] = attrs.field(factory=dict)
    signatures: bytes | None = None
    foot: dict[str, Any] = attrs.field(factory=dict)

    def record_block(self) -> bytes:
        """Return the bytes of the record block."""
        columns = {
            "content": {"offset": [0, 5], "size": [5, 6]},
            "key": list(self.keys),
            **({"ratio": [0.5, 0.5]} if self.of is PLAN else {}),
            **self.columns,
        }
        encoded = {
            name: msgpack.packb(column)
            for name, column in columns.items()
            if column is not None
        }
        table = {
            "blocks": list(range(len(self.payloads))),
            "digests": b"".join(map(digest_of, self.payloads)),
            "sizes": list(map(len, self.payloads)),
            **self.table,
        }
        block = {"columns": encoded, "payloads": table, "rows": 2, **self.block}
        return self.whole.get("block", msgpack.packb(block))

    def segment(self) -> bytes:
        """Return the bytes of the segment."""
        record_block = self.record_block()
        blocks = [(each, 0) for each in [record_block, *self.payloads]]
        for index, stored in self.stored.items():
            blocks[index] = stored
        layout, position = [], 0
        for index, (stored_bytes, codec) in enumerate(blocks):
            entry = (position, len(stored_bytes), codec, bytes(7))
            layout.append(LAYOUT_ENTRY.pack(*self.layout.get(index, entry)))
            position += len(stored_bytes)
        stamp = {
            "kind": 0,
            "environment": None if self.environment is None else 0,
            "first": self.keys[0],
            "rows": 2,
            "size": len(record_block),
            "digest": digest_of(record_block),
            "payload_size": 11,
            **self.stamp,
        }
        plain = {
            "type": "overwinter.segment/1",
            "kinds": [{**attrs.asdict(self.of, recurse=False), **self.kind}],
            "environments": [] if self.environment is None else [self.environment],
            "blocks": [stamp],
            "payload_blocks": len(self.payloads),
            **self.statement,
        }
        statement = self.whole.get("statement", msgpack.packb(plain))
        signatures = self.signatures
        if signatures is None:
            signed = [attrs.asdict(each.sign(statement)) for each in self.signers]
            signatures = msgpack.packb(signed)
        parts = [*(each for each, _ in blocks), *layout, statement, signatures]
        foot = Foot(
            segment_size=sum(map(len, parts)) + FOOT.size,
            layout_size=sum(map(len, layout)),
            statement_size=len(statement),
            signatures_size=len(signatures),
            signatures_crc=zlib.crc32(signatures),
            digest=digest_of(statement),
        )
        return b"".join(parts) + write_foot(attrs.evolve(foot, **self.foot))

    def file(self) -> bytes:
        """Return a bundle of this one segment."""
        return file_of(self.segment())
