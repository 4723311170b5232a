"""Populating torch: the files that torch itself would have written, and no more."""

import json
import logging

import pytest

import overwinter.torch
from overwinter.errors import OverwinterError, TrustError
from overwinter.torch import building, layouts, versions
from overwinter.torch.megacache import read_megacache

pytestmark = pytest.mark.torch

BEST = {
    "XBLOCK": 1024,
    "num_warps": 8,
    "num_stages": 1,
    "time_taken_ms": 12,
    "configs_hash": "é",
    "a": {"z": 1e-05, "b": [True, None]},
    "found_by_coordesc": False,
}
AUTOTUNE = ("autotune", f"ab/{'c' * 52}.best_config", BEST)
STATE = ("pgo", 'job/with<odd>:"0":tag|*', b"a code state")
FUNCTION = ("precompile", "0123456789abcdef" * 4, b"a package")
MAST = "mast:job:1:0:tag"
GRAPH = ("inductor", "f" + "a" * 51, b"a graph")
TRACED = ("aot_autograd", "a" + "b" * 51, b"a traced graph")


@pytest.fixture
def untested(monkeypatch):
    """Return what makes this process's torch one that was not tested."""

    def change():
        monkeypatch.setattr(versions, "version", lambda: (9, 9))

    return change


@pytest.fixture
def cache_in(tmp_path, monkeypatch):
    """Return a function that gives this process's torch another cache directory."""

    def change(name):
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / name))
        return tmp_path / name

    return change


@pytest.fixture
def bundle(recorder, tmp_path):
    """Return a function that saves these artifacts as a bundle."""

    def save(*entries):
        for entry in entries:
            recorder(*entry)
        overwinter.torch.save(tmp_path / "model.owb")
        return tmp_path / "model.owb"

    return save


def tree(directory):
    """Return path and content of the files in *directory*; a lock is none."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_files_are_those_that_torch_writes(recorder, bundle, cold, cache_in):
    """Of every kind: same path, same bytes, nothing beside them."""
    import torch

    for entry in read_megacache(cold.blob.read_bytes()).entries:
        recorder(entry.kind, entry.key, entry.content)
    path = bundle(AUTOTUNE, STATE, FUNCTION)
    blob, _ = torch.compiler.save_cache_artifacts()

    theirs = cache_in("theirs")
    torch.compiler.load_cache_artifacts(blob)
    ours = cache_in("ours")
    overwinter.torch.load(path, strict=True)

    assert tree(ours) == tree(theirs)
    assert len(tree(ours)) == 6
    assert {path.split("/")[0] for path in tree(ours)} == {
        "ab", "aotautograd", "dynamo", "fxgraph",
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        BEST,
        dict(reversed(BEST.items())),
        {"num_warps": 4.0, "num_stages": None, "time_taken_ms": 1 << 80},
        {"num_warps": True, "x": 1e300, "y": -0.0, "z": float("nan")},
        ["not", "an", "object"],
        "\ud800",
    ],
)
def test_autotune_comes_back_as_torch_writes_it(value, recorder, bundle, cache_in):
    """Byte for byte: the order of members and the form of numbers included."""
    from torch._inductor.runtime.autotune_cache import AutotuneCacheArtifact

    path = bundle(("autotune", AUTOTUNE[1], value))
    ours = cache_in("ours")
    overwinter.torch.load(path, strict=True)
    assert tree(ours) == {AUTOTUNE[1]: AutotuneCacheArtifact.encode(value)}


def test_a_state_of_a_mast_job_becomes_this_jobs(bundle, cache_in):
    """Its key holds the job's name and version; this job would look for its own."""
    import torch
    from torch._dynamo.pgo import PGOCacheArtifact

    path = bundle(("pgo", MAST, b"a code state"))
    with torch.compiler.config.patch(job_id="another"):
        theirs = cache_in("theirs")
        PGOCacheArtifact(MAST, b"a code state").populate_cache()
        ours = cache_in("ours")
        overwinter.torch.load(path, strict=True)
    assert tree(ours) == tree(theirs)
    assert "another" in next(iter(tree(ours)))


def test_a_job_whose_name_torch_refuses_loads_all_the_same(bundle, cache_in):
    """Torch raises when asked for its key; the state stays under its own."""
    import torch

    path, ours = bundle(("pgo", MAST, b"a code state"), GRAPH), cache_in("ours")
    with torch.compiler.config.patch(job_id="mast:reserved"):
        info = overwinter.torch.load(path)
    assert len(tree(ours)) == 2
    assert any("ReservedWorkflowId" in problem for problem in info.problems)


def test_a_second_load_changes_nothing(bundle, cache_in):
    """Files keep their identity, and the report says that they were there."""
    path, ours = bundle(GRAPH, STATE, FUNCTION), cache_in("ours")
    overwinter.torch.load(path, strict=True)
    before = {file: file.stat() for file in ours.rglob("*") if file.is_file()}
    info = overwinter.torch.load(path, strict=True)
    after = {file: file.stat() for file in ours.rglob("*") if file.is_file()}
    assert {file: (now.st_ino, now.st_mtime_ns) for file, now in after.items()} == {
        file: (was.st_ino, was.st_mtime_ns) for file, was in before.items()
    }
    assert sorted(note.kind for note in info.present) == [
        "inductor",
        "pgo",
        "precompile",
    ]
    assert info.problems == []


