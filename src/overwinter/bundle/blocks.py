"""
Blocks: the units of reading. A block is whole, or it is named as damaged.

Record blocks hold columns, payload blocks the bytes that are stored out of line.
Layout: ``schema/FORMAT.md``, "Layout", "Record block", "Payload block".
"""

import hashlib
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, chain
from typing import Any

import attrs

from ..codec import Columns, Walk, are_like, pack, walking
from ..errors import BlockDamagedError, TooLargeError
from ..limits import MAX_BLOCK_ROWS, MAX_COLUMNS, MAX_WINDOW_LOG
from ..memory import within_memory
from ..sources import Source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "LAYOUT_ENTRY",
    "STORED",
    "ZSTD",
    "Buffer",
    "PayloadTable",
    "Placement",
    "Sealed",
    "StoredBlock",
    "check_block",
    "compress",
    "digest_of",
    "read_record_block",
    "seal",
    "write_record_block",
]

LAYOUT_ENTRY = struct.Struct("<QQB7s")
STORED, ZSTD = 0, 1
DIGEST_SIZE = 32
_DIGEST = struct.Struct(f"{DIGEST_SIZE}s")

# Bytes of a block that are read, or decompressed, at once where none are kept.
_CHUNK = 2**20

_WINDOW = zstd.DecompressionParameter.window_log_max
_DECODING: Mapping[int, int] = {_WINDOW: MAX_WINDOW_LOG}


def digest_of(data: bytes | memoryview) -> bytes:
    """Return the SHA-256 of *data*, 32 bytes."""
    return hashlib.sha256(data).digest()


@attrs.frozen
class Placement:
    """Where a stored block lies in its segment, and how it is compressed."""

    offset: int
    stored_size: int
    codec: int

    def pack(self) -> bytes:
        """Return the entry of the layout; `unpack` is the inverse."""
        return LAYOUT_ENTRY.pack(self.offset, self.stored_size, self.codec, bytes(7))

    @classmethod
    def unpack(cls, entry: bytes) -> "Placement":
        """Return what an entry of the layout says; reading checks it."""
        offset, stored_size, codec, zero = LAYOUT_ENTRY.unpack(entry)
        # A bit in the reserved bytes is damage; no such codec reports it so.
        return cls(offset, stored_size, codec if zero == bytes(7) else 255)


# --- stored blocks ----------------------------------------------------------


Buffer = bytes | memoryview

# Digest of a block, the pieces that are stored, and their codec.
Sealed = tuple[bytes, Sequence[Buffer], int]


def seal(blocks: Sequence[Sequence[Buffer]], level: int) -> list[Sealed]:
    """
    Return *blocks*, each in pieces, as they are stored: hashed, and compressed.

    Args:
        blocks: The pieces of each block.
        level: zstd level; 0 stores the pieces as they are, where they lie.
    """
    sealed: list[Sealed] = []
    for pieces in blocks:
        if level:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            stored, codec = compress(data, level)
            sealed.append((digest_of(data), [stored], codec))
            continue
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        sealed.append((digest.digest(), pieces, STORED))
    return sealed


def compress(data: Buffer, level: int) -> tuple[Buffer, int]:
    """Return *data* as it is stored, and the codec; level 0 stores it as it is."""
    if level:
        compressed = zstd.compress(data, level)
        # Below a saving of 1/32 the decoding costs more than the bytes.
        if len(compressed) < len(data) - len(data) // 32:
            return compressed, ZSTD
    return data, STORED


