"""Progress: a bar on a terminal after a second, and nowhere else, and then gone."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from bundles import appended, environ_of_child, plans, sample

HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
END = b"<end>"
TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "80"}

# A command whose work takes a second and a half, or none.
CHILD = """
import signal, sys, time
# A job in the background of a shell is started to ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from overwinter.progress import Counter
original = Counter.advance
pauses = [{pause}] * 5
def advance(self, n_bytes):
    original(self, n_bytes)
    print("working", flush=True)
    time.sleep(pauses.pop() if pauses else 0)
Counter.advance = advance
{more}
from overwinter.cli.main import main
code = main(sys.argv[1:])
print("rich was", "imported" if "rich" in sys.modules else "not imported")
sys.exit(code)
"""
COMMANDS = {
    "verify": ["verify", "model.owb"],
    "union": ["union", "model.owb", "other.owb", "-o", "new.owb"],
    "diff": ["diff", "model.owb", "other.owb"],
    "upgrade": ["upgrade", "model.owb", "--out", "new.owb"],
}


@pytest.fixture(autouse=True)
def bundles(put) -> None:
    """Have two bundles of several blocks each."""
    put(_saved("model"))
    Path("other.owb").write_bytes(_saved("other"))


def _saved(name: str) -> bytes:
    data = sample()
    for number in range(4):
        data = appended(data, plans((f"{name}-{number}", b"x")))
    return data


def started(
    arguments: list[str],
    stderr: int,
    *,
    pause: float,
    environ: Mapping[str, str],
    more: str = "",
) -> "subprocess.Popen[str]":
    """Start a command in a process of its own, and return that."""
    variables = environ_of_child(**environ)
    # Each of these would have rich take something for a terminal, or not.
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        variables.pop(name, None)
    if "NO_COLOR" not in environ:
        variables.pop("NO_COLOR", None)
    code = CHILD.format(pause=pause, more=more)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=variables,
        text=True,
    )


def on_terminal(
    arguments: list[str],
    *,
    pause: float = 0.3,
    environ: Mapping[str, str] = TERMINAL,
    more: str = "",
    interrupt_after: int = 0,
) -> tuple[int, str, bytes]:
    """
    Run a command whose standard error is a terminal.

    Returns:
        Its exit code, what it printed, and what the terminal was sent.
    """
    ours, theirs = pty.openpty()
    settings = termios.tcgetattr(theirs)
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):  # closed, where a test fails
            while not shown.endswith(END):
                shown.extend(os.read(ours, 65_536))

    # Else a terminal that is full would stop what writes to it.
    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        process = started(arguments, theirs, pause=pause, environ=environ, more=more)
        with process:
            assert process.stdout is not None
            for _ in range(interrupt_after):
                assert process.stdout.readline() == "working\n"
            if interrupt_after:
                process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=60)
        assert termios.tcgetattr(theirs) == settings
        # A mark of our own says where the end is, however a system reports that.
        os.write(theirs, END)
        reader.join(60)
    finally:
        os.close(theirs)
        os.close(ours)
    return process.returncode, printed, bytes(shown).removesuffix(END)


def bar_of(shown: bytes) -> bytes:
    """Return what was sent while the cursor was hidden; it must be back."""
    assert shown.count(HIDE) == shown.count(SHOW) == 1
    before, rest = shown.split(HIDE)
    bar, behind = rest.split(SHOW)
    assert before == b""
    # Back to the line of the bar, which is emptied for what is printed next.
    assert behind.startswith(b"\r\x1b[1A\x1b[2K")
    return bar


@pytest.mark.parametrize("command", COMMANDS)
def test_work_longer_than_a_second_has_a_bar(command):
    """Of bytes done and in all; it is gone when the result is printed."""
    code, printed, shown = on_terminal(COMMANDS[command])
    assert code in (0, 4)
    bar = bar_of(shown)
    words = {"union": b"uniting", "upgrade": b"upgrading", "diff": b"comparing"}
    assert words.get(command, b"verifying") in bar
    assert re.search(rb"\d/\d+(\.\d)? (bytes|KiB)", bar)
    assert "\x1b" not in printed


def test_work_below_a_second_has_none():
    """And costs nothing: rich is not even imported."""
    code, printed, shown = on_terminal(COMMANDS["verify"], pause=0)
    assert (code, shown) == (0, b"")
    assert "rich was not imported" in printed


def test_without_a_terminal_there_is_none():
    """A log is no place for it."""
    with started(
        COMMANDS["verify"], subprocess.PIPE, pause=0.3, environ=TERMINAL
    ) as process:
        printed, shown = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "rich was not imported" in printed
    assert shown == ""


@pytest.mark.parametrize("terminal", ["dumb", "", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_none(terminal):
    """It would show every step on a line of its own."""
    code, printed, shown = on_terminal(COMMANDS["verify"], environ={"TERM": terminal})
    assert (code, shown) == (0, b"")
    assert "rich was not imported" in printed


@pytest.mark.parametrize("is_set", [False, True])
def test_no_color_is_respected(is_set):
    """A bar without colours, for who asks for none."""
    environ = {**TERMINAL, **({"NO_COLOR": "1"} if is_set else {})}
    _, _, shown = on_terminal(COMMANDS["verify"], environ=environ)
    has_colour = re.search(rb"\x1b\[[0-9;]*3[0-9;]*m", bar_of(shown)) is not None
    assert has_colour is not is_set


def test_an_interrupt_leaves_the_terminal_as_it_was():
    """The cursor is back, the bar gone, and the words stand on a line of their own."""
    code, _, shown = on_terminal(COMMANDS["union"], interrupt_after=5)
    assert code == 130
    bar_of(shown)
    assert shown.endswith(b"overwinter: interrupted\r\n")
    assert not Path("new.owb").exists()


def test_an_error_is_printed_when_the_bar_is_gone():
    """Else the words would be drawn over."""
    fails = """
import overwinter.union
from overwinter.errors import ChangedError
def fail(self):
    raise ChangedError("model.owb")
overwinter.union._Parts.check_unchanged = fail
"""
    code, _, shown = on_terminal(COMMANDS["union"], more=fails)
    assert code == 1
    bar_of(shown)
    assert b"overwinter: model.owb: found it changed" in shown.split(SHOW)[1]


def test_without_rich_the_work_is_done():
    """A bar is no reason to fail."""
    code, printed, shown = on_terminal(
        COMMANDS["verify"], more="sys.modules['rich.console'] = None"
    )
    assert (code, shown) == (0, b"")
    assert "model.owb: sound" in printed


def test_progress_of_a_verification_grows_to_its_total():
    """Each block once, damaged or not."""
    from overwinter import Bundle
    from overwinter.bundle import verify

    told: list[tuple[int, int]] = []
    with Bundle("model.owb") as bundle:
        findings = list(verify(bundle, progress=lambda *each: told.append(each)))
    done = [each for each, _ in told]
    assert findings == []
    assert len(told) == 6
    assert done == sorted(set(done))
    assert {total for _, total in told} == {done[-1]}


def test_progress_of_an_upgrade_stays_within_its_total():
    """What is written anew may be larger than it was."""
    from overwinter.upgrade import upgrade

    told: list[Any] = []
    upgrade("model.owb", "new.owb", progress=lambda *each: told.append(each))
    done = [each for each, _ in told]
    assert len(told) > 10
    assert done == sorted(done)
    assert all(each <= total for each, total in told)
