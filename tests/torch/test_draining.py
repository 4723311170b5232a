"""Draining torch: whole, without its cost, and whatever becomes of its privates."""

import logging
import random
import tracemalloc

import pytest

import overwinter.torch
from overwinter import CacheArtifactManager
from overwinter.torch import versions
from overwinter.torch.draining import drain
from overwinter.torch.facts import environment
from overwinter.torch.megacache import read_megacache

pytestmark = pytest.mark.torch

MiB = 1 << 20
GRAPHS = [("inductor", f"f{n}".ljust(52, "a"), b"graph %d" % n) for n in (2, 3, 4)]
AUTOTUNE = ("autotune", "ab/" + "c" * 52 + ".best_config", {"num_warps": 4})
STATE = "job:0:tag"


def entries(artifacts):
    """Return kind, key and content of *artifacts*, sorted."""
    return sorted((each.type(), each.key, each.content) for each in artifacts)


def read(path):
    """Return the artifacts of a bundle, by kind."""
    return CacheArtifactManager.deserialize(
        path, environment=environment([]), strict=True
    )


def test_everything_recorded_is_drained(recorder):
    """Kind, key and content of each, as torch has encoded it."""
    for entry in [*GRAPHS, AUTOTUNE]:
        recorder(*entry)
    content = b'{"num_warps": 4}'
    assert entries(drain().artifacts) == sorted([*GRAPHS, (*AUTOTUNE[:2], content)])


def test_a_save_of_torch_before_ours_leaves_ours_whole(recorder, tmp_path):
    """Torch's save empties its list of what is new; ours reads what was seen."""
    import torch

    for entry in GRAPHS:
        recorder(*entry)
    assert torch.compiler.save_cache_artifacts() is not None
    overwinter.torch.save(tmp_path / "model.owb")
    assert entries(read(tmp_path / "model.owb")["inductor"]) == GRAPHS


def test_saving_twice_keeps_everything(recorder, tmp_path):
    """In one file, and in the bytes of the drop-in, which torch halves."""
    recorder(*GRAPHS[0])
    overwinter.torch.save(tmp_path / "model.owb")
    overwinter.torch.save_cache_artifacts()
    for entry in GRAPHS[1:]:
        recorder(*entry)
    overwinter.torch.save(tmp_path / "model.owb")
    data, _ = overwinter.torch.save_cache_artifacts()
    assert entries(read(tmp_path / "model.owb")["inductor"]) == GRAPHS
    assert entries(read(data)["inductor"]) == GRAPHS


def test_our_save_leaves_torchs_own_as_it_was(recorder, tmp_path):
    """Whoever saves with both gets from torch what torch alone would give."""
    import torch

    for entry in GRAPHS:
        recorder(*entry)
    overwinter.torch.save(tmp_path / "model.owb")
    assert torch.compiler._cache.CacheArtifactManager.need_serialize()
    blob, info = torch.compiler.save_cache_artifacts()
    found = [
        (each.kind, each.key, each.content) for each in read_megacache(blob).entries
    ]
    assert found == GRAPHS
    assert info.inductor_artifacts == [key for _, key, _ in GRAPHS]


def test_a_save_retains_nothing(recorder, tmp_path):
    """Torch holds a save's bytes for good, and the payload thrice at its peak."""
    from torch.compiler._cache import CacheArtifactManager as Torch

    n_bytes, before = 0, Torch._serializer.to_bytes()
    recorder(*GRAPHS[0])
    overwinter.torch.save(tmp_path / "first.owb")  # imports what a save needs
    for entry in GRAPHS:
        content = random.Random(entry[1]).randbytes(16 * MiB)
        recorder(*entry[:2], content)
        n_bytes += len(content)

    tracemalloc.start()
    try:
        overwinter.torch.save(tmp_path / "model.owb")
        retained, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "model.owb").stat().st_size > n_bytes
    assert peak < n_bytes
    assert retained < MiB
    assert Torch._serializer.to_bytes() == before


def test_a_later_state_of_a_job_replaces_an_earlier(recorder):
    """Torch records a code state whenever it learned; its cache holds the last."""
    for state in (b"learned", b"a bit", b"more"):
        recorder("pgo", STATE, state)
    assert entries(drain().artifacts) == [("pgo", STATE, b"more")]


