"""Countersigning: one more signature, by who answers for what others wrote."""

import zlib
from hashlib import sha256

import attrs
import pytest
from both_readers import difference
from bundles import (
    KEY,
    built,
    delivered,
    flipped,
    part,
    plans,
    regions,
    sample,
    sample_of_two,
)
from forging import HEADER, file_of, prefix_of

import overwinter
from overwinter import Bundle
from overwinter.bundle import verify
from overwinter.bundle.foot import FOOT, write_foot
from overwinter.bundle.segment import write_signatures
from overwinter.codec import pack, unpack
from overwinter.countersign import countersign
from overwinter.errors import (
    ConflictError,
    NotABundleError,
    NotFoundError,
    UnknownFeatureError,
)
from overwinter.kinds.inductor import InductorArtifact
from overwinter.trust import Policy, SigningKey, Trusted, own_key, public_text

OURS, OTHER = SigningKey(bytes(32)), SigningKey(bytes(31) + b"\1")
TRUSTING = Policy([KEY.public, OURS.public])


@pytest.fixture
def signed(tmp_path):
    """Return what countersigns a bundle, and gives the new one and the report."""

    def sign(data, policy=TRUSTING, key=OURS):
        out = tmp_path / "new.owb"
        out.unlink(missing_ok=True)
        report = countersign(data, out, policy=policy, key=key)
        new = out.read_bytes()
        assert difference(new) == difference(data)
        return new, report

    return sign


def signers(data):
    """Return who signed each segment."""
    return [set(segment.signers) for segment in Bundle(data).segments]


def with_words(statement=None, signatures=None):
    """Return the sample with another statement, or other signatures, as bytes."""
    segment = Bundle(sample()).segments[0]
    statement = statement or part(sample(), "statement 0")
    blocks = part(sample(), "blocks 0") + part(sample(), "layout 0")
    foot = attrs.evolve(
        segment.foot,
        segment_size=len(blocks) + len(statement) + len(signatures) + FOOT.size,
        statement_size=len(statement),
        signatures_size=len(signatures),
        signatures_crc=zlib.crc32(signatures),
        digest=sha256(statement).digest(),
    )
    return file_of(blocks + statement + signatures + write_foot(foot))


def test_each_segment_has_one_signature_more(signed):
    """The others stay, and so do the statements, which name the segments."""
    data = sample_of_two()
    new, report = signed(data)
    assert (report.signed, report.already, report.carried) == (2, 0, 0)
    assert report.problems == ()
    assert signers(new) == [{KEY.public, OURS.public}] * 2
    before, after = Bundle(data), Bundle(new)
    assert list(verify(after)) == []
    assert list(delivered(after)) == list(delivered(before))
    names = [[each.name for each in bundle.segments] for bundle in (before, after)]
    assert names[0] == names[1]
    for region in ("blocks 0", "layout 0", "statement 0", "blocks 1", "statement 1"):
        assert part(new, region) == part(data, region)


@pytest.mark.usefixtures("torch_said")
def test_who_trusts_the_second_signer_populates(tmp_path):
    """The walk: CI saved, somebody who trusts it signs, who trusts that one loads."""
    path, new = tmp_path / "a.owb", tmp_path / "new.owb"
    artifact = InductorArtifact("f" + "a" * 51, b"graph")
    overwinter.save(path, [artifact], key=KEY)
    assert countersign(path, new, policy=TRUSTING, key=OURS).signed == 1
    only_ours = Policy([OURS.public])
    assert overwinter.load(path, policy=only_ours).artifacts == {}
    assert overwinter.load(new, policy=only_ours).artifacts == {
        "inductor": [artifact.key]
    }


def test_what_has_the_signature_keeps_its_bytes(signed):
    """Again is as once: no segment grows by it."""
    once, _ = signed(sample_of_two())
    twice, report = signed(once)
    assert twice == once
    assert (report.signed, report.already, report.carried) == (0, 2, 0)


def test_the_order_of_signers_changes_no_byte(signed):
    """Signatures are sorted by key."""
    policy = Policy([KEY.public, OURS.public, OTHER.public])
    one, _ = signed(signed(sample(), policy)[0], policy, OTHER)
    other, _ = signed(signed(sample(), policy, OTHER)[0], policy)
    assert one == other
    assert len(Bundle(one).segments[0].signatures) == 3


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Policy([OURS.public]), "expected a key that this machine trusts"),
        (
            Policy([Trusted(KEY.public, "ci", frozenset({"acme/plan", "acme/tile"}))]),
            "is trusted with limits",
        ),
    ],
    ids=["a stranger", "limits"],
)
def test_nobody_answers_for_what_is_not_trusted(signed, policy, words):
    """Nor for what has limits, which one's own signature does not have."""
    data = sample()
    new, report = signed(data, policy)
    assert (report.signed, report.carried) == (0, 1)
    assert words in report.problems[0]
    assert signers(new) == [{KEY.public}]
    assert Bundle(new).segments[0].entry.size == Bundle(data).segments[0].entry.size


def test_an_unsigned_segment_stays_unsigned(signed):
    """Nobody vouched for it."""
    new, report = signed(built(plans(("a", b"1")), key=None))
    assert signers(new) == [set()]
    assert "no valid signature" in report.problems[0]


