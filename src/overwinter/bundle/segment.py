"""
A segment's own words: its foot, its statement and the signatures over that.

Layout: ``schema/FORMAT.md``, "Foot", "Statement", "Signatures".
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import attrs

from ..codec import Encoded, pack, unpack_flat, walking
from ..environment import Environment
from ..errors import DamagedError, SegmentDamagedError, TooLargeError, TooNewError
from ..files import write_all
from ..limits import (
    MAX_BLOCKS,
    MAX_ENVIRONMENTS,
    MAX_FIELDS,
    MAX_KINDS,
    MAX_SIGNATURES,
    MAX_SIGNERS,
    MAX_STATEMENT,
)
from ..sources import Source
from ..trust import Signature, SigningKey
from .blocks import DIGEST_SIZE, LAYOUT_ENTRY, Placement, digest_of

__all__ = [
    "FOOT",
    "BlockStamp",
    "Foot",
    "KindStamp",
    "Statement",
    "read_foot",
    "read_signatures",
    "read_statement",
    "with_signatures",
    "write_foot",
    "write_signatures",
    "write_words",
]

MAGIC = b"\x89OWS\r\n\x1a\n"
FOOT = struct.Struct("<8sH6sQQQII32s12sI")
SEGMENT_VERSION = 1
STATEMENT = "overwinter.segment/1"
_LATER_STATEMENT = re.compile(r"overwinter\.segment/([1-9][0-9]{0,8})")


# --- foot -------------------------------------------------------------------


@attrs.frozen
class Foot:
    """The sizes of a segment's parts; they lie back to back before the foot."""

    segment_size: int
    layout_size: int
    statement_size: int
    signatures_size: int
    signatures_crc: int
    digest: bytes

    @property
    def blocks_size(self) -> int:
        """Bytes from the segment's start that hold blocks."""
        return self.segment_size - (
            self.layout_size + self.statement_size + self.signatures_size + FOOT.size
        )

    @property
    def n_blocks(self) -> int:
        """Record and payload blocks together."""
        return self.layout_size // LAYOUT_ENTRY.size


def write_foot(foot: Foot) -> bytes:
    """Return the 96 bytes at a segment's end; `read_foot` is the inverse."""
    fields = FOOT.pack(
        MAGIC, SEGMENT_VERSION, bytes(6),
        foot.segment_size, foot.layout_size, foot.statement_size,
        foot.signatures_size, foot.signatures_crc, foot.digest, bytes(12), 0,
    )  # fmt: skip
    return fields[:-4] + struct.pack("<I", zlib.crc32(fields[:-4]))


def read_foot(data: bytes, source: str, part: str, segment_size: int) -> Foot:
    """
    Return the foot of a segment whose size is known from the trailer.

    Raises:
        SegmentDamagedError: The foot is changed, or its sizes do not add up.
        TooNewError: The segment's layout is of a later version.
        TooLargeError: A part is larger than a reader accepts.
    """

    def damaged(found: str, expected: str) -> SegmentDamagedError:
        return SegmentDamagedError(source, f"{part}, foot", found, expected)

    if len(data) != FOOT.size:
        raise damaged(f"{len(data)} bytes", f"{FOOT.size} bytes")
    fields = FOOT.unpack(data)
    crc = zlib.crc32(data[:-4])
    if fields[0] != MAGIC or fields[-1] != crc:
        raise damaged(f"CRC-32 {crc:08x}", f"{fields[-1]:08x} behind {MAGIC!r}")
    if fields[1] != SEGMENT_VERSION:
        raise TooNewError(source, "segment version", fields[1], SEGMENT_VERSION)
    foot = Foot(*fields[3:9])
    if any(fields[2] + fields[9]):
        raise damaged("a reserved bit", "zero")
    if foot.statement_size > MAX_STATEMENT:
        raise TooLargeError(
            source, f"{part}, statement", foot.statement_size, MAX_STATEMENT
        )
    if foot.signatures_size > MAX_SIGNATURES:
        raise TooLargeError(
            source, f"{part}, signatures", foot.signatures_size, MAX_SIGNATURES
        )
    if foot.segment_size != segment_size:
        raise damaged(f"a size of {foot.segment_size:,}", f"{segment_size:,}")
    if foot.blocks_size < 0 or foot.layout_size % LAYOUT_ENTRY.size:
        raise damaged("parts larger than the whole", f"a sum of {segment_size:,}")
    if foot.n_blocks > MAX_BLOCKS:
        raise TooLargeError(
            source, f"{part}, layout", foot.n_blocks, MAX_BLOCKS, "blocks"
        )
    return foot


