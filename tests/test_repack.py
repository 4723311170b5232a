"""Repacking: one segment, every key, no duplicate, no loser."""

import itertools
import tracemalloc
from functools import partial

import attrs
import pytest
from acme.plans import Plan, registered
from acme.plans import records_of as plans_of
from bundles import (
    ENVIRONMENT,
    PLAN,
    TORCH,
    appended,
    built,
    delivered,
    flipped,
    plans,
    records_of,
    regions,
    stamp_of,
    tiles,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import overwinter
from overwinter import Bundle, CacheArtifactManager
from overwinter.bundle import verify
from overwinter.encode import encode
from overwinter.errors import ConflictError, NotFoundError
from overwinter.files import write_all
from overwinter.kinds.autotune import AutotuneArtifact
from overwinter.kinds.inductor import InductorArtifact
from overwinter.limits import MAX_VARIANTS
from overwinter.repack import repack
from overwinter.trust import Policy, SigningKey

KEY, OTHER = SigningKey(bytes(range(32))), SigningKey(bytes(32))
POLICY = Policy([KEY.public])
MACHINE = {"os": "linux", **TORCH}


def graph(key: str, content: bytes) -> InductorArtifact:
    """Return one variant of a graph."""
    return InductorArtifact("f" + key * 51, content)


def saved(path, *saves, key=KEY, level=3):
    """Append each list of artifacts, equal ones too; return the bytes."""
    data = path.read_bytes() if path.exists() else b""
    for artifacts in saves:
        records = encode(artifacts, MACHINE)
        append = partial(appended, data) if data else built
        data = append(*records, key=key, level=level)
    path.write_bytes(data)
    return data


def repacked(data, path, policy=POLICY):
    """Return the bytes of a bundle after its repacking, and the report."""
    path.unlink(missing_ok=True)
    report = repack(data, path, policy=policy, key=KEY)
    return path.read_bytes(), report


def artifacts_of(data, *keys):
    """Return what would be populated from a bundle: (kind, key, all fields)."""
    found = CacheArtifactManager.deserialize(
        data, policy=Policy([key.public for key in keys or [KEY]]), environment=MACHINE
    )
    return sorted(
        (each.type(), each.key, repr(attrs.asdict(each)))
        for group in found.values()
        for each in group
    )


def test_artifacts_of_many_saves_are_one_segment_without_duplicates(tmp_path):
    """What every rank saved again comes once; nothing else is gone."""
    shared = [
        graph("a", b"shared" * 900),
        AutotuneArtifact("aa/xxxxxxxxxxxxxxxx.best_config"),
    ]
    data = saved(
        tmp_path / "a.owb", *([*shared, graph("b", b"%d" % rank)] for rank in range(5))
    )
    new, report = repacked(data, tmp_path / "new.owb")

    assert artifacts_of(new) == artifacts_of(data)
    assert len(artifacts_of(new)) == 2 + 5
    assert (report.kept, report.duplicates, report.losers) == (7, 8, ())
    assert (report.copied, report.problems) == (0, ())
    (segment,) = Bundle(new).segments
    assert segment.signers == (KEY.public,)
    assert list(verify(Bundle(new))) == []


def test_the_better_of_two_that_share_a_place_stays(tmp_path):
    """A tuning found by coordinate descent searched further; the other is named."""
    key = "aa/xxxxxxxxxxxxxxxx.best_config"
    quick = AutotuneArtifact(key, {"XBLOCK": 1})
    thorough = AutotuneArtifact(key, {"XBLOCK": 2}, found_by_coordesc=True)
    for saves in ([[quick], [thorough]], [[thorough], [quick]]):
        path = tmp_path / "a.owb"
        data = saved(path, *saves)
        path.unlink()
        new, report = repacked(data, tmp_path / "new.owb")
        (record,) = Bundle(new).fetch("autotune", key)
        assert record.fields["config"] == {"XBLOCK": 2}
        (loser,) = report.losers
        assert (loser.kind, loser.key, loser.reason) == (
            "autotune",
            key,
            "another is better",
        )


def test_of_many_variants_the_cap_stays_and_every_key(tmp_path):
    """Compiling one graph twice gives other bytes: a key would grow for ever."""
    saves = [[graph("a", b"%d" % n)] for n in range(MAX_VARIANTS + 3)]
    data = saved(tmp_path / "a.owb", *saves, [graph("b", b"alone")])
    new, report = repacked(data, tmp_path / "new.owb")

    keys = [key for _, key, _ in artifacts_of(new)]
    assert keys == [graph("a", b"").key] * MAX_VARIANTS + [graph("b", b"").key]
    assert len(report.losers) == 3
    assert set(artifacts_of(new)) <= set(artifacts_of(data))


def test_artifacts_of_other_environments_do_not_compete(tmp_path):
    """What was compiled for another machine is no duplicate and no loser."""
    path = tmp_path / "a.owb"
    for name in ("one", "two"):
        overwinter.save(
            path, [graph("a", b"x")], environment={"torch_key": name}, key=KEY
        )
    new, report = repacked(path, tmp_path / "new.owb")
    assert (report.kept, report.duplicates) == (2, 0)
    assert len(Bundle(new).segments[0].statement.environments) == 2


SAVES = st.lists(
    st.lists(
        st.one_of(
            st.builds(
                graph,
                st.sampled_from("abc"),
                st.one_of(
                    st.binary(max_size=3), st.sampled_from([bytes(70_000), b"x" * 5000])
                ),
            ),
            st.builds(
                AutotuneArtifact,
                st.sampled_from(
                    [
                        "aa/xxxxxxxxxxxxxxxx.best_config",
                        "aa/yyyyyyyyyyyyyyyy.best_config",
                    ]
                ),
                st.dictionaries(st.sampled_from("XY"), st.integers(0, 2), max_size=2),
                found_by_coordesc=st.sampled_from([None, True]),
            ),
        ),
        min_size=1,
        max_size=6,
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(SAVES, st.randoms(use_true_random=False))
def test_repacking_keeps_keys_and_variants_whatever_was_saved(
    tmp_path_factory, saves, chance
):
    """Every key, every variant within the cap; in any order of the saves the same
    bytes, and again the same when it is done twice."""
    folder = tmp_path_factory.mktemp("repack")
    data = saved(folder / "a.owb", *saves)
    new, report = repacked(data, folder / "new.owb")
    before, after = artifacts_of(data), artifacts_of(new)

    assert {each[:2] for each in after} == {each[:2] for each in before}
    for name, group in itertools.groupby(sorted(set(before)), key=lambda e: e[:2]):
        variants = list(group)
        kept = [each for each in after if each[:2] == name]
        assert len(kept) == len(set(kept))
        assert set(kept) <= set(variants)
        most = 1 if name[0] == "autotune" else MAX_VARIANTS
        assert len(kept) == min(len(variants), most)
    assert report.kept == len(after)

    chance.shuffle(saves)
    other = saved(folder / "b.owb", *saves)
    assert repacked(other, folder / "other.owb")[0] == new
    assert repacked(new, folder / "twice.owb")[0] == new


def test_a_segment_of_a_stranger_is_carried_as_it_is(tmp_path):
    """Nobody signs for others: it keeps its bytes and its signature, and is told."""
    path = tmp_path / "a.owb"
    saved(path, [graph("a", b"x")], [graph("b", b"x")])
    data = saved(path, [graph("a", b"x"), graph("c", b"stranger")], key=OTHER)
    new, report = repacked(data, tmp_path / "new.owb")

    assert (report.kept, report.copied, len(report.problems)) == (2, 1, 1)
    strange = Bundle(data).trailer.segments[2]
    assert data[strange.offset : strange.offset + strange.size] in new
    assert [each.signers for each in Bundle(new).segments] == [
        (KEY.public,),
        (OTHER.public,),
    ]
    assert set(artifacts_of(new, KEY, OTHER)) == set(artifacts_of(data, KEY, OTHER))


def test_a_damaged_payload_costs_its_artifact_and_is_told(tmp_path):
    """What is sound beside it stays; the old file stays, too."""
    contents = [bytes([n]) * 70_000 for n in range(3)]
    graphs = [graph(key, content) for key, content in zip("abc", contents, strict=True)]
    data = saved(tmp_path / "a.owb", graphs, level=0)
    damaged = flipped(data, data.index(contents[1]) + 100, 0)
    new, report = repacked(damaged, tmp_path / "new.owb")
    assert [key[1] for _, key, _ in artifacts_of(new)] == ["a", "c"]
    assert len(report.problems) == 1
    assert "payload block 1" in report.problems[0]
    assert list(verify(Bundle(new))) == []


def test_a_damaged_variant_gives_way_to_one_that_is_sound(tmp_path):
    """The winner is chosen among those that can be read."""
    sound, lost = b"sound" * 20_000, b"lost " * 20_000
    data = saved(tmp_path / "a.owb", [graph("a", sound)], [graph("a", lost)], level=0)
    new, report = repacked(flipped(data, data.index(lost), 0), tmp_path / "new.owb")
    (record,) = Bundle(new).fetch("inductor", graph("a", b"").key)
    assert record.fields["content"] == sound
    assert len(report.problems) == 1


@pytest.mark.parametrize("region", ["blocks 0", "statement 0"])
def test_damage_in_what_records_need_is_told(region, tmp_path):
    """A block is left out by name; a segment that says nothing is carried."""
    data = saved(tmp_path / "a.owb", [graph("a", b"")], [graph("b", b"kept")])
    damaged = flipped(data, regions(data)[region][10], 3)
    new, report = repacked(damaged, tmp_path / "new.owb")
    assert [key[1] for _, key, _ in artifacts_of(new)] == ["b"]
    assert len(report.problems) == 1
    assert report.copied == (region == "statement 0")


def test_kinds_that_are_unknown_keep_every_record_and_their_stamps(tmp_path):
    """Only what is equal in every byte comes once; versions are left as they are."""
    data = built(
        plans(("a", b"1"), ("b", b"2"), environment=ENVIRONMENT), tiles(("c", b"3"))
    )
    data = appended(data, plans(("a", b"1"), ("b", b"other"), environment=ENVIRONMENT))
    new, report = repacked(data, tmp_path / "new.owb")
    assert (report.kept, report.duplicates) == (4, 1)
    assert {record for _, record in delivered(Bundle(new))} == {
        record for _, record in delivered(Bundle(data))
    }
    assert Bundle(new).segments[0].statement.kinds[0] == PLAN


def test_a_kind_in_a_later_language_is_carried_with_its_segment(tmp_path):
    """Payloads cannot be told from fields there."""
    fields = [*PLAN.schema["fields"], {"id": 9, "name": "x", "type": {"tensor": 1}}]
    later = attrs.evolve(PLAN, schema={**PLAN.schema, "fields": fields})
    data = built(attrs.evolve(plans(("a", b"1")), stamp=later))
    new, report = repacked(data, tmp_path / "new.owb")
    assert (report.kept, report.copied) == (0, 1)
    assert Bundle(new).segments[0].name == Bundle(data).segments[0].name


def test_a_segment_that_misnames_its_schema_is_carried(tmp_path):
    """Nobody signs again what is not what it says."""
    plain = {**PLAN.schema, "cardinality": "one"}
    lie = attrs.evolve(PLAN, schema=plain)
    data = built(attrs.evolve(plans(("a", b"1")), stamp=lie))
    new, report = repacked(data, tmp_path / "new.owb")
    assert (report.kept, report.copied) == (0, 1)
    assert "a schema is not the one that it names" in report.problems[0]
    assert Bundle(new).segments[0].name == Bundle(data).segments[0].name


def test_equal_artifacts_of_two_versions_are_one(tmp_path):
    """The newest is written; what the steps say of the older decides."""
    with registered(Plan):
        kind = overwinter.CacheArtifactFactory.kind("acme/plan")
        newest = kind.schema.version
        two = plans_of(2, key=["a"], program=[b"p"], median_ns=[1_500])
        (artifact,) = CacheArtifactManager.deserialize(
            built(two), policy=POLICY, environment=MACHINE
        )["acme/plan"]
        path = tmp_path / "a.owb"
        path.write_bytes(built(two))
        overwinter.save(
            path, [artifact], environment=MACHINE, key=KEY, allow_drafts=True
        )
        new, report = repacked(path, tmp_path / "new.owb")
        (record,) = Bundle(new).fetch("acme/plan", "a")
        assert record.kind.version == newest
        assert (report.kept, report.duplicates) == (1, 1)


def test_memory_does_not_grow_with_the_bundle(tmp_path):
    """A part of it is held, whatever its size."""
    contents = [graph("abcdefghijklmnop"[n], bytes([n]) * 4_000_000) for n in range(16)]
    path = tmp_path / "a.owb"
    saved(path, *([each] for each in contents), level=0)
    del contents
    tracemalloc.start()
    try:
        repack(path, tmp_path / "new.owb", policy=POLICY, key=KEY, level=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 32 * 2**20
    assert path.stat().st_size > 60 * 10**6


def test_what_cannot_be_done_is_told(tmp_path):
    """Nothing is overwritten, and nothing made of nothing."""
    path = tmp_path / "a.owb"
    data = saved(path, [graph("a", b"x")])
    with pytest.raises(ConflictError):
        repack(path, path, policy=POLICY, key=KEY)
    assert path.read_bytes() == data
    with pytest.raises(NotFoundError):
        repack(tmp_path / "none", tmp_path / "new.owb", policy=POLICY, key=KEY)
    assert [each.name for each in tmp_path.iterdir() if each.suffix] == ["a.owb"]


@pytest.mark.parametrize("keys", [("a", "b"), ("a", "a")])
def test_what_is_nested_deeper_than_is_written_is_told(keys, tmp_path, monkeypatch):
    """Only a stranger's writer makes it; the record beside it stays."""
    deep = 0.5
    for _ in range(60):
        deep = [deep]
    stamp = stamp_of("acme/deep", {"value": "opaque"})
    rows = [{"key": key, "value": v} for key, v in zip(keys, (deep, 1), strict=True)]
    with monkeypatch.context() as patch:
        patch.setattr("overwinter.codec.wire.MAX_DEPTH", 100)
        # Past what compares both readers: neither has an identity for it.
        patch.setattr("overwinter.bundle.writer.write_all", write_all)
        data = built(records_of(stamp, rows))
    new, report = repacked(data, tmp_path / "new.owb")
    assert (report.kept, report.copied, len(report.problems)) == (1, 0, 1)
    assert "nested deeper than 32 levels" in report.problems[0]
    assert [dict(record)["value"] for _, (*_, record) in delivered(Bundle(new))] == [1]


def test_progress_goes_from_nothing_to_all(tmp_path):
    """Payloads count, also of duplicates, and what is carried as it is."""
    path = tmp_path / "a.owb"
    saved(path, [graph("a", bytes(100_000))], [graph("a", b"1"), graph("b", b"2")])
    saved(path, [graph("c", b"stranger")], key=OTHER)
    told = []
    repack(
        path,
        tmp_path / "new.owb",
        policy=POLICY,
        key=KEY,
        progress=lambda done, total: told.append((done, total)),
    )
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert done[0] < 10_000 < 100_000 < done[-1]
