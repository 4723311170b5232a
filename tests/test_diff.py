"""Comparing: what two bundles hold, whatever their segments, and as little read."""

import tracemalloc
from collections import Counter
from hashlib import sha256
from typing import Any

import attrs
import pytest
from bundles import (
    ENVIRONMENT,
    PLAN,
    appended,
    built,
    flipped,
    plans,
    regions,
    sample,
    sample_of_two,
    stamp_of,
    tiles,
)
from forging import Forgery
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter import Bundle
from overwinter.bundle import Records
from overwinter.bundle.identity import record_digest
from overwinter.diff import DIFFERS, ONLY_A, ONLY_B, UNKNOWN, diff
from overwinter.errors import NotABundleError, NotFoundError
from overwinter.sources import BytesSource
from overwinter.trust import SigningKey
from overwinter.union import union

OTHER = SigningKey(bytes(32))
ELSEWHERE = {"os": "darwin"}


def outcomes(a: Any, b: Any) -> list[tuple[str, str]]:
    """Return outcome and key of each difference."""
    found = diff(a, b)
    assert found.problems == ()
    return [(each.outcome, each.key) for each in found.differences]


# --- what differs -----------------------------------------------------------


def test_each_way_to_differ_has_its_name():
    """Only there, only here, and other content under the same key."""
    a = built(plans(("a", b"1"), ("c", b"3"), ("d", b"4")))
    b = built(plans(("b", b"2"), ("c", b"3"), ("d", b"other")))
    assert outcomes(a, b) == [(ONLY_A, "a"), (ONLY_B, "b"), (DIFFERS, "d")]
    assert outcomes(b, a) == [(ONLY_B, "a"), (ONLY_A, "b"), (DIFFERS, "d")]


def test_an_artifact_is_told_by_the_digest_that_the_page_defines():
    """And by the version of its record."""
    found, _ = diff(built(plans(("a", b"1"))), built(tiles(("b", None)))).differences
    record = {"key": "a", "content": b"1", "ratio": 0.5}
    (variant,) = found.a
    assert variant.digest == record_digest(record, {"content"}).hex()
    assert (variant.version, found.kind, found.b) == (1, "acme/plan", ())


@pytest.mark.parametrize(
    "same",
    [
        lambda: (sample(), sample()),
        lambda: (built(plans(("a", b"1"))), built(plans(("a", b"1")), key=OTHER)),
        lambda: (
            built(plans(("a", b"x" * 99))),
            built(plans(("a", b"x" * 99)), level=3),
        ),
        lambda: (
            built(plans(("a", b"1"), ("b", b"2"))),
            appended(built(plans(("b", b"2"))), plans(("a", b"1"))),
        ),
        lambda: (
            appended(built(plans(("a", b"1"))), plans(("a", b"1"), ("b", b"2"))),
            built(plans(("a", b"1"), ("b", b"2"))),
        ),
        # One holds "a" again, in a block of its own, beside one that both have.
        lambda: (
            appended(built(plans(("a", b"1"), ("b", b"2"))), plans(("a", b"1"))),
            built(plans(("a", b"1"), ("b", b"2"))),
        ),
    ],
    ids=["itself", "signature", "compression", "segments", "twice", "again"],
)
def test_the_same_artifacts_are_no_difference(same):
    """However they are cut into segments, compressed, signed or repeated."""
    a, b = same()
    assert outcomes(a, b) == outcomes(b, a) == []


def test_a_variant_more_is_a_difference_of_its_key():
    """Also where the variants that both hold are in a block that both have."""
    b = built(plans(("a", b"1"), ("b", b"2")))
    a = appended(b, plans(("a", b"variant")))
    (found,) = diff(a, b).differences
    assert (found.outcome, found.key, found.common) == (DIFFERS, "a", 1)
    assert (len(found.a), len(found.b)) == (1, 0)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (plans(("a", b"1"), environment=ENVIRONMENT), plans(("a", b"1"))),
        (
            plans(("a", b"1"), environment=ENVIRONMENT),
            plans(("a", b"1"), environment=ELSEWHERE),
        ),
        (tiles(("a", None)), plans(("a", b"1"))),
    ],
    ids=["nobody said", "elsewhere", "kind"],
)
def test_another_environment_or_kind_is_another_artifact(a, b):
    """The key alone says nothing: each has what the other lacks."""
    found = diff(built(a), built(b)).differences
    assert sorted(each.outcome for each in found) == [ONLY_A, ONLY_B]


def test_another_version_of_a_record_differs():
    """The same values in another version need not mean the same."""
    later = stamp_of("acme/tile", {"size": "i64", "extra": {"optional": "payload"}}, 2)
    old = tiles(("a", b"1"))
    (found,) = diff(built(old), built(attrs.evolve(old, stamp=later))).differences
    assert found.outcome == DIFFERS
    assert found.a[0].digest == found.b[0].digest
    assert (found.a[0].version, found.b[0].version) == (1, 2)