# --- statement --------------------------------------------------------------


@attrs.frozen
class KindStamp:
    """Kind and schema version of records, as the segment's writer knew them."""

    kind: str
    version: int
    fingerprint: bytes
    oldest_reader: int
    schema: Mapping[str, Any] = attrs.field(eq=False, repr=False)
    # Written before the schema was released: another may become this version.
    draft: bool = False

    @property
    def plain_schema(self) -> dict[str, Any]:
        """The schema, decoded where it was read from a statement."""
        schema = self.schema
        return schema.decoded() if isinstance(schema, Encoded) else dict(schema)

    def as_plain(self) -> dict[str, Any]:
        """Return the map that the statement holds."""
        plain = {**attrs.asdict(self, recurse=False), "schema": self.plain_schema}
        if not plain.pop("draft"):
            return plain
        return {**plain, "draft": True}


@attrs.frozen
class BlockStamp:
    """What the statement says of one record block."""

    kind: int
    environment: int | None
    first: str
    rows: int
    size: int
    digest: bytes
    payload_size: int
    # Key of the last record, where blocks overlap: else their order says enough.
    last: str | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return the map that the statement holds."""
        plain = attrs.asdict(self, recurse=False)
        if plain["last"] is None:
            del plain["last"]
        return plain


@attrs.frozen
class Statement:
    """What a segment says; its digest is the segment's name."""

    kinds: tuple[KindStamp, ...]
    environments: tuple[Environment, ...]
    blocks: tuple[BlockStamp, ...]
    payload_blocks: int

    def pack(self) -> bytes:
        """Return the bytes that are signed; `read_statement` is the inverse."""
        return pack(
            {
                "type": STATEMENT,
                "kinds": [kind.as_plain() for kind in self.kinds],
                "environments": [dict(each) for each in self.environments],
                "blocks": [block.as_plain() for block in self.blocks],
                "payload_blocks": self.payload_blocks,
            }
        )


def read_statement(data: bytes, foot: Foot, source: str, part: str) -> Statement:
    """
    Return the statement, whose digest is checked before it is decoded.

    Raises:
        SegmentDamagedError: It is changed, or not laid out as a statement.
        TooNewError: It is of a later type.
    """
    part = f"{part}, statement"
    found = digest_of(data)
    if found != foot.digest:
        raise SegmentDamagedError(
            source, part, f"SHA-256 {found.hex()[:16]}…", f"{foot.digest.hex()[:16]}…"
        )
    shape = _Shape(source, part)
    with walking(data, source, part, SegmentDamagedError) as walk:
        plain = walk.map(
            ("type", "payload_blocks"), ("kinds", "environments", "blocks")
        )
    kind = plain.get("type")
    if kind != STATEMENT:
        later = _LATER_STATEMENT.fullmatch(kind) if isinstance(kind, str) else None
        if later is not None:
            raise TooNewError(source, "statement version", int(later[1]), 1)
        raise SegmentDamagedError(source, part, f"type {_shown(kind)}", repr(STATEMENT))

    kinds = tuple(shape.kinds(plain))
    environments = tuple(shape.environments(plain))
    blocks = tuple(
        shape.block(each, len(kinds), len(environments))
        for each in shape.maps(plain, "blocks", foot.n_blocks, _STAMP_KEYS)
    )
    payload_blocks = shape.get(plain, "payload_blocks", int)
    if len(blocks) + payload_blocks != foot.n_blocks:
        raise SegmentDamagedError(
            source,
            part,
            f"{len(blocks)} record and {payload_blocks} payload blocks",
            f"{foot.n_blocks} in all, as the layout has",
        )
    return Statement(kinds, environments, blocks, payload_blocks)


_BLOCK_KEYS = ("kind", "rows", "size", "payload_size", "first", "digest")
_BLOCK_TYPES = (int, int, int, int, str, bytes)
_STAMP_KEYS = (*_BLOCK_KEYS, "environment", "last")
_KIND_KEYS = ("kind", "version", "fingerprint", "oldest_reader", "draft")
_SIGNATURE_KEYS = ("algorithm", "key", "signature")


