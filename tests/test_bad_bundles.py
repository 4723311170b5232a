"""
Bundles made to harm: every checksum and signature holds, and what they say is a lie.

Each of them ends in an error of ours or a finding, in seconds and in little memory.
"""

import hashlib
import signal
import struct
import subprocess
import sys
import tracemalloc
from contextlib import suppress

import msgpack
import pytest
from bundles import (
    KEY,
    appended,
    built,
    delivered,
    environ_of_child,
    plans,
    regions,
    sample,
)
from forging import (
    HEADER,
    Forgery,
    checked,
    entries_of,
    file_listing,
    file_of,
    forged_copy,
    prefix_of,
)

from overwinter.bundle import Bundle, Segment, blocks, trailer, unpacking, verify
from overwinter.bundle.blocks import zstd
from overwinter.bundle.content import Rows
from overwinter.bundle.streaming import read_rows
from overwinter.bundle.trailer import END, SegmentEntry, read_trailer, write_trailer
from overwinter.bundle.verifying import QUARANTINED, REFUSED, TAIL_IGNORED
from overwinter.errors import (
    DamagedError,
    NoTrailerError,
    OverwinterError,
    SegmentDamagedError,
    TooLargeError,
)
from overwinter.limits import MAX_SEGMENTS
from overwinter.sources import BytesSource
from overwinter.workers import Workers

HUGE = 2**63 - 1
BLOCK = b"firstsecond"
DIGEST = hashlib.sha256(BLOCK).digest()


