"""Observing: what is noted of a command's processes, and that they do not feel it."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from overwinter.observing import Workspace, afresh, observed, read_events

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Iterator[Workspace]:
    """Return a workspace below the test's own directory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Workspace() as made:
        yield made


@pytest.fixture
def run(workspace) -> Run:
    """Return what runs a Python program, observed."""

    def run_program(program: str, *options: str, **variables: str):
        environ = observed({**os.environ, **variables}, workspace, starts=True)
        return subprocess.run(
            [sys.executable, *options, "-c", program],
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run_program


def noted(workspace, name):
    """Return the facts of the events of a name."""
    return [each.facts for each in read_events(workspace.root) if each.name == name]


def test_each_way_to_start_a_program_is_noted(run, workspace):
    """By a list, by a shell, by a spawn, and in the place of the process itself."""
    done = run(
        "import os, subprocess\n"
        "subprocess.run(['echo', '-x', b'y'])\n"
        "subprocess.run('echo z', shell=True)\n"
        "os.system('echo s')\n"
        "os.waitpid(os.posix_spawn('/bin/echo', ['echo', 'p'], os.environ), 0)\n"
        "os.execvp('echo', ['echo', 'e'])\n"
    )
    assert (done.returncode, done.stderr) == (0, "")
    words = [facts[1] for facts in noted(workspace, "start")]
    assert words[:4] == [
        ["echo", "-x", "y"],
        ["/bin/sh", "-c", "echo z"],
        ["sh", "-c", "echo s"],
        ["echo", "p"],
    ]
    assert words[-1] == ["echo", "e"]


def test_children_are_observed_and_forked_ones_too(run, workspace):
    """Each under its own number."""
    run(
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', 'import os; os.system(\"echo a\")'])\n"
        "if not (pid := os.fork()):\n"
        "    os.system('echo b')\n"
        "    os._exit(0)\n"
        "os.waitpid(pid, 0)\n"
    )
    starts = [each for each in read_events(workspace.root) if each.name == "start"]
    assert len({each.pid for each in starts}) == 3
    assert len(noted(workspace, "python")) == 2


def test_what_is_read_of_a_cache_is_noted_once(run, workspace):
    """Reading, not writing; and nothing that lies elsewhere."""
    cache = workspace.cache("jax")
    (cache / "a").write_text("1")
    run(
        f"for _ in range(3): open({str(cache / 'a')!r}).read()\n"
        f"open({str(cache / 'b')!r}, 'w').close()\n"
        f"open({__file__!r}).close()\n"
    )
    assert noted(workspace, "read") == [("jax/a",)]


def test_a_program_that_closes_all_descriptors_is_not_written_into(run, workspace):
    """The number of a descriptor kept open would be that of its own file then."""
    mine = workspace.root / "mine"
    run(
        "import os\n"
        "os.closerange(3, 256)\n"
        f"files = [open({str(mine)!r}, 'w') for _ in range(8)]\n"
        "os.system('true')\n"
    )
    assert mine.read_text() == ""
    assert len(noted(workspace, "start")) == 1


def test_a_program_does_not_feel_it_that_nobody_listens(run, workspace):
    """The directory is gone, full or read-only: it runs as it would have."""
    (workspace.root / "events").rmdir()
    done = run("import os; os.system('echo on')")
    assert (done.stdout, done.stderr, done.returncode) == ("on\n", "", 0)


def test_events_that_were_lost_are_told_of(run, workspace):
    """Else a start that no disk had space for would be none."""
    events = str(workspace.root / "events")
    run(
        "import os\n"
        f"os.rename({events!r}, {events + '-'!r})\n"
        "os.system('true')\n"
        f"os.rename({events + '-'!r}, {events!r})\n"
    )
    assert noted(workspace, "start") == []
    ((task, error),) = noted(workspace, "failed")
    assert (task, error[:17]) == ("note 1 events", "FileNotFoundError")


def test_the_sitecustomize_of_the_user_runs(run, tmp_path, workspace):
    """As if ours were not there: it is the module of that name."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("MINE = __name__, __file__\n")
    done = run("import sitecustomize; print(*sitecustomize.MINE)", PYTHONPATH=str(own))
    assert done.stdout.split() == ["sitecustomize", str(own / "sitecustomize.py")]
    assert len(noted(workspace, "python")) == 1


def test_a_broken_sitecustomize_of_the_user_is_told_by_python(run, tmp_path):
    """Its error is not ours to hide."""
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    done = run("print('on')", PYTHONPATH=str(own))
    assert done.stdout == "on\n"
    assert "ValueError: theirs" in done.stderr


def test_no_module_holds_a_name_that_keys_of_torch_would_take(run):
    """Torch's key for an object is the first module that has it."""
    done = run(
        "import sys, overwinter.torch.inside\n"
        "print([name for name, module in list(sys.modules.items())\n"
        "       if hasattr(module, 'torch') and name != 'overwinter'])"
    )
    assert done.stdout == "[]\n"


def test_the_empty_path_of_python_is_not_added(workspace):
    """An empty entry of PYTHONPATH is the current directory."""
    paths = observed({"PYTHONPATH": ""}, workspace, starts=True)["PYTHONPATH"].split(
        os.pathsep
    )
    assert [Path(path).name for path in paths] == ["hook"]


def test_a_python_that_ignores_its_environment_is_not_observed(run, workspace):
    """So nothing noted is nothing known, not nothing done."""
    run("import os; os.system('true')", "-I")
    assert read_events(workspace.root) == []


def test_a_line_that_was_torn_or_forged_is_none(run, workspace):
    """A process is killed whenever somebody likes."""
    folder = workspace.root / "events"
    lines = [
        b"('start', 1, 'g++', ['g++'])",
        b"('start', 1, 'g+",
        b"'text'",
        b"(1, 2)",
        b"__import__('os')",
        b"(" * 10_000,
        b"\xff\xfe",
    ]
    (folder / "1").write_bytes(b"\n".join(lines))
    assert [each.name for each in read_events(workspace.root)] == ["start"]


def test_a_workspace_is_private_and_removed(tmp_path, monkeypatch):
    """With what a program has locked itself out of, and not what a link leads to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = tmp_path / "kept"
    kept.mkdir(0o755)
    with Workspace() as made:
        assert made.root.stat().st_mode & 0o777 == 0o700
        locked = made.cache("jax") / "locked"
        locked.mkdir()
        (locked / "file").touch()
        (locked / "link").symlink_to(kept)
        locked.chmod(0o500)
    assert list(tmp_path.glob("overwinter-*")) == []
    assert kept.stat().st_mode & 0o777 == 0o755


def test_a_fresh_start_finds_nothing_but_what_is_no_cache(workspace, home):
    """Weights, versions of Python, our own key; compiled code is not found again."""
    for place in (".cache/huggingface", ".cache/foo", ".pyenv", ".config/overwinter"):
        (home / place).mkdir(parents=True)
    base = {"HOME": str(home), "XDG_DATA_HOME": "/data"}
    environ = afresh(base, workspace)
    new = Path(environ["HOME"])
    assert new.is_relative_to(workspace.root)
    assert Path(environ["TMPDIR"]).is_relative_to(workspace.root)
    assert environ["XDG_CACHE_HOME"] == str(new / ".cache")
    assert environ["HF_HOME"] == str(home / ".cache/huggingface")
    assert environ["PYENV_ROOT"] == str(home / ".pyenv")
    assert "TORCH_HOME" not in environ
    assert environ["XDG_DATA_HOME"] == "/data"
    assert (new / ".config/overwinter").samefile(home / ".config/overwinter")
    assert [each.name for each in new.iterdir()] == [".config"]