class _Shape:
    """Takes typed values out of a plain statement, or names what is wrong."""

    def __init__(self, source: str, part: str) -> None:
        self.source, self.part = source, part

    def fail(self, found: str, expected: str) -> SegmentDamagedError:
        return SegmentDamagedError(self.source, self.part, found, expected)

    def get(self, plain: Mapping[str, Any], name: str, kind: type) -> Any:
        value: Any = plain.get(name)
        negative = isinstance(value, int) and value < 0
        if type(value) is not kind or negative:
            raise self.fail(
                f"{name} {_shown(value)}", f"{name} of type {kind.__name__}"
            )
        return value

    def version(self, plain: Mapping[str, Any], name: str) -> int:
        value: int = self.get(plain, name, int)
        if not value:
            raise self.fail(f"{name} 0", f"{name} from 1")
        return value

    def encoded(self, plain: Mapping[str, Any], name: str) -> bytes:
        if name not in plain:
            raise self.fail(f"no {name}", f"{name} of type list")
        value: bytes = plain[name]
        return value

    def maps(
        self,
        plain: Mapping[str, Any],
        name: str,
        limit: int,
        scalars: Sequence[str],
        encoded: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Give the maps of a list of *limit* at most, each with these keys."""
        part = f"{self.part}, {name}" if name else self.part
        data = self.encoded(plain, name)
        if not encoded and (at_once := self.flat_maps(data, limit)) is not None:
            yield from at_once
            return
        with walking(data, self.source, part, SegmentDamagedError) as walk:
            for _ in walk.items(limit):
                yield walk.map(scalars, encoded)

    def flat_maps(self, data: bytes, limit: int) -> list[dict[str, Any]] | None:
        """
        Return the maps of a list, or ``None`` where they must be walked.

        At once they take half of the time, where there is nothing in them to skip.
        """
        # Each has a digest, or a signature.
        limit = min(limit, len(data) // DIGEST_SIZE)
        try:
            found = unpack_flat(data, self.source, self.part, maps=limit)
        except DamagedError:
            return None
        if type(found) is not list or not set(map(type, found)) <= {dict}:
            return None
        return found

    def digest(self, plain: Mapping[str, Any], name: str) -> bytes:
        value: bytes = self.get(plain, name, bytes)
        if len(value) != 32:
            raise self.fail(f"{name} of {len(value)} bytes", "32 bytes")
        return value

    def kinds(self, plain: Mapping[str, Any]) -> Iterator[KindStamp]:
        for each in self.maps(plain, "kinds", MAX_KINDS, _KIND_KEYS, ("schema",)):
            # What it says is asked when a block of the kind is opened.
            schema = Encoded(
                self.encoded(each, "schema"), self.source, f"{self.part}, schema"
            )
            yield KindStamp(
                self.get(each, "kind", str),
                self.version(each, "version"),
                self.digest(each, "fingerprint"),
                self.version(each, "oldest_reader"),
                schema,
                self.get(each, "draft", bool) if "draft" in each else False,
            )

    def environments(self, plain: Mapping[str, Any]) -> Iterator[Environment]:
        data = self.encoded(plain, "environments")
        part = f"{self.part}, environments"
        with walking(data, self.source, part, SegmentDamagedError) as walk:
            for _ in walk.items(MAX_ENVIRONMENTS):
                yield self.environment(walk.flat_map(MAX_FIELDS))

    def environment(self, plain: Mapping[str, Any]) -> Environment:
        for field, value in plain.items():
            texts = value if type(value) is list else [value]
            if not set(map(type, texts)) <= {str}:
                raise self.fail(f"environment field {field!r}", "text, or a list of it")
        return plain

    def block(
        self, plain: Mapping[str, Any], n_kinds: int, n_environments: int
    ) -> BlockStamp:
        environment = plain.get("environment")
        values: tuple[Any, ...] = tuple(map(plain.get, _BLOCK_KEYS))
        # All at once: asking each takes four times as long, and opening a bundle
        # of 200,000 records asks for a hundred blocks.
        if tuple(map(type, values)) != _BLOCK_TYPES or min(values[:4]) < 0:
            for name, kind in zip(_BLOCK_KEYS, _BLOCK_TYPES, strict=True):
                self.get(plain, name, kind)
        if environment is not None:
            self.get(plain, "environment", int)
        number, rows, size, payload_size, first, digest = values
        if len(digest) != 32:
            self.digest(plain, "digest")
        last = self.get(plain, "last", str) if "last" in plain else None
        stamp = BlockStamp(
            number, environment, first, rows, size, digest, payload_size, last
        )
        known = stamp.environment is None or stamp.environment < n_environments
        if stamp.kind >= n_kinds or not known:
            raise self.fail("a block of no such kind or environment", "one listed")
        return stamp


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


# --- signatures -------------------------------------------------------------


def write_signatures(signatures: Sequence[Signature]) -> bytes:
    """Return the bytes of a segment's signatures, sorted by key."""
    ordered = sorted(signatures, key=lambda each: each.key)
    return pack([attrs.asdict(each) for each in ordered])


def with_signatures(foot: Foot, signatures: Sequence[Signature]) -> tuple[Foot, bytes]:
    """Return the foot of a segment that has these signatures, and their bytes."""
    data = write_signatures(signatures)
    return attrs.evolve(
        foot,
        segment_size=foot.segment_size - foot.signatures_size + len(data),
        signatures_size=len(data),
        signatures_crc=zlib.crc32(data),
    ), data


def read_signatures(
    data: bytes, foot: Foot, source: str, part: str
) -> tuple[Signature, ...]:
    """
    Return a segment's signatures, not yet checked against its statement.

    Raises:
        SegmentDamagedError: They are changed, or not laid out as signatures.
    """
    part = f"{part}, signatures"
    if zlib.crc32(data) != foot.signatures_crc:
        raise SegmentDamagedError(
            source, part, f"CRC-32 {zlib.crc32(data):08x}", f"{foot.signatures_crc:08x}"
        )
    shape = _Shape(source, part)
    return tuple(
        Signature(
            shape.get(each, "algorithm", str),
            shape.get(each, "key", bytes),
            shape.get(each, "signature", bytes),
        )
        for each in shape.maps({"": data}, "", MAX_SIGNERS, _SIGNATURE_KEYS)
    )


def write_words(
    file: IO[bytes],
    position: int,
    placements: Sequence[Placement],
    statement: Statement,
    key: SigningKey | None,
) -> Foot:
    """
    Write what stands behind a segment's blocks; return its foot.

    Args:
        file: Open for writing, behind the blocks.
        position: Bytes of the blocks.
        placements: Where they lie, in the order of the layout.
        statement: What the segment says.
        key: Signs it; without it nobody will populate from the segment.
    """
    layout = b"".join(each.pack() for each in placements)
    words = statement.pack()
    signatures = write_signatures([key.sign(words)] if key else [])
    parts = [layout, words, signatures]
    foot = Foot(
        segment_size=position + sum(map(len, parts)) + FOOT.size,
        layout_size=len(layout),
        statement_size=len(words),
        signatures_size=len(signatures),
        signatures_crc=zlib.crc32(signatures),
        digest=digest_of(words),
    )
    write_all(file, [*parts, write_foot(foot)])
    return foot


def read_parts(
    source: Source, offset: int, size: int, part: str
) -> tuple[Foot, Statement, bytes, tuple[Signature, ...]]:
    """
    Return foot, statement, the statement's bytes and signatures of one segment.

    Args:
        source: Where the segment lies.
        offset: Its first byte.
        size: Its bytes, as the trailer says.
        part: Its name, for errors.
    """
    if size < FOOT.size:
        raise SegmentDamagedError(source.name, part, f"{size} bytes", "96 at least")
    # Most statements and signatures fit: one read for all of them.
    window = min(size, _WINDOW)
    tail = source.read(offset + size - window, window)
    foot = read_foot(tail[-FOOT.size :], source.name, part, size)
    behind = foot.statement_size + foot.signatures_size + FOOT.size
    if behind > window:
        tail = source.read(offset + size - behind, behind)
    words = tail[len(tail) - behind :]
    statement = words[: foot.statement_size]
    signatures = words[foot.statement_size : foot.statement_size + foot.signatures_size]
    return (
        foot,
        read_statement(statement, foot, source.name, part),
        statement,
        read_signatures(signatures, foot, source.name, part),
    )


# Foot, signatures, and the statement of 400,000 records.
_WINDOW = 32 * 2**10