def test_null_empty_and_missing_payloads_differ():
    """They stay distinct everywhere."""
    a, b = built(tiles(("a", None))), built(tiles(("a", b"")))
    assert outcomes(a, b) == [(DIFFERS, "a")]


ROWS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([b"1", b"2", b"3" * 60])),
    min_size=1,
    max_size=4,
)
SAVES = st.lists(st.tuples(ROWS, st.sampled_from([None, ENVIRONMENT])), min_size=1)


def saved(saves: list[Any]) -> bytes:
    """Return a bundle with a segment for each save."""
    first, *rest = [plans(*rows, environment=where) for rows, where in saves]
    data = built(first)
    for records in rest:
        data = appended(data, records)
    return data


def held(data: bytes) -> set[tuple[str, str, str]]:
    """Return environment, key and content of everything in a bundle."""
    bundle = Bundle(data)
    return {
        (repr(block.environment), key, repr(content))
        for segment in bundle.segments
        for block in segment.blocks
        for columns in [block.read().columns]
        for key, content in zip(columns["key"], columns["content"], strict=True)
    }


@given(SAVES, SAVES, SAVES)
@settings(deadline=None)
def test_a_difference_is_that_of_the_sets(common, one, other):
    """Held against everything read: what is not looked at is equal."""
    a, b = saved(common + one), saved(common + other)
    ours, theirs = held(a), held(b)
    differing = {each[:2] for each in ours ^ theirs}
    found = diff(a, b)
    assert found.problems == ()
    assert {(repr(each.environment), each.key) for each in found.differences} == (
        differing
    )
    assert Counter(len(each.a) for each in found.differences) == Counter(
        sum(each[:2] == place for each in ours - theirs) for place in differing
    )
    for each in found.differences:
        place = repr(each.environment), each.key
        assert each.common == sum(one[:2] == place for one in ours & theirs)


def test_a_union_has_what_its_parts_have(tmp_path):
    """Nothing is only in a part."""
    a, b = sample(), built(plans(("z", b"26")))
    union([a, b], tmp_path / "out.owb")
    assert outcomes(a, tmp_path / "out.owb") == [(ONLY_B, "z")]


# --- what is read -----------------------------------------------------------


class _Watched(BytesSource):
    """Bytes that know which of them were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.seen: set[int] = set()

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes, and note which."""
        self.seen.update(range(offset, offset + size))
        return super().read(offset, size)


def big(*rows: tuple[str, int]) -> Records:
    """Return plans whose payloads are more than is read at once from an end."""
    return plans(*((key, bytes([seed]) * 200_000) for key, seed in rows))


@pytest.mark.parametrize("is_changed", [False, True], ids=["equal", "appended"])
def test_what_both_say_in_the_same_words_is_not_read(is_changed):
    """Neither payloads nor, where nothing differs, records."""
    data = built(big(("a", 1), ("b", 2)))
    more = appended(data, plans(("c", b"3"))) if is_changed else data
    a, b = _Watched(data), _Watched(more)
    assert outcomes(a, b) == ([(ONLY_B, "c")] if is_changed else [])
    blocks = set(regions(data)["blocks 0"])
    # The window that holds the words of a segment reaches over some blocks.
    assert len(blocks & a.seen) < 70_000
    assert len(blocks & b.seen) < 70_000


def test_payloads_are_kept_for_one_block_at_a_time(tmp_path):
    """A bundle of many segments needs no more memory than one of its blocks."""
    data = built(big(("key-0", 0)))
    for number in range(1, 40):
        data = appended(data, big((f"key-{number}", number)))
    path = tmp_path / "a.owb"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert len(outcomes(path, sample())) == 44
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 200_000 < len(data) / 3


def test_a_payload_that_rows_share_is_hashed_once(monkeypatch):
    """Else a few bytes of a bundle could cost any multiple of their number."""
    begun = []

    def counted() -> Any:
        begun.append(sha256())
        return begun[-1]

    monkeypatch.setattr("overwinter.bundle.digesting.sha256", counted)
    a = built(plans(*((f"key-{n}", b"x" * 5_000) for n in range(100))))
    assert len(outcomes(a, sample())) == 104
    shared = sha256(b"x" * 5_000).digest()
    assert [each.digest() for each in begun].count(shared) == 1


# --- what cannot be compared ------------------------------------------------


def test_a_damaged_payload_is_unknown_and_told():
    """Not silently equal, and not different either."""
    a = built(plans(("a", b"first payload"), ("b", b"2")))
    b = built(plans(("a", b"first payload"), ("c", b"3")))
    found = diff(flipped(a, a.index(b"first"), 0), b)
    assert [(each.outcome, each.key) for each in found.differences] == [
        (UNKNOWN, "a"),
        (ONLY_A, "b"),
        (ONLY_B, "c"),
    ]
    assert "segment 0, payload block 0: found SHA-256" in found.problems[0]
    assert found.differences[0].a[0].digest == ""


