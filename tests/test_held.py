"""What a bundle holds already is not written again, and no reader misses it."""

import zlib
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan, registered
from bundles import KEY, TORCH, appended, built, flipped, regions
from hypothesis import given, settings
from hypothesis import strategies as st

from overwinter import Bundle, CacheArtifactManager, held, load, save
from overwinter.bundle import Segment, comparing, finding, verify, writer
from overwinter.bundle.foot import write_foot
from overwinter.bundle.identity import are_equal, record_digest
from overwinter.encode import encode
from overwinter.errors import StoreError
from overwinter.factory import CacheArtifactFactory
from overwinter.kinds import (
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
)
from overwinter.limits import MAX_VARIANTS
from overwinter.sources import BytesSource, FileSource
from overwinter.trust import Policy, SigningKey, editing
from overwinter.trust.editing import Subject

ENVIRONMENT = {"os": "linux", **TORCH}
OTHER = SigningKey(bytes(32))
CONTENT = 5_000  # bytes of one artifact, that nothing compresses
SEGMENT = 2_000  # bytes of a segment's own words, and of a pair of trailers


@pytest.fixture
def path(tmp_path):
    """Return where the bundle is saved."""
    return tmp_path / "model.owb"


@pytest.fixture(autouse=True, params=["remembered", "forgotten"])
def _process(request, monkeypatch):
    """Save again in the same process, and in one that saw nothing yet."""
    for name in ("_RANGES", "_KEYS"):
        monkeypatch.setattr(finding, name, {})
    if request.param == "forgotten":
        for name in ("_remember_ranges", "_remember_keys"):
            monkeypatch.setattr(finding, name, lambda *_: None)


