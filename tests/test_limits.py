"""Few bytes cost little: nothing is built, read again or held that nobody asked for."""

import os
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import attrs
import msgpack
import pytest
from bundles import built, plans, sample
from forging import (
    Forgery,
    entries_of,
    file_of,
    prefix_of,
)

from overwinter.bundle import Bundle, Segment, blocks, verify
from overwinter.bundle.blocks import LAYOUT_ENTRY, digest_of, zstd
from overwinter.bundle.digesting import payload_digests
from overwinter.bundle.foot import FOOT, Foot, write_foot
from overwinter.bundle.identity import record_digest
from overwinter.bundle.trailer import END, HEAD, MAGIC, write_trailer
from overwinter.bundle.verifying import QUARANTINED, REFUSED
from overwinter.diff import DIFFERS, UNKNOWN, diff
from overwinter.errors import (
    BlockDamagedError,
    FormatError,
    NoTrailerError,
    OutOfMemoryError,
    TooLargeError,
)
from overwinter.limits import (
    MAX_BLOCKS,
    MAX_COLUMNS,
    MAX_ENVIRONMENTS,
    MAX_FAULTS,
    MAX_FIELDS,
    MAX_KINDS,
    MAX_MAP_KEYS,
    MAX_SCHEMA_NODES,
    MAX_SHARED,
    MAX_SIGNERS,
)
from overwinter.sources import BytesSource, FileSource

MIB, TIB = 2**20, 2**40
EMPTY_MAPS = b"\xdd" + struct.pack(">I", MIB) + b"\x80" * MIB
STATEMENT = msgpack.unpackb(Bundle(Forgery().file()).segments[0]._words)


def map_of(plain: dict[str, Any], **encoded: bytes) -> bytes:
    """Return *plain* and, as they are, the *encoded* values as one map."""
    pairs = {name: msgpack.packb(value) for name, value in plain.items()} | encoded
    head = msgpack.Packer().pack_map_header(len(pairs))
    return head + b"".join(msgpack.packb(name) + pairs[name] for name in pairs)


def of_kind(schema: bytes) -> bytes:
    """Return the list of the one kind of the statement, with this schema."""
    return b"\x91" + map_of(STATEMENT["kinds"][0], schema=schema)


def saying(**encoded: bytes) -> bytes:
    """Return a bundle whose statement has these values."""
    return Forgery(whole={"statement": map_of(STATEMENT, **encoded)}).file()


def holding(data: bytes) -> bytes:
    """Return a bundle whose record block is *data*, compressed to next to nothing."""
    return Forgery(whole={"block": data}, stored={0: (zstd.compress(data), 1)}).file()


def block_with(**columns: bytes) -> bytes:
    """Return a bundle whose record block has these columns."""
    block = msgpack.unpackb(Forgery().record_block())
    block["columns"] |= columns
    return holding(msgpack.packb(block))


def peak_of(call: Callable[[], Any]) -> int:
    """Return the most bytes of memory that *call* took at once."""
    call()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def asked(data: bytes) -> None:
    """Have everything done with *data* that needs nobody's trust."""
    bundle = Bundle(data)
    list(verify(bundle))
    diff(data, sample())
    for ask in (bundle.keys, lambda: bundle.fetch("acme/plan", "a")):
        try:
            ask()
        except FormatError:
            continue


# --- what nobody asks for is not built --------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        saying(more=EMPTY_MAPS),
        saying(kinds=EMPTY_MAPS),
        saying(environments=EMPTY_MAPS),
        saying(blocks=EMPTY_MAPS),
        saying(type=EMPTY_MAPS),
        saying(kinds=of_kind(EMPTY_MAPS)),
        saying(
            kinds=b"\x91"
            + map_of(STATEMENT["kinds"][0], schema=map_of({}, a=EMPTY_MAPS))
        ),
        saying(blocks=b"\x91" + map_of(STATEMENT["blocks"][0], more=EMPTY_MAPS)),
        saying(environments=b"\x91" + map_of({}, os=EMPTY_MAPS)),
        holding(map_of(msgpack.unpackb(Forgery().record_block()), more=EMPTY_MAPS)),
        holding(map_of({"rows": 2, "columns": {}}, payloads=EMPTY_MAPS)),
        block_with(key=b"\x92\xa1a" + EMPTY_MAPS),
        block_with(ratio=EMPTY_MAPS),
        block_with(content=map_of({"offset": [0, 5]}, size=EMPTY_MAPS)),
    ],
    ids=(
        "more kinds environments blocks type schema inside-schema in-a-block "
        "in-an-environment block-key table key column references"
    ).split(),
)
def test_a_million_empty_maps_are_never_built(data):
    """Each takes 64 bytes of memory and one of the bundle: 64 MiB where they were."""
    assert peak_of(lambda: asked(data)) < 16 * MIB