def test_variants_of_one_graph_are_all_kept(recorder):
    """Guards tell them apart, so one key may name several."""
    variants = [("inductor", GRAPHS[0][1], content) for content in (b"a", b"b")]
    for entry in variants:
        recorder(*entry)
    assert entries(drain().artifacts) == variants


def test_an_unknown_kind_is_left_out_and_named(recorder, monkeypatch):
    """A later torch may record kinds that this release has no schema of."""
    from torch.compiler._cache import CacheArtifact, CacheArtifactFactory

    class Later(CacheArtifact):
        @staticmethod
        def type():
            return "later"

        def populate_cache(self):
            raise AssertionError("nobody populates this")

    monkeypatch.setitem(CacheArtifactFactory._artifact_types, "later", Later)
    recorder("later", "its key", b"content")
    recorder(*GRAPHS[0])
    drained = drain()
    assert entries(drained.artifacts) == GRAPHS[:1]
    (problem,) = drained.problems
    assert "'later'" in problem and "its key" in problem and "upgrade" in problem


def test_a_key_that_leads_out_of_the_cache_is_left_out(recorder):
    """What a bundle may not hold is not written into one."""
    recorder("inductor", "../../etc/passwd", b"")
    recorder(*GRAPHS[0])
    drained = drain()
    assert entries(drained.artifacts) == GRAPHS[:1]
    (problem,) = drained.problems
    assert "../../etc/passwd" in problem


def test_an_unknown_torch_is_drained_through_its_public_function(recorder, monkeypatch):
    """All saves of the process so far, though torch groups them by save."""
    import torch

    monkeypatch.setattr(versions, "version", lambda: (9, 9))
    recorder(*GRAPHS[0])
    torch.compiler.save_cache_artifacts()
    for entry in GRAPHS[1:]:
        recorder(*entry)
    drained = drain()
    assert entries(drained.artifacts) == GRAPHS
    assert drained.problems == []
    assert not torch.compiler._cache.CacheArtifactManager.need_serialize()


def test_a_torch_without_its_list_is_drained_all_the_same(recorder, monkeypatch):
    """A private part that is gone costs memory, and a line, but not the save."""
    from torch.compiler._cache import CacheArtifactManager as Torch

    for entry in GRAPHS:
        recorder(*entry)
    with monkeypatch.context() as patch:
        patch.delattr(Torch, "_seen_artifacts")
        drained = drain()
    assert entries(drained.artifacts) == GRAPHS
    assert any("_seen_artifacts" in problem for problem in drained.problems)


def test_a_failure_of_precompile_costs_its_functions_alone(recorder, monkeypatch):
    """Torch pickles whole functions only when it is saved, and may fail."""
    import torch
    from torch._dynamo.precompile_context import PrecompileContext

    def fail():
        raise TypeError("cannot pickle this")

    monkeypatch.setattr(PrecompileContext, "save_to_dynamo_cache", fail)
    recorder(*GRAPHS[0])
    with torch._dynamo.config.patch(caching_precompile=True):
        drained = drain()
    assert entries(drained.artifacts) == GRAPHS[:1]
    assert any("cannot pickle this" in problem for problem in drained.problems)


def test_a_save_of_nothing_writes_nothing(recorder, tmp_path):
    """Like torch, which returns None rather than an empty container."""
    assert overwinter.torch.save(tmp_path / "model.owb").empty()
    assert overwinter.torch.save_cache_artifacts() is None
    assert not (tmp_path / "model.owb").exists()


def test_what_was_left_out_is_reported_and_logged(recorder, tmp_path, caplog):
    """By both ways to save; a return value is easily dropped."""
    recorder("inductor", "../../etc/passwd", b"")
    recorder(*GRAPHS[0])
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        info = overwinter.torch.save(tmp_path / "model.owb")
        _, other = overwinter.torch.save_cache_artifacts()
    assert len(info.problems) == 1 and "../../etc/passwd" in info.problems[0]
    assert other.problems == info.problems
    assert [record.message for record in caplog.records] == info.problems * 2
