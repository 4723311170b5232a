"""Writing for older readers: what they know, less what they do not, and a report."""

import sys

import attrs
import pytest
from acme.plans import Plan, registered

from overwinter import Bundle, CacheArtifactManager, save
from overwinter.errors import MigrationError, TargetError, WrongShapeError
from overwinter.kinds import InductorArtifact
from overwinter.kinds.autotune import AutotuneArtifact as Autotune
from overwinter.schema import read_released
from overwinter.version import VERSION

KERNEL = f"aa/{'b' * 51}.best_config"
GRAPH = "f" + "a" * 51
BEST = Autotune.from_content(KERNEL, b'{"XBLOCK": 1, "time_taken_ms": 12}')
TUNED = attrs.evolve(BEST, device="cpu")


def _versions(path):
    with Bundle(path) as bundle:
        return {
            stamp.kind: stamp.version
            for segment in bundle.segments
            for stamp in segment.statement.kinds
        }


def test_records_are_written_as_an_earlier_release_knows_them(tmp_path):
    """And what it has no place for is told, artifact by artifact."""
    path = tmp_path / "a.owb"
    info = save(path, [TUNED, InductorArtifact(GRAPH, b"x")], target="0.1.0")
    assert _versions(path) == {"autotune": 1, "inductor": 1}
    (note,) = info.reduced
    assert (note.kind, note.key) == ("autotune", KERNEL)
    assert note.reason.startswith("written as version 1: lost ")
    assert "device, which older readers do not know" in note.reason
    assert info.as_dict()["reduced"][0]["key"] == KERNEL


def test_what_was_written_for_an_earlier_release_is_migrated_again(tmp_path):
    """What it lost has its default; the rest is as it was."""
    path = tmp_path / "a.owb"
    save(path, [TUNED], target="0.1.0")
    loaded = CacheArtifactManager.deserialize(path, strict=True)
    assert loaded["autotune"] == [attrs.evolve(TUNED, device=BEST.device)]
    assert loaded["autotune"][0].content == TUNED.content


def test_this_release_is_a_target_too(tmp_path):
    """A script may name it always."""
    info = save(tmp_path / "a.owb", [TUNED], target=VERSION)
    assert _versions(tmp_path / "a.owb") == {"autotune": 2}
    assert info.reduced == []


def test_versions_of_kinds_are_a_target(tmp_path):
    """For kinds of other distributions, which have releases of their own."""
    path = tmp_path / "a.owb"
    with registered(Plan):
        plan = Plan("a", b"x", 1_500, "h100", (1, 2))
        info = save(path, [plan, TUNED], target={"acme/plan": 1})
        assert _versions(path) == {"acme/plan": 1, "autotune": 2}
        (note,) = info.reduced
        assert note.key == "a"
        loaded = CacheArtifactManager.deserialize(path, strict=True)
    assert loaded["acme/plan"] == [Plan("a", b"x", 1_500)]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("0.0.9", r"target release 0\.0\.9: cannot be written for, expected one of"),
        ({"autotune": 7}, r"target autotune 7: .*, expected versions 1 to 2"),
        ({"autotune": 0}, r"target autotune 0: .*, expected versions 1 to 2"),
    ],
)
def test_a_target_out_of_reach_is_refused(target, words, tmp_path):
    """Before a byte is written."""
    with pytest.raises(TargetError, match=words):
        save(tmp_path / "a.owb", [TUNED], target=target)
    assert not (tmp_path / "a.owb").exists()


def test_the_two_releases_before_this_one_can_be_written_for(monkeypatch):
    """An older one is too long ago: what it knows is not tested any more."""
    released = read_released("overwinter_schema")
    names = ["0.1.0", "0.2.0", "0.3.0", "0.4.0"]
    releases = {name: dict(released.releases["0.1.0"]) for name in names}
    later = attrs.evolve(released, releases=releases)
    module = sys.modules["overwinter.encode"]
    monkeypatch.setattr(module, "read_released", lambda package: later)
    monkeypatch.setattr(module, "VERSION", "0.4.0")
    for name in ("0.2.0", "0.3.0"):
        (records,) = module.encode([TUNED], {}, target=name)
        assert records.stamp.version == 1
    with pytest.raises(TargetError, match=r"expected one of 0\.2\.0, 0\.3\.0"):
        module.encode([TUNED], {}, target="0.1.0")


def test_a_value_that_the_older_version_cannot_hold_is_refused(tmp_path, monkeypatch):
    """Saving is strict: nothing is cut to fit."""
    with registered(Plan):
        from overwinter import CacheArtifactFactory

        kind = CacheArtifactFactory.kind("acme/plan")
        older = kind.schemas[1]
        fields = tuple(
            attrs.evolve(field, type=older.field("key").type)
            if field.name == "median_us"
            else field
            for field in older.fields
        )
        kind.schemas._schemas[1] = attrs.evolve(older, fields=fields)
        with pytest.raises(
            WrongShapeError, match=r"median_us: expected str, got float"
        ):
            save(tmp_path / "a.owb", [Plan("a", b"x", 5)], target={"acme/plan": 1})


def test_a_step_without_a_way_back_is_named(tmp_path, monkeypatch):
    """Which one, and what it would need."""
    with registered(Plan):
        from overwinter import CacheArtifactFactory

        kind = CacheArtifactFactory.kind("acme/plan")
        step = kind.steps._steps[1]
        (operation,) = step.operations
        one_way = attrs.evolve(operation, down=None)
        kind.steps._steps[1] = attrs.evolve(step, operations=(one_way,))
        with pytest.raises(MigrationError, match="acme/plan 2 -> 1: found no way back"):
            save(tmp_path / "a.owb", [Plan("a", b"x", 5)], target={"acme/plan": 1})
        save(tmp_path / "a.owb", [Plan("a", b"x", 5)], target={"acme/plan": 2})


def test_the_manager_writes_for_older_readers_too():
    """In memory as into a file."""
    manager = CacheArtifactManager()
    manager.record(TUNED)
    data, info = manager.serialize(target="0.1.0")
    assert len(info.reduced) == 1
    with Bundle(data) as bundle:
        assert bundle.segments[0].statement.kinds[0].version == 1
