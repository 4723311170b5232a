"""Warm starts of a real torch: what is built, what hits, and what comes out."""

import shutil

import pytest

from overwinter import Bundle, CacheArtifactManager
from overwinter import save as save_artifacts

pytestmark = pytest.mark.torch

ALL_HIT = {"hit": 3, "miss": 0, "bypass": 0}  # forward, backward, and both together
FOREIGN = "ab/cab" + "c" * 49 + ".main.so"  # torch's own manner of naming


@pytest.fixture(scope="module")
def warm(run, cold):
    """Return a job with nothing missing, that saves what it has used once more."""
    saved = shutil.copy(cold.bundle, cold.bundle.with_name("again.owb"))
    return run(f"load={cold.bundle}", "compile", f"plant={FOREIGN}", f"save={saved}")


def rewritten(cold, left_out):
    """Return a bundle without one of the natives of which *left_out* is true."""
    from overwinter.torch.facts import environment

    here = environment([])
    loaded = CacheArtifactManager.deserialize(
        cold.bundle, environment=here, strict=True
    )
    [*kept] = loaded["native"]
    kept.remove(next(each for each in kept if left_out(each.key)))
    path = cold.bundle.with_name(f"without-{left_out.__name__}.owb")
    artifacts = [*loaded["inductor"], *loaded["aot_autograd"], *kept]
    save_artifacts(path, artifacts, environment=here, replace=True)
    return path


def kernel(key):
    """Return whether *key* is a kernel's."""
    return key.endswith(".main.so")


def probe(key):
    """Return whether *key* is that of a probe of the CPU."""
    return key.endswith(".so") and not kernel(key)


def test_a_cold_start_builds(cold):
    """The compiler is counted: where nothing is cached, it runs for every purpose."""
    assert cold.job["compile"]["graphs"] == {"hit": 0, "miss": 3, "bypass": 0}
    assert cold.job.steps["compile"] >= 3
    assert cold.job.steps["preprocess"] == cold.job.steps["precompile header"] == 1


def test_a_warm_start_hits_every_graph(warm):
    """Not fewer, and none is bypassed."""
    assert warm["compile"]["graphs"] == ALL_HIT


def test_a_warm_start_builds_nothing(warm):
    """No compile, preprocess, header or link step, with HOME, TMPDIR, cache empty."""
    assert warm.steps == {}


def test_a_warm_start_precompiles_no_header(warm, cold):
    """Torch would put 149 MB into the temporary directory."""
    assert list(cold.job.temporary.rglob("precompiled_headers/*.gch"))
    assert not list(warm.temporary.rglob("precompiled_headers"))


def test_a_warm_start_computes_the_same_bits(warm, cold):
    """Results and gradients, of kernels that came out of the bundle."""
    assert warm["compile"]["outputs"] == cold.job["compile"]["outputs"]


def test_a_load_unpickles_nothing(warm):
    """Pickles run code; torch alone opens them, when it finds a graph."""
    assert warm["load"]["unpickled"] == []


def test_a_load_reports_what_was_saved(warm, cold):
    """Every key that the cold start saved, without a problem."""
    assert warm["load"]["artifacts"] == cold.job["save"]["artifacts"]
    assert warm["load"]["problems"] == warm["load"]["skipped"] == []


def test_a_save_after_a_warm_start_holds_everything(warm, cold):
    """What was hit counts as much as what was compiled."""
    found, expected = warm["save"]["artifacts"], cold.job["save"]["artifacts"]
    assert {kind: sorted(keys) for kind, keys in found.items()} == {
        kind: sorted(keys) for kind, keys in expected.items()
    }


def test_a_save_after_a_warm_start_adds_nothing(warm, cold):
    """Every artifact is there, with the same bytes and for the same environment."""
    again = cold.bundle.with_name("again.owb")
    assert again.read_bytes() == cold.bundle.read_bytes()
    saved = warm["save"]
    assert len(saved["present"]) == sum(map(len, saved["artifacts"].values()))


def test_a_foreign_library_in_the_cache_is_not_saved(warm):
    """Only what this process loaded or built, for a save signs what it holds."""
    assert (warm.cache / FOREIGN).exists()
    assert f"torchinductor/{FOREIGN}" not in warm["save"]["artifacts"]["native"]


def test_mega_cache_builds_in_the_same_setting(run, cold):
    """The contrast: all graphs hit, every kernel is built, pickles are opened."""
    job = run(f"torch-load={cold.blob}", "compile")
    assert job["compile"]["graphs"] == ALL_HIT
    assert job.steps == cold.job.steps
    assert job["torch-load"]["unpickled"]


