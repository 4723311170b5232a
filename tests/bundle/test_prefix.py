"""What a file says of itself first, and what is said of files that are no bundles."""

import struct

import pytest
from bundles import sample

from overwinter.bundle.prefix import Header, read_prefix, write_prefix
from overwinter.errors import DamagedError, NotABundleError
from overwinter.sources import BytesSource


def test_a_header_comes_back():
    """`write_prefix` and `read_prefix` are inverse; the size is where it ends."""
    header = Header("a program 1.2", write_requires=("é",))
    found = read_prefix(BytesSource(write_prefix(Header("a program 1.2")) + b"more"))

    assert found == Header("a program 1.2")
    assert found.size == len(write_prefix(found)) - 32
    assert read_prefix(BytesSource(write_prefix(header))) == header


def test_a_prefix_is_exactly_these_bytes():
    """The layout is a literal, so it cannot change unnoticed."""
    assert write_prefix(Header("w")) == (
        b"\x89OWB\r\n\x1a\n" b"\1\0" b"\0\0" b"\1\0" b"\0\0"
        b"\x32\0\0\0" b"\x9d\xe6\xde\x9d" b"\0\0\0\0" b"\x20\x79\xf9\xb7"
        b"\x84\xa6digest\xa6sha256\xa8requires\x90\xaewrite_requires\x90\xa6writer\xa1w"
    )  # fmt: skip


MEGACACHE = struct.pack(">Q", 1) + b"\0" * 20


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty, but a bundle starts with 89 4f 57 42 0d 0a 1a 0a; the file"),
        (b"\x89OW", "starts with 89 4f 57, .*; it was cut; fetch it again"),
        (b"PK\x03\x04zip!", "starts with 50 4b 03 04 .* check the path, or fetch"),
        (sample().replace(b"\r\n", b"\n"), "damaged by a transfer in text mode"),
        (sample().replace(b"\n", b"\r\n"), "damaged by a transfer in text mode"),
        (bytes(each & 127 for each in sample()), "a transfer in text mode"),
        (MEGACACHE, r"Mega-Cache blob of torch\.compiler\.save_cache_artifacts"),
        (b"\xde\xad\xbe\xef" + MEGACACHE, "Mega-Cache blob of torch"),
    ],
    ids="empty cut zip lf crlf ascii torch-2.7 torch-2.8".split(),
)
def test_a_foreign_file_is_told_for_what_it_is(data, words):
    """The message names what was found, and what to do with such a file."""
    with pytest.raises(NotABundleError, match=words):
        read_prefix(BytesSource(data, "x.owb"))


def test_a_prefix_that_is_cut_is_damaged():
    """With its magic whole it is ours, and too short."""
    with pytest.raises(DamagedError, match="prefix: found 20 bytes, expected 32 bytes"):
        read_prefix(BytesSource(sample()[:20]))
