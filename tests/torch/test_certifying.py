"""Certificates of a real torch: whole bundles have one, others are told what lacks."""

import os
import sys
from pathlib import Path

import pytest
from compilers import LOG_VARIABLE, steps

import overwinter.torch
from overwinter import CacheArtifactManager, save
from overwinter.torch.certifying import certify_command

pytestmark = pytest.mark.torch

JOB = Path(__file__).with_name("job.py")
ALL_HIT = {"hit": 3, "miss": 0, "bypass": 0, "guard_miss": 0}


@pytest.fixture(scope="module")
def variables(compilers, tmp_path_factory) -> dict[str, str]:
    """Return the variables of a job that names its compiler as the cold one did."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TORCH", "OVERWINTER_"))
    }
    return {
        **clean,
        "PATH": f"{compilers / 'new'}{os.pathsep}{os.environ['PATH']}",
        "CXX": "g++",
        LOG_VARIABLE: str(tmp_path_factory.mktemp("log") / "compiler.log"),
    }


@pytest.fixture
def replay(variables, signing_key, tmp_path):
    """Return what certifies a bundle for the job that saved it."""

    def certificate(bundle):
        Path(variables[LOG_VARIABLE]).unlink(missing_ok=True)
        return certify_command(
            bundle,
            [sys.executable, str(JOB), str(tmp_path / "report.json"), "compile"],
            environ={**variables, "OVERWINTER_SIGNING_KEY": str(signing_key)},
        )

    return certificate


@pytest.fixture
def without(cold, tmp_path):
    """Return what writes the bundle again, without one artifact of a kind."""

    def write(kind, ending=""):
        from overwinter.torch.facts import environment

        here = environment([])
        loaded = CacheArtifactManager.deserialize(
            cold.bundle, environment=here, strict=True
        )
        kept = [each for artifacts in loaded.values() for each in artifacts]
        taken = next(
            each
            for each in kept
            if each.type() == kind
            and each.key.endswith(ending)
            # A probe's name ends as a kernel's does, but for this.
            and (ending != ".so" or not each.key.endswith(".main.so"))
        )
        kept.remove(taken)
        path = tmp_path / "mutilated.owb"
        save(path, kept, environment=here)
        return path, taken

    return write


def test_a_whole_bundle_is_certified(replay, cold):
    """Every graph hits, nothing is built, all of it is used, nothing else is left."""
    certificate = replay(cold.bundle)
    assert certificate.reasons == ()
    assert certificate.certified
    assert certificate.graphs == ALL_HIT
    assert (certificate.steps, certificate.written) == ((), ())
    assert (certificate.unused, certificate.unclaimed) == ((), ())
    assert sum(certificate.loaded.values()) == len(
        [key for keys in cold.job["save"]["artifacts"].values() for key in keys]
    )
    assert certificate.processes > 1  # torch tries its probes in others


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("native", ".main.so"), ("native", ".so"), ("inductor", ""), ("aot_autograd", "")],
    ids=["kernel", "probe", "graph", "graph-with-derivatives"],
)
def test_a_bundle_without_one_artifact_is_not_certified(
    kind, ending, replay, without, variables
):
    """It is named, and every run of a compiler is told that another count knows."""
    bundle, taken = without(kind, ending)
    certificate = replay(bundle)
    assert not certificate.certified
    assert f"{kind} {taken.key} is missing: it was made again" in certificate.reasons
    told = [step.purpose for step in certificate.steps]
    counted = steps(Path(variables[LOG_VARIABLE]))
    assert sorted(told) == sorted(counted.elements())
    assert bool(told) == (kind == "native")
    assert bool(certificate.graphs["miss"]) == (kind != "native")


def test_a_function_of_a_module_is_certified(cold, variables, monkeypatch):
    """Called in a new process, it finds the keys that a script has."""
    import torch  # noqa: F401  (before what imports it, as the script had it)
    from replayed import step

    for name in ("PATH", "CXX"):
        monkeypatch.setenv(name, variables[name])
    monkeypatch.setenv(LOG_VARIABLE, variables[LOG_VARIABLE])
    certificate = overwinter.torch.certify(cold.bundle, step)
    assert certificate.reasons == ()
    assert certificate.graphs == ALL_HIT