def test_a_missing_kernel_is_built_with_all_that_it_needs(run, cold):
    """The header too, and the result is right."""
    job = run(f"load={rewritten(cold, kernel)}", "compile")
    assert job.steps == {"preprocess": 1, "precompile header": 1, "compile": 1}
    assert job["compile"]["graphs"] == ALL_HIT
    assert job["compile"]["outputs"] == cold.job["compile"]["outputs"]


def test_a_missing_probe_is_built_alone(run, cold):
    """A probe of the CPU needs no header, and the kernels stay."""
    job = run(f"load={rewritten(cold, probe)}", "compile")
    assert job.steps == {"compile": 1}
    assert job["compile"]["graphs"] == ALL_HIT


def test_parts_are_not_built_where_the_whole_is_there(run, tmp_path):
    """Torch compiles the objects of a kernel whose linked library it has."""
    bundle = tmp_path / "model.owb"
    first = run("build-separate", "compile", f"save={bundle}")
    assert first.steps["link"] == 2
    job = run("build-separate", f"load={bundle}", "compile")
    assert job.steps == {}
    assert job["compile"]["graphs"] == ALL_HIT
    assert job["compile"]["outputs"] == first["compile"]["outputs"]


def test_an_unknown_torch_is_just_as_warm(run, cold, tmp_path):
    """It keeps its caches where we write, and nothing is unpickled on its behalf."""
    bundle = tmp_path / "model.owb"
    job = run("unknown-torch", f"load={cold.bundle}", "compile", f"save={bundle}")
    assert (job["load"]["problems"], job["load"]["failed"]) == ([], [])
    assert job["load"]["unpickled"] == []
    assert job["compile"]["graphs"] == ALL_HIT
    assert job.steps == {}
    assert sorted(job["save"]["artifacts"]) == ["aot_autograd", "inductor", "native"]


def test_a_broken_bundle_leaves_the_job_cold(run, cold, tmp_path):
    """It compiles as it would have without, and says why."""
    broken = tmp_path / "broken.owb"
    broken.write_bytes(cold.bundle.read_bytes()[:100])
    job = run(f"load={broken}", "compile")
    assert job["load"]["artifacts"] == {}
    assert str(broken) in "".join(job["load"]["problems"])
    assert job["compile"] == cold.job["compile"]
    assert job.steps == cold.job.steps


@pytest.fixture(scope="module")
def other_vectors(run, cold):
    """Return a job that loads what was written for vectors that its compiler lacks."""
    return run(f"load={cold.bundle}", "compile", compiler="old")


def _assert_skipped_for_their_vectors(load):
    notes = load["skipped"]
    assert {note["kind"] for note in notes} == {"inductor", "aot_autograd"}
    for note in notes:
        assert note["reason"].startswith("vector_isa: made for ")
        assert note["reason"].endswith(", here is none")


def test_graphs_for_other_vectors_are_left_out(other_vectors):
    """Torch would take them: its keys say nothing of the CPU, nor of the compiler."""
    _assert_skipped_for_their_vectors(other_vectors["load"])
    assert other_vectors["compile"]["graphs"] == {"hit": 0, "miss": 3, "bypass": 0}


def test_what_other_vectors_compute_is_the_same(other_vectors, cold):
    """C++ for 16 floats at a time, compiled for one at a time, fails or gives nan."""
    sums = other_vectors["compile"]["sums"]
    assert sums == pytest.approx(cold.job["compile"]["sums"], rel=1e-4)


def test_vectors_may_be_narrowed_by_a_setting(run, cold):
    """Then no compiler is asked, for the graphs do not fit anyway."""
    job = run("capability=default", f"load={cold.bundle}")
    _assert_skipped_for_their_vectors(job["load"])
    assert job.steps == {}


def test_a_bundle_of_strangers_does_not_have_the_compiler_asked(run, cold):
    """Nobody untrusted decides that one runs."""
    job = run("stranger", f"load={cold.bundle}", compiler="old")
    assert {note["kind"] for note in job["load"]["refused"]} >= {"inductor"}
    assert job.steps == {}


def test_a_bundle_names_the_vectors_that_torch_picked(cold):
    """And a process that has compiled nothing foretells the same."""
    from torch._inductor.cpu_vec_isa import pick_vec_isa

    from overwinter.torch.vectors import vector_isa

    with Bundle(cold.bundle) as bundle:
        (said,) = {
            each["vector_isa"]
            for segment in bundle.segments
            for each in segment.statement.environments
        }
    foretold = vector_isa()
    pick_vec_isa()
    assert said == foretold == vector_isa()
