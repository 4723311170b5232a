"""Signals as a terminal's commands have them, whoever started the tests."""

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """
    Have no signal ignored, which commands would inherit.

    Under ``nohup``, or in the background of a shell's script, some are.
    """
    ignored = [
        each
        for each in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
        if signal.getsignal(each) == signal.SIG_IGN
    ]
    for each in ignored:
        signal.signal(
            each,
            signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL,
        )
    yield
    for each in ignored:
        signal.signal(each, signal.SIG_IGN)
