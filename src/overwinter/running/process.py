"""
A command as a shell runs it: its exit code is ours, and signals reach it.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

__all__ = ["BY_SIGNAL", "CANNOT_RUN", "NOT_FOUND", "run_command"]

# As shells say it, and ``env``, ``nice`` and ``timeout``: POSIX.1, 2.8.2.
CANNOT_RUN, NOT_FOUND, BY_SIGNAL = 126, 127, 128

_PASSED_ON = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT)


def run_command(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    stdout: IO[str] | int | None = None,
) -> int:
    """
    Run *command* to its end, and return its exit code as a shell would.

    Signals that this process gets meanwhile reach the command, and end this process
    only with it.

    Args:
        command: The program, found on PATH, and its arguments.
        environ: Its variables.
        stdout: Where it writes to, if not to where this process does.

    Returns:
        Its code; 128 and the number of the signal that ended it; 127 where there is no
        such program, 126 where there is and it cannot be run.
    """
    with _signals() as reach:
        try:
            process = subprocess.Popen(command, env=dict(environ), stdout=stdout)
        except FileNotFoundError:
            return NOT_FOUND
        except OSError:
            return CANNOT_RUN
        reach(process)
        code = process.wait()
    return code if code >= 0 else BY_SIGNAL - code


@contextlib.contextmanager
def _signals() -> Iterator[Callable[["subprocess.Popen[bytes]"], None]]:
    """Give what has signals reach a process, those too that came before."""
    reached: list[subprocess.Popen[bytes]] = []
    waiting: list[int] = []

    def pass_on(number: int, _: object) -> None:
        # A terminal sends to its whole foreground group: the command has it already,
        # and a second one would cut short what it does about the first.
        if number in _OF_TERMINALS and _is_in_foreground():
            return
        waiting.append(number)
        _deliver()

    def _deliver() -> None:
        for process in reached:
            while waiting:
                process.send_signal(waiting.pop(0))

    def reach(process: "subprocess.Popen[bytes]") -> None:
        reached.append(process)
        _deliver()

    before = {}
    # Handlers, for what is ignored stays so in the command; as whoever started us may
    # have wanted (``nohup``).
    if threading.current_thread() is threading.main_thread():
        for number in (*_PASSED_ON, *_OF_TERMINALS):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, pass_on)
    try:
        yield reach
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
