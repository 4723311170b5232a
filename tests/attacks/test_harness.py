"""The harness: an attack that gets somewhere is seen, whatever it does."""

import ctypes
import os
import pickle
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from attacks import harness
from attacks.attack import SOUND, Attack, account, cases, judged, run
from attacks.entry_points import ENTRY_POINTS, EntryPoint
from attacks.graphs import CANARIES, graphs
from attacks.harness import Sandbox, as_attacker, snapshot, tried
from overwinter.errors import OverwinterError


@pytest.fixture
def sandbox(tmp_path):
    """Give an empty sandbox."""
    return Sandbox.below(tmp_path / "sandbox")


def _imports():
    sys.modules.pop("this_is_nowhere", None)
    with suppress(ImportError):
        import this_is_nowhere  # noqa: F401


def _at(folder):
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.close(os.open("new", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    finally:
        os.close(descriptor)


def _appended(folder):
    with (folder / "canary").open("ab") as file:
        file.write(b"x")


RUNS = {
    "import": lambda: _imports(),
    "pickle: unpickles": lambda: pickle.loads(CANARIES[0]),
    "exec": lambda: exec("1"),
    "compile": lambda: compile("1", "x", "eval"),
    "subprocess.Popen": lambda: subprocess.run(["true"], check=True),
    "os.system": lambda: os.system("true"),
    "socket.": lambda: socket.socket().close(),
    "ctypes.dlopen": lambda: ctypes.CDLL(None),
}


@pytest.mark.parametrize(("words", "work"), RUNS.items(), ids=list(RUNS))
def test_what_runs_code_is_seen(words, work, sandbox):
    """Also where the call ends well, or with an error that may leave it."""
    found = tried(work, sandbox.root, expected=(Exception,))
    assert any(each.startswith(words) for each in found.violations)


WRITES = {
    "open": lambda path: (path / "new").write_bytes(b"x"),
    "append": _appended,
    "mkdir": lambda path: (path / "new").mkdir(),
    "link": lambda path: os.link(path / "canary", path / "new"),
    "symlink": lambda path: (path / "new").symlink_to("canary"),
    "rename": lambda path: (path / "canary").rename(path / "new"),
    "remove": lambda path: (path / "canary").unlink(),
    "chmod": lambda path: (path / "canary").chmod(0o600),
    "utime": lambda path: os.utime(path / "canary"),
    "truncate": lambda path: os.truncate(path / "canary", 0),
    "relative to a descriptor": _at,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_a_write_elsewhere_is_seen(write, sandbox):
    """By the event and by the picture; where it is allowed it is none."""
    before = snapshot(sandbox.root)
    found = tried(lambda: write(sandbox.beside), sandbox.cache)
    assert any(str(sandbox.beside) in each for each in found.violations)
    assert snapshot(sandbox.root) != before

    assert not tried(lambda: (sandbox.out / "x").mkdir(), sandbox.out).violations


def test_a_write_through_a_link_is_seen(sandbox):
    """It counts where it lands, whatever the path says."""
    (sandbox.out / "link").symlink_to(sandbox.beside)
    found = tried(lambda: (sandbox.out / "link" / "new").write_bytes(b"x"), sandbox.out)
    assert str(sandbox.beside / "new") in found.violations[0]


def test_what_the_attacker_does_is_not_the_librarys(sandbox):
    """A scene in which somebody acts would else always fail."""

    def work():
        with as_attacker():
            (sandbox.beside / "new").mkdir()

    assert not tried(work).violations


def test_a_call_without_end_is_stopped(monkeypatch):
    """Also where everything that can be caught is."""
    monkeypatch.setattr(harness, "SECONDS", 0.1)

    def work():
        while True:
            with suppress(Exception):
                time.sleep(5)

    assert "leaves DoesNotEnd" in tried(work).violations[0]


def test_an_error_of_pythons_is_a_violation():
    """And one of ours is none, where it is expected."""

    def raising(error):
        raise error

    found = tried(lambda: raising(KeyError("x")), expected=(OverwinterError,))
    assert found.violations == ["leaves KeyError: 'x'"]
    ours = OverwinterError("x")
    assert not tried(lambda: raising(ours), expected=(OverwinterError,)).violations


ATTACK = Attack("stub", "A sound bundle.", graphs, SOUND)


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (lambda case: (case.sandbox.cache / "x").write_bytes(b"evil"), "nobody signed"),
        (lambda case: (case.sandbox.beside / "canary").unlink(), "beside/canary was"),
        (lambda case: bytearray(200 * 2**20), "at most 32"),
        (lambda case: [], "populates nothing"),
    ],
    ids=["publishes its own", "removes another's", "takes memory", "does nothing"],
)
def test_a_load_that_does_harm_is_found_out(work, words, sandbox, monkeypatch):
    """A stub in its place: the judge sees what the cache holds, and what it cost."""

    class Info:
        artifacts = problems = (1,)

    def load(case):
        case.sandbox.cache.mkdir()
        work(case)
        return (Info(),)

    monkeypatch.setitem(ENTRY_POINTS, "load", EntryPoint(load, ("cache",)))
    with account(sandbox):
        case = cases(ATTACK, sandbox)
        found = [*judged(ATTACK, case, "load", run(case, "load"))]
    assert any(words in each for each in found), found
