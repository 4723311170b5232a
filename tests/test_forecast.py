"""Forecasts: what a load would do, told before, and what blocks the rest."""

import attrs
import pytest
from acme.plans import Plan, registered
from bundles import appended, built, flipped, plans

from overwinter import CacheArtifactManager, load, save
from overwinter.bundle import Bundle
from overwinter.errors import NotABundleError
from overwinter.forecast import Forecast, forecast
from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    InductorArtifact,
    MegaCacheArtifact,
    NativeArtifact,
)
from overwinter.trust import SigningKey, own_key

KEYS = ["f" + letter * 51 for letter in "abc"]
HERE = {
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx", "avx2"],
    "os": "linux",
    "python_tag": "cpython-311",
    "torch_key": "00" * 32,
    "torch_version": "2.13.0",
    "vector_isa": "avx2",
}
TRACED = AOTAutogradArtifact("a" + "b" * 51, b"x")
NATIVE = NativeArtifact("torchinductor/aa/x.so", b"x")


def outcomes(found: Forecast) -> list[tuple[str, int, str, str]]:
    """Return the outcome of each block, without its words."""
    return [(e.kind, e.artifacts, e.outcome, e.field) for e in found.blocks]


@pytest.fixture
def path(tmp_path):
    """Return where a bundle goes."""
    return tmp_path / "m.owb"


def graphs(path, key=None, **facts):
    """Save two graphs that were compiled for a machine like this, but for *facts*."""
    artifacts = [InductorArtifact(each, b"x") for each in KEYS[:2]]
    save(path, artifacts, environment={**HERE, **facts}, key=key)


def test_what_fits_can_hit(path):
    """And no payload is read to say so."""
    graphs(path)
    with Bundle(path) as bundle:
        (segment,) = bundle.segments
        end = segment.entry.offset + segment.entry.size
    found = forecast(path, environment=HERE, keys=True)
    assert outcomes(found) == [("inductor", 2, "hit", "")]
    assert found.blocks[0].keys == tuple(KEYS[:2])
    assert (found.remarks, found.problems, end > 0) == ((), (), True)


@pytest.mark.parametrize(
    ("field", "value"),
    [("vector_isa", "avx512"), ("torch_key", "11" * 32), ("torch_version", "2.12.1")],
)
def test_the_field_that_blocks_is_named(path, field, value):
    """With both values."""
    graphs(path, **{field: value})
    (block,) = forecast(path, environment=HERE).blocks
    assert (block.outcome, block.field) == ("miss", field)
    assert block.reason == f"made for {value}, here is {HERE[field]}"


def test_what_this_machine_does_not_know_is_unknown(path):
    """As where torch is not installed; what is certain comes before."""
    graphs(path)
    bare = {"os": "linux", "python_tag": "cpython-311"}
    (block,) = forecast(path, environment=bare).blocks
    assert (block.outcome, block.field) == ("unknown", "torch_version")
    other = {**bare, "python_tag": "cpython-313"}
    (block,) = forecast(path, environment=other).blocks
    assert (block.outcome, block.field) == ("miss", "python_tag")


def test_a_function_gives_what_a_machine_is_held_against(path):
    """As a load has it, for facts that cost time."""
    graphs(path)
    asked = []

    def machine(stated):
        asked.append(stated["torch_key"])
        return HERE

    assert forecast(path, environment=machine).count("hit") == 2
    assert asked == [HERE["torch_key"]]


def test_what_is_not_trusted_misses_and_is_not_asked_about(path):
    """Whatever it would fit."""
    graphs(path, key=SigningKey(bytes(32)))

    def machine(stated):
        raise AssertionError("asked for a stranger's environment")

    (block,) = forecast(path, environment=machine).blocks
    assert (block.outcome, block.field) == ("miss", "trust")
    assert block.reason.startswith("signed by ")


def test_what_this_release_does_not_read_misses():
    """Nobody here knows the kind; its words are those of a load."""
    with registered(Plan):
        data = built(plans(("a", b"x")), key=own_key())
    (block,) = forecast(data).blocks
    assert (block.outcome, block.field) == ("miss", "version")
    assert "is kept as it is" in block.reason


def test_what_no_cache_has_a_place_for_neither_hits_nor_misses(path):
    """A container takes it, or somebody who asks why a graph missed."""
    save(path, [MegaCacheArtifact("inductor_triton/0", b"x")])
    found = forecast(path)
    assert outcomes(found) == [("megacache", 1, "kept", "")]
    assert [found.count(each) for each in ("hit", "miss", "unknown")] == [0, 0, 0]


def test_graphs_without_their_kernels_are_remarked_on(path):
    """They hit, and the compiler runs all the same."""
    other = {**HERE, "cpu_flags": ["avx", "avx2", "avx512f"]}
    graphs(path)
    save(path, [NATIVE], environment=other)
    found = forecast(path, environment=HERE)
    assert found.remarks == (
        "inductor can hit and native cannot: what is in it is built again",
    )
    save(path, [attrs.evolve(NATIVE, content=b"y")], environment=HERE)
    assert forecast(path, environment=HERE).remarks == ()


def test_a_forecast_is_what_a_load_does(path, tmp_path):
    """Kind by kind, in a bundle with something of everything."""
    graphs(path)
    graphs(path, vector_isa="avx512")
    graphs(path, key=SigningKey(bytes(32)))
    tuning = AutotuneArtifact.from_content("2x/" + "c" * 52 + ".best_config", b"{}")
    save(path, [TRACED, NATIVE, tuning], environment=HERE)
    found = forecast(path, environment=HERE)
    info = load(
        path, environment=HERE, directories={"torchinductor": lambda: str(tmp_path)}
    )
    populated = sum(map(len, info.artifacts.values()))
    assert found.count("hit") == populated == 5
    assert found.count("miss") == len(info.skipped) + sum(
        note.artifacts for note in info.refused
    )


def test_damage_is_told_and_the_rest_foreseen(path):
    """A segment that cannot be read has no forecast."""
    with registered(Plan):
        data = appended(built(plans(("a", b"x"))), plans(("b", b"y")))
        with Bundle(data) as bundle:
            first = bundle.segments[0].entry
        found = forecast(flipped(data, first.offset + first.size - 60, 0))
    assert len(found.problems) == 1
    assert [each.segment for each in found.blocks] == [1]


def test_what_is_no_bundle_is_refused():
    """As everywhere."""
    with pytest.raises(NotABundleError):
        forecast(b"something else")


def test_a_report_is_versioned(path):
    """Programs read it."""
    graphs(path)
    plain = forecast(path, environment=HERE).as_dict()
    assert (plain["version"], plain["hit"], plain["miss"]) == (1, 2, 0)
    loaded = CacheArtifactManager.deserialize(path, environment=HERE)
    assert plain["blocks"][0]["artifacts"] == len(loaded["inductor"])