@pytest.fixture(autouse=True)
def _time_limit():
    """A reader that takes for ever fails its test rather than the whole run."""

    def stop(signum, frame):
        raise TimeoutError("still reading after 20 seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def frame_header(descriptor: int, rest: bytes) -> bytes:
    """Return the beginning of a zstd frame and an empty last block."""
    return struct.pack("<IB", 0xFD2FB528, descriptor) + rest + b"\x01\0\0"


def references(offsets: list[object], sizes: list[object]) -> dict[str, object]:
    """Return the column ``content`` with these references."""
    return {"content": {"offset": offsets, "size": sizes}}


def table(count: int) -> dict[str, object]:
    """Return a table that lists the one payload block *count* times."""
    return {"blocks": [0] * count, "sizes": [11] * count, "digests": DIGEST * count}


def twice(name: str, *before: str) -> bytes:
    """Return a map whose last key has been there already."""
    keys = [*before, name, name]
    body = b"".join(msgpack.packb(each) + b"\xc0" for each in keys)
    return b"\xdf" + struct.pack(">I", len(keys)) + body


NESTED = b"\x91" * 1000 + b"\xc0"
TOO_NESTED = b"\x91" * 60_000 + b"\xc0"
EMPTY_MAPS = b"\xdd" + struct.pack(">I", 60_000) + b"\x80" * 60_000

FRAME = zstd.compress(BLOCK, 3)
BOMB = zstd.compress(bytes(8 * 2**20), 3)
LARGE_BOMB = zstd.compress(bytes(64 * 2**20), 3)
BLOCK_AT = len(Forgery().record_block())

# What a segment says, what becomes of it, and the words that tell.
LIES = {
    # Sizes near 2^63, each in a place where something might be allocated.
    "segment of 2^63": (
        Forgery(foot={"segment_size": HUGE}),
        REFUSED, "foot: found a size of 9,223",
    ),
    "layout of 2^63": (
        Forgery(foot={"layout_size": HUGE}),
        REFUSED, "parts larger than the whole",
    ),
    "statement of 2^63": (
        Forgery(foot={"statement_size": HUGE}),
        REFUSED, "statement claims 9,223,372,036,854,775,807 bytes, at most 67,108,864",
    ),
    "signatures of 2^32": (
        Forgery(foot={"signatures_size": 2**32 - 1}),
        REFUSED, "signatures claims 4,294,967,295 bytes, at most 65,536",
    ),
    "record block of 2^63": (
        Forgery(stamp={"size": HUGE}),
        QUARANTINED, "record block 0 claims 9,223,372,036,854,775,807 bytes",
    ),
    "payload block of 2^63": (
        Forgery(table={"sizes": [HUGE]}),
        QUARANTINED, "payload block 0 claims 9,223,372,036,854,775,807 bytes",
    ),
    "payload of 2^63": (
        Forgery(
            columns=references([0, 5], [5, HUGE - 5]),
            table={"sizes": [HUGE]},
            stamp={"payload_size": HUGE},
        ),
        QUARANTINED, "payloads claims 9,223,372,036,854,775,807 bytes, at most 4,294",
    ),
    "payload of 5 GiB": (
        Forgery(
            payloads=[b"%d" % number for number in range(5)],
            columns=references([0, 0], [5 * 2**30] * 2),
            table={"sizes": [2**30] * 5},
            stamp={"payload_size": 10 * 2**30},
            layout={number: (0, 99, 0, bytes(7)) for number in range(1, 6)},
        ),
        QUARANTINED, "claims 5,368,709,120 bytes, at most 4,294,967,296",
    ),
    "adjacent blocks of 2^31": (
        Forgery(
            payloads=[b"first", b"second"],
            columns=references([0, 0], [2**32] * 2),
            table={"sizes": [2**31] * 2},
            stamp={"payload_size": 2**33},
            layout={1: (0, 2**31, 0, bytes(7)), 2: (2**31, 2**31, 0, bytes(7))},
        ),
        QUARANTINED, "claims 2,147,483,648 bytes, at most 1,073,741,824",
    ),
    "rows of 2^63": (
        Forgery(stamp={"rows": HUGE}, block={"rows": HUGE}),
        QUARANTINED, "expected a list of 9223372036854775807 values",
    ),
    "kind 2^63": (
        Forgery(stamp={"kind": HUGE}),
        REFUSED, "a block of no such kind",
    ),
    "environment 2^63": (
        Forgery(stamp={"environment": HUGE}),
        REFUSED, "a block of no such kind or environment",
    ),
    "payload blocks 2^63": (
        Forgery(statement={"payload_blocks": HUGE}),
        REFUSED, "1 record and 9223372036854775807 payload blocks, expected 2 in all",
    ),
    "payload block number 2^63": (
        Forgery(table={"blocks": [HUGE]}),
        QUARANTINED, "payload block 9223372036854775807: found a number",
    ),
    "stored at 2^63": (
        Forgery(layout={1: (HUGE, 11, 0, bytes(7))}),
        QUARANTINED, "an end at 9,223,372,036,854,775,818, expected ≤",
    ),
    "stored size of 2^63": (
        Forgery(layout={1: (0, HUGE, 0, bytes(7))}),
        QUARANTINED, "an end at 9,223,372,036,854,775,807, expected ≤",
    ),
    # Frames.
    "bomb": (
        Forgery(stored={1: (BOMB, 1)}),
        QUARANTINED, "another end of its zstd frame, expected one after 11 bytes",
    ),
    "large bomb": (
        Forgery(stored={1: (LARGE_BOMB, 1)}),
        QUARANTINED, "bytes stored, expected about 11 at most",
    ),
    "bomb for a record block": (
        Forgery(stored={0: (BOMB, 1)}),
        QUARANTINED, "another end of its zstd frame, expected one after",
    ),
    "bomb for a record block that is let in": (
        Forgery(
            stored={0: (LARGE_BOMB, 1)},
            stamp={"size": 2**26, "digest": hashlib.sha256(bytes(2**26)).digest()},
        ),
        QUARANTINED, "record block 0: found a value that is no map",
    ),
    "bomb of more than a record block": (
        Forgery(stored={0: (LARGE_BOMB, 1)}, stamp={"size": 2**26 + 1}),
        QUARANTINED, "claims 67,108,865 bytes, at most 67,108,864",
    ),
    "frame that claims 2^63": (
        Forgery(stored={1: (frame_header(0xE0, struct.pack("<Q", HUGE)), 1)}),
        QUARANTINED, "requires too much memory",
    ),
    "window of 2^28": (
        Forgery(stored={1: (frame_header(0, bytes([18 << 3])), 1)}),
        QUARANTINED, "requires too much memory",
    ),
    "bytes behind a frame": (
        Forgery(stored={1: (FRAME + b"!", 1)}),
        QUARANTINED, "another end of its zstd frame",
    ),
    "second frame": (
        Forgery(stored={1: (FRAME + FRAME, 1)}),
        QUARANTINED, "another end of its zstd frame",
    ),
    "skippable frame": (
        Forgery(stored={1: (b"\x50\x2a\x4d\x18\x04\0\0\0skip" + FRAME, 1)}),
        QUARANTINED, "another end of its zstd frame",
    ),
    "frame cut short": (
        Forgery(stored={1: (FRAME[:-1], 1)}),
        QUARANTINED, "another end of its zstd frame",
    ),
    "frame of nothing": (
        Forgery(stored={1: (b"", 1)}),
        QUARANTINED, "another end of its zstd frame",
    ),
    "shorter frame": (
        Forgery(stored={1: (zstd.compress(BLOCK[:-1], 3), 1)}),
        QUARANTINED, "found 10 bytes, expected 11 bytes",
    ),
    "no frame": (
        Forgery(stored={1: (BLOCK, 1)}),
        QUARANTINED, "expected a zstd frame",
    ),
    "frame said to be stored": (
        Forgery(stored={1: (FRAME, 0)}),
        QUARANTINED, "bytes, expected 11 bytes",
    ),
    "stored with much behind it": (
        Forgery(stored={1: (BLOCK + bytes(5000), 0)}),
        QUARANTINED, "5,011 bytes stored, expected about 11 at most",
    ),
    # Maps and lists.
    "key twice in the statement": (
        Forgery(whole={"statement": twice("type")}),
        REFUSED, "statement: found the key 'type' stands twice",
    ),
    "key twice in a record block": (
        Forgery(whole={"block": twice("rows")}),
        QUARANTINED, "the key 'rows' stands twice",
    ),
    "key twice in a signature": (
        Forgery(signatures=b"\x91" + twice("key")),
        REFUSED, "signatures: found the key 'key' stands twice",
    ),
    "key twice at the end of many": (
        Forgery(whole={"statement": twice("type", *map(str, range(200)))}),
        REFUSED, "the key 'type' stands twice",
    ),
    "key that is bytes": (
        Forgery(statement={b"type": 1}),
        REFUSED, "a map key that is no text",
    ),
    "column whose name is bytes": (
        Forgery(block={"columns": {"key": b"\x92\xa1a\xa1b", b"ratio": b"\x92\1\1"}}),
        QUARANTINED, "a map key that is no text",
    ),
    "nested statement": (
        Forgery(whole={"statement": TOO_NESTED}),
        REFUSED, "statement: found a value that is no map",
    ),
    "statement that is no map": (
        Forgery(whole={"statement": NESTED}),
        REFUSED, "statement: found a value that is no map",
    ),
    "nested number": (
        Forgery(statement={"payload_blocks": msgpack.unpackb(NESTED)}),
        REFUSED, "statement: found a list or a map where none may be",
    ),
    "nested schema": (
        Forgery(
            kind={
                "schema": {
                    "kind": "acme/plan",
                    "version": 1,
                    "cardinality": "many",
                    "fields": msgpack.unpackb(b"\x91" * 900 + b"\xc0"),
                }
            },
            stored={1: (b"firstsEcond", 0)},
        ),
        QUARANTINED, "payload block 0: found SHA-256",
    ),
    "nested key": (
        Forgery(columns={"key": ["a", msgpack.unpackb(NESTED)]}),
        QUARANTINED, "column 'key': found a list or a map where none may be",
    ),
    "nested column": (
        Forgery(columns={"ratio": msgpack.unpackb(NESTED)}),
        QUARANTINED, "column 'ratio': found a list or a map where none may be",
    ),
    "block of empty maps": (
        Forgery(whole={"block": EMPTY_MAPS}),
        QUARANTINED, "found a value that is no map",
    ),
    "block that is no map": (
        Forgery(whole={"block": b"\xa5block"}),
        QUARANTINED, "found a value that is no map",
    ),
    "columns that are no map": (
        Forgery(block={"columns": ["key"]}),
        QUARANTINED, "found a value that is no map",
    ),
    "column that is not encoded": (
        Forgery(block={"columns": {"key": ["a", "b"]}}),
        QUARANTINED, "found a value that is no bytes",
    ),
    "no key": (
        Forgery(columns={"key": None}),
        QUARANTINED, "another layout",
    ),
    "other first key": (
        Forgery(stamp={"first": "0"}),
        QUARANTINED, "the first of them '0'",
    ),
    "key that is no text": (
        Forgery(columns={"key": ["a", b"b"]}),
        QUARANTINED, "other keys",
    ),
    "more rows than keys": (
        Forgery(stamp={"rows": 3}, block={"rows": 3}),
        QUARANTINED, "column 'key': found a list of 2, expected a list of 3",
    ),
    "more rows than the statement says": (
        Forgery(block={"rows": 3}),
        QUARANTINED, "another layout, expected rows (2)",
    ),
    "no rows": (
        Forgery(
            columns={"key": []}, block={"rows": 0}, stamp={"rows": 0, "payload_size": 0}
        ),
        QUARANTINED, "another layout, expected rows (0)",
    ),
    "bytes behind a column": (
        Forgery(block={"columns": {"key": b"\x92\xa1a\xa1b\xc0"}}),
        QUARANTINED, "1 bytes after the value",
    ),
    "extension type": (
        Forgery(columns={"ratio": [msgpack.ExtType(1, b""), 1]}),
        QUARANTINED, "the extension type 1",
    ),
    "timestamp": (
        Forgery(columns={"ratio": [msgpack.Timestamp(1), 1]}),
        QUARANTINED, "exceeds max_ext_len",
    ),
    "text that is no UTF-8": (
        Forgery(whole={"block": b"\x81\xa2\xff\xff\xc0"}),
        QUARANTINED, "can't decode byte",
    ),
    # References.
    "payload outside": (
        Forgery(columns=references([0, 5], [5, 7]), stamp={"payload_size": 12}),
        QUARANTINED, "a payload that ends at 12, expected ≤ 11",
    ),
    "payload of no block": (
        Forgery(table=table(0)),
        QUARANTINED, "a payload that ends at 5, expected ≤ 0",
    ),
    "payloads that overlap": (
        Forgery(columns=references([0, 4], [5, 7]), stamp={"payload_size": 12}),
        QUARANTINED, "payloads that overlap at 4, expected them apart",
    ),
    "block listed twice": (
        Forgery(table=table(2)),
        QUARANTINED, "another layout",
    ),
    "block that no record uses": (
        Forgery(columns=references([None, 0], [None, 0]), stamp={"payload_size": 0}),
        QUARANTINED, "1 payload blocks that no record uses",
    ),
    "block that nobody signed": (
        Forgery(
            columns=references([None, 0], [None, 0]),
            table=table(0),
            stamp={"payload_size": 0},
        ),
        QUARANTINED, "1 payload blocks that no record uses, and nobody signed",
    ),
    "another sum of payloads": (
        Forgery(stamp={"payload_size": 12}),
        QUARANTINED, "11 bytes of payloads, expected 12",
    ),
    "half a reference": (
        Forgery(columns=references([0, None], [11, 0])),
        QUARANTINED, "column 'content': found another layout",
    ),
    "negative reference": (
        Forgery(columns=references([0, -1], [5, 6])),
        QUARANTINED, "column 'content': found another layout",
    ),
    "reference that is a truth": (
        Forgery(columns=references([0, 5], [5, True])),
        QUARANTINED, "column 'content': found another layout",
    ),
    "fewer references than rows": (
        Forgery(columns=references([0], [11])),
        QUARANTINED, "column 'content': found another layout",
    ),
    "payload in the column": (
        Forgery(columns={"content": [b"first", b"second"]}),
        QUARANTINED, "column 'content': found another layout",
    ),
    "digests cut short": (
        Forgery(table={"digests": DIGEST[:-1]}),
        QUARANTINED, "another layout",
    ),
    "negative size": (
        Forgery(table={"sizes": [-1]}),
        QUARANTINED, "another layout",
    ),
    # Layout.
    "overlap": (
        Forgery(layout={1: (3, 11, 0, bytes(7))}),
        QUARANTINED, "blocks that leave a gap or overlap at 3",
    ),
    "gap": (
        Forgery(stored={1: (BLOCK + b"!", 0)}, layout={1: (BLOCK_AT, 11, 0, bytes(7))}),
        QUARANTINED, "blocks that leave a gap or overlap at 163",
    ),
    "reserved bytes": (
        Forgery(layout={0: (0, BLOCK_AT, 0, b"\0\0\1\0\0\0\0")}),
        QUARANTINED, "codec 255",
    ),
    "odd layout": (
        Forgery(foot={"layout_size": 47}),
        REFUSED, "parts larger than the whole",
    ),
    # Words.
    "version 0": (
        Forgery(kind={"version": 0}),
        REFUSED, "version 0, expected version from 1",
    ),
    "oldest reader 0": (
        Forgery(kind={"oldest_reader": 0}),
        REFUSED, "oldest_reader 0, expected oldest_reader from 1",
    ),
    "negative number": (
        Forgery(stamp={"rows": -1}),
        REFUSED, "rows -1, expected rows of type int",
    ),
    "truth for a number": (
        Forgery(stamp={"rows": True}),
        REFUSED, "rows True, expected rows of type int",
    ),
    "short digest": (
        Forgery(stamp={"digest": b"short"}),
        REFUSED, "digest of 5 bytes, expected 32",
    ),
    "environment of numbers": (
        Forgery(statement={"environments": [{"os": [1]}]}),
        REFUSED, "environment field 'os', expected text",
    ),
    "kinds that are no maps": (
        Forgery(statement={"kinds": ["acme/plan"]}),
        REFUSED, "kinds: found a value that is no map",
    ),
    "no statement": (
        Forgery(whole={"statement": b""}),
        REFUSED, "statement: found No more data to unpack",
    ),
    "signature of another": (
        Forgery(
            signatures=msgpack.packb(
                [{"algorithm": "ed25519", "key": KEY.public, "signature": bytes(64)}]
            )
        ),
        REFUSED, "does not hold",
    ),
    "signature of another length": (
        Forgery(
            signatures=msgpack.packb(
                [{"algorithm": "ed25519", "key": b"k", "signature": b"s"}]
            )
        ),
        REFUSED, "the signature of aw== does not hold",
    ),
    "signatures that are no list": (
        Forgery(signatures=b"\x80"),
        REFUSED, "signatures: found a value that is no list",
    ),
    "foot of another statement": (
        Forgery(foot={"digest": bytes(32)}),
        REFUSED, "statement: found SHA-256",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_a_segment_that_lies_is_found_out(name):
    """With the outcome that the page names, and never with an error of Python's."""
    forgery, outcome, words = LIES[name]
    bundle = Bundle(forgery.file())
    findings = list(verify(bundle))

    assert outcome in {finding.outcome for finding in findings}
    assert any(words in finding.reason for finding in findings), findings
    # What can still be delivered is what was written.
    honest = [record for _, record in delivered(Bundle(Forgery().file()))]
    if not forgery.columns and not forgery.kind:
        assert all(record in honest for _, record in delivered(bundle))


@pytest.mark.parametrize("name", LIES)
def test_a_segment_that_lies_costs_no_other(name):
    """The sound segment beside it is delivered whole."""
    sound = built(plans(("sound", b"payload")))
    segment = sound[regions(sound)["blocks 0"].start : regions(sound)["foot 0"].stop]
    bundle = Bundle(file_of(LIES[name][0].segment(), segment))

    assert [key for number, (_, key, _) in delivered(bundle) if number == 1] == [
        "sound"
    ]


def answers(target):
    """Give each key and payload that some way of reading returns, and if verified."""
    with Bundle(target) as bundle:
        for ask in (bundle.fetch, bundle.view):
            for key in ("a", "b"):
                with suppress(OverwinterError):
                    for record in ask("acme/plan", key):
                        content = record.fields["content"]
                        yield key, content and bytes(content), ask == bundle.fetch
        with suppress(OverwinterError):
            bundle.keys()
        blocks = (block for segment in bundle.segments for block in segment.blocks)
        for block, rows in read_rows(blocks, Workers(0), part=1):
            if isinstance(rows, Rows) and block.schema is not None:
                for row, key in enumerate(rows.columns["key"]):
                    if row not in rows.faults:
                        yield key, rows.columns["content"][row], True


@pytest.mark.parametrize("name", LIES)
def test_a_segment_that_lies_is_no_error_of_python(name, tmp_path):
    """Fetched, viewed, listed, in parts: an error of ours, or what was signed."""
    forgery = LIES[name][0]
    path = tmp_path / "bundle.owb"
    path.write_bytes(forgery.file())
    for target in (path, path.read_bytes()):
        found = list(answers(target))
        if not (forgery.columns or forgery.table or forgery.block or forgery.kind):
            signed = {"a": b"first", "b": b"second"}
            for key, content, verified in found:
                assert len(content) == len(signed[key])
                assert content == signed[key] or not verified


def test_lies_cost_little_memory():
    """All of them together, in a process that may take 256 MiB and no more."""
    script = """if True:
        import resource
        from test_bad_bundles import LIES, answers
        from overwinter.bundle import Bundle, verify

        files = [forgery.file() for forgery, _, _ in LIES.values()]
        pages = int(open("/proc/self/statm").read().split()[0])
        limit = pages * resource.getpagesize() + 256 * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for file in files:
            list(answers(file))
            assert list(verify(Bundle(file)))
    """
    if sys.platform != "linux":
        pytest.skip("RLIMIT_AS means something on Linux only")
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ_of_child(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", [10, 15, 80, 91])
def test_a_reserved_byte_of_a_foot_is_zero(where):
    """A bit there is damage or a lie, not a version."""
    segment = Forgery().segment()
    foot = bytearray(segment[-96:-4])
    foot[where] = 1
    data = file_of(segment[:-96] + checked(bytes(foot)))

    ((_, error),) = Bundle(data).refused
    assert type(error) is SegmentDamagedError
    assert "foot: found a reserved bit, expected zero" in str(error)


def test_the_limit_of_rows_is_the_last_number_that_is_read(monkeypatch):
    """One more is refused, whatever the columns hold."""
    data = Forgery().file()
    monkeypatch.setattr(blocks, "MAX_BLOCK_ROWS", 2)
    assert list(verify(Bundle(data))) == []

    monkeypatch.setattr(blocks, "MAX_BLOCK_ROWS", 1)
    (finding,) = verify(Bundle(data))
    assert "another layout, expected rows (2)" in finding.reason


def test_a_payload_beyond_the_limit_is_not_fetched(monkeypatch):
    """By its size alone, before any block of it is read."""
    bundle = Bundle(Forgery().file())
    monkeypatch.setattr(unpacking, "MAX_PAYLOADS", 5)
    monkeypatch.setattr(Segment, "read_payload_blocks", None)
    monkeypatch.setattr(Segment, "view_payload_blocks", None)
    for ask in (bundle.fetch, bundle.view):
        with pytest.raises(TooLargeError, match="payload claims 6 bytes, at most 5"):
            ask("acme/plan", "b")


# --- prefix and header ------------------------------------------------------


@pytest.mark.parametrize("size", [65_537, 2**31, 2**32 - 1])
def test_a_header_beyond_its_limit_is_not_read(size):
    """The size is refused by itself, whatever the file holds."""
    with pytest.raises(TooLargeError, match=rf"header claims {size:,} bytes, at most"):
        Bundle(prefix_of(header_size=size) + bytes(100_000))


def test_a_header_longer_than_the_file_is_damaged():
    """A size within the limit is compared with what is there."""
    with pytest.raises(DamagedError, match="header: found CRC-32"):
        Bundle(prefix_of(header_size=60_000))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (twice("writer"), "the key 'writer' stands twice"),
        (TOO_NESTED, "more than 1,023 nested levels"),
        (NESTED, "other keys or types"),
        (EMPTY_MAPS, "other keys or types"),
        (b"", "No more data"),
        (b"\xc1", "a byte that begins no value"),
        (msgpack.packb({**HEADER, "requires": "x"}), "other keys or types"),
        (msgpack.packb({**HEADER, "writer": None}), "other keys or types"),
        (msgpack.packb({**HEADER, "write_requires": [1]}), "other keys or types"),
        (msgpack.packb(HEADER) + b"\0", "1 bytes after the value"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_lies_is_refused(header, words):
    """By a damaged part with a name."""
    with pytest.raises(DamagedError, match=f"header: found {words}"):
        Bundle(file_of(Forgery().segment(), prefix=prefix_of(header)))


@pytest.mark.parametrize("header", [TOO_NESTED, EMPTY_MAPS, b"\xdd\xff\xff\xff\xff"])
def test_nested_headers_of_64_kib_take_a_few_megabytes(header):
    """Without a walk beforehand they took 67."""
    data = prefix_of(header)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match="header"):
            Bundle(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 8 * 2**20


# --- trailer ----------------------------------------------------------------

SEGMENT = Forgery().segment()
BODY = prefix_of() + SEGMENT
(ENTRY,) = entries_of([SEGMENT], len(prefix_of()))
NO_TRAILER = r"trailer: found none in [\d,]+ bytes"


@pytest.mark.parametrize(
    "entries",
    [
        [SegmentEntry(HUGE, 1, bytes(32))],
        [SegmentEntry(2**64 - 1, 2**64 - 1, bytes(32))],
        [SegmentEntry(ENTRY.offset, 2**64 - 1, ENTRY.digest)],
        [SegmentEntry(ENTRY.offset, ENTRY.size + 1, ENTRY.digest)],
        [SegmentEntry(ENTRY.offset - 1, ENTRY.size, ENTRY.digest)],
        [SegmentEntry(0, 32, ENTRY.digest)],
        [ENTRY, ENTRY],
        [ENTRY, SegmentEntry(ENTRY.offset + 8, ENTRY.size - 8, ENTRY.digest)],
        [SegmentEntry(ENTRY.offset + 8, 96, bytes(32)), ENTRY],
        [SegmentEntry(ENTRY.offset, 95, ENTRY.digest)],
        [SegmentEntry(ENTRY.offset, 0, ENTRY.digest)],
    ],
    ids=(
        "far wrapping endless longer before prefix twice inside reversed tiny empty"
    ).split(),
)
def test_a_trailer_whose_segments_cannot_lie_there_is_none(entries):
    """Outside the file's body, over each other, or of nothing: it is not believed."""
    with pytest.raises(NoTrailerError, match=NO_TRAILER):
        Bundle(file_listing(BODY, *entries))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (SegmentEntry(ENTRY.offset, ENTRY.size, bytes(32)), "as the trailer says"),
        (SegmentEntry(ENTRY.offset, ENTRY.size - 1, ENTRY.digest), "foot: found CRC"),
        (SegmentEntry(ENTRY.offset + 1, ENTRY.size - 1, ENTRY.digest), "a size of"),
    ],
    ids="other-name short late".split(),
)
def test_an_entry_that_lies_refuses_its_segment(entry, words):
    """What the trailer says of a segment, its foot must say too."""
    bundle = Bundle(file_listing(BODY, entry))

    ((number, error),) = bundle.refused
    assert (number, type(error)) == (0, SegmentDamagedError)
    assert words in str(error)
    assert REFUSED in {finding.outcome for finding in verify(bundle)}


def test_bytes_that_belong_to_no_segment_are_told():
    """Whatever hides between segments and trailers, verifying names the place."""
    hidden = BODY + b"hidden" + SEGMENT
    second = SegmentEntry(len(BODY) + 6, ENTRY.size, ENTRY.digest)
    for data in (
        file_listing(hidden, ENTRY, second),
        file_listing(BODY + b"hidden", ENTRY),
        file_listing(BODY, SegmentEntry(ENTRY.offset + 6, 200, ENTRY.digest)),
    ):
        findings = [
            each for each in verify(Bundle(data)) if each.outcome == TAIL_IGNORED
        ]
        assert findings
        assert all("belong to no segment" in each.reason for each in findings)


@pytest.mark.parametrize(
    "changes",
    [
        {"count": 0},
        {"count": 2},
        {"count": 2**32 - 1},
        {"zero": 1},
        {"size": 40},
        {"size": 87},
        {"size": 2**32 - 1},
        {"size": 0},
        {"crc": 0},
    ],
    ids=str,
)
def test_a_trailer_that_lies_about_itself_is_none(changes):
    """Count, size and zero must fit each other in both copies, or it is not used."""
    copy = forged_copy(len(BODY), [ENTRY], **changes)
    assert len(Bundle(BODY + forged_copy(len(BODY), [ENTRY]) * 2).segments) == 1

    with pytest.raises(NoTrailerError, match=NO_TRAILER):
        Bundle(BODY + copy + copy)


def test_a_trailer_of_no_segments_is_one():
    """Nobody writes such a file; all the same it is whole, and holds nothing."""
    bundle = Bundle(file_of())

    assert bundle.segments == ()
    assert list(verify(bundle)) == []


def test_a_trailer_of_too_many_segments_is_refused_by_its_count():
    """It is refused before its 48 MiB are read."""
    entries = struct.pack("<QQ32s", 0, 0, bytes(32)) * (MAX_SEGMENTS + 1)
    size = 40 + len(entries)
    head = trailer.HEAD.pack(trailer.MAGIC, len(BODY), MAX_SEGMENTS + 1, 0)
    copy = head + entries + struct.pack("<II8s", size, 0, END)

    with pytest.raises(TooLargeError, match=rf"trailer claims {size:,} bytes"):
        Bundle(BODY + copy)


@pytest.mark.parametrize("n_shift", range(3))
def test_a_trailer_inside_a_payload_is_not_one(n_shift):
    """A bundle may hold bundles: their trailers say that they lie elsewhere."""
    inner = appended(sample(), plans(("inner", b"inner")))
    shift = b"x" * n_shift
    outer = built(plans(("outer", shift + inner)))
    where = regions(outer)
    ends = [
        size
        for size in range(where["blocks 0"].start, where["second copy"].start)
        if outer[:size].endswith(END)
    ]

    assert list(verify(Bundle(outer))) == []
    assert len(ends) == 4
    for size in ends:
        for cut in (outer[:size], outer[: size + 9]):
            if n_shift:
                with pytest.raises(NoTrailerError, match=NO_TRAILER):
                    Bundle(cut)
                continue
            # By chance the inner file lies one copy of its trailer further on, so
            # its first copy passes for a second. No segment lies where it says.
            try:
                bundle = Bundle(cut)
            except NoTrailerError:
                continue
            assert bundle.recovery
            assert not bundle.segments


def test_a_trailer_forged_into_a_payload_can_only_hide():
    """
    Made for its very place, it is found in a file that is cut behind it. All that it
    can list are segments before it, whole and signed: to believe it is to have an
    earlier state of the file, which whoever can cut a file can always make.
    """
    first = sample()
    entries = Bundle(first).trailer.segments
    size = len(write_trailer(entries, 0))
    # Where the payload will lie is known beforehand, and noise is stored as it is.
    probe = appended(first, plans(("a", b"x"), ("trap", bytes(size))))
    offset = len(first) + Bundle(probe).segments[1].placement(1).offset + 1
    trap = write_trailer(entries, offset)
    data = appended(first, plans(("a", b"x"), ("trap", trap)))
    assert data[offset : offset + size] == trap

    assert list(verify(Bundle(data))) == []
    for end in (offset + size, offset + size + 50):
        cut = Bundle(data[:end])
        assert list(delivered(cut)) == list(delivered(Bundle(first)))
        assert {each.outcome for each in verify(cut)} == {TAIL_IGNORED}


def test_a_search_for_a_trailer_has_an_end(monkeypatch):
    """Of a tail of nothing but ends, each with a size, only the last are looked at."""
    monkeypatch.setattr(trailer, "MAX_ENDS", 100)
    read = []

    class Counting(BytesSource):
        def read(self, offset: int, size: int) -> bytes:
            read.append(size)
            return super().read(offset, size)

    copy = write_trailer([ENTRY], len(BODY))
    ends = struct.pack("<II8s", 40, 0, END) * 100_000
    with pytest.raises(NoTrailerError, match=NO_TRAILER):
        read_trailer(Counting(BODY + copy + ends), len(prefix_of()))
    assert len(read) < 1 + 2 * 100 + 10

    # With a tail that is merely torn, the same bound is never felt.
    found = read_trailer(Counting(BODY + copy + bytes(2**22)), len(prefix_of()))
    assert found.segments == (ENTRY,)


def test_a_file_that_shrinks_while_it_is_read_is_refused():
    """Another process may take back what it appended; a short read is no crash."""

    class Shrinking(BytesSource):
        def read(self, offset: int, size: int) -> bytes:
            return super().read(offset, size)[: max(0, len(BODY) - offset)]

    with pytest.raises(NoTrailerError, match=NO_TRAILER):
        Bundle(Shrinking(file_of(SEGMENT)))


def test_a_payload_is_decompressed_once_for_all_its_rows(monkeypatch):
    """Rows that ask for two blocks in turn would else read each for every row."""
    from overwinter.bundle.blocks import StoredBlock

    rows = [f"{number:03d}" for number in range(200)]
    contents = [b"a" * 3_000_000, b"b" * 3_000_000]
    data = built(plans(*((key, contents[n % 2]) for n, key in enumerate(rows))))
    calls = []
    read = StoredBlock.read

    def counting(block):
        calls.append(block)
        return read(block)

    monkeypatch.setattr(StoredBlock, "read", counting)
    found = [
        block.read().columns["content"] for block in Bundle(data).segments[0].blocks
    ]

    assert [len(block) for column in found for block in column] == [3_000_000] * 200
    assert len(calls) <= 3 * len(found)
    assert len({id(content) for content in found[0]}) == 2


@pytest.mark.parametrize("size", [0, 1, 7, 8, 31, 32, 1000])
def test_what_is_no_bundle_is_refused(size):
    """Zeros, text, noise: whatever a path may lead to."""
    noise = hashlib.shake_256(b"noise").digest(size)
    for data in (bytes(size), noise, (b"text\r\n" * 200)[:size], b"\x89OWB\r\n\x1a\n"):
        with pytest.raises(OverwinterError, match="<bytes>: "):
            Bundle(data)