def test_what_may_be_nested_is_proved_without_being_held():
    """A column that the schema does not name may hold anything; it must be whole."""
    nested = b"\x92\xc0" + EMPTY_MAPS
    assert peak_of(lambda: list(verify(Bundle(block_with(more=nested))))) < 24 * MIB
    assert not list(verify(Bundle(block_with(more=nested))))

    for bad in (
        b"\x91" + EMPTY_MAPS,
        b"\x92\x82\xa1a\xc0\xa1a\xc0" + EMPTY_MAPS,
        b"\x92\x81\xc4\x01a\xc0" + EMPTY_MAPS,
        b"\x92\xa1\xff" + EMPTY_MAPS,
    ):
        (finding,) = verify(Bundle(block_with(more=bad)))
        assert (finding.outcome, finding.keys) == (QUARANTINED, ("a …",))


def test_a_record_of_too_many_maps_is_not_compared():
    """Its digest takes its values; the others of its block have theirs."""
    found = diff(
        block_with(more=b"\x92\xc0" + EMPTY_MAPS), block_with(more=b"\x92\xc0\xc0")
    )
    assert [(each.outcome, each.key) for each in found.differences] == [(UNKNOWN, "b")]
    assert "'b': more than 65,536 lists and maps" in found.problems[0]


def test_records_of_a_large_column_are_compared_one_by_one():
    """With the digests that they have where a column is built at once."""
    values = [{"a": [[]] * 40_000}, {"a": [[]] * 40_000, "b": b"\x80" * 70_000}]
    a = Forgery(columns={"more": values}).file()
    b = Forgery(columns={"more": values, "ratio": [0.25, 0.5]}).file()
    (found,) = diff(a, b).differences
    assert (found.outcome, found.key) == (DIFFERS, "a")

    content = digest_of(b"first")
    record = {"content": content, "key": "a", "more": values[0], "ratio": 0.5}
    assert found.a[0].digest == record_digest(record, ()).hex()


# --- counts -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("forgery", "words"),
    [
        (
            Forgery(statement={"kinds": STATEMENT["kinds"] * (MAX_KINDS + 1)}),
            "claims 4,097 items of one list, at most 4,096",
        ),
        (
            Forgery(statement={"environments": [{}] * (MAX_ENVIRONMENTS + 1)}),
            "claims 4,097 items of one list, at most 4,096",
        ),
        (
            Forgery(
                statement={
                    "environments": [{str(n): "x" for n in range(MAX_FIELDS + 1)}]
                }
            ),
            "claims 4,097 keys of one map, at most 4,096",
        ),
        (
            Forgery(statement={str(n): 0 for n in range(MAX_MAP_KEYS)}),
            "claims 261 keys of one map, at most 256",
        ),
    ],
    ids="kinds environments fields keys".split(),
)
def test_words_of_too_many_are_refused(forgery, words):
    """What costs a step of the reader each is counted first."""
    ((_, error),) = Bundle(forgery.file()).refused
    assert type(error) is TooLargeError
    assert words in str(error)


def test_a_segment_has_sixteen_signatures_at_most():
    """Each is checked over the whole statement."""
    said = {"algorithm": "other", "key": b"k", "signature": b"s"}
    few = Forgery(signatures=msgpack.packb([said] * MAX_SIGNERS)).file()
    assert len(Bundle(few).segments[0].signatures) == MAX_SIGNERS

    more = Forgery(signatures=msgpack.packb([said] * (MAX_SIGNERS + 1))).file()
    (finding,) = verify(Bundle(more))
    assert finding.outcome == REFUSED
    assert "signatures claims 17 items of one list, at most 16" in finding.reason


