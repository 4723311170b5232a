"""Threads that hash, compress and read; the caller does it where there are none."""

import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bundles import environ_of_child, plans

from overwinter.bundle import segment_writer, write_bundle
from overwinter.workers import Workers

MUCH = 2**20


def test_work_is_done_by_threads_that_end_with_the_operation():
    """Nothing is left behind for a process that forks."""
    with Workers(2) as workers:
        jobs = [workers.submit(MUCH, threading.current_thread) for _ in range(8)]
        threads = {job.result() for job in jobs}
    assert threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize(("count", "size"), [(1, MUCH), (0, MUCH), (2, 100)])
def test_a_little_work_or_one_core_needs_no_thread(count, size):
    """To hand it over would cost more than to do it."""
    with Workers(count) as workers:
        job = workers.submit(size, threading.current_thread)
        assert job.result() is threading.main_thread()


@pytest.mark.parametrize("count", [1, 2])
def test_an_error_comes_with_the_result(count):
    """It is raised where somebody waits for the work, and there alone."""
    with Workers(count) as workers:
        job = workers.submit(MUCH, int, "x")
        with pytest.raises(ValueError, match="invalid literal"):
            job.result()


def test_the_work_is_done_while_the_interpreter_ends(tmp_path):
    """Saving from an exit handler is common; by then no thread can be started."""
    code = """
        import atexit, io, os, sys
        os.sched_getaffinity = lambda pid: {0, 1}
        from bundles import plans
        from overwinter.bundle import Bundle, write_bundle, verify
        def save():
            with open(sys.argv[1], "wb", buffering=0) as file:
                rows = [(str(n), bytes([n]) * 300_000) for n in range(20)]
                write_bundle(file, [plans(*rows)], writer="t", key=None, level=3)
            print(len(list(verify(Bundle(sys.argv[1])))), "findings")
        atexit.register(save)
    """
    lines = [line[8:] for line in code.splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(tmp_path / "a.owb")],
        capture_output=True,
        text=True,
        env=environ_of_child(),
        check=False,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("0 findings\n", "", 0)


@pytest.mark.parametrize("level", [0, 3])
def test_the_number_of_threads_does_not_show(level, tmp_path, monkeypatch):
    """Equal input gives equal bytes on one core and on many."""
    noise = random.Random(1).randbytes
    records = plans(*((f"{n:05d}", noise(n % 7 * 2_000)) for n in range(4_000)))
    made = set()
    for count in (1, 2, 4):
        monkeypatch.setattr(
            "overwinter.bundle.writer.Workers", lambda count=count: Workers(count)
        )
        path = Path(tmp_path / str(count))
        with path.open("wb", buffering=0) as file:
            write_bundle(file, [records], writer="t", key=None, level=level)
        made.add(path.read_bytes())
    assert len(made) == 1
    assert len(made.pop()) > segment_writer._UNDER_WAY