@attrs.frozen
class StoredBlock:
    """
    One block in a bundle, and what was signed of it.

    Args:
        source: The bundle.
        base: Offset of the segment, in bytes from the start of the source.
        bound: Bytes of the segment that may hold blocks.
        placement: What the layout says of the block.
        size: Bytes of the block, uncompressed, as the signed part says.
        digest: SHA-256 of those bytes.
        part: Name of the block, for the error.
        limit: Largest block accepted, in bytes, uncompressed.
    """

    source: Source
    base: int
    bound: int
    placement: Placement
    size: int
    digest: bytes
    part: str
    limit: int

    def read(self) -> bytes:
        """
        Return the verified bytes of the block, in private memory.

        Raises:
            TooLargeError: The block is larger than ``limit``.
            BlockDamagedError: Its bytes are not those that were signed.
        """
        self._check_placement()
        begin, stored = self.base + self.placement.offset, self.placement.stored_size
        with within_memory(self.source.name, self.part):
            data = self.source.read(begin, stored)
            if self.placement.codec == ZSTD:
                data = _decompress(data, self.size, self.source.name, self.part)
        check_block(data, self.size, self.digest, self.source.name, self.part)
        return data

    def pieces(self) -> Iterator[bytes]:
        """
        Give the bytes of the block; only at the end is known that they are its own.

        However large it is, 2 MiB are in memory, and the window of its frame.

        Raises:
            TooLargeError: The block is larger than ``limit``.
            BlockDamagedError: Its bytes are not those that were signed.
        """
        self._check_placement()
        begin = self.base + self.placement.offset
        end = begin + self.placement.stored_size
        pieces: Iterator[bytes] = (
            self.source.read(at, min(_CHUNK, end - at))
            for at in range(begin, end, _CHUNK)
        )
        name = self.source.name
        if self.placement.codec == ZSTD:
            pieces = _decompressed(pieces, self.size, name, self.part)
        found, n_bytes = hashlib.sha256(), 0
        for piece in pieces:
            found.update(piece)
            n_bytes += len(piece)
            yield piece
        digest = found.digest()
        _check_digest(n_bytes, digest, self.size, self.digest, name, self.part)

    def _check_placement(self) -> None:
        name, part, size = self.source.name, self.part, self.size
        stored, codec = self.placement.stored_size, self.placement.codec
        if size > self.limit:
            raise TooLargeError(name, part, size, self.limit)
        end = self.placement.offset + stored
        if end > self.bound:
            raise BlockDamagedError(
                name, part, f"an end at {end:,}", f"≤ {self.bound:,}"
            )
        # A frame larger than its content by more than this is no honest frame.
        if stored > size + size // 128 + 1024:
            raise BlockDamagedError(
                name, part, f"{stored:,} bytes stored", f"about {size:,} at most"
            )
        if codec not in (STORED, ZSTD):
            raise BlockDamagedError(
                name, part, f"codec {codec}", "0 (stored) or 1 (zstd)"
            )


def check_block(data: Buffer, size: int, digest: bytes, source: str, part: str) -> None:
    """
    Hold the bytes of a block against what was signed.

    Raises:
        BlockDamagedError: They are others.
    """
    # Of another size it is not worth hashing.
    found = digest_of(data) if len(data) == size else b""
    _check_digest(len(data), found, size, digest, source, part)


def _check_digest(
    n_bytes: int, found: bytes, size: int, digest: bytes, source: str, part: str
) -> None:
    if n_bytes != size:
        raise BlockDamagedError(source, part, f"{n_bytes:,} bytes", f"{size:,} bytes")
    if found != digest:
        raise BlockDamagedError(
            source, part, f"SHA-256 {found.hex()[:16]}…", f"{digest.hex()[:16]}…"
        )


def _decompress(data: bytes, size: int, source: str, part: str) -> bytes:
    # One byte more than promised is enough to know that it is too much.
    return b"".join(_decompressed(iter([data]), size, source, part, at_once=size + 1))