def test_a_block_of_too_many_columns_is_damaged():
    """A step of the reader each, and a kind has some ten."""
    columns = {str(n): b"\x92\xc0\xc0" for n in range(MAX_COLUMNS)}
    (finding,) = verify(Bundle(block_with(**columns)))
    assert "claims 4,099 keys of one map, at most 4,096" in finding.reason


def test_a_schema_of_too_many_maps_leaves_its_kind_opaque():
    """It is no schema; the records are carried, and listed by their keys."""
    lists: list[Any] = [[]] * MAX_SCHEMA_NODES
    bundle = Bundle(Forgery(kind={"schema": {"more": lists}}).file())
    (block,) = bundle.segments[0].blocks
    assert block.schema is None
    assert bundle.keys() == {"acme/plan": ["a", "b"]}
    assert list(verify(bundle)) == []
    with pytest.raises(TooLargeError, match="at most 16,384 are read"):
        bundle.fetch("acme/plan", "a")


def test_a_schema_that_is_no_msgpack_leaves_its_kind_opaque():
    """Until somebody asks for it, only its end was looked for."""
    twice = b"\x82\xa1a\xc0\xa1a\xc0"
    data = saying(kinds=of_kind(twice))
    bundle = Bundle(data)
    assert [block.schema for block in bundle.segments[0].blocks] == [None]
    assert not bundle.segments[0].is_as_written


# --- layouts ----------------------------------------------------------------


def sharing(n: int) -> bytes:
    """Return a bundle of *n* record blocks with keys that share their bytes."""
    block = Forgery().record_block()
    statement = msgpack.packb({**STATEMENT, "blocks": STATEMENT["blocks"] * n})
    layout = LAYOUT_ENTRY.pack(0, len(block), 0, bytes(7)) * n
    layout += LAYOUT_ENTRY.pack(len(block), 11, 0, bytes(7))
    return file_of(segment_of(block + b"firstsecond", layout, statement))


def segment_of(stored: bytes, layout: bytes, statement: bytes) -> bytes:
    """Return an unsigned segment of these parts."""
    size = len(stored) + len(layout) + len(statement) + 1 + FOOT.size
    foot = foot_of(len(layout), statement, size)
    return b"".join([stored, layout, statement, b"\x90", foot])


def foot_of(layout_size: int, statement: bytes, size: int) -> bytes:
    """Return the foot of a segment of *size* bytes without signatures."""
    crc, digest = zlib.crc32(b"\x90"), digest_of(statement)
    return write_foot(Foot(size, layout_size, len(statement), 1, crc, digest))


def test_stored_bytes_are_not_decoded_for_thousands_of_blocks():
    """A few lie on each other where a bit of the layout changed: these are read."""
    few, more = Bundle(sharing(MAX_SHARED)), Bundle(sharing(40))
    assert few.keys() == few.keys() == {"acme/plan": ["a", "b"]}
    with pytest.raises(BlockDamagedError, match="bytes that 40 blocks share"):
        more.keys()
    reasons = [each.reason for each in verify(Bundle(sharing(40)))]
    assert sum("bytes that 40 blocks share" in each for each in reasons) == 24


def test_payloads_are_not_hashed_for_thousands_of_blocks():
    """A gigabyte of zeros takes some KiB, and an entry of the layout 24 bytes."""
    for count, is_read in ((MAX_SHARED, True), (100, False)):
        forgery = Forgery(
            payloads=[b"x" * 1000] * count,
            columns={"content": {"offset": [0, None], "size": [1000 * count, None]}},
            stamp={"payload_size": 1000 * count},
            stored={1 + number: (b"", 0) for number in range(1, count)},
        )
        place = len(forgery.record_block()), 1000, 0, bytes(7)
        forgery.layout = {1 + number: place for number in range(count)}
        data = forgery.file()
        damaged = [each for each in verify(Bundle(data)) if each.keys == ("a",)]
        assert bool(damaged) is not is_read
        assert bool(diff(data, sample()).problems) is not is_read
        assert all("that others have, too" in each.reason for each in damaged)


