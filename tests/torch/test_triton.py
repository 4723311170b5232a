"""Triton beside torch: its version, and its own cache directory."""

import importlib.metadata
import os

import pytest

from overwinter import save
from overwinter.kinds import TritonArtifact
from overwinter.torch import facts


@pytest.mark.parametrize("name", ["triton", "pytorch-triton", "pytorch-triton-rocm"])
def test_tritons_version_is_that_of_its_distribution(monkeypatch, name):
    """Of whichever brings it; it is not imported, which takes long."""

    def version(asked):
        if asked == name:
            return "3.4.0"
        raise importlib.metadata.PackageNotFoundError(asked)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert facts._triton() == {"triton_version": "3.4.0"}


def test_without_triton_there_is_no_version(monkeypatch):
    """And then nothing of it is populated."""

    def version(asked):
        raise importlib.metadata.PackageNotFoundError(asked)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert facts._triton() == {}


@pytest.mark.torch
@pytest.mark.parametrize(
    ("key", "said"), [("ab12", {"triton_key": "ab12"}), (None, {})]
)
def test_tritons_key_is_torchs_hash_of_it(monkeypatch, key, said):
    """Where there is a Triton: here is none, so that its answer is made up."""
    from torch._inductor import codecache

    monkeypatch.setattr(codecache, "triton_key", lambda: key)
    assert facts._triton_key() == said
    assert facts.environment([]).get("triton_key") == key
    assert "triton_key" not in facts.environment([], compared=True)


@pytest.mark.torch
def test_a_key_that_torch_fails_to_give_costs_no_other_fact(monkeypatch):
    """The line names it, and not what the bundle does name."""
    from torch._inductor import codecache

    def fail():
        raise RuntimeError("another Triton")

    without = facts.environment([])
    monkeypatch.setattr(codecache, "triton_key", fail)
    problems: list[str] = []
    assert facts.environment(problems) == without
    (problem,) = problems
    assert "hash of Triton's sources (RuntimeError('another Triton'))" in problem


@pytest.mark.torch
def test_a_torch_that_has_no_such_key_is_not_asked(monkeypatch):
    """Earlier ones keep it elsewhere; nothing compares it."""
    from torch._inductor import codecache

    monkeypatch.delattr(codecache, "triton_key")
    problems = []
    assert "triton_key" not in facts.environment(problems)
    assert problems == []


@pytest.mark.torch
def test_a_load_puts_kernels_where_triton_and_inductor_look(
    recorder, tmp_path, monkeypatch
):
    """Two caches, of which Inductor's holds one for each device."""
    import overwinter.torch

    monkeypatch.setattr(facts, "_triton", lambda: {"triton_version": "3.4.0"})
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    names = [f"{'A' * 52}/k.cubin", f"{'B' * 52}/k.cubin"]
    artifacts = [
        TritonArtifact(f"triton/{names[0]}", b"0"),
        TritonArtifact(f"torchinductor/triton/1/{names[1]}", b"1"),
    ]
    path = tmp_path / "a.owb"
    save(path, artifacts, environment=overwinter.torch.environment())
    info = overwinter.torch.load(path)
    assert len(info.artifacts["triton"]) == 2
    assert (tmp_path / "triton" / names[0]).read_bytes() == b"0"
    inductor = os.environ["TORCHINDUCTOR_CACHE_DIR"]
    with open(f"{inductor}/triton/1/{names[1]}", "rb") as file:
        assert file.read() == b"1"
