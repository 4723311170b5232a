"""
Bundles around a part of which every byte is free, sealed as a signer would.

Sizes, digests, checksums and the signature follow the part, so that what reads it
is reached: a checksum refuses nearly everything that is changed blindly.
"""

import zlib
from collections.abc import Sequence
from typing import Any

import attrs
import msgpack
from bundles import KEY
from forging import file_of

from overwinter import Bundle
from overwinter.bundle.blocks import LAYOUT_ENTRY, digest_of
from overwinter.bundle.foot import FOOT, Foot, write_foot

__all__ = ["Parts", "layout_of", "parts_of", "seal", "with_block"]


@attrs.frozen
class Parts:
    """
    One segment taken apart.

    Args:
        statement: The plain value of its statement.
        blocks: Its record blocks and payload blocks, uncompressed.
    """

    statement: dict[str, Any]
    blocks: tuple[bytes, ...]

    @property
    def n_record_blocks(self) -> int:
        """How many of the blocks hold records."""
        return len(self.statement["blocks"])


def parts_of(data: bytes) -> Parts:
    """Return the parts of the first segment of a bundle that holds stored blocks."""
    with Bundle(data) as bundle:
        segment = bundle.segments[0]
        blocks = []
        for place in map(segment.placement, range(segment.foot.n_blocks)):
            begin = segment.entry.offset + place.offset
            blocks.append(data[begin : begin + place.stored_size])
        begin = segment.entry.offset + segment.foot.blocks_size
        begin += segment.foot.layout_size
        words = data[begin : begin + segment.foot.statement_size]
    return Parts(msgpack.unpackb(words), tuple(blocks))


def with_block(parts: Parts, number: int, block: bytes) -> Parts:
    """Return *parts* with another record block, which its statement names rightly."""
    stamps = list(parts.statement["blocks"])
    stamps[number] = {
        **stamps[number],
        "size": len(block),
        "digest": digest_of(block),
    }
    blocks = list(parts.blocks)
    blocks[number] = block
    return Parts({**parts.statement, "blocks": stamps}, tuple(blocks))


def layout_of(stored: Sequence[tuple[bytes, int]]) -> bytes:
    """Return the layout of blocks that lie one behind the other."""
    layout, position = b"", 0
    for data, codec in stored:
        layout += LAYOUT_ENTRY.pack(position, len(data), codec, bytes(7))
        position += len(data)
    return layout


def seal(
    parts: Parts,
    *,
    words: bytes | None = None,
    layout: bytes | None = None,
    signatures: bytes | None = None,
    stored: Sequence[tuple[bytes, int]] | None = None,
    is_signed: bool = True,
) -> bytes:
    """
    Return a bundle of these parts.

    Args:
        parts: A segment.
        words: The bytes of the statement instead.
        layout: The bytes of the layout instead.
        signatures: The bytes of the signatures instead.
        stored: What is stored for each block, and its codec.
        is_signed: Whether the tests' key signed it.
    """
    stored = stored or [(block, 0) for block in parts.blocks]
    layout = layout_of(stored) if layout is None else layout
    words = msgpack.packb(parts.statement) if words is None else words
    if signatures is None:
        signed = [attrs.asdict(KEY.sign(words))] if is_signed else []
        signatures = msgpack.packb(signed)
    body = b"".join(data for data, _ in stored) + layout + words + signatures
    foot = Foot(
        segment_size=len(body) + FOOT.size,
        layout_size=len(layout),
        statement_size=len(words),
        signatures_size=len(signatures),
        signatures_crc=zlib.crc32(signatures),
        digest=digest_of(words),
    )
    return file_of(body + write_foot(foot))
