"""A command run by ours: codes and signals are those of a command run by a shell."""

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from overwinter.running import run_command

# Runs what follows its first argument, as `overwinter run` does.
OURS = """
import os, sys
from overwinter.running import run_command
print("code", run_command(sys.argv[1:], os.environ), flush=True)
"""

# Says that it listens, and then which signals came.
# Each signal is a byte in a pipe: handlers are called once for two that come at once.
LISTENER = """
import os, signal, sys, time
heard, told = os.pipe()
os.set_blocking(told, False)
signal.set_wakeup_fd(told)
for name in sys.argv[1:]:
    signal.signal(signal.Signals[name], lambda number, frame: None)
print("listening", flush=True)
number = os.read(heard, 1)
time.sleep(0.5)
os.set_blocking(heard, False)
try:
    number += os.read(heard, 9)
except BlockingIOError:
    pass
print(*(signal.Signals(each).name for each in number), flush=True)
"""


def start(*command: str, **options):
    """Return a process of ours that runs *command*."""
    return subprocess.Popen(
        [sys.executable, "-c", OURS, *command],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )


def listener(*signals: str) -> list[str]:
    """Return a command that says which signals reach it."""
    return [sys.executable, "-c", LISTENER, *signals]


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_the_code_of_the_command_is_given(code):
    """Whatever it is."""
    assert run_command(["sh", "-c", f"exit {code}"], os.environ) == code


def test_a_command_that_a_signal_ended_has_its_number(capfd):
    """As a shell says it."""
    command = ["sh", "-c", "kill -KILL $$"]
    assert run_command(command, os.environ) == 128 + signal.SIGKILL


def test_what_cannot_be_run_has_the_codes_of_a_shell(tmp_path):
    """127 where there is none, 126 where it is none that runs."""
    (tmp_path / "text").write_text("no program")
    assert run_command([str(tmp_path / "none")], os.environ) == 127
    assert run_command([str(tmp_path / "text")], os.environ) == 126
    assert run_command([str(tmp_path)], os.environ) == 126
    (tmp_path / "text").chmod(0o755)
    assert run_command([str(tmp_path / "text")], os.environ) == 126


def test_a_command_is_found_on_the_path_that_it_gets(tmp_path):
    """Not on ours."""
    program = tmp_path / "here"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    assert run_command(["here"], {"PATH": str(tmp_path)}) == 3


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_a_signal_reaches_the_command_once(name):
    """And ends us only with it: what it left is still to be kept."""
    process = start(*listener(name))
    assert process.stdout.readline() == "listening\n"
    process.send_signal(signal.Signals[name])
    assert process.communicate()[0] == f"{name}\ncode 0\n"


def test_what_is_ignored_here_is_ignored_there():
    """``nohup`` stays what it is."""

    def ignore():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    shows = "import signal; print(signal.getsignal(signal.SIGHUP).name, flush=True)"
    process = start(sys.executable, "-c", shows, preexec_fn=ignore)
    assert process.communicate()[0] == "SIG_IGN\ncode 0\n"


def test_the_interrupt_of_a_terminal_comes_once():
    """It goes to the whole foreground group; a second would cut short the first."""
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", OURS, *listener("SIGINT")])
    shown = b""
    while b"listening" not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, b"\x03")
    while b"\n" not in shown.partition(b"code")[2]:
        shown += os.read(terminal, 1024)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert shown.count(b"SIGINT") == 1
    assert b"code 0" in shown


def test_a_signal_that_comes_too_early_is_kept(tmp_path, monkeypatch):
    """Between ours and the command there is a moment without either."""
    real = subprocess.Popen

    def slow(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", slow)
    assert run_command(["sleep", "30"], os.environ) == 128 + signal.SIGTERM


def test_handlers_are_as_before_afterwards():
    """Of ours, none stays."""
    before = signal.getsignal(signal.SIGTERM)
    run_command(["true"], os.environ)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_may_run_a_command():
    """Only the first one can have handlers; nothing else is missing."""
    codes = []
    thread = threading.Thread(
        target=lambda: codes.append(run_command(["sh", "-c", "exit 5"], os.environ))
    )
    thread.start()
    thread.join()
    assert codes == [5]
