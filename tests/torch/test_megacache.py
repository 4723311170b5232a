"""
Mega-Cache containers, against files that torch 2.7.1, 2.9.1 and 2.13.0 wrote.

``megacache/torch-<version>-one-save.bin`` is what the first of two saves in one
process returned, ``-two-saves.bin`` what the second did, and ``-expected.json``
kind, key, size and SHA-256 of everything that had been recorded by then.
"""

import hashlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from overwinter.errors import FormatError, WrongShapeError
from overwinter.torch.megacache import (
    MegaCacheBlob,
    MegaCacheEntry,
    MegaCacheError,
    is_megacache,
    read_megacache,
    write_megacache,
)

FILES = Path(__file__).parent / "megacache"
LAYOUTS = {"2.7.1": "2.7", "2.9.1": "2.8", "2.13.0": "2.8"}
EVERY_TORCH = pytest.mark.parametrize("torch_version", LAYOUTS)
EVERY_LAYOUT = pytest.mark.parametrize("layout", ["2.7", "2.8"])

ENTRY = MegaCacheEntry("pgo", "job:0:é", b"\0\xff")
OTHERS = (
    MegaCacheEntry("inductor", "fabc", b""),
    MegaCacheEntry("pgo", "job:0:é", b"a variant"),
    ENTRY,
)


