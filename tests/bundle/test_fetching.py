"""One artifact out of many, by its key: what it costs, and what it proves."""

import itertools
import os
import threading

import pytest
from bundles import (
    ENVIRONMENT,
    PLAN,
    appended,
    built,
    flipped,
    plans,
    regions,
    sample_of_two,
    tiles,
)

from overwinter.bundle import Bundle, RecordBlock, Segment, verify, writer
from overwinter.errors import BlockDamagedError, FormatError, StoreError
from overwinter.sources import BytesSource

MIB = 2**20


class Asked(BytesSource):
    """Ranges over a network: it counts requests, and learns its size from them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "s3://test/bundle.owb")
        self._size, self.asked = self.size, []
        del self.size

    def read(self, offset, size):
        self.asked.append((offset, size))
        self.size = self._size
        return super().read(offset, size)


def contents(records):
    """Return the payloads of plans."""
    return [record.fields["content"] for record in records]


def test_the_keys_of_all_segments_are_listed_once():
    """By kind, in order, whoever wrote them."""
    data = appended(sample_of_two(), plans(("a", b"another"), ("0", b"")))
    assert Bundle(data).keys() == {
        "acme/plan": ["0", "a", "b", "e", "f"],
        "acme/tile": ["c", "d"],
    }


def test_a_record_is_fetched_as_it_was_written():
    """With kind, version, environment, and every field."""
    data = built(plans(("a", b"1"), ("b", b"2"), environment=ENVIRONMENT), tiles())
    (record,) = Bundle(data).fetch("acme/plan", "b")
    assert (record.kind, record.environment) == (PLAN, ENVIRONMENT)
    assert record.fields == {"key": "b", "content": b"2", "ratio": 0.5}


@pytest.mark.parametrize("kind", ["acme/plan", "acme/tile", "acme/unknown"])
@pytest.mark.parametrize("key", ["", "aa", "e0", "z"])
def test_what_is_not_there_is_not_found(kind, key):
    """Before, between and behind the keys that are."""
    assert Bundle(sample_of_two()).fetch(kind, key) == []


def test_null_and_empty_payloads_are_fetched_as_such():
    """Neither needs a payload block."""
    data = built(tiles(("a", None), ("b", b"")), plans(("c", b"other")))
    assert Bundle(data).fetch("acme/tile", "a")[0].fields["extra"] is None
    assert Bundle(data).fetch("acme/tile", "b")[0].fields["extra"] == b""


def test_all_variants_of_a_key_are_fetched(monkeypatch):
    """Also where a block ends among them, and from every environment and segment."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 2)
    variants = [b"%d" % number for number in range(7)]
    data = built(
        plans(("j", b"x"), *(("k", each) for each in variants), ("l", b"x")),
        plans(("k", b"elsewhere"), environment=ENVIRONMENT),
    )
    data = appended(data, plans(("k", b"later")))

    found = contents(Bundle(data).fetch("acme/plan", "k"))
    assert sorted(found) == sorted([*variants, b"elsewhere", b"later"])
    assert found[-1] == b"later"


def test_blocks_that_overlap_are_all_asked():
    """As an upgrade may write them; then the statement says where each ends."""
    data = built(plans(("a", b"1"), ("m", b"2"), ("z", b"3")), plans(("k", b"4")))
    stamps = Bundle(data).segments[0].statement.blocks
    assert [(each.first, each.last) for each in stamps] == [("a", "z"), ("k", "k")]
    for key, content in {"a": b"1", "k": b"4", "m": b"2", "z": b"3"}.items():
        assert contents(Bundle(data).fetch("acme/plan", key)) == [content]


@pytest.mark.parametrize("level", [0, 3])
def test_one_artifact_costs_one_record_block_and_one_payload_block(level):
    """Whatever else is there; listing keys reads no payload at all."""
    rows = [(f"{n:05d}", os.urandom(1000)) for n in range(10_000)]
    source = Asked(built(plans(*rows), level=level))
    bundle = Bundle(source)
    list(bundle.segments)
    source.asked.clear()
    assert contents(bundle.fetch("acme/plan", "04999")) == [rows[4999][1]]
    # A compressed record block may lie within what was read with the trailer.
    assert len(source.asked) == (1 if level else 2)

    source.asked.clear()
    assert len(bundle.keys()["acme/plan"]) == 10_000
    assert sum(size for _, size in source.asked) < MIB


def test_what_one_artifact_costs_does_not_grow_with_the_payloads():
    """Not the requests, and not the bytes of one of them."""
    asked = []
    for size in (1_000, 10_000, 100_000, 1_000_000):
        rows = [("small", b"content"), *((f"{n}", bytes([n]) * size) for n in range(9))]
        source = Asked(built(plans(*rows)))
        bundle = Bundle(source)
        assert contents(bundle.fetch("acme/plan", "small")) == [b"content"]
        asked.append(source.asked)
    assert len(asked[1]) >= len(asked[2]) == len(asked[3]) <= 4
    sizes = [sum(size for _, size in each) for each in asked]
    assert sizes[3] - sizes[2] < 100


