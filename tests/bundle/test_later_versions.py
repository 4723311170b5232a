"""What later releases may write is read, left alone, or refused by name."""

import struct

import pytest
from bundles import KEY, delivered, plans, sample, sample_of_two
from forging import HEADER, Forgery, checked, file_of, prefix_of

from overwinter.bundle import Bundle, append_segment, verify
from overwinter.errors import (
    DamagedError,
    SegmentDamagedError,
    TooNewError,
    UnknownFeatureError,
)
from overwinter.sources import BytesSource


def with_foot_version(segment, version):
    """Return *segment* with another version in its foot."""
    foot = bytearray(segment[-96:-4])
    struct.pack_into("<H", foot, 8, version)
    return segment[:-96] + checked(bytes(foot))


def test_a_forgery_that_does_not_lie_is_sound():
    """Else the tests that forge would be refused for another reason than theirs."""
    bundle = Bundle(Forgery().file())

    assert list(verify(bundle)) == []
    assert [record for _, (_, *record) in delivered(bundle)] == [
        ["a", (("content", b"first"), ("key", "a"), ("ratio", 0.5))],
        ["b", (("content", b"second"), ("key", "b"), ("ratio", 0.5))],
    ]
    assert bundle.segments[0].signers == (KEY.public,)


def test_a_container_for_later_readers_is_refused_by_version():
    """The error names the version that was found, what it needs, and what we read."""
    data = file_of(Forgery().segment(), prefix=prefix_of(major=3, oldest_reader=2))

    with pytest.raises(
        TooNewError,
        match=r"container version 3 \(it needs readers of 2\), but this release "
        r"reads up to 1; upgrade",
    ) as caught:
        Bundle(data)
    assert (caught.value.found, caught.value.newest) == (3, 1)


def test_the_version_is_asked_before_anything_that_later_versions_may_change():
    """Reserved fields and a larger header are for later readers to judge."""
    prefix = prefix_of(oldest_reader=2, zeros=(7, 7), header_size=2**31)

    with pytest.raises(TooNewError, match="readers of 2"):
        Bundle(prefix)


@pytest.mark.parametrize("version", [{"major": 2}, {"minor": 7}, {"oldest_reader": 0}])
def test_a_later_container_that_we_may_read_is_read(version):
    """``oldest_reader`` alone decides; the writer's own version does not."""
    bundle = Bundle(file_of(Forgery().segment(), prefix=prefix_of(**version)))

    assert list(verify(bundle)) == []


@pytest.mark.parametrize("zeros", [(1, 0), (0, 1)])
def test_a_reserved_field_of_the_prefix_is_zero(zeros):
    """A bit there is damage or a lie, not a version."""
    with pytest.raises(DamagedError, match="prefix: found a reserved bit"):
        Bundle(file_of(prefix=prefix_of(zeros=zeros)))


def test_a_feature_that_we_lack_is_named():
    """Reading on would misread, so the file is refused with the feature's name."""
    header = {**HEADER, "requires": ["b-trees", "a-codec"]}
    data = file_of(Forgery().segment(), prefix=prefix_of(header))

    with pytest.raises(
        UnknownFeatureError, match="to read it, a program must know a-codec, b-trees"
    ) as caught:
        Bundle(data)
    assert caught.value.features == ("a-codec", "b-trees")


def test_another_digest_is_a_feature_that_we_lack():
    """The header names the algorithm so that it can be replaced one day."""
    data = file_of(prefix=prefix_of({**HEADER, "digest": "sha3_256"}))

    with pytest.raises(UnknownFeatureError, match="must know the digest sha3_256"):
        Bundle(data)


def test_a_feature_for_writers_leaves_the_bundle_readable(tmp_path):
    """It is read; an append is refused before a byte is written."""
    header = {**HEADER, "write_requires": ["locks"]}
    data = file_of(Forgery().segment(), prefix=prefix_of(header))
    path = tmp_path / "bundle.owb"
    path.write_bytes(data)

    assert list(verify(Bundle(data))) == []
    with (
        path.open("ab") as file,
        pytest.raises(UnknownFeatureError, match=r"to append to it, .* know locks"),
    ):
        append_segment(file, BytesSource(data), [plans(("k", b""))], key=KEY)
    assert path.read_bytes() == data


def test_keys_that_we_do_not_know_are_ignored():
    """Header, statement, kind, block, table and record block may all gain keys."""
    forgery = Forgery(
        statement={"later": {"a": [1]}},
        kind={"later": 1},
        stamp={"later": None},
        block={"later": b"x"},
        table={"later": []},
    )
    data = file_of(forgery.segment(), prefix=prefix_of({**HEADER, "later": True}))
    bundle = Bundle(data)

    assert list(verify(bundle)) == []
    assert [key for _, (_, key, _) in delivered(bundle)] == ["a", "b"]


