"""Certificates of commands that are no torch: what is told, and what is not taken."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import TORCH

from overwinter import save
from overwinter.environment import capture
from overwinter.errors import NotFoundError
from overwinter.kinds import FileArtifact, InductorArtifact
from overwinter.torch import calling
from overwinter.torch.certifying import certify, certify_command

FAKE = Path(__file__).with_name("fake")
PATHS = os.pathsep.join([str(FAKE), *filter(None, sys.path)])
KEY = "f" + "a" * 51
OTHER = "f" + "b" * 51
HIT = "counters['inductor']['fxgraph_cache_hit'] += 1\n"
USE = (
    "import os, sys\n"
    "from torch._inductor import codecache\n"
    "from torch._dynamo.utils import counters\n"
    "cache = os.environ['TORCHINDUCTOR_CACHE_DIR']\n"
    "def write(path):\n"
    "    path = os.path.join(cache, path)\n"
    "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
    "    open(path, 'w').close()\n"
)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """Return a bundle with one graph, of another torch than the fake one."""
    path = tmp_path / "model.owb"
    save(path, [InductorArtifact(KEY, b"graph")], environment=capture(TORCH))
    return path


@pytest.fixture
def replay(bundle, monkeypatch, tmp_path):
    """Return what certifies the bundle for a program that has the fake torch."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def certificate(program, *options, **variables):
        environ = {**os.environ, "PYTHONPATH": PATHS, **variables}
        command = [sys.executable, *options, "-c", program]
        return certify_command(bundle, command, environ=environ)

    return certificate


def test_a_program_whose_graphs_hit_is_certified(replay, tmp_path):
    """And its directories are gone afterwards."""
    certificate = replay(USE + HIT)
    assert certificate.reasons == ()
    assert certificate.graphs["hit"] == 1
    assert list(tmp_path.glob("overwinter-*")) == []


def test_hits_of_all_processes_count(replay):
    """One of them fills the cache, and each reports."""
    again = f"import subprocess; subprocess.run([sys.executable, '-c', {USE + HIT!r}])"
    assert replay(USE + HIT + again).graphs["hit"] == 2


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "no lookup of a graph hit"),
        (HIT + HIT.replace("hit", "miss"), "1 lookups of graphs missed"),
        (HIT + HIT.replace("hit", "bypass"), "1 lookups of graphs bypassed"),
        (
            HIT.replace("inductor", "aot_autograd").replace(
                "fxgraph_cache_hit", "autograd_cache_guard_miss"
            ),
            "1 lookups of graphs missed by their guards",
        ),
        (HIT + "os.system('g++ -E none.h 2>&-')\n", "1 times a compiler ran to pre"),
        (HIT + "sys.exit(3)\n", "the command ended with exit code 3"),
        (HIT + "os.kill(os.getpid(), 9)\n", "exit code 137"),
        (
            HIT + f"write('fxgraph/bb/{OTHER}/{'c' * 51}')\n",
            f"inductor {OTHER} is missing: it was made again",
        ),
        (
            HIT + f"write('fxgraph/aa/{KEY}/{'c' * 51}')\n",
            f"inductor {KEY} is in the bundle, but did not serve: it was made",
        ),
        (
            HIT + f"os.environ['TORCHINDUCTOR_CACHE_DIR'] = '{FAKE}'\n",
            f"torch was given another cache by the command: {FAKE}",
        ),
        (
            HIT + "write('fxgraph/x')\nopen(cache + '/fxgraph/x').close()\n"
            "sys.stdout.flush(); os._exit(0)\n",
            "read graphs and did not report",
        ),
    ],
    ids=(
        "none miss bypass guard step code signal missing variant elsewhere silent"
    ).split(),
)
def test_whatever_was_missed_is_a_reason(lines, reason, replay):
    """A count, a step, an end, a file that was written, a process that kept silent."""
    certificate = replay(USE + lines)
    assert not certificate.certified
    assert any(reason in each for each in certificate.reasons)


def test_what_was_not_observed_is_not_certified(replay):
    """Nothing seen is not nothing done."""
    assert "no Python process was observed" in replay("pass", "-I").reasons[0]
    assert "no process came to use torch's" in replay("pass").reasons[0]
    silent = "import torch._inductor.codecache, os; os._exit(0)"
    assert replay(silent).reasons == (
        "no lookup of a graph hit, so there is nothing to certify",
    )


def test_a_fill_that_fails_is_a_reason(replay, tmp_path):
    """What was wrong in there is told out here."""
    broken = tmp_path / "broken" / "overwinter"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ValueError('broken')\n")
    certificate = replay(USE, PYTHONPATH=f"{broken.parent}{os.pathsep}{PATHS}")
    assert any("could not fill: ValueError" in each for each in certificate.reasons)


def test_what_a_load_left_out_is_told(replay):
    """Here, for the fake torch has no key."""
    certificate = replay(USE + HIT)
    assert any(f"skipped: inductor {KEY}" in each for each in certificate.left_out)