def test_a_bundle_in_an_object_store_opens_with_two_requests():
    """The first answer tells the size; the second holds all that is needed."""
    rows = [(f"{n:05d}", os.urandom(1000)) for n in range(10_000)]
    source = Asked(built(plans(*rows)))
    with Bundle(source) as bundle:
        assert len(bundle.segments) == 1
    assert len(source.asked) == 2
    assert sum(size for _, size in source.asked) < 2**17


@pytest.mark.parametrize("size", [0, 3, 4095, 4096, 4097, 70_000])
def test_a_small_source_is_read_whole_and_once(size):
    """The two ends meet, and no byte is asked for twice."""
    source = Asked(built(plans(("a", os.urandom(size)))))
    with Bundle(source) as bundle:
        assert len(contents(bundle.fetch("acme/plan", "a"))[0]) == size
        assert list(verify(bundle)) == []
    if size < 60_000:
        assert len(source.asked) <= 2
        asked = sorted(source.asked)
        assert sum(asked[0]) <= 4096
        assert all(sum(one) <= other[0] for one, other in itertools.pairwise(asked))


def test_a_source_that_gives_fewer_bytes_is_told():
    """A block that came short is damaged, and nothing of it is used."""

    class Short(BytesSource):
        def read(self, offset, size):
            data = super().read(offset, size)
            return data[:-1] if size > MIB else data

    source = Short(built(plans(("a", os.urandom(2 * MIB)), ("b", b"sound"))))
    bundle = Bundle(source)
    with pytest.raises(BlockDamagedError, match="found 2,097,151 bytes"):
        bundle.fetch("acme/plan", "a")
    assert contents(bundle.fetch("acme/plan", "b")) == [b"sound"]


def test_every_bit_of_what_is_fetched_is_verified():
    """An index that is used before it is verified makes damage a silent absence."""
    data = built(plans(("a", b"first payload"), ("b", b"second")))
    sound = [Bundle(data).fetch("acme/plan", key) for key in "ab"]
    where = regions(data)["blocks 0"]
    for position in where:
        bundle = Bundle(flipped(data, position, position % 8))
        for key, expected in zip("ab", sound, strict=True):
            try:
                assert bundle.fetch("acme/plan", key) == expected
            except FormatError:
                continue


def test_a_view_is_the_file_itself(tmp_path):
    """Not copied and not verified: what changes in the file changes in the view."""
    path = tmp_path / "bundle.owb"
    content = os.urandom(3 * MIB)
    path.write_bytes(built(plans(("a", b"x"), ("large", content))))
    with Bundle(path) as bundle:
        (record,) = bundle.view("acme/plan", "large")
        view = record.fields["content"]
        assert type(view) is memoryview
        assert view.readonly
        assert view == content
        at = path.read_bytes().index(content)
        with path.open("r+b") as file:
            file.seek(at)
            file.write(b"changed")
        assert view[:7] == b"changed"
        with pytest.raises(BlockDamagedError, match="SHA-256"):
            bundle.fetch("acme/plan", "large")
    # It outlives the bundle.
    assert view[7:] == content[7:]


@pytest.mark.parametrize("size", [10, 5 * MIB])
def test_what_cannot_be_viewed_is_read(size):
    """A compressed payload is decompressed, and one of a stranger's source copied."""
    content = bytes(size)
    compressed = Bundle(built(plans(("a", content)), level=3))
    foreign = Bundle(Asked(built(plans(("a", content)))))
    for bundle in (compressed, foreign):
        (view,) = contents(bundle.view("acme/plan", "a"))
        assert view == content


def test_a_file_that_was_cut_is_not_viewed(tmp_path):
    """It is an error of ours, and says what could not be mapped."""
    path = tmp_path / "bundle.owb"
    path.write_bytes(built(plans(("a", b"x"), ("large", os.urandom(3 * MIB)))))
    with Bundle(path) as bundle:
        bundle.keys()
        os.truncate(path, MIB)
        with pytest.raises(StoreError, match="could not map 3,145,728 bytes at"):
            bundle.view("acme/plan", "large")


def test_many_threads_may_fetch_from_one_bundle(tmp_path):
    """Reading moves no shared position."""
    path = tmp_path / "bundle.owb"
    rows = {f"{n:03d}": os.urandom(5_000) for n in range(200)}
    path.write_bytes(built(plans(*rows.items())))
    wrong = []

    def look(bundle, keys):
        for key in keys:
            if contents(bundle.fetch("acme/plan", key)) != [rows[key]]:
                wrong.append(key)

    with Bundle(path) as bundle:
        threads = [
            threading.Thread(target=look, args=(bundle, sorted(rows)[at::4]))
            for at in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_listing_keys_holds_two_blocks_at_most(monkeypatch):
    """A bundle of millions of artifacts is listed in bounded memory."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 10)
    bundle = Bundle(built(plans(*((f"{n:04d}", b"") for n in range(500)))))
    asked, decoded = [], []
    read, columns = Segment.read_record_block, RecordBlock.read_columns

    def reading(self, number):
        asked.append(number)
        return read(self, number)

    def decoding(self, data=None):
        decoded.append(self.number)
        assert len(asked) <= len(decoded) + 1
        return columns(self, data)

    monkeypatch.setattr(Segment, "read_record_block", reading)
    monkeypatch.setattr(RecordBlock, "read_columns", decoding)
    assert len(bundle.keys()["acme/plan"]) == 500
    assert len(decoded) == 50
