"""Tables of ``FORMAT.md``, against the structs that they describe and real bytes."""

import re
import struct
import zlib
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import msgpack
import pytest
from bundles import (
    ENVIRONMENT,
    KEY,
    PLAN,
    built,
    part,
    records_of,
    regions,
    sample,
    sample_of_two,
)

from overwinter import limits
from overwinter.bundle import Records, trailer
from overwinter.bundle.blocks import LAYOUT_ENTRY
from overwinter.bundle.foot import FOOT
from overwinter.bundle.prefix import PREFIX
from overwinter.bundle.statement import STATEMENT
from overwinter.codec import pack, unpack
from overwinter.errors import DamagedError
from overwinter.trust import STATEMENT_TYPE

PAGE = (Path(__file__).parents[2] / "schema" / "FORMAT.md").read_text(encoding="utf-8")
N_SEGMENTS = 2


def tables_of(section: str) -> list[list[list[str]]]:
    """Return the tables under a heading: rows of cells, without the head."""
    (body,) = re.findall(
        rf"^#+ {section}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    found = []
    for table in re.findall(r"(?:^\|.*\n)+", body, re.MULTILINE):
        rows = [
            [cell.strip().strip("`") for cell in line.strip("|\n").split("|")]
            for line in table.splitlines()
        ]
        found.append(rows[2:])
    return found


def number(cell: str) -> int:
    """Return the value of a cell like ``28 + 48n`` for two segments."""
    total = 0
    for term in cell.replace(" ", "").split("+"):
        factors = [int(digits) for digits in re.findall(r"\d+", term)]
        total += factors[0] * (N_SEGMENTS if "n" in term else 1)
    return total


def fields_of(section: str) -> list[tuple[int, int, str]]:
    """Return offset, size and name of each field of a fixed layout."""
    (table,) = tables_of(section)
    return [(number(row[0]), number(row[1]), row[2]) for row in table]


def spans_of(fixed: struct.Struct, start: int = 0) -> list[tuple[int, int]]:
    """Return offset and size of each field of a struct that begins at *start*."""
    spans = []
    for token in re.findall(r"\d*[a-zA-Z]", fixed.format):
        size = struct.calcsize(f"<{token}")
        spans.append((start, size))
        start += size
    return spans


def values_at(data: bytes, section: str) -> dict[str, int | bytes]:
    """Return the fields in *data* by the page alone: integers, or bytes past 8."""
    found: dict[str, int | bytes] = {}
    for offset, size, name in fields_of(section):
        piece = data[offset : offset + size]
        assert len(piece) == size
        number = int.from_bytes(piece, "little")
        found[name] = piece if size > 8 or name in ("magic", "end") else number
        if name == "zero":
            assert not any(piece)
    return found


def magic_of(section: str, field: str = "magic") -> bytes:
    """Return the magic that a table spells in hex."""
    (table,) = tables_of(section)
    (meaning,) = (row[3] for row in table if row[2] == field)
    found = re.match(r"((?:[0-9A-F]{2} ){7}[0-9A-F]{2})\b", meaning)
    assert found is not None
    return bytes.fromhex(found[1])


@pytest.mark.parametrize(
    ("section", "fixed"),
    [("Prefix", PREFIX), ("Foot", FOOT), ("Layout", LAYOUT_ENTRY)],
)
def test_a_table_is_its_struct(section, fixed):
    """Offsets and sizes on the page are those of the struct, to the last byte."""
    fields = fields_of(section)

    assert [(offset, size) for offset, size, _ in fields] == spans_of(fixed)
    assert sum(size for _, size, _ in fields) == fixed.size


def test_the_table_of_the_trailer_is_its_structs():
    """Head, one entry for each segment, and foot, back to back."""
    fields = [(offset, size) for offset, size, _ in fields_of("Trailer")]
    entries = trailer.ENTRY.size * N_SEGMENTS

    assert fields == [
        *spans_of(trailer.HEAD),
        (trailer.HEAD.size, entries),
        *spans_of(trailer.FOOT, trailer.HEAD.size + entries),
    ]
    assert [size for _, size in spans_of(trailer.ENTRY)] == [8, 8, 32]
    assert "offset (8), size (8), digest (32)" in PAGE


@pytest.mark.parametrize(
    ("sentence", "size"),
    [
        ("At offset 0, 32 bytes", PREFIX.size),
        ("\n96 bytes.\n", FOOT.size),
        ("One entry of 24 bytes", LAYOUT_ENTRY.size),
        ("`layout_size` | 24 × number", LAYOUT_ENTRY.size),
        ("40 + 48n", trailer.HEAD.size + trailer.FOOT.size),
    ],
)
def test_a_size_in_a_sentence_is_that_of_the_struct(sentence, size):
    """Sizes outside the tables are also held against the code."""
    assert sentence in PAGE
    assert str(size) in sentence


def test_a_written_prefix_is_what_the_page_says():
    """Every field of the prefix is found at the page's offset."""
    data = sample()
    header = part(data, "header")

    assert values_at(data, "Prefix") == {
        "magic": magic_of("Prefix"),
        "major": 1,
        "minor": 0,
        "oldest_reader": 1,
        "zero": 0,
        "header_size": len(header),
        "header_crc": zlib.crc32(header),
        "prefix_crc": zlib.crc32(data[:28]),
    }


def test_a_written_foot_is_what_the_page_says():
    """Every field of the foot is found at the page's offset."""
    data = sample()
    foot = part(data, "foot 0")
    statement, signatures = part(data, "statement 0"), part(data, "signatures 0")
    blocks, layout = part(data, "blocks 0"), part(data, "layout 0")
    segment = [blocks, layout, statement, signatures, foot]

    assert values_at(foot, "Foot") == {
        "magic": magic_of("Foot"),
        "version": 1,
        "zero": bytes(12),
        "segment_size": sum(map(len, segment)),
        "layout_size": len(layout),
        "statement_size": len(statement),
        "signatures_size": len(signatures),
        "signatures_crc": zlib.crc32(signatures),
        "digest": sha256(statement).digest(),
        "foot_crc": zlib.crc32(foot[:92]),
    }


def test_a_written_layout_is_what_the_page_says():
    """Each entry places one stored block; the first of them is a record block."""
    data = sample()
    layout, blocks = part(data, "layout 0"), part(data, "blocks 0")
    statement = msgpack.unpackb(part(data, "statement 0"))
    entries = [
        values_at(layout[at : at + 24], "Layout") for at in range(0, len(layout), 24)
    ]
    stored = [
        blocks[each["offset"] : each["offset"] + each["stored_size"]]
        for each in entries
    ]

    assert len(entries) == len(statement["blocks"]) + statement["payload_blocks"] == 4
    assert {each["codec"] for each in entries} == {0}
    assert sum(map(len, stored)) == len(blocks)
    assert [sha256(each).digest() for each in stored[:2]] == [
        each["digest"] for each in statement["blocks"]
    ]
    assert stored[2:] == [b"first payloadsecond", b"third payload!"]


@pytest.mark.parametrize("name", ["first copy", "second copy"])
def test_a_written_trailer_is_what_the_page_says(name):
    """Both copies hold the same fields, at the page's offsets."""
    data = sample_of_two()
    where, copy = regions(data), part(data, name)
    names = [part(data, f"foot {number}")[48:80] for number in range(N_SEGMENTS)]
    places = [
        (where[f"blocks {number}"].start, where[f"foot {number}"].stop)
        for number in range(N_SEGMENTS)
    ]

    assert values_at(copy, "Trailer") == {
        "magic": magic_of("Trailer"),
        "offset": where["first copy"].start,
        "count": N_SEGMENTS,
        "zero": 0,
        "segments": b"".join(
            struct.pack("<QQ32s", start, stop - start, digest)
            for (start, stop), digest in zip(places, names, strict=True)
        ),
        "size": len(copy),
        "crc": zlib.crc32(copy[:-12]),
        "end": magic_of("Trailer", "end"),
    }


def maps_of(data: bytes) -> dict[tuple[str, int], dict[str, Any]]:
    """Return by section and table a map that was really written."""
    statement = msgpack.unpackb(part(data, "statement 0"))
    (signature,) = msgpack.unpackb(part(data, "signatures 0"))
    stored = part(data, "blocks 0")
    layout = part(data, "layout 0")
    offset, size = struct.unpack_from("<QQ", layout)
    block = msgpack.unpackb(stored[offset : offset + size])
    return {
        ("Header", 0): msgpack.unpackb(part(data, "header")),
        ("Statement", 0): statement,
        ("Statement", 1): statement["kinds"][0],
        ("Statement", 2): statement["blocks"][0],
        ("Record block", 0): block,
        ("Record block", 1): block["payloads"],
        ("Signatures", 0): signature,
    }


TYPES: dict[str, Any] = {
    "bool": lambda value: type(value) is bool,
    "str": lambda value: type(value) is str,
    "int": lambda value: type(value) is int,
    "int or null": lambda value: value is None or type(value) is int,
    "map": lambda value: type(value) is dict,
    "bin": lambda value: type(value) is bytes,
    "bin 32": lambda value: type(value) is bytes and len(value) == 32,
    "bin 64": lambda value: type(value) is bytes and len(value) == 64,
    "list of str": lambda value: all(type(each) is str for each in value),
    "list of int": lambda value: value and all(type(each) is int for each in value),
    "list of map": lambda value: value and all(type(each) is dict for each in value),
    "map of str to bin": lambda value: all(
        type(each) is bytes for each in value.values()
    ),
}


def plans_of(*keys: str) -> Records:
    """Return plans whose schema is a draft."""
    rows = [{"key": key, "content": b"payload", "ratio": 0.5} for key in keys]
    return records_of(attrs.evolve(PLAN, draft=True), rows, ENVIRONMENT)


# One with every key that may be there: its schema is a draft, its blocks overlap.
DRAFT = built(plans_of("a", "c"), plans_of("b"))


@pytest.mark.parametrize(("section", "index"), maps_of(DRAFT))
def test_the_page_names_every_key_that_is_written(section, index):
    """Not one key more, not one less, and each of the type that the page gives."""
    written = maps_of(DRAFT)[section, index]
    table = tables_of(section)[index]

    assert sorted(row[0] for row in table) == sorted(written)
    for name, kind, *_ in table:
        assert TYPES[kind](written[name]), f"{name}: {written[name]!r} is no {kind}"


def test_every_table_of_keys_is_held_against_a_map():
    """A table that is added to these sections needs a map above."""
    sections = {section for section, _ in maps_of(DRAFT)}
    tables = {
        (section, index)
        for section in sections
        for index in range(len(tables_of(section)))
    }

    assert tables == maps_of(DRAFT).keys()


@pytest.mark.parametrize(
    ("sentence", "limit"),
    [
        ("`header_size` | size of the header that follows, at most 65,536", "HEADER"),
        ("`statement_size` | at most 64 MiB", "STATEMENT"),
        ("`signatures_size` | at most 64 KiB", "SIGNATURES"),
        ("`count` | n, at most 1,048,576", "SEGMENTS"),
        ("`rows` | int | number of records, from 1 to 1,048,576", "BLOCK_ROWS"),
        ("bytes of the block, uncompressed, at most 64 MiB", "RECORD_BLOCK"),
        ("their sizes, uncompressed, at most 1 GiB each", "BLOCK"),
        ("different ones of a record block are at most 4 GiB together", "PAYLOADS"),
        ("after it has read 1 GiB", "RECOVERY_SCAN"),
    ],
)
def test_a_limit_on_the_page_is_that_of_the_code(sentence, limit):
    """What the page allows a writer, the reader accepts."""
    assert sentence in PAGE
    digits, unit = re.findall(r"([\d,]+)(?: ([KMG])iB)?", sentence)[-1]
    scale = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}[unit]
    assert int(digits.replace(",", "")) * scale == getattr(limits, f"MAX_{limit}")


