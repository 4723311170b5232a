"""Harvesting: each file as the artifact that it is, and no half of one."""

import json
import os
import sys
from pathlib import Path

import pytest

from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    FileArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
    PrecompileArtifact,
    TritonArtifact,
)
from overwinter.observing.listing import listing
from overwinter.running import harvest as module
from overwinter.running.harvest import harvest

CACHE = "torchinductor"
KERNEL = "ab/cab" + "c" * 49 + ".main.so"
# A library that this process has loaded, of whatever system this is.
LIBRARY = Path(sys.executable).resolve().read_bytes()
ARTIFACTS = [
    AOTAutogradArtifact("a" + "b7" * 25 + "c", b"graph"),
    AutotuneArtifact.from_content("ab/" + "0" * 64 + ".best_config", b"{}"),
    FileArtifact(f"{CACHE}/ab/unknown.bin", b"file", 0o755),
    InductorArtifact("f" + "a2" * 25 + "b", b"graph"),
    NativeArtifact(f"{CACHE}/{KERNEL}", LIBRARY, 0o755),
    PGOArtifact("job_0_", b"state"),
    PrecompileArtifact("0" * 64, b"package"),
    TritonArtifact(f"{CACHE}/triton/0/{'A' * 52}/k.cubin", b"kernel"),
]


@pytest.fixture
def root(tmp_path) -> Path:
    """Return torch's cache directory."""
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def put(root):
    """Return what writes a file into the cache."""

    def write(path: str, content: bytes, mode: int = 0o644) -> Path:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        return file

    return write


def found(root, *, killed=False, before=None, **options):
    """Return what is harvested from torch's cache."""
    return harvest({CACHE: root}, {CACHE: before or {}}, killed=killed, **options)


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda each: each.type())
def test_a_file_becomes_the_artifact_that_it_would_come_from(artifact, root, put):
    """The inverse of populating, for every kind."""
    entry = artifact.cache_entry()
    put(entry.path, entry.content, entry.mode)
    assert found(root).artifacts == [artifact]
    assert found(root).problems == []
    assert found(root, before=listing(root)).artifacts == []


def test_a_file_that_was_changed_is_new(root, put):
    """Torch writes what Dynamo learned in the place of what it knew."""
    file = put("dynamo/code_state_job_0_.pkl", b"old")
    before = listing(root)
    file.unlink()
    put("dynamo/code_state_job_0_.pkl", b"newer")
    (artifact,) = found(root, before=before).artifacts
    assert artifact.content == b"newer"


def test_a_code_state_has_the_key_that_its_process_told(root, put):
    """The file's name holds less: every colon is an underscore in it."""
    put("dynamo/code_state_job_0_.pkl", b"state")
    (artifact,) = found(root, pgo_keys=["other:0:", "job:0:"]).artifacts
    assert artifact.key == "job:0:"


def test_a_graph_that_is_not_what_its_name_says_is_left_out(root, put):
    """Cut, or another: torch would find it, and fail to read it."""
    entry = ARTIFACTS[0].cache_entry()
    put(entry.path, entry.content[:-1])
    harvested = found(root)
    assert harvested.artifacts == []
    assert harvested.problems == [
        "torchinductor: 1 files left out: its content is not what its name says"
    ]


@pytest.mark.parametrize("cache", ["triton", CACHE])
def test_a_group_of_kernels_is_kept_with_names(cache, root, put):
    """Paths of this directory would lead nowhere from another."""
    folder = f"{'triton/0/' if cache == CACHE else ''}{'A' * 52}"
    children = {"k.cubin": str(root / folder / "k.cubin")}
    put(f"{folder}/__grp__k.json", json.dumps({"child_paths": children}).encode())
    (group,) = harvest({cache: root}, {}, killed=False).artifacts
    content = b'{"child_paths": {"k.cubin": "k.cubin"}}'
    assert group == TritonArtifact(f"{cache}/{folder}/__grp__k.json", content)


def test_a_group_of_kernels_elsewhere_is_left_out(root, put):
    """It is said which; its files are kept, and its kernel is compiled again."""
    put(f"{'A' * 52}/k.cubin", b"kernel")
    group = json.dumps({"child_paths": {"k.cubin": "/elsewhere/k.cubin"}})
    put(f"{'A' * 52}/__grp__k.json", group.encode())
    harvested = harvest({"triton": root}, {}, killed=False)
    (artifact,) = harvested.artifacts
    assert artifact.key.endswith("/k.cubin")
    (problem,) = harvested.problems
    assert "__grp__k.json" in problem
    assert "'k.cubin' is in '/elsewhere'" in problem


@pytest.mark.parametrize(("cache", "folder"), [("triton", ""), (CACHE, "triton/0/")])
def test_a_half_of_a_kernel_is_left_out_silently(cache, folder, root, put):
    """A bundle would keep it for ever, and nobody misses it."""
    put(f"{folder}{'A' * 52}/tmp.pid_1_2/k.cubin", b"ker")
    put(f"{folder}{'A' * 52}/k.cubin.tmp.pid_1_2", b"ker")
    put(f"{folder}tmp.0f-1e/k.cubin", b"ker")
    harvested = harvest({cache: root}, {}, killed=False)
    assert (harvested.artifacts, harvested.problems) == ([], [])


@pytest.mark.parametrize("size", [0, 4, 63, len(LIBRARY) - 1])
def test_a_library_that_was_cut_is_left_out(size, root, put):
    """A linker was killed: whoever loads it cannot load anything, ever."""
    put(KERNEL, LIBRARY[:size])
    harvested = found(root)
    assert harvested.artifacts == []
    assert harvested.problems == [
        "torchinductor: 1 files left out: it is no whole library"
    ]


def test_what_was_changed_as_a_signal_came_is_left_out(root, put, monkeypatch):
    """But for what its own name proves to be whole."""
    graph, other = ARTIFACTS[0].cache_entry(), ARTIFACTS[2].cache_entry()
    put(graph.path, graph.content)
    file = put(other.path, other.content)
    assert [each.type() for each in found(root, killed=True).artifacts] == [
        "aot_autograd"
    ]
    os.utime(file, (1, 1))
    assert len(found(root, killed=True).artifacts) == 2


def test_a_file_that_changes_while_it_is_read_is_left_out(root, put, monkeypatch):
    """Somebody of the command is still at work."""
    file = put("ab/unknown.bin", b"first")
    real = module.listing

    def early(directory):
        listed = real(directory)
        file.write_bytes(b"first and second")
        return listed

    monkeypatch.setattr(module, "listing", early)
    assert found(root).problems == [
        "torchinductor: 1 files left out: it is still being written"
    ]


def test_a_name_that_no_bundle_takes_is_said(root, put):
    """And costs no other file."""
    put("ab/é.bin", b"1")
    put("ab/e.bin", b"1")
    harvested = found(root)
    assert [each.key for each in harvested.artifacts] == [f"{CACHE}/ab/e.bin"]
    assert "is none of this kind's" in harvested.problems[0]
