"""Fuzzing: what was found stays mended, and a fuzzer that finds nothing is noticed."""

import os
import subprocess
import sys

import pytest
import targets
from acme.plans import Plan, registered
from run import FOUND, HERE

from overwinter import CacheArtifactFactory


@pytest.fixture(autouse=True)
def _acme(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
    CacheArtifactFactory.discover()
    with registered(Plan):
        yield


@pytest.mark.parametrize("name", sorted(each.name for each in FOUND.glob("*-*")))
def test_what_was_found_is_mended(name):
    """Each of these broke a promise once."""
    targets.TARGETS[name.rpartition("-")[0]]((FOUND / name).read_bytes())


@pytest.mark.parametrize("name", targets.TARGETS)
def test_what_fuzzing_begins_with_is_read(name):
    """And so are a few changes of it, each the same at every run."""
    target = targets.TARGETS[name]
    seeds = target.seeds()
    assert seeds
    for number, seed in enumerate(seeds):
        target(seed)
        for change in range(3 if target.share > 1 else 20):
            target(target.mutated(seed, 100 * number + change))


def fuzz(*arguments):
    """Return the exit code of a run, and what it said."""
    command = [sys.executable, HERE / "run.py", "--seed", "1", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return result.returncode, result.stdout


PLANTED = """
class Target:
    share, is_tree = 1, False

    def __init__(self, run):
        self.run = run

    def __call__(self, data):
        self.run(data)

    def seeds(self):
        return [b"overwinte"]

def prepare():
    pass

def breaks(data):
    if data[:1] == b"o" and data[9:]:
        raise KeyError("a fault that was planted")

def ends(data):
    raise SystemExit(0)

TARGETS = {"sound": Target(len), "breaks": Target(breaks), "ends": Target(ends)}
"""


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Return the options that take planted targets, and keep what they find apart."""
    pytest.importorskip("atheris", reason="no atheris for this Python or machine")
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    return ["--targets", "planted", "--found", tmp_path / "found"]


def test_a_sound_target_is_counted(planted):
    """As many executions as were asked for, the seed, and no violation."""
    code, said = fuzz("--executions", 500, "--only", "sound", *planted)
    assert code == 0
    assert "fuzz: 501 executions, seed 1, 0 violations" in said


@pytest.mark.parametrize("name", ["breaks", "ends"])
def test_a_planted_fault_is_found_and_kept(planted, tmp_path, name):
    """With the command that shows it again; the exit code says it too."""
    code, said = fuzz("--executions", 50_000, "--only", name, *planted)
    assert code == 1
    assert "1 violations" in said
    (kept,) = (tmp_path / "found").iterdir()
    assert f"-k {kept.name}" in said


def test_a_target_that_is_not_there_is_no_success(planted):
    """A fuzzer that runs nothing finds nothing."""
    code, _ = fuzz("--executions", 10, "--only", "missing", *planted)
    assert code != 0