def test_damage_on_both_sides_is_not_equal():
    """Two unreadable artifacts of one key are unknown, not the same."""
    a = built(plans(("a", b"first payload")))
    b = built(plans(("a", b"other payload")))
    found = diff(
        flipped(a, a.index(b"first"), 0), flipped(b, b.index(b"other payload"), 0)
    )
    (difference,) = found.differences
    assert (difference.outcome, difference.common) == (UNKNOWN, 0)
    assert (len(difference.a), len(difference.b)) == (1, 1)
    assert len(found.problems) == 2


def test_a_damaged_record_block_is_told_with_what_it_held():
    """Its keys are lost, so nobody can say what is missing."""
    a = built(plans(("a", b"1"), ("b", b"2")))
    place = a.index(b"columns")
    found = diff(flipped(a, place, 0), sample())
    assert "its 2 artifacts, from 'a' on, are not compared" in found.problems[0]


@pytest.mark.parametrize("region", ["statement 0", "foot 1"])
def test_a_refused_segment_is_told(region):
    """What it holds is not compared."""
    data = sample_of_two()
    found = diff(data, flipped(data, regions(data)[region][5], 0))
    assert len(found.problems) == 1
    assert {each.outcome for each in found.differences} == {ONLY_A}


def test_a_recovered_end_is_told():
    """The file was cut: what it held may have been more."""
    found = diff(sample(), sample() + b"torn")
    assert found.differences == ()
    assert "4 bytes behind it are an append that was torn" in found.problems[0]


def test_a_block_that_both_have_is_read_from_either():
    """Damage in one copy of it hides nothing, and is told."""
    b = built(plans(("a", b"first payload"), ("b", b"2")))
    a = appended(b, plans(("a", b"first payload")))
    found = diff(flipped(a, a.index(b"first"), 0), b)
    assert found.differences == ()
    assert len(found.problems) == 1


def opaque(stamp: Any) -> Any:
    """Return a stamp whose schema is in a later language."""
    fields = [*stamp.schema["fields"], {"id": 9, "name": "x", "type": {"tensor": 1}}]
    return attrs.evolve(stamp, schema={**stamp.schema, "fields": fields})


def test_an_opaque_kind_is_compared_by_key_and_told():
    """Equal records of it are equal; others under one key are unknown."""

    def of(*rows: tuple[str, bytes]) -> bytes:
        return built(attrs.evolve(plans(*rows), stamp=opaque(PLAN)))

    a, b = of(("a", b"1"), ("b", b"2")), of(("a", b"1"), ("c", b"3"))
    assert outcomes(a, a) == []
    found = diff(a, b)
    assert [(each.outcome, each.key) for each in found.differences] == [
        (UNKNOWN, "a"),
        (ONLY_A, "b"),
        (ONLY_B, "c"),
    ]
    assert all("acme/plan version 1 are compared by key" in p for p in found.problems)
    assert len(found.problems) == 2


def test_a_value_deeper_than_is_written_is_unknown_and_told():
    """A forger's nesting ends no comparison."""
    deep: Any = 0.5
    for _ in range(60):
        deep = [deep]
    forged = Forgery(columns={"more": [deep, 0.5]}).file()
    found = diff(forged, built(plans(("a", b"first"), ("b", b"second"))))
    assert [(each.outcome, each.key) for each in found.differences] == [
        (UNKNOWN, "a"),
        (DIFFERS, "b"),
    ]
    assert "segment 0, record block 0, 'a': " in found.problems[0]


@pytest.mark.parametrize(
    ("target", "error"), [("missing.owb", NotFoundError), (b"PK", NotABundleError)]
)
def test_what_cannot_be_opened_is_not_compared(target, error):
    """Either way round."""
    with pytest.raises(error):
        diff(target, sample())
    with pytest.raises(error):
        diff(sample(), target)


# --- the report -------------------------------------------------------------


def test_a_difference_is_plain_values_of_a_versioned_layout(tmp_path):
    """A literal, for the programs that read it."""
    path = tmp_path / "a.owb"
    path.write_bytes(built(plans(("a", b"1"), environment=ENVIRONMENT)))
    found = (
        diff(path, built(plans(("z", b"1")), tiles()))
        if False
        else diff(
            path, built(plans(("a", b"1"), environment=ENVIRONMENT), tiles(("t", None)))
        )
    )
    (variant,) = found.differences[0].b
    assert found.as_dict() == {
        "version": 1,
        "a": str(path),
        "b": "<bytes>",
        "differences": (
            {
                "outcome": "only b",
                "kind": "acme/tile",
                "key": "t",
                "environment": None,
                "a": (),
                "b": ({"version": 1, "digest": variant.digest},),
                "common": 0,
            },
        ),
        "problems": (),
    }


def test_progress_grows_to_its_total():
    """Whatever needs no look counts as done in the end, or never counted."""
    told: list[tuple[int, int]] = []
    a = appended(sample(), plans(("y", b"1")))
    b = appended(sample(), plans(("z", b"1" * 500)))
    diff(a, b, progress=lambda *each: told.append(each))
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert len(told) > 1
    assert done[-1] <= told[-1][1]
