"""What torch adds to an environment, and what a load makes of it."""

import os

import pytest

import overwinter.torch
from overwinter import Bundle, CacheArtifactManager
from overwinter import save as save_artifacts
from overwinter.environment import misfit
from overwinter.kinds import InductorArtifact, PGOArtifact
from overwinter.torch.facts import environment

pytestmark = pytest.mark.torch

GRAPH = InductorArtifact("f" + "a" * 51, b"a graph")
STATE = PGOArtifact("job:0:tag", b"a code state")


def test_torchs_facts_are_recorded(cold):
    """Version, prefix and hash of its sources, and the compiler that was used."""
    import torch
    from torch._inductor.codecache import torch_key

    with Bundle(cold.bundle) as bundle:
        environments = [
            dict(block.environment) for part in bundle.segments for block in part.blocks
        ]
    for found in environments:
        assert found["torch_version"] == torch.__version__
        assert found["torch_prefix"] == os.path.dirname(torch.__file__)
        assert found["torch_key"] == torch_key().hex()
        assert found["compiler"].startswith(("gcc version ", "Apple clang version "))
        assert len(found["compiler"]) < 100


@pytest.mark.parametrize("field", ["torch_key", "torch_version", "python_tag"])
def test_artifacts_of_another_torch_are_skipped(field, tmp_path, recorder):
    """With the field that differs, both values, and nothing in the cache."""
    here = environment([])
    path = tmp_path / "model.owb"
    save_artifacts(path, [GRAPH, STATE], environment={**here, field: "another"})
    info = overwinter.torch.load(path)
    assert info.empty()
    assert sorted(note.kind for note in info.skipped) == ["inductor", "pgo"]
    for note in info.skipped:
        assert note.reason == f"{field}: made for another, here is {here[field]}"


def test_a_manager_takes_torchs_facts_along(recorder):
    """By the function that a save without them names."""
    manager = CacheArtifactManager()
    manager.record(GRAPH)
    here = overwinter.torch.environment()
    data, info = manager.serialize(environment=here)
    assert info.problems == []
    assert CacheArtifactManager.deserialize(data, environment=here) == {
        "inductor": [GRAPH]
    }
    assert CacheArtifactManager.deserialize(data) == {}


def test_a_load_asks_no_compiler(monkeypatch):
    """Its version is recorded and never compared; asking starts a process."""
    from torch._inductor import cpp_builder

    def fail(*_):
        raise AssertionError("asked")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", fail)
    problems = []
    assert "compiler" not in environment(problems, compared=True)
    assert problems == []


def test_a_machine_without_a_compiler_saves(monkeypatch):
    """Torch raises where it finds none; graphs without kernels need none."""
    from torch._inductor import cpp_builder, exc

    def none():
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    problems = []
    assert "compiler" not in environment(problems)
    assert problems == []


@pytest.mark.parametrize(
    "name", ["codecache.torch_key", "cpp_builder.get_compiler_version_info"]
)
def test_a_fact_that_torch_does_not_give_is_a_line(name, monkeypatch):
    """The other facts are there, and nothing is raised."""
    import importlib

    place, attribute = name.split(".")
    owner = importlib.import_module(f"torch._inductor.{place}")
    monkeypatch.delattr(owner, attribute)
    problems = []
    assert {"torch_version", "torch_prefix"} <= set(environment(problems))
    (problem,) = problems
    assert attribute in problem


def test_vectors_that_torch_does_not_tell_are_not_taken_from_the_cpu(monkeypatch):
    """ATEN_CPU_CAPABILITY may have made them narrower than every flag says."""
    from torch._inductor import cpu_vec_isa

    here = environment([])
    rules = InductorArtifact.environment_rules
    assert misfit(here, here, rules) is None
    monkeypatch.delattr(cpu_vec_isa, "x86_isa_checker")
    problems = []
    untold = environment(problems)
    assert str(misfit(here, untold, rules)) == (
        f"vector_isa: made for {here['vector_isa']}, here is unknown"
    )
    assert "vector_isa: not recorded" in str(misfit(untold, here, rules))
    assert "vector_isa: not recorded" in str(misfit(untold, untold, rules))
    (problem,) = problems
    assert "x86_isa_checker" in problem
    assert "no graphs are populated" in problem
