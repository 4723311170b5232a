"""
Every cut and every flipped bit of a bundle has the outcome that ``FORMAT.md`` names.

Nothing is silent, nothing is misread, and what is sound beside the damage is read.
"""

import pytest
from bundles import (
    appended,
    built,
    delivered,
    flipped,
    plans,
    regions,
    sample,
    sample_of_two,
    tiles,
)

from overwinter.bundle import Bundle, verify
from overwinter.bundle.verifying import QUARANTINED, REFUSED, TAIL_IGNORED
from overwinter.errors import DamagedError, FormatError, NotABundleError, NoTrailerError

ONE, TWO = sample(), sample_of_two()
RECORDS = {data: list(delivered(Bundle(data))) for data in (ONE, TWO)}
N_FIRST = len(RECORDS[ONE])

OUTCOMES = {
    "blocks": QUARANTINED,
    "layout": QUARANTINED,
    "statement": REFUSED,
    "signatures": REFUSED,
    "foot": REFUSED,
    "old trailer": TAIL_IGNORED,
    "first copy": TAIL_IGNORED,
    "second copy": TAIL_IGNORED,
}


def outcome_of(data, original):
    """Return outcomes and what is still delivered, all of it as it was written."""
    try:
        bundle = Bundle(data)
    except FormatError as error:
        return error, []
    outcomes = {finding.outcome for finding in verify(bundle)}
    records = list(delivered(bundle))
    assert [each for each in records if each not in RECORDS[original]] == []
    return outcomes, records


def flips(data, name):
    """Give a bundle for each bit of a region, flipped, and which it was."""
    for position in regions(data)[name]:
        for bit in range(8):
            yield f"bit {bit} of byte {position}", flipped(data, position, bit)


@pytest.mark.parametrize("name", ["prefix", "header"])
def test_a_bit_that_is_flipped_at_the_start_refuses_the_file(name):
    """Neither prefix nor header is guessed at: nothing of the file is used."""
    for what, damaged in flips(ONE, name):
        with pytest.raises(FormatError, match=f"starts with|<bytes>: {name}"):
            pytest.fail(f"{what}: {Bundle(damaged).header}")


@pytest.mark.parametrize(
    "name", [name for name in regions(ONE) if name not in ("prefix", "header")]
)
def test_a_flipped_bit_of_a_bundle_is_found(name):
    """Each region has its one outcome; no bit of the file is outside of a region."""
    expected = OUTCOMES[name.removesuffix(" 0")]
    for what, damaged in flips(ONE, name):
        outcomes, records = outcome_of(damaged, ONE)
        assert outcomes == {expected}, what
        if expected == REFUSED:
            assert records == [], what
        elif expected == QUARANTINED:
            assert len(records) < N_FIRST, what
        else:
            assert records == RECORDS[ONE], what


def test_the_regions_of_a_bundle_leave_nothing_out():
    """So the tests of this page looked at every byte."""
    for data in (ONE, TWO):
        position = 0
        for where in regions(data).values():
            assert where.start == position
            position = where.stop
        assert position == len(data)


