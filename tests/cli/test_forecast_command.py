"""``overwinter forecast``: what it prints, and what it exits with."""

import importlib.util
import json
import sys

import pytest
from bundles import TORCH

from overwinter import save
from overwinter.cli.main import main
from overwinter.kinds import InductorArtifact, NativeArtifact

GRAPH = "f" + "a" * 51


@pytest.fixture
def run(capsys):
    """Return what runs the command, and gives code, standard output and error."""

    def command(*arguments):
        code = main(["forecast", *(str(each) for each in arguments)])
        return code, *capsys.readouterr()

    return command


@pytest.fixture
def without_torch(monkeypatch):
    """Have no torch in this process."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "torch" else found(name, *rest),
    )


@pytest.fixture
def bundle(tmp_path):
    """Return a bundle for a torch that nobody has, and a library for this machine."""
    path = tmp_path / "m.owb"
    facts = {**TORCH, "python_tag": sys.implementation.cache_tag}
    save(path, [InductorArtifact(GRAPH, b"x")], environment=facts)
    return path


def test_without_torch_its_facts_are_unknown(run, bundle, without_torch):
    """And the line says which of them would decide."""
    code, out, err = run(bundle)
    assert (code, err) == (0, "")
    first, head, row = out.splitlines()
    assert first.endswith("0 artifacts can hit here, 0 cannot, 1 unknown")
    assert head.split() == ["kind", "artifacts", "outcome", "blocked", "by", "why"]
    assert row.split()[:4] == ["inductor", "1", "unknown", "torch_version"]


def test_every_artifact_is_listed_if_asked_for(run, bundle, without_torch):
    """By its key."""
    code, out, _ = run(bundle, "--keys")
    assert code == 0
    assert out.splitlines()[-1].split()[:3] == ["inductor", GRAPH, "unknown"]


def test_json_has_everything(run, bundle, without_torch):
    """Its layout is versioned."""
    code, out, _ = run(bundle, "--json", "--keys")
    report = json.loads(out)
    assert (code, report["version"], report["unknown"]) == (0, 1, 1)
    assert report["blocks"][0]["keys"] == [GRAPH]


def test_damage_ends_with_4(run, bundle, without_torch):
    """What can be foreseen of the rest is printed."""
    data = bytearray(bundle.read_bytes())
    data[-80] ^= 1
    bundle.write_bytes(data)
    code, _, err = run(bundle)
    assert code == 4
    assert err.startswith("overwinter: ")


def test_a_file_that_is_not_there_ends_with_3(run, tmp_path):
    """As with every command."""
    assert run(tmp_path / "none.owb")[0] == 3


def test_a_torch_that_cannot_be_imported_is_told(run, bundle, monkeypatch):
    """Its facts are unknown, and the command goes on."""
    from overwinter.torch import facts

    def machine(problems, ask):
        raise OSError("libtorch_cpu.so: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(facts, "machine", machine)
    code, out, err = run(bundle)
    assert code == 0
    assert "1 unknown" in out
    assert "torch cannot be imported (OSError('libtorch_cpu.so" in err


@pytest.mark.torch
def test_torchs_facts_are_those_of_this_python(run, tmp_path, monkeypatch):
    """And the compiler is asked nothing: what only it could tell is unknown."""
    import overwinter.torch
    from overwinter.torch import facts, vectors

    path = tmp_path / "m.owb"
    here = overwinter.torch.environment()
    for number, more in enumerate([{}, {"compiler": "gcc version 4.8.5"}]):
        graph = InductorArtifact(GRAPH, b"%d" % number)
        save(path, [graph], environment={**here, **more})
    library = NativeArtifact("torchinductor/aa/x.so", b"x")
    save(path, [library], environment={**here, "torch_version": "0.0.1"})

    def ask():
        raise AssertionError("the compiler was asked")

    for module in (facts, vectors):
        monkeypatch.setattr(module, "is_sure", lambda: False)
    monkeypatch.setattr("torch._inductor.cpu_vec_isa.pick_vec_isa", ask)
    code, out, err = run(path)
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [
        ["inductor", "1", "hit"],
        ["inductor", "1", "unknown", "vector_isa"],
        ["native", "1", "miss", "torch_version"],
    ]
    assert err == (
        "overwinter: inductor can hit and native cannot: what is in it is built again\n"
    )