def sparse(path: Any, layout_size: int) -> Any:
    """Write a bundle that claims 1 TiB with such a layout, and takes some KiB."""
    prefix, block = prefix_of(), Forgery().record_block()
    n_payloads = layout_size // LAYOUT_ENTRY.size - 1
    statement = msgpack.packb({**STATEMENT, "payload_blocks": n_payloads})
    tail = statement + b"\x90" + foot_of(layout_size, statement, TIB)
    end = len(prefix) + TIB
    (entry,) = entries_of([tail], len(prefix))
    with open(path, "wb") as file:
        file.write(prefix + block)
        file.seek(end - len(tail))
        file.write(tail + write_trailer([attrs.evolve(entry, size=TIB)], end))
    return path


def test_a_layout_of_too_many_blocks_is_refused(tmp_path):
    """Half a TiB of it is a hole, and every entry of it one to look at."""
    path = sparse(tmp_path / "a.owb", LAYOUT_ENTRY.size * (MAX_BLOCKS + 1))
    with Bundle(path) as bundle:
        ((_, error),) = bundle.refused
    assert "layout claims 4,194,305 blocks, at most 4,194,304" in str(error)


def test_a_layout_is_not_held_to_be_looked_through(tmp_path):
    """Only places whose other side was not yet seen are, and no page of it."""
    path = sparse(tmp_path / "a.owb", LAYOUT_ENTRY.size * 2**16)
    with Bundle(path) as bundle:
        (segment,) = bundle.segments
        assert peak_of(segment.untiled) < MIB
        assert segment.untiled() == "blocks that leave a gap or overlap at 0"


# --- recovery ---------------------------------------------------------------


def test_a_hole_is_not_searched_for_a_trailer(tmp_path, monkeypatch):
    """A torn append may have left any size behind it."""
    path = tmp_path / "a.owb"
    path.write_bytes(sample())
    os.truncate(path, TIB)
    read = []
    original = FileSource.read

    def counted(self: FileSource, offset: int, size: int) -> bytes:
        read.append(size)
        return original(self, offset, size)

    monkeypatch.setattr(FileSource, "read", counted)
    with Bundle(path) as bundle:
        assert "are an append that was torn" in bundle.recovery
        assert len(bundle.segments) == 1
    assert sum(read) < MIB


def test_what_lies_between_holes_is_searched(tmp_path):
    """The last trailer counts, wherever zeros are."""
    path = tmp_path / "a.owb"
    body = prefix_of()
    copies = write_trailer([], 2 * MIB)
    with open(path, "wb") as file:
        file.write(body)
        file.seek(2 * MIB)
        file.write(copies)
        file.truncate(64 * MIB)
    with Bundle(path) as bundle:
        assert bundle.trailer.offset == 2 * MIB


def test_heads_and_ends_are_not_paired_without_end():
    """Each end closes a copy that begins far before it: a CRC of half of the file."""
    body, count = prefix_of(), 20_000
    size = 24 * count + 16 * count
    heads = bytearray()
    ends = bytearray()
    for number in range(count):
        begin = len(body) + 24 * number
        end = len(body) + 24 * count + 16 * (number + 1)
        rows, rest = divmod(end - begin - 40, 48)
        heads += HEAD.pack(MAGIC, begin, rows, 0)
        ends += struct.pack("<II8s", end - begin if not rest else 40, 0, END)
    read = []

    class Counting(BytesSource):
        def read(self, offset: int, size: int) -> bytes:
            read.append(size)
            return super().read(offset, size)

    with pytest.raises(NoTrailerError, match="none in"):
        Bundle(Counting(body + heads + ends + b"x"))
    assert sum(read) < 8 * (size + MIB)


# --- reports ----------------------------------------------------------------


def test_of_many_refused_segments_twenty_are_told(monkeypatch):
    """The others are counted, and have one error together."""
    bad = segment_of(b"", b"", b"\xc0")
    data = file_of(*[bad] * 100)
    bundle = Bundle(data)
    assert [number for number, _ in bundle.refused] == [*range(100)]
    assert len({id(error) for _, error in bundle.refused}) == MAX_FAULTS + 1

    findings = [each for each in verify(bundle) if each.outcome == REFUSED]
    assert len(findings) == MAX_FAULTS + 1
    assert findings[-1].reason == "80 more are refused"
    problems = diff(data, sample()).problems
    assert len(problems) == MAX_FAULTS + 1
    assert problems[-1] == (
        "80 more problems; fetch the files again, or restore copies"
    )