@pytest.fixture(autouse=True)
def _time_limit():
    """A reader that loops for ever fails its test rather than the whole run."""

    def stop(signum, frame):
        raise TimeoutError("still reading after 20 seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _real(torch_version, saves):
    return (FILES / f"torch-{torch_version}-{saves}.bin").read_bytes()


def _recorded(torch_version):
    text = (FILES / f"torch-{torch_version}-expected.json").read_text()
    return [tuple(row) for row in json.loads(text)["two_saves"]]


def _row(entry):
    digest = hashlib.sha256(entry.content).hexdigest()
    return entry.kind, entry.key, len(entry.content), digest


def _u64(*numbers):
    return struct.pack(f">{len(numbers)}Q", *numbers)


def _sized(data):
    return _u64(len(data)) + data


def _first_layout(body):
    return _u64(1) + body


def _later_layout(body):
    rest = _u64(1) + body
    return struct.pack(">I", zlib.crc32(rest)) + rest


def _mended(blob):
    """Return *blob* with the checksum of what is behind it."""
    return struct.pack(">I", zlib.crc32(blob[4:])) + blob[4:]


# --- files that torch wrote --------------------------------------------------


@EVERY_TORCH
def test_every_artifact_of_two_saves_is_recovered(torch_version):
    """Nothing recorded is lost, though torch loads the last group of a kind only."""
    blob = read_megacache(_real(torch_version, "two-saves"))

    assert blob.layout == LAYOUTS[torch_version]
    assert sorted(map(_row, blob.entries)) == _recorded(torch_version)


@EVERY_TORCH
def test_a_second_save_begins_with_the_first(torch_version):
    """Torch appends: one save is the start of two, which add one of each kind."""
    one = read_megacache(_real(torch_version, "one-save"))
    two = read_megacache(_real(torch_version, "two-saves"))
    kinds = {kind for kind, *_ in _recorded(torch_version)}

    assert one.layout == two.layout
    assert one.entries == two.entries[: len(one.entries)]
    added = two.entries[len(one.entries) :]
    assert sorted(entry.kind for entry in added) == sorted(kinds)
    assert sorted(entry.kind for entry in one.entries) == sorted([*kinds, *kinds])


@EVERY_TORCH
def test_one_save_is_written_again_to_the_byte(torch_version):
    """What torch writes and what we write differ only after a second save."""
    blob = _real(torch_version, "one-save")
    read = read_megacache(blob)

    assert write_megacache(read.entries, layout=read.layout) == blob


@EVERY_TORCH
def test_rewriting_two_saves_keeps_every_artifact(torch_version):
    """One group for each kind holds what torch spread over one for each save."""
    entries = read_megacache(_real(torch_version, "two-saves")).entries
    rewritten = write_megacache(entries)

    again = read_megacache(rewritten)
    assert again.layout == "2.8"
    assert sorted(map(_row, again.entries)) == _recorded(torch_version)
    assert write_megacache(again.entries) == rewritten


def test_reading_needs_no_torch():
    """An archivist reads old blobs where no torch is installed."""
    program = (
        "import sys, pathlib\n"
        "from overwinter.torch.megacache import read_megacache\n"
        "blob = read_megacache(pathlib.Path(sys.argv[1]).read_bytes())\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "print(len(blob.entries))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, FILES / "torch-2.13.0-two-saves.bin"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=20,
    )

    assert (run.returncode, run.stdout, run.stderr) == (0, "15\n", "")


@pytest.mark.torch
@pytest.mark.parametrize(
    ("torch_version", "first_reader"), [("2.9.1", "2.8"), ("2.13.0", "2.10")]
)
def test_torch_loads_what_we_wrote(torch_version, first_reader):
    """After a rewrite torch's own loader has every save; 2.10 added precompile."""
    pytest.importorskip("torch", minversion=first_reader)
    from torch.compiler._cache import CacheArtifactManager

    signal.alarm(300)  # the first import of torch's compiler takes its time
    entries = read_megacache(_real(torch_version, "two-saves")).entries
    loaded = CacheArtifactManager.deserialize(write_megacache(entries))

    assert loaded is not None
    assert _recorded(torch_version) == sorted(
        _row(MegaCacheEntry(kind, artifact.key, artifact.content))
        for kind, artifacts in loaded.items()
        for artifact in artifacts
    )


# --- what is read and written --------------------------------------------------


def test_both_layouts_are_exactly_these_bytes():
    """Literals, the second from torch 2.13: no layout can change unnoticed."""
    entry = MegaCacheEntry("pgo", "key", b"content")

    assert write_megacache([entry], layout="2.7") == (
        b"\0\0\0\0\0\0\0\x01"
        b"\0\0\0\0\0\0\0\x03"
        b"\0\0\0\0\0\0\0\x03key"
        b"\0\0\0\0\0\0\0\x07content"
    )
    assert write_megacache([entry], layout="2.8") == (
        b"Z\x10V|\0\0\0\0\0\0\0\x01"
        b"\0\0\0\0\0\0\0\x04cGdv\0\0\0\0\0\0\0\x01"
        b"\0\0\0\0\0\0\0\x04a2V5"
        b"\0\0\0\0\0\0\0\x07content"
    )


@EVERY_LAYOUT
def test_what_was_written_is_read(layout):
    """Variants of a key and exact duplicates stay; kinds keep their first order."""
    blob = write_megacache(iter((ENTRY, *OTHERS)), layout=layout)

    grouped = (ENTRY, *OTHERS[1:], OTHERS[0])
    assert is_megacache(blob)
    assert read_megacache(blob) == MegaCacheBlob(layout, grouped)
    assert read_megacache(memoryview(blob)) == MegaCacheBlob(layout, grouped)


def test_the_later_layout_has_one_group_of_each_kind():
    """A second group of a kind would replace the first in torch's loader."""
    blob = write_megacache([ENTRY, *OTHERS])

    assert blob.count(_sized(b"cGdv") + _u64(3)) == 1
    assert blob.count(b"cGdv") == 1


def test_a_kind_that_nobody_knows_is_read():
    """The later layout names its kinds, so those of torches to come can be kept."""
    entry = MegaCacheEntry("of_torch_9", "key", b"content")

    assert read_megacache(write_megacache([entry])).entries == (entry,)


def test_a_group_of_nothing_is_passed_over():
    """A count of zero holds nothing and still moves the reader on."""
    nothing = _sized(b"cGdv") + _u64(0)
    something = _sized(b"cGdv") + _u64(1) + _sized(b"a2V5") + _sized(b"content")

    assert read_megacache(_later_layout(nothing * 1_000)).entries == ()
    assert read_megacache(_later_layout(nothing + something + nothing)).entries == (
        MegaCacheEntry("pgo", "key", b"content"),
    )


@pytest.mark.parametrize(
    ("entries", "layout", "message"),
    [
        ([], "2.8", "entries: expected at least one, got none"),
        ([ENTRY], "2.6", r"layout: expected '2\.7' or '2\.8', got '2\.6'"),
        (
            [MegaCacheEntry("precompile", "key", b"")],
            "2.7",
            "kind 'precompile': torch 2.7 has inductor, autotune, aot_autograd, pgo",
        ),
        (
            [MegaCacheEntry("pgo", "é" * 2_049, b"")],
            "2.8",
            "'éé+': expected at most 4096 bytes of UTF-8",
        ),
    ],
)
def test_what_no_layout_holds_is_not_written(entries, layout, message):
    """Nothing is written that torch or our own reader would refuse."""
    with pytest.raises(WrongShapeError, match=message):
        write_megacache(entries, layout=layout)


@EVERY_LAYOUT
def test_the_longest_key_is_read_again(layout):
    """Reader and writer share one limit, in bytes of UTF-8 before base64."""
    entry = MegaCacheEntry("pgo", "é" * 2_048, b"")

    assert read_megacache(write_megacache([entry], layout=layout)).entries == (entry,)


def test_a_long_content_stays_out_of_messages():
    """A failed comparison of entries must not print hundreds of megabytes."""
    entry = MegaCacheEntry("pgo", "key", bytes(2_000))

    assert repr(entry) == (
        "MegaCacheEntry(kind='pgo', key='key', content=<2,000 bytes>)"
    )


# --- damage -------------------------------------------------------------------


@EVERY_LAYOUT
def test_a_container_cut_anywhere_is_refused(layout):
    """No proper prefix of one artifact reads as less, even with its CRC mended."""
    blob = write_megacache([ENTRY], layout=layout)

    for length in range(len(blob)):
        prefix = blob[:length]
        if layout == "2.8":
            prefix = _mended(prefix)
        with pytest.raises(MegaCacheError, match=r"found .*, expected "):
            read_megacache(prefix)


@EVERY_LAYOUT
def test_a_cut_between_artifacts_is_all_that_can_pass(layout):
    """Neither layout counts its groups: only there does a mended cut look whole."""
    blob = write_megacache([ENTRY, OTHERS[0]], layout=layout)
    boundary = len(write_megacache([ENTRY], layout=layout))

    readable = {}
    for length in range(len(blob)):
        prefix = blob[:length] if layout == "2.7" else _mended(blob[:length])
        try:
            readable[length] = read_megacache(prefix).entries
        except MegaCacheError:
            continue
    assert readable == {boundary: (ENTRY,)}


def test_a_cut_of_the_later_layout_is_told_by_its_checksum():
    """Unless somebody mends it, a cut between two groups is noticed as well."""
    blob = write_megacache([ENTRY, OTHERS[0]])

    for length in range(12, len(blob)):
        with pytest.raises(MegaCacheError, match="found checksum"):
            read_megacache(blob[:length])


def test_any_flipped_bit_of_the_later_layout_is_refused():
    """CRC-32 sees every single bit, also in itself and in the version."""
    blob = write_megacache([ENTRY, *OTHERS])

    for bit in range(8 * len(blob)):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not is_megacache(bytes(flipped))
        with pytest.raises(MegaCacheError, match=r"found .*, expected "):
            read_megacache(bytes(flipped))


def test_twenty_bytes_that_torch_reads_for_ever_are_refused():
    """Torch 2.13 passes the end of this blob and then waits to meet it."""
    blob = _later_layout(_u64(0))

    assert len(blob) == 20
    with pytest.raises(MegaCacheError, match="byte 20: found 0 bytes, expected the 8"):
        read_megacache(blob)


@pytest.mark.parametrize(
    ("blob", "offset", "message"),
    [
        pytest.param(
            _first_layout(_u64(4) + _sized(b"key") + _sized(b"")),
            8,
            "found kind 4, expected a kind from 0 to 3",
            id="unknown kind number",
        ),
        pytest.param(
            _first_layout(_u64(3) + _sized(b"k\xff") + _sized(b"")),
            16,
            r"found key b'k\\xff' .*position 1.*, expected UTF-8",
            id="key is no UTF-8",
        ),
        pytest.param(
            _later_layout(_sized(b"cGdv") + _u64(1) + _sized(b"/w==") + _sized(b"")),
            32,
            r"found key b'/w==' .*0xff.*, expected base64 of UTF-8",
            id="key is base64 of no UTF-8",
        ),
        pytest.param(
            _later_layout(_sized(b"cGd") + _u64(1) + _sized(b"a2V5") + _sized(b"")),
            12,
            r"found kind b'cGd' \(Incorrect padding\), expected base64",
            id="base64 cut",
        ),
        pytest.param(
            _later_layout(_sized(b"cG!dv") + _u64(1) + _sized(b"a2V5") + _sized(b"")),
            12,
            r"found kind b'cG!dv' \(decodes, but not as encoded\), expected base64",
            id="base64 with a foreign letter",
        ),
        pytest.param(
            _later_layout(_sized(b"cGdv") + _u64(1) + _sized(b"a2V=") + _sized(b"")),
            32,
            r"found key b'a2V=' \(decodes, but not as encoded\), expected base64",
            id="base64 with loose bits",
        ),
        pytest.param(
            _first_layout(_u64(3) + _sized(b"k" * 4_097) + _sized(b"")),
            16,
            "found 4097 bytes of key, expected at most 4096",
            id="key too long",
        ),
        pytest.param(
            _later_layout(
                _sized(b"cGdv") + _u64(1) + _sized(b"a" * 5_468) + _sized(b"")
            ),
            32,
            "found 5468 bytes of key, expected at most 5464",
            id="key too long in base64",
        ),
        pytest.param(
            _first_layout(_u64(3) + _sized(b"key") + _u64(2**64 - 1) + b"content"),
            27,
            "found 18446744073709551615 bytes of content, expected at most 7",
            id="content beyond the end",
        ),
        pytest.param(
            _later_layout(_u64(2**63) + b"cGdv"),
            12,
            "found 9223372036854775808 bytes of kind, expected at most 4",
            id="kind beyond the end",
        ),
        pytest.param(
            _later_layout(
                _sized(b"cGdv") + _u64(2**64 - 1) + _sized(b"") + _sized(b"")
            ),
            48,
            "found 0 bytes, expected the 8 of a key length",
            id="count beyond the end",
        ),
        pytest.param(
            write_megacache([ENTRY], layout="2.7") + b"tail",
            42,
            "found 4 bytes, expected the 8 of a kind",
            id="bytes behind the last artifact",
        ),
        pytest.param(
            _mended(write_megacache([ENTRY]) + b"a longer tail"),
            62,
            r"found \d{19} bytes of kind, expected at most 5",
            id="bytes behind the last group",
        ),
        pytest.param(
            write_megacache([ENTRY]) + b"tail",
            0,
            "found checksum [0-9a-f]{8}, expected [0-9a-f]{8};",
            id="bytes behind the checksummed",
        ),
        pytest.param(
            _first_layout(b""),
            8,
            "found the end, expected at least one artifact",
            id="nothing behind the version",
        ),
        pytest.param(
            b"\x89OWB\r\n\x1a\n\1\2",
            0,
            "found 89 4f 57 42 0d 0a 1a 0a 01 02, expected 00 00 00 00 00 00 00 01 "
            r"here \(torch 2.7\) or at byte 4 \(torch 2.8 on\); fetch the file again",
            id="foreign",
        ),
        pytest.param(b"", 0, "found nothing, expected 00 00", id="empty"),
    ],
)
def test_damage_is_named_with_its_place(blob, offset, message):
    """An error says what was found, what was expected and at which byte."""
    with pytest.raises(MegaCacheError, match=message) as caught:
        read_megacache(blob, source="old.bin")

    assert caught.value.offset == offset
    assert str(caught.value).startswith(f"old.bin: byte {offset}: found ")


def test_an_error_keeps_its_evidence_across_processes():
    """A worker's error arrives whole in the process that asked."""
    error = MegaCacheError("old.bin", 8, "kind 4", "a kind from 0 to 3")
    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, FormatError)
    assert (
        str(copy)
        == str(error)
        == (
            "old.bin: byte 8: found kind 4, expected a kind from 0 to 3; "
            "fetch the file again, or save it again with torch"
        )
    )
    assert (copy.source, copy.offset) == ("old.bin", 8)
    assert (copy.found, copy.expected) == ("kind 4", "a kind from 0 to 3")


def test_only_whole_containers_are_taken_for_one():
    """What a program is offered without a name is told apart by its bytes."""
    assert is_megacache(_real("2.7.1", "one-save"))
    assert is_megacache(memoryview(_real("2.13.0", "two-saves")).cast("H"))
    assert not is_megacache(b"")
    assert not is_megacache(_real("2.13.0", "two-saves")[:-1])
    assert not is_megacache(b"\x89OWB\r\n\x1a\n")