def test_a_column_that_we_do_not_know_is_carried():
    """A later version of a kind adds columns; they travel, and harm nothing."""
    bundle = Bundle(Forgery(columns={"later": [{"x": 1}, None]}).file())

    assert list(verify(bundle)) == []
    (block,) = bundle.segments[0].blocks
    assert block.read().columns["later"] == [{"x": 1}, None]


def test_a_signature_of_another_algorithm_is_ignored():
    """It neither counts nor harms; who has only such ones is unsigned."""
    later = b"\x91\x83\xa9algorithm\xa5later\xa3key\xc4\x01k\xa9signature\xc4\x01s"
    bundle = Bundle(Forgery(signatures=later).file())

    assert list(verify(bundle)) == []
    assert bundle.segments[0].signers == ()


def test_a_codec_that_we_lack_quarantines_its_block():
    """The rest of the segment is read."""
    bundle = Bundle(Forgery(stored={1: (b"firstsecond", 2)}).file())

    assert [finding.outcome for finding in verify(bundle)] == ["quarantined"]
    assert "codec 2, expected 0 (stored) or 1 (zstd)" in next(verify(bundle)).reason


def test_a_segment_of_a_later_layout_is_refused_and_the_others_are_read():
    """One segment from a later release does not cost those beside it."""
    later = with_foot_version(Forgery().segment(), 2)
    other = Forgery(columns={"key": ["a", "z"]}).segment()
    bundle = Bundle(file_of(later, other))

    ((number, error),) = bundle.refused
    assert (number, type(error)) == (0, TooNewError)
    assert "segment version 2, but this release reads up to 1" in str(error)
    assert [key for _, (_, key, _) in delivered(bundle)] == ["a", "z"]
    assert [finding.outcome for finding in verify(bundle)] == ["refused"]


def test_a_statement_of_a_later_type_is_refused_by_version():
    """Its number is named; what it says is not guessed at."""
    data = Forgery(statement={"type": "overwinter.segment/12", "kinds": 3}).file()

    ((_, error),) = Bundle(data).refused
    assert isinstance(error, TooNewError)
    assert (error.found, error.newest) == (12, 1)
    assert "statement version 12, but this release reads up to 1" in str(error)


@pytest.mark.parametrize(
    "kind",
    [
        "overwinter.segment/²",
        "overwinter.segment/" + "9" * 5000,
        "overwinter.segment/0",
        "overwinter.segment/",
        "overwinter.archive/1",
        "",
        7,
        None,
        [["overwinter.segment/1"]],
    ],
    ids=lambda kind: repr(kind)[:30],
)
def test_a_statement_of_no_type_is_damaged(kind):
    """Only a plain number behind our name is a later version of ours."""
    ((_, error),) = Bundle(Forgery(statement={"type": kind}).file()).refused
    assert type(error) is SegmentDamagedError
    assert "statement: found" in str(error)


def test_a_kind_in_a_later_schema_language_stays_opaque():
    """Its records are carried and verified as they are, and nothing of it is lost."""
    schema = {"language": 2, "kind": "acme/plan"}
    bundle = Bundle(Forgery(kind={"schema": schema}).file())
    (block,) = bundle.segments[0].blocks

    assert list(verify(bundle)) == []
    assert block.schema is None
    assert block.read_columns()[0]["key"] == ["a", "b"]


def test_damage_to_a_payload_of_an_opaque_kind_is_found():
    """Who cannot take a record apart can hold its blocks against their digests."""
    damaged = Forgery(kind={"schema": {"language": 2}}, stored={1: (b"firstsEcond", 0)})
    (finding,) = verify(Bundle(damaged.file()))

    assert finding.outcome == "quarantined"
    assert "payload block 0: found SHA-256" in finding.reason


def test_a_bundle_that_a_later_release_appended_to_is_read_in_part(tmp_path):
    """The first segment is ours, the second of a later layout: the first is read."""
    data = sample_of_two()
    bundle = Bundle(data)
    entries = bundle.trailer.segments
    first, second = (data[each.offset : each.offset + each.size] for each in entries)
    mixed = Bundle(file_of(first, with_foot_version(second, 9)))

    assert list(delivered(mixed)) == list(delivered(Bundle(sample())))
    assert [number for number, _ in mixed.refused] == [1]
