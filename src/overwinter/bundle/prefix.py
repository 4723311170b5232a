"""
Prefix and header: what a file says of itself before anything else is read.

Layout: ``schema/FORMAT.md``, "Prefix" and "Header".
"""

import struct
import zlib

import attrs

from ..codec import pack, unpack
from ..errors import (
    DamagedError,
    NotABundleError,
    TooLargeError,
    TooNewError,
    UnknownFeatureError,
)
from ..limits import MAX_HEADER
from ..sources import Source

__all__ = ["CONTAINER", "PREFIX", "Header", "read_prefix", "write_prefix"]

MAGIC = b"\x89OWB\r\n\x1a\n"
PREFIX = struct.Struct("<8sHHHHIIII")

CONTAINER = 1  # the container version that this release writes
CONTAINER_MINOR = 0
OLDEST_READER = 1

DIGEST = "sha256"
# Features of the container that this release knows; version 1 has none.
KNOWN_FEATURES: frozenset[str] = frozenset()


@attrs.frozen
class Header:
    """What stands behind the prefix, and where the first segment may begin."""

    writer: str
    requires: tuple[str, ...] = ()
    write_requires: tuple[str, ...] = ()
    digest: str = DIGEST
    size: int = attrs.field(default=0, eq=False)

    def check_writable(self, source: str) -> None:
        """Raise `UnknownFeatureError` where we must not append."""
        unknown = tuple(sorted(set(self.write_requires) - KNOWN_FEATURES))
        if unknown:
            raise UnknownFeatureError(source, unknown, "append to")


def write_prefix(header: Header) -> bytes:
    """Return prefix and header."""
    body = pack(
        {
            "digest": header.digest,
            "requires": list(header.requires),
            "write_requires": list(header.write_requires),
            "writer": header.writer,
        }
    )
    fields = PREFIX.pack(
        MAGIC, CONTAINER, CONTAINER_MINOR, OLDEST_READER, 0,
        len(body), zlib.crc32(body), 0, 0,
    )  # fmt: skip
    checked = fields[:-4]
    return checked + struct.pack("<I", zlib.crc32(checked)) + body


def read_prefix(source: Source) -> Header:
    """
    Return the header of a bundle.

    Raises:
        NotABundleError: The magic is not there.
        DamagedError: Prefix or header are cut or changed.
        TooNewError: It was written for later readers only.
        UnknownFeatureError: It requires what this release does not know.
        TooLargeError: The header's declared size is beyond ``MAX_HEADER``.
    """
    data = source.read(0, PREFIX.size)
    if data[:8] != MAGIC:
        raise NotABundleError(source.name, data[:8], _hint(data))
    if len(data) < PREFIX.size:
        raise DamagedError(source.name, "prefix", f"{len(data)} bytes", "32 bytes")
    crc = zlib.crc32(data[:-4])
    fields = PREFIX.unpack(data)
    if crc != fields[-1]:
        raise DamagedError(
            source.name, "prefix", f"CRC-32 {crc:08x}", f"{fields[-1]:08x}"
        )
    _, major, _, oldest, zero, size, header_crc, zero_too, _ = fields
    if oldest > CONTAINER:
        raise TooNewError(
            source.name, "container version", major, CONTAINER, f"readers of {oldest}"
        )
    if zero or zero_too:
        raise DamagedError(source.name, "prefix", "a reserved bit", "zero")
    if size > MAX_HEADER:
        raise TooLargeError(source.name, "header", size, MAX_HEADER)

    body = source.read(PREFIX.size, size)
    if len(body) < size or zlib.crc32(body) != header_crc:
        raise DamagedError(
            source.name, "header", f"CRC-32 {zlib.crc32(body):08x}", f"{header_crc:08x}"
        )
    header = _read_header(unpack(body, source.name, "header"), source.name, size)
    unknown = tuple(sorted(set(header.requires) - KNOWN_FEATURES))
    if header.digest != DIGEST:
        unknown += (f"the digest {header.digest}",)
    if unknown:
        raise UnknownFeatureError(source.name, unknown, "read")
    return header


def _read_header(plain: object, source: str, size: int) -> Header:
    def text_list(value: object) -> tuple[str, ...] | None:
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            return tuple(value)
        return None

    if isinstance(plain, dict):
        requires = text_list(plain.get("requires"))
        write_requires = text_list(plain.get("write_requires"))
        writer, digest = plain.get("writer"), plain.get("digest")
        if (
            requires is not None
            and write_requires is not None
            and isinstance(writer, str)
            and isinstance(digest, str)
        ):
            return Header(writer, requires, write_requires, digest, size)
    raise DamagedError(
        source,
        "header",
        "other keys or types",
        "digest, requires, write_requires, writer",
    )


def _hint(data: bytes) -> str:
    """Say what a foreign file probably is, and what to do with it."""
    if not data:
        return "the file was never written; save it again"
    if MAGIC.startswith(data):
        return "it was cut; fetch it again"
    if data[:4] in (b"\x89OWB", b"\x09OWB"):
        return "it was damaged by a transfer in text mode; fetch it again as binary"
    if data[:8] == b"\0" * 7 + b"\x01" or data[4:12] == b"\0" * 7 + b"\x01":
        return (
            "it is a Mega-Cache blob of torch.compiler.save_cache_artifacts(); load "
            "it with torch.compiler.load_cache_artifacts(), compile once, and save "
            "with overwinter.torch.save()"
        )
    return ""