def _graph(number: int, variant: int = 0) -> InductorArtifact:
    """Return a graph: of one number one key, of one variant the same bytes."""
    digits = f"{number:04d}".translate(str.maketrans("0123456789", "abcdefghij"))
    content = b"".join(
        (number * 1009 + variant * 7919 + at).to_bytes(8, "little")[::-1]
        for at in range(0, CONTENT // 8)
    )
    return InductorArtifact("f" + "k" * 47 + digits, content)


def _save(path: Path, *artifacts: Any, **options: Any) -> Any:
    options = {"environment": ENVIRONMENT, "key": KEY, "level": 0, **options}
    return save(path, artifacts, **options)


def _rows(path: Path) -> list[int]:
    """Return how many records each segment has."""
    with Bundle(path) as bundle:
        return [
            sum(block.stamp.rows for block in segment.blocks)
            for segment in bundle.segments
        ]


def _given(path: Path, *keys: SigningKey, **machine: str) -> list[tuple[str, bytes]]:
    """Return key and content of what a reader who trusts *keys* is given."""
    loaded = CacheArtifactManager.deserialize(
        path,
        policy=Policy([key.public for key in keys or [KEY]]),
        environment={**ENVIRONMENT, **machine},
    )
    return sorted(
        (each.key, each.content) for group in loaded.values() for each in group
    )


# --- what is not written again ----------------------------------------------


def test_only_what_is_new_is_appended(path):
    """The rest would be the same bytes a second time."""
    _save(path, *map(_graph, range(5)))
    before = path.stat().st_size
    info = _save(path, *map(_graph, range(6)))
    assert _rows(path) == [5, 1]
    assert path.stat().st_size - before < CONTENT + SEGMENT
    assert [note.key for note in info.present] == [_graph(n).key for n in range(5)]
    assert {note.reason for note in info.present} == {"the bundle holds it already"}
    assert info.inductor_artifacts == [_graph(n).key for n in range(6)]
    assert _given(path) == sorted((g.key, g.content) for g in map(_graph, range(6)))
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []


def test_artifacts_that_came_in_several_saves_are_all_there(path):
    """No one segment holds what is saved, and still nothing is new."""
    for number in range(0, 8, 2):
        _save(path, _graph(number), _graph(number + 1))
    before = path.read_bytes()
    for number in reversed(range(8)):
        _save(path, _graph(number))
    info = _save(path, *map(_graph, range(8)))
    assert path.read_bytes() == before
    assert len(info.present) == 8


def test_what_is_compared_is_read_in_parts(path, monkeypatch):
    """Payloads of any number are compared in memory for some of them."""
    _save(path, *map(_graph, range(9)))
    before = path.read_bytes()
    for n_bytes in (1, CONTENT, 2 * CONTENT + 1, 9 * CONTENT, 10 * CONTENT):
        monkeypatch.setattr(comparing, "_AT_ONCE", n_bytes)
        _save(path, *map(_graph, range(9)))
    assert path.read_bytes() == before


def test_one_more_artifact_at_each_save_grows_a_bundle_by_one(path):
    """A job that saves all it has after every graph: linear, not quadratic."""
    for number in range(1, 21):
        _save(path, *map(_graph, range(number)))
        content = number * len(_graph(0).content)
        assert path.stat().st_size <= 1.1 * content + number * SEGMENT
    assert _rows(path) == [1] * 20


def test_kinds_are_left_out_each_by_itself(path):
    """The tuning is new, the graph is not; of the other way round the same."""
    tuning = AutotuneArtifact("aa/xxxxxxxxxxxxxxxx.best_config", {"XBLOCK": [1, {}]})
    _save(path, _graph(0))
    _save(path, _graph(0), tuning)
    _save(path, _graph(0), tuning, _graph(1))
    _save(path, _graph(0), tuning, _graph(1))
    assert _rows(path) == [1, 1, 1]


def test_a_graph_with_other_bytes_is_new(path):
    """Of equal length, too, and however many variants its key has."""
    _save(path, _graph(0, 0), _graph(0, 1), _graph(1))
    _save(path, _graph(0, 0), _graph(0, 2), _graph(1, 1))
    assert _rows(path) == [3, 2]
    assert len(_given(path)) == 5


def test_replacing_writes_everything(path):
    """Who asks for a new bundle gets a whole one."""
    _save(path, _graph(0), _graph(1))
    info = _save(path, _graph(0), replace=True)
    assert _rows(path) == [1]
    assert not info.present


# --- what does not count as held --------------------------------------------


def test_what_another_signed_is_written_again(path):
    """A reader may refuse the other's key, and trust ours."""
    _save(path, _graph(0), key=OTHER)
    _save(path, _graph(0), _graph(1))
    assert _rows(path) == [1, 2]
    assert len(_given(path)) == 2


def test_what_was_made_for_another_environment_is_written_again(path):
    """A reader there has no use for the first copy; a later one may compare more."""
    for environment in (
        {**ENVIRONMENT, "torch_version": "2.12.0"},
        {**ENVIRONMENT, "cpu_model": "another"},
        ENVIRONMENT,
    ):
        _save(path, _graph(0), environment=environment)
    assert _rows(path) == [1, 1, 1]


def test_what_an_older_version_holds_is_written_again(path):
    """Readers know the one version or the other, and give what they know."""
    with registered(Plan):
        plan = Plan("a", b"program", 5)
        for target in ({"acme/plan": 2}, None, {"acme/plan": 2}, None):
            save(path, [plan], key=KEY, target=target)
    assert _rows(path) == [1, 1]


def test_what_a_draft_describes_is_written_again():
    """Another schema may have become this version: readers may refuse the draft's."""
    (group,) = encode([_graph(0)], ENVIRONMENT)
    draft = attrs.evolve(group, stamp=attrs.evolve(group.stamp, draft=True))
    for there, new in ((draft, group), (group, draft)):
        source = BytesSource(built(there))
        with Bundle(source) as bundle:
            entries = bundle.trailer.segments
        assert held.Held(source, KEY).new(entries, [new]) == [new]
        assert held.Held(source, KEY).new(entries, [there]) == []


@pytest.mark.parametrize("part", ["blocks 0", "statement 0", "signatures 0", "foot 0"])
def test_what_is_damaged_is_written_again(path, part):
    """Saving again is how a damaged bundle is mended."""
    _save(path, _graph(0), _graph(1))
    data = path.read_bytes()
    where = regions(data)[part]
    for at in (where.start + 20, where.stop - 20):
        path.write_bytes(flipped(data, at, 0))
        expected = sorted((g.key, g.content) for g in map(_graph, range(2)))
        assert _given(path) != expected
        _save(path, _graph(0), _graph(1))
        assert _given(path) == expected


def test_of_a_damaged_payload_only_its_artifact_is_written_again(path):
    """The others are whole, and stay where they are."""
    big = [InductorArtifact(_graph(n).key, b"%d" % n * 70_000) for n in range(3)]
    _save(path, *big)
    data = path.read_bytes()
    path.write_bytes(flipped(data, data.index(b"1" * 70_000) + 100, 0))
    _save(path, *big)
    assert _rows(path) == [3, 1]
    assert _given(path) == [(each.key, each.content) for each in big]


def test_what_this_account_revoked_is_written_again_once(path):
    """A segment is revoked by name: another may be loaded, the same may not."""
    _save(path, _graph(0), _graph(1))
    with Bundle(path) as bundle:
        digest = bundle.segments[0].entry.digest
    editing.revoke(Subject(digest, is_segment=True))
    before = path.read_bytes()
    _save(path, _graph(0), _graph(1))
    assert path.read_bytes() == before
    _save(path, _graph(0))
    assert _rows(path) == [2, 1]


def test_with_rules_that_nobody_can_read_everything_is_written(path, monkeypatch):
    """Then this account trusts nothing, and what it might revoke is unknown."""
    _save(path, _graph(0))
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", "no key")
    _save(path, _graph(0), _graph(1))
    assert _rows(path) == [1, 2]


def test_a_disk_that_fails_costs_a_second_copy_and_no_save(path, monkeypatch):
    """What cannot be read may be written again; the save is what was asked for."""
    _save(path, _graph(0))

    def failing(*_: Any, **__: Any) -> bytes:
        raise StoreError("disk", "read it", "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "read_payload_blocks", failing)
        _save(path, _graph(0))
    assert _rows(path) == [1, 1]


def test_a_signature_that_does_not_hold_is_none():
    """A stranger's segment that names our key is no copy of ours."""
    records = encode([_graph(0)], ENVIRONMENT)
    data = built(*records, key=OTHER)
    with Bundle(data) as bundle:
        at = data.rindex(OTHER.public, 0, bundle.trailer.offset)
    forged = BytesSource(_resealed(data, at, KEY.public))
    with Bundle(forged) as bundle:
        assert bundle.segments[0].signatures[0].key == KEY.public
        entries = bundle.trailer.segments
    assert held.Held(forged, KEY).new(entries, records) == records
    assert held.Held(BytesSource(data), OTHER).new(entries, records) == []


def _resealed(data: bytes, at: int, public: bytes) -> bytes:
    """Return a bundle whose signature names another key, checksums mended."""
    changed = bytearray(data)
    changed[at : at + 32] = public
    where = regions(data)
    signatures = where["signatures 0"]
    crc = zlib.crc32(changed[signatures.start : signatures.stop])
    with Bundle(data) as bundle:
        foot = attrs.evolve(bundle.segments[0].foot, signatures_crc=crc)
    place = where["foot 0"]
    changed[place.start : place.stop] = write_foot(foot)
    return bytes(changed)


# --- what is written over ---------------------------------------------------


def test_a_state_that_was_written_over_is_new_again(path):
    """What is held is not what a load takes, so the save would be without effect."""
    one, two = PGOArtifact("job:0:", b"one"), PGOArtifact("job:0:", b"two")
    for states, rows in (([one], 1), ([two], 2), ([two], 2), ([one], 3), ([one], 3)):
        _save(path, *states)
        assert len(_rows(path)) == rows


def test_of_several_machines_states_the_one_that_is_loaded_is_not_new(path):
    """A repacked segment holds one for each environment; the last of them wins."""
    states = [PGOArtifact("job:0:", content) for content in (b"one", b"two")]
    said = [{**ENVIRONMENT, "cpu_model": model} for model in "ab"]
    groups = [encode([states[n]], said[n])[0] for n in range(2)]
    path.write_bytes(built(*groups))
    cache = _cache(path, path.with_name("cache"), [KEY], "2.13.0")
    last = [each.content for each in states].index(*cache.values())
    _save(path, states[last], environment=said[last])
    assert _rows(path) == [2]
    _save(path, states[1 - last], environment=said[1 - last])
    assert _rows(path) == [2, 1]


def test_a_state_that_another_wrote_over_is_new_again(path):
    """A reader who trusts both would take theirs."""
    _save(path, PGOArtifact("job:0:", b"ours"))
    _save(path, PGOArtifact("job:0:", b"theirs"), key=OTHER)
    _save(path, PGOArtifact("job:0:", b"ours"))
    assert _rows(path) == [1, 1, 1]


# --- what would never be used -----------------------------------------------


def test_of_one_place_only_what_would_win_is_written(path):
    """A tuning that searched less than the one that is there is of no use."""
    key = "aa/xxxxxxxxxxxxxxxx.best_config"
    quick = AutotuneArtifact(key, {"XBLOCK": 1})
    thorough = AutotuneArtifact(key, {"XBLOCK": 2}, found_by_coordesc=True)
    _save(path, quick)
    assert not _save(path, thorough).surplus
    _save(path, thorough)
    path.unlink()
    _save(path, thorough)
    info = _save(path, quick, _graph(0))
    assert _rows(path) == [1, 1]
    (note,) = info.surplus
    assert (note.kind, note.key) == ("autotune", key)
    assert note.reason == "the bundle holds one that is preferred"
    assert not info.autotune_artifacts
    assert info.n_bytes == len(_graph(0).content)


def test_kernels_that_are_built_again_do_not_grow_a_bundle_for_ever(path):
    """Each place has one winner, and only a better one than it is written."""
    key = "torchinductor/ab/cabc.so"
    for number in range(40):
        _save(path, NativeArtifact(key, b"%d" % number * 500))
    rows = len(_rows(path))
    assert rows < 12
    kernels = [NativeArtifact(key, b"%d" % number * 500) for number in range(40)]
    (winner,) = encode(kernels, ENVIRONMENT)
    with Bundle(path) as bundle:
        there = [each.fields["content"] for each in bundle.fetch("native", key)]
    assert winner.columns["content"][0] in there
    info = _save(path, *kernels)
    assert len(_rows(path)) == rows
    assert len(info.present) == 1


def test_of_many_variants_only_those_that_would_be_loaded_are_written(path):
    """A graph compiled anew at every start has other bytes each time."""
    for variant in range(60):
        _save(path, _graph(0, variant))
    rows = len(_rows(path))
    assert MAX_VARIANTS < rows < 4 * MAX_VARIANTS
    digest = CacheArtifactFactory.kind("inductor").digest
    best = sorted((_graph(0, variant) for variant in range(60)), key=digest)
    there = {content for _, content in _given(path)}
    assert {each.content for each in best[:MAX_VARIANTS]} <= there
    before = path.read_bytes()
    info = _save(path, *(_graph(0, variant) for variant in range(60)))
    assert path.read_bytes() == before
    assert len(info.present) == rows
    assert len(info.surplus) == 60 - rows
    assert info.inductor_artifacts == [_graph(0).key] * rows
    assert info.n_bytes == rows * len(_graph(0).content)
    assert {note.reason for note in info.surplus} == {
        f"the bundle holds {MAX_VARIANTS} variants that are preferred"
    }


def test_variants_that_others_signed_make_none_of_ours_needless(path):
    """A reader who trusts us alone would be left with fewer."""
    for variant in range(2 * MAX_VARIANTS):
        _save(path, _graph(0, variant), key=OTHER)
    for variant in range(MAX_VARIANTS):
        _save(path, _graph(0, variant))
    assert len(_given(path)) == MAX_VARIANTS


# --- equality ---------------------------------------------------------------

VALUES = st.sampled_from(
    [0, 1, 1.0, 0.0, -0.0, True, False, None, "", b"", [], {}, [1]]
)
RECORDS = st.fixed_dictionaries(
    {"key": st.sampled_from("ab"), "x": st.sampled_from([None, b"", b"1"])},
    optional={"v": VALUES, "w": st.sampled_from([None, b"1"])},
)


@settings(max_examples=300, deadline=None)
@given(RECORDS, RECORDS)
def test_records_are_equal_where_their_digests_are(one, other):
    """One definition; a payload that is null is not one that is empty, nor 1 true."""
    digests = [record_digest(each, {"x", "w"}) for each in (one, other)]
    assert are_equal(one, other, {"x", "w"}) == (digests[0] == digests[1])


# --- what is read -----------------------------------------------------------


def test_a_new_key_reads_nothing_but_a_record_block(path, monkeypatch):
    """An append costs what it adds, however much is there."""
    _save(path, *map(_graph, range(0, 400, 2)))
    reads = []
    read = FileSource.read

    def counted(source: FileSource, offset: int, size: int) -> bytes:
        reads.append(size)
        return read(source, offset, size)

    monkeypatch.setattr(FileSource, "read", counted)
    _save(path, _graph(201))
    with Bundle(path) as bundle:
        (block,) = bundle.segments[0].blocks
    assert sum(reads) < block.stamp.size + 200_000
    assert sum(reads) < path.stat().st_size / 3


def test_keys_outside_every_range_read_no_block(path, monkeypatch):
    """The statement says the first key of each block, which is enough."""
    _save(path, *map(_graph, range(10, 20)))
    _save(path, *map(_graph, range(30, 40)))
    _save(path, _graph(45))

    def unread(*_: Any) -> bytes:
        raise AssertionError("a block is read")

    monkeypatch.setattr(Segment, "read_record_block", unread)
    _save(path, _graph(5))
    assert len(_rows(path)) == 4


def test_what_others_signed_is_not_read(path, monkeypatch):
    """A stranger does not decide what a save costs."""
    _save(path, _graph(0), key=OTHER)

    def unread(*_: Any) -> bytes:
        raise AssertionError("a block is read")

    monkeypatch.setattr(Segment, "read_record_block", unread)
    _save(path, _graph(0))
    assert len(_rows(path)) == 2


@pytest.mark.parametrize("parts", [1, 2])
def test_keys_are_found_in_many_blocks(path, parts, monkeypatch):
    """Where one key fills several, and where they overlap, as after an upgrade."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 2)
    graphs = [_graph(n, v) for n in range(7) for v in range(1 + 4 * (n == 3))]
    apart = [encode(graphs[part::parts], ENVIRONMENT)[0] for part in range(parts)]
    path.write_bytes(built(*apart))
    with Bundle(path) as bundle:
        stamps = bundle.segments[0].statement.blocks
        assert len(stamps) == 6
        assert any(stamp.last is not None for stamp in stamps) == (parts == 2)
    _save(path, *graphs, _graph(3, 5))
    assert _rows(path) == [len(graphs), 1]


# --- sequences of saves -----------------------------------------------------

ARTIFACTS = [
    *(_graph(number, variant) for number in range(3) for variant in range(2)),
    *(PGOArtifact("job:0:", b"%d" % number) for number in range(2)),
    *(NativeArtifact("torchinductor/a/b.so", b"%d" % number) for number in range(2)),
]
SAVES = st.lists(
    st.tuples(
        st.lists(st.sampled_from(range(len(ARTIFACTS))), min_size=1, max_size=5),
        st.sampled_from([KEY, OTHER]),
        st.sampled_from(["2.12.0", "2.13.0"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(SAVES)
def test_no_reader_misses_anything_that_is_left_out(tmp_path_factory, saves):
    """Whomever a reader trusts, on whatever machine: as if all had been written."""
    folder = tmp_path_factory.mktemp("saves")
    path, data = folder / "model.owb", b""
    for numbers, key, version in saves:
        artifacts = [ARTIFACTS[number] for number in numbers]
        environment = {**ENVIRONMENT, "torch_version": version}
        _save(path, *artifacts, key=key, environment=environment)
        records = encode(artifacts, environment)
        data = appended(data, *records, key=key) if data else built(*records, key=key)
    whole = folder / "whole.owb"
    whole.write_bytes(data)
    for trusted in ([KEY], [OTHER], [KEY, OTHER]):
        for version in ("2.12.0", "2.13.0"):
            caches = [
                _cache(each, folder / f"{each.stem}-{len(trusted)}", trusted, version)
                for each in (path, whole)
            ]
            assert caches[0] == caches[1]


def _cache(
    path: Path, cache: Path, trusted: list[SigningKey], version: str
) -> dict[str, bytes]:
    cache = cache / str(trusted[0].public[:2].hex()) / version
    load(
        path,
        policy=Policy([key.public for key in trusted]),
        environment={**ENVIRONMENT, "torch_version": version},
        directories={"torchinductor": lambda: str(cache)},
        strict=False,
    )
    return {
        str(each.relative_to(cache)): each.read_bytes()
        for each in cache.rglob("*")
        if each.is_file()
    }