@pytest.mark.parametrize(
    "name", [name for name in regions(TWO) if name not in ("prefix", "header")]
)
def test_a_flipped_bit_costs_its_own_segment_alone(name):
    """The other segment of the file is read whole."""
    expected = OUTCOMES[name.rstrip(" 01")]
    in_segment = name[-1] in "01" and expected != TAIL_IGNORED
    for position in regions(TWO)[name]:
        bit = (position // 3) % 8
        outcomes, records = outcome_of(flipped(TWO, position, bit), TWO)
        assert outcomes == {expected}, position
        for number in range(2):
            before = [each for each in RECORDS[TWO] if each[0] == number]
            after = [each for each in records if each[0] == number]
            if in_segment and number == int(name[-1]):
                assert len(after) < len(before), position
            else:
                assert after == before, position


def test_a_bundle_that_is_cut_is_refused_or_says_so():
    """Only within its last trailer does a first save survive a cut, and it tells."""
    where = regions(ONE)
    for size in range(len(ONE)):
        outcomes, records = outcome_of(ONE[:size], ONE)
        if size >= where["second copy"].start:
            assert outcomes == {TAIL_IGNORED}, size
            assert records == RECORDS[ONE], size
            continue
        expected = (
            NotABundleError
            if size < 8
            else NoTrailerError
            if size >= where["header"].stop
            else DamagedError
        )
        assert type(outcomes) is expected, (size, outcomes)


def test_a_cut_append_leaves_what_was_there_before():
    """Up to its own trailer an append has not happened; behind it, it has."""
    where = regions(TWO)
    for size in range(len(ONE) + 1, len(TWO)):
        outcomes, records = outcome_of(TWO[:size], TWO)
        assert outcomes == {TAIL_IGNORED}, size
        done = size >= where["second copy"].start
        assert records == RECORDS[TWO][: None if done else N_FIRST], size


def test_a_cut_at_the_end_of_an_earlier_save_is_that_save():
    """No file can know that it was longer: freshness is not the bundle's to prove."""
    assert TWO[: len(ONE)] == ONE
    assert outcome_of(TWO[: len(ONE)], TWO) == (set(), RECORDS[ONE])


@pytest.mark.parametrize("where", ["first copy", "second copy"])
def test_a_torn_append_behind_a_damaged_copy_is_both_survived(where):
    """One copy of the last pair is enough to find what lies before a torn append."""
    position = regions(ONE)[where].start + 30
    outcomes, records = outcome_of(
        flipped(ONE, position, 0) + TWO[len(ONE) : -200], TWO
    )

    assert outcomes == {TAIL_IGNORED}
    assert records == RECORDS[ONE]


def test_when_both_copies_are_damaged_the_earlier_save_is_used():
    """What the last trailer listed cannot be found; what an old one lists can."""
    damaged = TWO
    for name in ("first copy", "second copy"):
        damaged = flipped(damaged, regions(TWO)[name].start + 30, 0)
    outcomes, records = outcome_of(damaged, TWO)

    assert outcomes == {TAIL_IGNORED}
    assert records == RECORDS[ONE]


def test_a_damaged_payload_takes_only_its_own_records():
    """The record block is sound: keys are known, and null payloads need no block."""
    data = built(tiles(("a", b"damaged"), ("b", None), ("c", b"")))
    position = data.index(b"damaged")
    (finding,) = verify(bundle := Bundle(flipped(data, position, 0)))

    assert (finding.outcome, finding.kind, finding.keys) == (
        QUARANTINED,
        "acme/tile",
        ("a",),
    )
    assert [key for _, (_, key, _) in delivered(bundle)] == ["b", "c"]


def test_a_damaged_piece_takes_its_own_payload():
    """Payloads in other blocks are delivered, and the reason names the block."""
    large = bytes(5 * 2**20)
    data = built(plans(("large", large), ("small", b"small")))
    position = Bundle(data).segments[0].placement(2).offset + 100
    (finding,) = verify(bundle := Bundle(flipped(data, position, 0)))

    assert finding.keys == ("large",)
    assert "payload block 1: found SHA-256" in finding.reason
    assert [key for _, (_, key, _) in delivered(bundle)] == ["small"]


def test_a_damaged_record_block_takes_its_records():
    """The keys are lost with it, so the finding names where they began."""
    data = built(plans(("a", b"1"), ("b", b"2")), tiles(("c", None)))
    position = data.index(b"ratio")
    (finding,) = verify(bundle := Bundle(flipped(data, position, 0)))

    assert finding.part == "segment 0, record block 0"
    assert finding.keys == ("a …",)
    assert [key for _, (_, key, _) in delivered(bundle)] == ["c"]


def test_a_flipped_bit_of_a_compressed_block_never_changes_what_is_read():
    """A few bits of a zstd frame mean nothing; every other one is found."""
    data = built(plans(("a", b"compressible " * 50), ("b", bytes(500))), level=3)
    original = list(delivered(Bundle(data)))
    silent = 0
    for position in regions(data)["blocks 0"]:
        for bit in range(8):
            bundle = Bundle(flipped(data, position, bit))
            findings = list(verify(bundle))
            records = list(delivered(bundle))
            assert all(each in original for each in records)
            assert {each.outcome for each in findings} <= {QUARANTINED}
            if not findings:
                assert records == original
                silent += 1
    assert silent < len(regions(data)["blocks 0"]) * 8 // 50


def test_the_findings_of_a_bundle_appended_to_after_a_torn_append_tell_of_it():
    """The torn bytes lie between segments for good; they cost nothing, and are told."""
    torn = TWO[: len(ONE) + 100]
    data = appended(torn, plans(("later", b"later")))
    (finding,) = verify(bundle := Bundle(data))

    assert finding.outcome == TAIL_IGNORED
    assert f"{len(torn) - regions(ONE)['foot 0'].stop:,} bytes" in finding.reason
    assert [key for _, (_, key, _) in delivered(bundle)] == [
        "a",
        "b",
        "c",
        "d",
        "later",
    ]