def test_files_of_no_kind_are_told(replay):
    """In torch's cache and in the home; what torch makes again anyway is not."""
    lines = (
        "write('ab/unknown.bin')\n"
        "write('ab/cab.cpp'); write('ab/cab.lock'); write('fxgraph/.1.2.tmp')\n"
        "cache = os.path.expanduser('~')\n"
        "write('.triton/cache/x')\n"
    )
    unclaimed = replay(USE + HIT + lines).unclaimed
    assert unclaimed == ("torchinductor/ab/unknown.bin", "~/.triton/cache/x")


KERNEL = f"{'A' * 52}/k.cubin"


def test_a_kernel_that_was_compiled_again_is_a_reason(replay):
    """In both caches, and as what it is; what is no kernel is of no kind."""
    lines = (
        f"write('triton/0/{KERNEL}')\n"
        "cache = os.environ['TRITON_CACHE_DIR']\n"
        f"write('{KERNEL}'); write('unknown'); write('tmp.0f-1e/k.cubin')\n"
    )
    certificate = replay(USE + HIT + lines)
    written = {(each.kind, each.key) for each in certificate.written}
    assert written == {
        ("triton", f"torchinductor/triton/0/{KERNEL}"),
        ("triton", f"triton/{KERNEL}"),
    }
    assert certificate.unclaimed == ("triton/unknown",)
    missing = f"triton triton/{KERNEL} is missing: it was made again"
    assert any(missing in each for each in certificate.reasons)


def test_a_kernel_that_was_compiled_before_torch_is_a_reason(replay):
    """Nothing has filled the cache by then, so that every start compiles it."""
    early = (
        "import os\n"
        "folder = os.path.join(os.environ['TRITON_CACHE_DIR'], 'A' * 52)\n"
        "os.makedirs(folder)\n"
        "open(os.path.join(folder, 'k.cubin'), 'w').close()\n"
    )
    (written,) = replay(early + USE + HIT).written
    assert (written.kind, written.key) == ("triton", f"triton/{KERNEL}")


def test_a_certificate_is_text_and_versioned_values(replay):
    """For people, and for programs."""
    certificate = replay(USE + HIT + "os.system('g++ -E none.h 2>&-')\n")
    assert str(certificate).startswith("not certified: ")
    assert "compilers: preprocess 1" in str(certificate)
    values = json.loads(json.dumps(certificate.as_dict()))
    assert (values["version"], values["certified"]) == (1, False)
    (step,) = values["steps"]
    assert (step["purpose"], step["command"][:2]) == ("preprocess", ["sh", "-c"])


def test_there_must_be_a_bundle(tmp_path):
    """It is looked for before anything runs."""
    with pytest.raises(NotFoundError, match=r"none\.owb: no such file"):
        certify_command(tmp_path / "none.owb", ["touch", str(tmp_path / "ran")])
    assert not (tmp_path / "ran").exists()


def test_a_function_that_no_new_process_finds_is_refused(bundle):
    """One of a function, without a name, or in a session; with what to do instead."""

    def inner() -> None:
        pass

    for function in (inner, lambda: None):
        with pytest.raises(TypeError, match="that a new process can import, got test_"):
            certify(bundle, function)


def test_a_certificate_within_one_is_refused(bundle, monkeypatch):
    """A script that certifies itself would start itself for ever; a run is no such."""
    monkeypatch.setenv("OVERWINTER_OBSERVED", "/somewhere")
    monkeypatch.setenv("OVERWINTER_OBSERVED_STARTS", "")
    with pytest.raises(TypeError, match="that a new process can import"):
        certify(bundle, lambda: None)
    monkeypatch.setenv("OVERWINTER_OBSERVED_STARTS", "1")
    with pytest.raises(TypeError, match="under if __name__ == '__main__'"):
        certify(bundle, calling.command_of)


SCRIPT = """
import sys
import other

def inner():
    print(__name__, *sys.argv[1:])

if __name__ == "__main__":
    import subprocess
    from overwinter.torch.calling import command_of
    for function in (inner, other.there):
        command, environ = command_of(function)
        subprocess.run(command, env=environ, check=True)
"""


def test_a_function_of_the_script_is_called_in_a_copy_that_does_not_start(tmp_path):
    """Picklers pass over its name, and torch's keys hold the names that they find."""
    (tmp_path / "other.py").write_text("def there(): print(__name__)\n")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), "argument"],
        env={**os.environ, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == ["__mp_main__ argument", "other"], done.stderr


def test_files_of_jax_count_as_graphs_do(tmp_path):
    """One that is read is used, one that is written was missing, none is no proof."""
    bundle = tmp_path / "jax.owb"
    save(bundle, [FileArtifact("jax/a-cache", b"xla")], environment=capture())

    def replay(lines):
        program = (
            f"import os\nos.chdir(os.environ['JAX_COMPILATION_CACHE_DIR'])\n{lines}"
        )
        return certify_command(bundle, [sys.executable, "-c", program])

    read = "open(os.getcwd() + '/a-cache').close()\n"
    whole = replay(read)
    assert (whole.reasons, whole.loaded, whole.unused) == ((), {"file": 1}, ())
    written = replay(read + "open('b-cache', 'w').close()\n")
    assert written.reasons == ("file jax/b-cache is missing: it was made again",)
    unread = replay("")
    assert unread.reasons == ("nothing of the bundle was read",)
    assert unread.unused == ("jax/a-cache",)