def test_what_torch_has_there_stays(bundle, cache_in):
    """A running job's own state is not replaced under its feet."""
    path, ours = bundle(STATE), cache_in("ours")
    overwinter.torch.load(path)
    (state,) = (file for file in ours.rglob("*") if file.is_file())
    state.write_bytes(b"newer")
    overwinter.torch.load(path)
    assert state.read_bytes() == b"newer"


def test_a_load_after_the_compile_says_so(bundle, cache_in):
    """The list of torch holds the graph, and the cache did not: it was compiled."""
    path, _ = bundle(GRAPH), cache_in("ours")
    info = overwinter.torch.load(path)
    (problem,) = info.problems
    assert "1 graphs" in problem and "before the first compile" in problem


def test_a_load_after_a_hit_is_none_of_its_business(bundle, cache_in):
    """A graph that this process found in its cache was not compiled in vain."""
    path, _ = bundle(GRAPH), cache_in("ours")
    overwinter.torch.load(path)
    assert overwinter.torch.load(path).problems == []


@pytest.mark.parametrize("content", [b"", b"garbage" * 100, None])
def test_a_load_of_no_bundle_reports_and_goes_on(content, tmp_path, cache_in, recorder):
    """No exception, no file; a missing one is the usual case of a first start."""
    path, ours = tmp_path / "model.owb", cache_in("ours")
    if content is not None:
        path.write_bytes(content)
    info = overwinter.torch.load(path)
    assert info.empty()
    assert len(info.problems) == 1
    assert str(path) in info.problems[0]
    assert not ours.exists() or tree(ours) == {}


def test_a_strict_load_raises(tmp_path, recorder):
    """Whoever asked for it is told by an exception of ours."""
    with pytest.raises(OverwinterError, match="no such file"):
        overwinter.torch.load(tmp_path / "model.owb", strict=True)


def test_a_load_that_is_required_raises_where_nobody_trusted_signed(
    bundle, cache_in, monkeypatch, tmp_path
):
    """A job that must not start cold says so; else it is told and goes on."""
    path = bundle(STATE)
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another account"))
    directory = cache_in("cache")
    with pytest.raises(TrustError, match="overwinter trust add key-"):
        overwinter.torch.load(path, required=True)
    info = overwinter.torch.load(path)
    assert info.empty() and info.problems
    assert tree(directory) == {}


def test_an_untested_torch_is_asked_where_its_caches_are(bundle, cache_in, untested):
    """Where it keeps them where we do, the same files are written, by us."""
    path = bundle(AUTOTUNE, STATE, FUNCTION, GRAPH, TRACED)
    known = cache_in("known")
    overwinter.torch.load(path, strict=True)
    untested()
    unknown = cache_in("unknown")
    info = overwinter.torch.load(path, strict=True)
    assert tree(unknown) == tree(known)
    assert len(tree(known)) == 5
    assert (info.failed, info.skipped) == ([], [])
    (problem,) = info.problems
    assert "compiled before it was loaded" in problem


def test_a_kind_that_torch_keeps_elsewhere_is_named(
    bundle, cache_in, untested, monkeypatch
):
    """It starts cold; the others are populated."""
    from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache
    from torch._inductor.codecache import FxGraphCache

    path, ours = bundle(AUTOTUNE, STATE, FUNCTION, GRAPH, TRACED), cache_in("ours")
    untested()
    monkeypatch.setattr(FxGraphCache, "_get_tmp_dir", lambda: str(ours / "graphs"))
    monkeypatch.setattr(AOTAutogradCache, "_get_tmp_dir_for_key", None)
    info = overwinter.torch.load(path, strict=True)
    assert sorted(info.artifacts) == ["autotune", "pgo", "precompile"]
    assert {(note.kind, note.key) for note in info.skipped} == {GRAPH[:2], TRACED[:2]}
    graphs, traced = info.problems
    assert f"in {ours}/graphs/aa/f" in graphs
    assert "no inductor artifacts are populated; upgrade overwinter" in graphs
    assert "no aot_autograd artifacts are populated" in traced
    assert len(tree(ours)) == 3


def test_nothing_is_asked_of_a_torch_that_was_tested(bundle, cache_in, monkeypatch):
    """It costs imports that a job may not need."""
    path, ours = bundle(FUNCTION), cache_in("ours")
    monkeypatch.setattr(layouts, "_ASKED", None)
    assert overwinter.torch.load(path, strict=True).problems == []
    assert len(tree(ours)) == 1


def test_a_torch_that_builds_otherwise_is_only_slower(bundle, cache_in, monkeypatch):
    """The step that makes a warm start warm is optional, and missed aloud."""
    path, ours = bundle(FUNCTION), cache_in("ours")
    monkeypatch.setattr(building, "_SOURCE", "another_name")
    info = overwinter.torch.load(path)
    assert len(tree(ours)) == 1
    (problem,) = info.problems
    assert "some seconds more" in problem


def test_problems_are_logged(bundle, cache_in, monkeypatch, caplog):
    """A return value is easily dropped; each problem is a warning as well."""
    path, _ = bundle(GRAPH), cache_in("ours")
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        info = overwinter.torch.load(path)
    assert [record.message for record in caplog.records] == info.problems != []


def test_the_report_is_plain(bundle, cache_in):
    """Counts, bytes and seconds, as JSON."""
    path, _ = bundle(STATE, FUNCTION), cache_in("ours")
    report = json.loads(json.dumps(overwinter.torch.load(path).as_dict()))
    assert report["artifacts"] == {"pgo": [STATE[1]], "precompile": [FUNCTION[1]]}
    assert report["n_bytes"] == len(STATE[2]) + len(FUNCTION[2])