def test_the_window_on_the_page_is_that_of_the_code():
    """The page gives it as a power of two."""
    assert f"window at most 2^{limits.MAX_WINDOW_LOG}" in PAGE


def test_how_deep_values_nest_is_what_the_page_says():
    """What writers nest and what the reader takes, to the level."""
    assert "Lists and maps lie in each other at most 33 deep." in PAGE
    assert "refuses what is nested more than 1,024 deep" in PAGE

    pack(msgpack.unpackb(b"\x91" * 33 + b"\xc0"))
    with pytest.raises(ValueError, match="nested deeper"):
        pack(msgpack.unpackb(b"\x91" * 34 + b"\xc0"))
    unpack(b"\x91" * 1024 + b"\xc0", "bundle", "part")
    with pytest.raises(DamagedError, match="nested levels"):
        unpack(b"\x91" * 1025 + b"\xc0", "bundle", "part")


def test_what_is_signed_is_what_the_page_says():
    """The encoding is put together here by hand, and the signature holds over it."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    assert f"`{STATEMENT}`" in PAGE
    assert f"The type is `{STATEMENT_TYPE}`" in PAGE
    data = sample()
    statement = part(data, "statement 0")
    (signature,) = msgpack.unpackb(part(data, "signatures 0"))
    kind = STATEMENT_TYPE.encode()
    words = [b"DSSEv1", b"%d" % len(kind), kind, b"%d" % len(statement), statement]

    assert signature["key"] == KEY.public
    Ed25519PublicKey.from_public_bytes(signature["key"]).verify(
        signature["signature"], b" ".join(words)
    )
