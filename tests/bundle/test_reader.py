"""Opening costs a bounded read of the tail, and nothing is used unverified."""

import os

import pytest
from bundles import ENVIRONMENT, KEY, PLAN, appended, built, delivered, plans, sample

from overwinter.bundle import Bundle, verify
from overwinter.errors import NotABundleError, NotFoundError, StoreError
from overwinter.sources import BytesSource, FileSource


class Counting(BytesSource):
    """Bytes that remember what was read of them."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.n_read = 0

    def read(self, offset: int, size: int) -> bytes:
        self.n_read += size
        return super().read(offset, size)


def test_opening_reads_the_ends_and_no_block():
    """Whatever the size: prefix, header, trailer, and the words of each segment."""
    noise = os.urandom(8 * 2**20)
    source = Counting(built(plans(("large", noise))))
    bundle = Bundle(source)

    assert source.n_read < 2**18
    assert list(verify(bundle)) == []
    assert source.n_read > len(noise)


def test_reading_one_block_reads_no_other():
    """A record costs its record block and its payload blocks."""
    source = Counting(
        built(
            plans(("a", os.urandom(2**20)), environment={"os": "a"}),
            plans(("b", os.urandom(2**20)), environment={"os": "b"}),
        )
    )
    (block, _) = Bundle(source).segments[0].blocks
    before = source.n_read
    block.read()

    # The end of the second payload was read with the trailer.
    assert 2**20 - 2**16 < source.n_read - before < 2**20 + 2**12


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, BytesSource])
def test_a_bundle_is_read_from_any_bytes(form):
    """Bytes of every form, and anything that reads ranges."""
    with Bundle(form(sample())) as bundle:
        assert bundle.name == "<bytes>"
        assert [key for _, (_, key, _) in delivered(bundle)] == ["a", "b", "c", "d"]


def test_a_bundle_is_read_from_a_path(tmp_path):
    """The file is open while the bundle is, and closed with it."""
    path = tmp_path / "bundle.owb"
    path.write_bytes(sample())
    with Bundle(path) as bundle:
        assert bundle.name == str(path)
        assert len(list(delivered(bundle))) == 4

    with pytest.raises(StoreError, match="could not read"):
        bundle.source.read(0, 1)


def test_a_source_of_the_caller_stays_open(tmp_path):
    """Who opened it closes it."""
    path = tmp_path / "bundle.owb"
    path.write_bytes(sample())
    source = FileSource(path)
    with Bundle(source):
        pass

    assert source.read(0, 4) == b"\x89OWB"
    source.close()


@pytest.mark.parametrize("part", ["prefix", "segment"])
def test_a_file_that_cannot_be_opened_is_closed(part, tmp_path, monkeypatch):
    """A refused file does not keep a descriptor, whichever step refused it."""
    path = tmp_path / "bundle.owb"
    path.write_bytes(b"no bundle" if part == "prefix" else sample())
    if part == "segment":

        def failing(*_):
            raise StoreError(str(path), "read it", "the disk is gone")

        monkeypatch.setattr("overwinter.bundle.reader.Segment", failing)
    before = len(os.listdir("/dev/fd"))
    with (
        pytest.raises((NotABundleError, StoreError), match=r"starts with|disk is gone"),
        Bundle(path) as bundle,
    ):
        list(bundle.segments)

    assert len(os.listdir("/dev/fd")) == before


def test_a_path_that_leads_nowhere_is_told(tmp_path):
    """The path stands in the message, with what to do."""
    with pytest.raises(NotFoundError, match=r"none\.owb: no such file; check the path"):
        Bundle(tmp_path / "none.owb")


def test_a_segment_says_who_signed_it_and_what_it_is():
    """Name, signers, kind and environment, without a block being read."""
    data = appended(
        built(plans(("a", b"1"), environment=ENVIRONMENT)), plans(("b", b"2")), key=None
    )
    first, second = Bundle(data).segments
    (block,) = first.blocks

    assert first.name == first.foot.digest.hex()
    assert (first.signers, second.signers) == ((KEY.public,), ())
    assert block.kind == PLAN
    assert block.kind.schema == PLAN.schema
    assert block.environment == ENVIRONMENT
    assert next(second.blocks).environment is None


def test_a_column_that_nobody_asks_for_is_never_decoded(monkeypatch):
    """Reading the payloads of a block leaves the other fields as they were stored."""
    (block,) = Bundle(built(plans(("a", b"1"), ("b", b"2")))).segments[0].blocks
    columns = block.read().columns
    held = columns.items_unread()

    assert held["ratio"] == b"\x92\xcb?\xe0\0\0\0\0\0\0\xcb?\xe0\0\0\0\0\0\0"
    assert columns.encoded("ratio") is held["ratio"]
    assert columns["ratio"] == [0.5, 0.5]