# --- payloads, and memory that is not to be had -----------------------------


def test_payloads_are_hashed_as_they_pass():
    """A payload of 64 MiB is compared and verified in a few."""
    data = built(plans(("a", bytes(64 * MIB))), level=3)
    assert len(data) < MIB
    assert peak_of(lambda: diff(data, sample())) < 8 * MIB
    assert peak_of(lambda: list(verify(Bundle(data)))) < 8 * MIB


def test_digests_of_payloads_are_those_of_their_bytes(monkeypatch):
    """In one block or in many, over their edges, shared, overlapping or empty."""
    monkeypatch.setattr(blocks, "_CHUNK", 7)
    stored = [b"first payload", b"", b"another one", b"x", b"the last of them"]
    whole = b"".join(stored)
    data = Forgery(payloads=stored).file()
    ((block,),) = [segment.blocks for segment in Bundle(data).segments]
    _, table = block.read_columns()
    spans = [
        (begin, end - begin)
        for begin in range(len(whole))
        for end in range(begin, len(whole) + 1)
    ]
    found = payload_digests(block.segment, table, spans)
    assert found == {
        (begin, size): digest_of(whole[begin : begin + size]) for begin, size in spans
    }

    # Damage takes what lies in its block, and no others.
    segment = bytearray(Forgery(payloads=stored).segment())
    segment[segment.index(b"another")] ^= 1
    ((block,),) = [each.blocks for each in Bundle(file_of(bytes(segment))).segments]
    for (begin, size), digest in payload_digests(block.segment, table, spans).items():
        if size and begin < 24 and begin + size > 13:
            assert isinstance(digest, BlockDamagedError)
        else:
            assert digest == digest_of(whole[begin : begin + size])


def test_a_block_is_read_once_for_all_records_of_a_key(monkeypatch):
    """Else a key of a million records costs as many times its payloads' block."""
    columns = {
        "key": ["a"] * 1000,
        "ratio": [0.5] * 1000,
        "content": {"offset": [0, 5] * 500, "size": [5, 6] * 500},
    }
    stamp = {"rows": 1000, "payload_size": 5500}
    data = Forgery(columns=columns, block={"rows": 1000}, stamp=stamp).file()
    read = []
    original = Segment.read_payload_blocks

    def counted(self: Segment, *arguments: Any) -> bytes:
        read.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(Segment, "read_payload_blocks", counted)
    records = Bundle(data).fetch("acme/plan", "a")
    assert [each.fields["content"] for each in records] == [b"first", b"second"] * 500
    assert {each.fields["ratio"] for each in records} == {0.5}
    assert len(read) == 1


class Exhausted(BytesSource):
    """A source for whose reads there is no memory, from some number of them on."""

    def __init__(self, data: bytes, n_reads: int) -> None:
        super().__init__(data)
        self.n_reads = n_reads

    def read(self, offset: int, size: int) -> bytes:
        self.n_reads -= 1
        if self.n_reads < 0:
            raise MemoryError
        return super().read(offset, size)


@pytest.mark.parametrize("n_reads", range(6))
def test_a_lack_of_memory_is_told_as_one(n_reads):
    """Whatever is asked, and wherever it happens: an error of ours."""
    data = built(plans(("a", os.urandom(MIB)), ("b", os.urandom(MIB))), level=0)
    for ask in (
        Bundle.keys,
        lambda bundle: bundle.fetch("acme/plan", "a"),
        lambda bundle: bundle.view("acme/plan", "a"),
        lambda bundle: list(verify(bundle)),
        lambda bundle: diff(bundle.source, sample()),
    ):
        try:
            ask(Bundle(Exhausted(data, n_reads)))
        except OutOfMemoryError as error:
            assert "than this process may have" in str(error)


def test_a_block_that_memory_is_too_small_for_is_quarantined(monkeypatch):
    """As any other that cannot be read; what is beside it is verified."""

    def exhausted(*arguments: Any) -> bytes:
        raise MemoryError

    monkeypatch.setattr(blocks, "_decompress", exhausted)
    block = Forgery().record_block()
    findings = list(verify(Bundle(holding(block + b""))))
    assert [each.outcome for each in findings] == [QUARANTINED]
    assert "to need more memory than this process may have" in findings[0].reason