@pytest.mark.parametrize("region", ["blocks 0", "layout 0"])
def test_damage_is_carried_and_not_signed(signed, region):
    """Every byte is read first; the sound segment beside it is signed."""
    data = sample_of_two()
    damaged = flipped(data, regions(data)[region][8], 0)
    new, report = signed(damaged)
    assert (report.signed, report.carried) == (1, 1)
    assert report.problems
    assert signers(new) == [{KEY.public}, {KEY.public, OURS.public}]
    assert part(new, region) == part(damaged, region)


def test_a_segment_that_cannot_be_read_is_carried_whole(signed):
    """Byte for byte, under the name that the trailer gives it."""
    data = sample_of_two()
    damaged = flipped(data, regions(data)["statement 0"][5], 0)
    entry = Bundle(data).segments[0].entry
    new, report = signed(damaged)
    assert (report.signed, report.carried) == (1, 1)
    assert "statement" in report.problems[0]
    (number, _), carried = Bundle(new).refused[0], Bundle(new).trailer.segments[0]
    assert (number, carried.digest) == (0, entry.digest)
    bytes_of = slice(entry.offset, entry.offset + entry.size)
    assert new[carried.offset : carried.offset + carried.size] == damaged[bytes_of]


def test_a_false_signature_is_not_signed_beside(signed):
    """Somebody changed what stands there; who would say what else?"""
    (true,) = Bundle(sample()).segments[0].signatures
    false = OTHER.sign(b"another statement")
    new, report = signed(with_words(signatures=write_signatures([true, false])))
    assert (report.signed, report.carried) == (0, 1)
    assert "does not hold" in report.problems[0]
    assert signers(new) == [{KEY.public}]


def test_what_says_more_than_is_known_is_carried(signed):
    """A later release's words are neither lost nor answered for."""
    statement = unpack(part(sample(), "statement 0"), "", "")
    statement = pack({**statement, "warp": 1})
    later = with_words(statement, write_signatures([KEY.sign(statement)]))
    noted = with_words(
        signatures=pack(
            [{**attrs.asdict(KEY.sign(part(sample(), "statement 0"))), "until": 1}]
        )
    )
    for data in (later, noted):
        new, report = signed(data)
        assert (report.signed, report.carried) == (0, 1)
        assert "it says more than this release knows" in report.problems[0]
        assert part(new, "signatures 0") == part(data, "signatures 0")


def test_a_torn_tail_is_told_and_left_out(signed):
    """As a union does; what is listed is signed."""
    new, report = signed(sample() + b"torn")
    assert report.signed == 1
    assert len(report.problems) == 1
    assert Bundle(new).recovery == ""


def test_a_segment_has_sixteen_signatures_at_most(signed):
    """Each costs its readers a verification."""
    data = sample()
    for number in range(15):
        key = SigningKey(bytes([number + 100]) * 32)
        policy = Policy([KEY.public])
        data, report = signed(data, policy, key)
        assert report.signed == 1
    assert len(Bundle(data).segments[0].signatures) == 16
    new, report = signed(data, Policy([KEY.public]), OURS)
    assert new == data
    assert "it has 16 signatures already" in report.problems[0]


def test_many_bytes_of_signatures_are_not_added_to(signed):
    """A reader takes 64 KiB of them, and no more."""
    strange = attrs.evolve(KEY.sign(b""), algorithm="x" * 2**15)
    true = KEY.sign(part(sample(), "statement 0"))
    data = with_words(signatures=write_signatures([true, strange]))
    new, report = signed(data)
    assert "it has 2 signatures already, of 33," in report.problems[0]
    assert Bundle(new).segments


def test_what_is_known_of_the_machine_is_what_counts(tmp_path, monkeypatch):
    """Its own key signs, and whom its settings trust decides."""
    new = tmp_path / "new.owb"
    assert countersign(sample(), new).signed == 0
    new.unlink()
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", f"ci:{public_text(KEY.public)}")
    assert countersign(sample(), new).signed == 1
    assert signers(new.read_bytes()) == [{KEY.public, own_key().public}]


def test_what_cannot_be_done_is_told(tmp_path):
    """And nothing is written, nor written over."""
    path, new = tmp_path / "a.owb", tmp_path / "new.owb"
    path.write_bytes(sample())
    with pytest.raises(ConflictError):
        countersign(path, path)
    with pytest.raises(NotFoundError):
        countersign(tmp_path / "missing", new)
    with pytest.raises(NotABundleError):
        countersign(b"words" * 100, new)
    later = prefix_of({**HEADER, "write_requires": ["warp"]})
    with pytest.raises(UnknownFeatureError, match="warp"):
        countersign(file_of(prefix=later), new)
    assert path.read_bytes() == sample()
    assert list(tmp_path.glob("*.owb")) == [path]


def test_a_report_is_versioned(signed):
    """A literal, for the programs that read it."""
    _, report = signed(sample())
    assert report.as_dict() == {
        "version": 1,
        "file": report.file,
        "signed": 1,
        "already": 0,
        "carried": 0,
        "problems": (),
    }


def test_progress_goes_from_nothing_to_all(tmp_path):
    """In bytes of the segments."""
    told = []
    countersign(
        sample_of_two(),
        tmp_path / "new.owb",
        policy=TRUSTING,
        key=OURS,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0
