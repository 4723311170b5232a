"""Uniting: every segment as it is, and one file whatever the order of the parts."""

import hashlib
import os
import resource
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bundles import (
    KEY,
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
from forging import HEADER, Forgery, file_of, prefix_of
from hypothesis import given, settings
from hypothesis import strategies as st

import overwinter.union as module
from overwinter import Bundle
from overwinter.bundle import union as segments_module
from overwinter.bundle import verify
from overwinter.errors import (
    ChangedError,
    ConflictError,
    DamagedError,
    NotABundleError,
    NotFoundError,
    StoreError,
    TooNewError,
    UnknownFeatureError,
)
from overwinter.trust import SigningKey
from overwinter.union import UnionReport, union
from overwinter.version import WRITER

OTHER = SigningKey(bytes(32))


def united(*parts: Any) -> bytes:
    """Return the union of some bundles."""
    return reported(*parts)[0]


def reported(*parts: Any) -> tuple[bytes, UnionReport]:
    """Return the union of some bundles, and what was said of it."""
    with TemporaryDirectory() as folder:
        out = Path(folder, "out.owb")
        report = union(parts, out)
        return out.read_bytes(), report


def segments_of(data: bytes) -> list[bytes]:
    """Return the bytes of each segment that the trailer lists, in its order."""
    listed = Bundle(data).trailer.segments
    return [data[each.offset : each.offset + each.size] for each in listed]


def artifacts_of(*parts: bytes) -> set[str]:
    """Return everything that some bundles deliver, as text."""
    return {repr(each) for part in parts for _, each in delivered(Bundle(part))}


def random_bundles() -> st.SearchStrategy[bytes]:
    """Give bundles of few different artifacts, so that parts share segments."""
    keys = st.sampled_from("abc")
    rows = st.lists(
        st.tuples(keys, st.sampled_from([b"", b"x" * 50, b"y"])), min_size=1, max_size=3
    )
    records = st.one_of(
        rows.map(lambda rows: plans(*rows)), rows.map(lambda rows: tiles(*rows))
    )
    saves = st.tuples(
        st.lists(records, min_size=1, max_size=2),
        st.sampled_from([None, KEY, OTHER]),
        st.sampled_from([0, 3]),
    )
    return st.lists(saves, min_size=1, max_size=3).map(_saved).flatmap(_harmed)


def _saved(saves: Sequence[Any]) -> bytes:
    (records, key, level), *more = saves
    data = built(*records, key=key, level=level)
    for records, key, level in more:
        data = appended(data, *records, key=key, level=level)
    return data


def _harmed(data: bytes) -> st.SearchStrategy[bytes]:
    first = Bundle(data).trailer.segments[0]
    where = st.integers(first.offset, first.offset + first.size - 1)
    return st.just(data) | where.map(lambda position: flipped(data, position, 0))


BUNDLES = random_bundles()


# --- the laws ---------------------------------------------------------------


@given(BUNDLES, BUNDLES)
@settings(deadline=None)
def test_the_order_of_the_parts_changes_no_byte(one, other):
    """Union is commutative, also where segments of one name differ by damage."""
    assert united(one, other) == united(other, one)


@given(BUNDLES, BUNDLES, BUNDLES)
@settings(deadline=None)
def test_the_steps_change_no_byte(one, other, third):
    """Union is associative: ranks may be united in pairs, or all at once."""
    whole = united(one, other, third)
    assert united(united(one, other), third) == whole
    assert united(one, united(other, third)) == whole


@given(BUNDLES)
@settings(deadline=None)
def test_a_part_named_twice_changes_no_byte(one):
    """Union is idempotent, and uniting what was united does nothing."""
    once = united(one)
    assert united(one, one) == once
    assert united(once) == once
    assert united(once, one) == once


@given(st.lists(BUNDLES, min_size=1, max_size=3))
@settings(deadline=None)
def test_a_union_holds_what_its_parts_hold(parts):
    """Every segment byte for byte, and so every artifact that can be read."""
    whole = united(*parts)
    segments = segments_of(whole)
    assert set(segments) == {each for part in parts for each in segments_of(part)}
    assert len(segments) == len(set(segments))
    assert artifacts_of(whole) == artifacts_of(*parts)


# --- the bytes --------------------------------------------------------------


def test_a_union_is_what_the_page_says():
    """Prefix and header of ours, segments by digest back to back, a trailer pair."""
    data = sample_of_two()
    prefix = prefix_of({**HEADER, "writer": WRITER})
    expected = file_of(*sorted_by_digest(segments_of(data)), prefix=prefix)
    assert united(data) == expected
    assert list(verify(Bundle(united(data)))) == []


def sorted_by_digest(segments: list[bytes]) -> list[bytes]:
    """Return segments in the order of a union, by the digest in their foot."""
    return sorted(
        segments, key=lambda each: (each[-96:][48:80], hashlib.sha256(each).digest())
    )


def test_of_one_digest_every_form_stays(tmp_path):
    """Another signature, another compression, damage: nothing is thrown away."""
    records = plans(("a", b"x" * 500))
    forms = [
        built(records, key=KEY),
        built(records, key=OTHER),
        built(records, key=None),
        built(records, key=KEY, level=3),
    ]
    forms.append(flipped(forms[0], regions(forms[0])["blocks 0"][3], 0))
    whole, report = reported(*forms, forms[0])
    segments = segments_of(whole)
    assert len({each.digest for each in Bundle(whole).trailer.segments}) == 1
    assert segments == sorted_by_digest([segments_of(form)[0] for form in forms])
    assert (report.segments, report.duplicates) == (5, 1)


def test_dead_bytes_are_left_behind():
    """Old trailers and torn appends are no part of a bundle."""
    data = sample_of_two()
    torn = data + b"torn append"
    assert united(torn) == united(data)
    assert len(united(data)) < len(data)


# --- parts with problems ----------------------------------------------------


@pytest.mark.parametrize("region", ["statement 0", "signatures 0", "foot 0"])
def test_a_refused_segment_is_carried_and_told(region):
    """A later release, or another copy, may mend what this one cannot read."""
    data = sample_of_two()
    damaged = flipped(data, regions(data)[region][5], 0)
    whole, report = reported(damaged)
    assert set(segments_of(whole)) == set(segments_of(damaged))
    assert [problem[:20] for problem in report.problems] == ["<bytes>: segment 0, "]


def test_a_segment_of_a_later_version_is_carried_and_told():
    """Its bytes are sound, and there is nothing in them that a union must know."""
    later = Forgery(statement={"type": "overwinter.segment/7"}).segment()
    whole, report = reported(file_of(later), sample())
    assert later in segments_of(whole)
    assert [each.split("; ")[0] for each in report.problems] == [
        "<bytes>: statement version 7, but this release reads up to 1"
    ]


def test_a_recovered_end_is_told():
    """The segments are all there; that the file was cut is said."""
    whole, report = reported(sample() + b"torn")
    assert whole == united(sample())
    assert "4 bytes behind it are an append that was torn" in report.problems[0]


def test_a_report_is_plain_values_of_a_versioned_layout():
    """A literal, for the programs that read it."""
    _, report = reported(sample(), sample_of_two())
    plain = report.as_dict()
    plain.pop("file")
    assert plain == {
        "version": 1,
        "segments": 2,
        "parts": (
            {"file": "<bytes>", "segments": 1, "problems": ()},
            {"file": "<bytes>", "segments": 2, "problems": ()},
        ),
        "duplicates": 1,
    }


@pytest.mark.parametrize(
    ("part", "error", "words"),
    [
        (b"", NotABundleError, "is empty"),
        (sample()[:200], DamagedError, "trailer: found none"),
        (
            file_of(prefix=prefix_of(major=9, oldest_reader=9)),
            TooNewError,
            "container version 9",
        ),
        (
            file_of(prefix=prefix_of({**HEADER, "write_requires": ["warp"]})),
            UnknownFeatureError,
            "append to it, a program must know warp",
        ),
        ("missing.owb", NotFoundError, "no such file"),
    ],
    ids=["empty", "cut", "later", "write_requires", "missing"],
)
def test_a_part_that_cannot_be_used_leaves_no_union(tmp_path, part, error, words):
    """One is enough: a union that lacks a part would be taken for whole."""
    with pytest.raises(error, match=words):
        union([sample(), part], tmp_path / "out.owb")
    assert list(tmp_path.glob("*owb*")) == []


def test_no_parts_are_a_mistake(tmp_path):
    """An empty bundle is not what anybody wanted, nor the letters of one path."""
    with pytest.raises(ValueError, match="at least one bundle"):
        union([], tmp_path / "out.owb")
    with pytest.raises(TypeError, match="several bundles, got str"):
        union("model.owb", tmp_path / "out.owb")


def test_nothing_is_written_over(tmp_path):
    """Not another file, and not one of the parts."""
    path = tmp_path / "model.owb"
    path.write_bytes(sample())
    with pytest.raises(ConflictError, match="something there already"):
        union([path, sample_of_two()], path)
    assert path.read_bytes() == sample()


def test_more_segments_than_a_reader_takes_are_not_written(tmp_path, monkeypatch):
    """Else the union could never be opened."""
    monkeypatch.setattr(module, "MAX_SEGMENTS", 2)
    with pytest.raises(StoreError, match="have 3 segments, over 2"):
        union([sample(), sample_of_two()], tmp_path / "out.owb")
    assert list(tmp_path.glob("*owb*")) == []


# --- files ------------------------------------------------------------------


def saved(folder: Path, *datas: bytes) -> list[Path]:
    """Return the paths of new files with these bytes."""
    paths = [folder / f"part-{number}.owb" for number in range(len(datas))]
    for path, data in zip(paths, datas, strict=True):
        path.write_bytes(data)
        # Some clocks of file systems tick slower than a test writes twice.
        os.utime(path, (1, 1))
    return paths


def test_a_thousand_parts_need_few_open_files(tmp_path):
    """Every rank of a large job saved one; their segments come in any order."""
    parts = [built(plans((f"key-{n}", b"%d" % n))) for n in range(300)]
    paths = saved(tmp_path, *parts)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = len(os.listdir("/dev/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors + 80, hard))
    try:
        report = union(paths, tmp_path / "out.owb")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert report.segments == 300
    assert (tmp_path / "out.owb").read_bytes() == united(*parts)
    assert len(os.listdir("/dev/fd")) == descriptors


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(appended(path.read_bytes(), plans(("z", b"")))),
        lambda path: path.write_bytes(flipped(path.read_bytes(), 300, 0)),
        lambda path: path.write_bytes(path.read_bytes()[:120]),
        lambda path: path.rename(path.with_suffix(".old")),
        lambda path: (
            path.with_name("new").write_bytes(path.read_bytes())
            and path.with_name("new").replace(path)
        ),
    ],
    ids=["appended", "altered", "cut", "gone", "replaced"],
)
def test_a_part_that_changes_in_between_is_an_error(tmp_path, monkeypatch, change):
    """What was copied need not be what the trailer listed."""
    paths = saved(tmp_path, sample(), sample_of_two())

    def write(*arguments: Any, **options: Any) -> Any:
        change(paths[1])
        return segments_module.write_union(*arguments, **options)

    monkeypatch.setattr(module, "write_union", write)
    with pytest.raises(ChangedError, match=r"part-1.owb: found it changed"):
        union(paths, tmp_path / "out.owb")
    assert not (tmp_path / "out.owb").exists()


class _Short:
    """A source that gives fewer bytes than it has, once it was opened."""

    name = "short"

    def __init__(self, data: bytes, limit: int) -> None:
        self.size, self._data, self._limit = len(data), data, limit
        self.is_opened = False

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes up to the limit, after opening."""
        end = min(offset + size, self._limit) if self.is_opened else offset + size
        return self._data[offset:end]


@pytest.mark.parametrize("is_shared", [False, True], ids=["copied", "compared"])
def test_a_source_that_ends_early_is_an_error(tmp_path, is_shared):
    """No union holds half of a segment."""
    short = _Short(sample(), 150)

    def told(done: int, total: int) -> None:
        raise AssertionError("nothing of it was done")

    original = segments_module.write_union

    def write(*arguments: Any, **options: Any) -> Any:
        short.is_opened = True
        return original(*arguments, **options)

    parts = [short, sample()] if is_shared else [short]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "write_union", write)
        with pytest.raises(DamagedError, match="short: a segment"):
            union(parts, tmp_path / "out.owb", progress=told)
    assert list(tmp_path.glob("*owb*")) == []


# --- progress ---------------------------------------------------------------


def test_progress_grows_to_its_total(tmp_path, monkeypatch):
    """In steps smaller than a segment, and also where segments are not copied."""
    monkeypatch.setattr(segments_module, "_STEP", 100)
    told: list[tuple[int, int]] = []
    parts = [sample(), sample_of_two(), sample()]
    union(parts, tmp_path / "out.owb", progress=lambda *each: told.append(each))
    done = [each for each, _ in told]
    assert done == sorted(done)
    assert len(told) > 20
    assert {total for _, total in told} == {done[-1]}
