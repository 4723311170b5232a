"""Places: the inverse of what each kind says of its own file."""

import pytest

from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
    PrecompileArtifact,
)
from overwinter.kinds.places import is_made_again, place

ARTIFACTS = [
    InductorArtifact("f" + "a2" * 25 + "b", b"graph"),
    AOTAutogradArtifact("a" + "b7" * 25 + "c", b"graph"),
    AutotuneArtifact.from_content("ab/" + "0" * 64 + ".best_config", b"{}"),
    PGOArtifact("job_0_", b"state"),
    PrecompileArtifact("0" * 64, b"package"),
    NativeArtifact("torchinductor/ab/cab" + "c" * 49 + ".main.so", b"kernel"),
    NativeArtifact("torchinductor/ab/cab" + "c" * 49 + ".so", b"probe"),
]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda each: each.type())
def test_a_file_is_the_artifact_that_it_would_come_from(artifact):
    """Kind and key from the path, and whether the content is whole from its name."""
    entry = artifact.cache_entry()
    found = place(entry.cache, entry.path)
    assert found is not None
    assert (found.kind, found.key) == (artifact.type(), artifact.key)
    assert found.holds(artifact.content)
    by_name = artifact.type() in ("inductor", "aot_autograd")
    assert found.holds(artifact.content[:-1]) != by_name
    assert not is_made_again(entry.cache, entry.path)
    assert place("jax", entry.path) is None


@pytest.mark.parametrize(
    "path",
    [
        "fxgraph/xx/f" + "a" * 51 + "/" + "b" * 51,  # in another's folder
        "fxgraph/aa/f" + "a" * 51 + "/.1.2.tmp",
        "aotautograd/a" + "a" * 51,
        "ab/cxx" + "c" * 49 + ".so",
        "ab/cab" + "c" * 49 + ".so.1",
        "dynamo/code_state_.pkl",
        "../ab/cab" + "c" * 49 + ".so",
        "triton/0/x/k.cubin",
        "",
    ],
)
def test_another_file_is_none(path):
    """What torch would not name so, it would not find."""
    assert place("torchinductor", path) is None


@pytest.mark.parametrize(
    ("cache", "path"),
    [
        ("triton", "A" * 52 + "/k.cubin"),
        ("triton", "a1_-" * 16 + "/__grp__k.json"),
        ("torchinductor", "triton/0/" + "A" * 52 + "/launcher.so"),
    ],
)
def test_a_kernels_files_are_found_in_both_caches(cache, path):
    """Inductor gives each device a cache of Triton's in its own."""
    found = place(cache, path)
    assert (found.kind, found.key) == ("triton", f"{cache}/{path}")
    assert found.holds(b"anything")


@pytest.mark.parametrize(
    "path",
    [
        "A" * 52 + "/tmp.pid_1_2/k.cubin",
        "A" * 52 + "/k.cubin.tmp.pid_1_2",
        "tmp.0f-1e/k.cubin",
    ],
)
def test_a_half_of_a_kernel_is_made_again(path):
    """Triton of today and of before, and Inductor, as they write and may be killed."""
    assert is_made_again("triton", path)
    assert is_made_again("torchinductor", f"triton/0/{path}")
    assert not is_made_again("jax", path)
    assert not is_made_again("torchinductor", f"ab/{path}")


@pytest.mark.parametrize(
    "path", ["k.cubin", "A" * 52 + "/.k", "A" * 52 + "/a/k", "A/k"]
)
def test_another_file_of_tritons_cache_is_none(path):
    """What Triton would not name so, it would not find."""
    assert place("triton", path) is None


@pytest.mark.parametrize(
    ("cache", "path", "again"),
    [
        ("torchinductor", "ab/cab.main.cpp", True),
        ("torchinductor", "ab/cab.lock", True),
        ("torchinductor", "fxgraph/ab/x/.1.2.tmp", True),
        ("torchinductor", ".overwinter-1-0/3", True),
        ("torchinductor", "ab/cab.bin", False),
        ("torchinductor", "deep/er/model.cpp", False),
        ("jax", "jit_f-00-cache", False),
        ("jax", "jit_f-00-atime", True),
        ("jax", ".lockfile", True),
        ("jax", "x.lock", True),
        ("jax", "ab/x.cpp", False),
    ],
)
def test_locks_halves_and_sources_are_made_again(cache, path, again):
    """Sources only where torch writes them out of its graphs."""
    assert is_made_again(cache, path) == again