def _decompressed(
    pieces: Iterator[bytes],
    size: int,
    source: str,
    part: str,
    *,
    at_once: int = _CHUNK,
) -> Iterator[bytes]:
    """Give the content of the one zstd frame in *pieces*, at most *at_once* bytes."""
    decompressor = zstd.ZstdDecompressor(options=_DECODING)
    n_bytes = 0
    try:
        while not decompressor.eof and n_bytes <= size:
            piece = next(pieces, b"") if decompressor.needs_input else b""
            found = decompressor.decompress(piece, max_length=at_once)
            if not found and not piece and decompressor.needs_input:
                break  # the frame goes on, and there is no more of it
            n_bytes += len(found)
            yield found
    except zstd.ZstdError as error:
        raise BlockDamagedError(source, part, str(error), "a zstd frame") from error
    if not decompressor.eof or decompressor.unused_data or next(pieces, b""):
        raise BlockDamagedError(
            source, part, "another end of its zstd frame", f"one after {size:,} bytes"
        )


# --- record blocks ----------------------------------------------------------


@attrs.frozen
class PayloadTable:
    """The payload blocks that the records of one record block use, in order."""

    blocks: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    digests: tuple[bytes, ...] = ()

    @cached_property
    def ends(self) -> list[int]:
        """Where each block ends in their concatenation."""
        return list(accumulate(self.sizes))


def write_record_block(columns: Columns, table: PayloadTable) -> bytes:
    """Return the bytes of a record block; payload columns are references."""
    return pack(
        {
            "columns": {name: columns.encoded(name) for name in columns},
            "payloads": {
                "blocks": list(table.blocks),
                "digests": b"".join(table.digests),
                "sizes": list(table.sizes),
            },
            "rows": columns.rows,
        }
    )


def read_record_block(
    data: bytes,
    source: str,
    part: str,
    rows: int,
    first: str,
    is_flat: Callable[[str], bool] | None = None,
) -> tuple[Columns, PayloadTable]:
    """
    Return the columns of a verified block, unread, and its payload table.

    Args:
        data: The block.
        source: Name of the bundle, for errors.
        part: Name of the block, for errors.
        rows: Number of its records, as the statement says.
        first: Key of the first of them, as the statement says.
        is_flat: Whether a column holds no lists and no maps, by its name.

    Raises:
        BlockDamagedError: The block is not laid out as `write_record_block` does.
    """
    with walking(data, source, part, BlockDamagedError) as walk:
        plain = walk.map(
            ("rows",),
            inside={
                "columns": lambda: walk.bytes_map(MAX_COLUMNS),
                "payloads": lambda: _walk_table(walk),
            },
        )
    try:
        found, columns, payloads = plain["rows"], plain["columns"], plain["payloads"]
        numbers, sizes = payloads["blocks"], payloads["sizes"]
        digests = payloads["digests"]
        good = (
            found == rows
            and 1 <= rows <= MAX_BLOCK_ROWS
            and _are_sizes(numbers)
            and len(set(numbers)) == len(numbers)
            and _are_sizes(sizes)
            and type(digests) is bytes
            and len(digests) == DIGEST_SIZE * len(sizes) == DIGEST_SIZE * len(numbers)
        )
        held = Columns(rows, columns, source, is_flat)
        likely = good and are_like(columns["key"], first, rows)
        keys = [first] if likely else held["key"]
    except (KeyError, TypeError, ValueError, AttributeError):
        good, keys = False, []
    if not good:
        raise BlockDamagedError(
            source, part, "another layout", f"rows ({rows}), columns, payloads"
        )
    if keys[0] != first or set(map(type, keys)) != {str}:
        raise BlockDamagedError(
            source, part, "other keys", f"a text each, the first of them {first!a:.80}"
        )
    table = PayloadTable(
        tuple(numbers),
        tuple(sizes),
        tuple(chain.from_iterable(_DIGEST.iter_unpack(digests))),
    )
    return held, table


def _walk_table(walk: Walk) -> dict[str, Any]:
    lists = {"blocks": walk.scalars, "sizes": walk.scalars}
    return walk.map(("digests",), inside=lists)


def _are_sizes(values: Sequence[Any]) -> bool:
    if type(values) is not list or not set(map(type, values)) <= {int}:
        return False
    return min(values, default=0) >= 0
