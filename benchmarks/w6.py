"""
W6: peak memory beyond what the caller holds, each in a process of its own.

The process makes what it holds, does the same work once on a tiny bundle so that
imports and pools do not count, gives freed memory back to the system, and lets the
kernel begin its record of the peak anew; the peak less the level then is what is
reported. What the system caches of files is not the process's. Elsewhere than on
Linux the peak of the whole process so far stands for the level.
"""

import ctypes
import gc
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overwinter.bundle import Bundle
from overwinter.bundle.verifying import verify
from overwinter.kinds.inductor import InductorArtifact

from . import ours, running
from .goals import Found, Goal, Within
from .running import Options, Workload
from .timing import Figures, say
from .workloads import Columns, common_row, w1_columns, w2_columns

__all__ = ["GOALS", "WORKLOAD", "beyond"]

MIB = 2**20
_STORED, _ZSTD = 0, 3
_TINY = 5  # artifacts


def _save(workload: str, level: int) -> str:
    return f"{workload}: save, {f'zstd {level}' if level else 'stored'}"


FETCH, APPEND, STREAM = "W1: open and fetch", "W1: append", "W1: stream by block"
PAYLOADS = "W1: stream payloads, the largest with them"

GOALS: tuple[Goal, ...] = (
    *(
        Within(_save(workload, level), target, floor, " MiB")
        for level, target, floor in ((_STORED, 16, 32), (_ZSTD, 64, 128))
        for workload in ("W1", "W2")
    ),
    Within(FETCH, 2, 4, " MiB"),
    Within(APPEND, 2, 4, " MiB"),
    Within(STREAM, 8, 16, " MiB"),
)


def beyond(work: Callable[[], Any]) -> float:
    """Return how many MiB the process grew at most while *work* was done."""
    gc.collect()
    if sys.platform != "linux":
        level = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (peak - level) / (MIB if sys.platform == "darwin" else 1024)
    # Else what set-up has freed would be used again, and not be seen.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim:
        trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    level = _status("VmRSS")
    work()
    return max(0, _status("VmHWM") - level) / 1024


def _status(name: str) -> int:
    """Return a figure of this process in KiB, as Linux says it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)


def save_case(workload: str, level: int, directory: Path) -> float:
    """Return the MiB that saving *workload* takes."""
    make = _w1 if workload == "W1" else _w2
    target = directory / "saved"
    ours.save_durably(target, make(_TINY), level=level)
    artifacts = make(None)
    return beyond(lambda: ours.save_durably(target, artifacts, level=level))


def fetch_case(directory: Path) -> float:
    """Return the MiB that opening, and fetching one small artifact, takes."""

    def fetch(name: str) -> None:
        key = (directory / f"{name}.key").read_text()
        with Bundle(directory / name) as bundle:
            (_,) = ours.fetch(bundle, "inductor", key)

    fetch("tiny")
    return beyond(lambda: fetch("W1"))


def append_case(directory: Path) -> float:
    """Return the MiB that appending one small artifact takes."""
    one = InductorArtifact("f" + "a" * 51, bytes(20_000))
    ours.append(directory / "tiny", one)
    return beyond(lambda: ours.append(directory / "W1", one))


def stream_case(directory: Path) -> float:
    """Return the MiB that reading and verifying every block takes."""

    def stream(path: Path) -> None:
        with Bundle(path) as bundle:
            for finding in verify(bundle):
                raise AssertionError(finding)

    stream(directory / "tiny")
    return beyond(lambda: stream(directory / "W1"))


def payloads_case(directory: Path) -> float:
    """Return the MiB that taking every payload, and dropping it, takes: with it."""

    def stream(path: Path) -> None:
        for columns in ours.read_blocks(path):
            sum(map(len, columns["content"]))
            del columns  # before the next are read

    stream(directory / "tiny")
    return beyond(lambda: stream(directory / "W1"))


CASES: dict[str, Callable[[Path], float]] = {
    **{
        _save(workload, level): (
            lambda directory, workload=workload, level=level: save_case(
                workload, level, directory
            )
        )
        for workload in ("W1", "W2")
        for level in (_STORED, _ZSTD)
    },
    FETCH: fetch_case,
    APPEND: append_case,
    STREAM: stream_case,
    PAYLOADS: payloads_case,
}


def _w1(rows: int | None) -> list[Any]:
    return ours.w1_artifacts(w1_columns() if rows is None else w1_columns(rows))


def _w2(rows: int | None) -> list[Any]:
    ours.register()
    return ours.w2_artifacts(w2_columns() if rows is None else w2_columns(rows))


def run(options: Options) -> Found:
    """Measure W6."""
    directory = options.directory
    write_files(directory, w1_columns(), w1_columns(_TINY))
    found = {}
    for name in CASES:
        say(name)
        # Once: unlike a time, a peak is no worse beside a busy neighbour.
        found[name] = Figures(name, (_in_a_process(name, directory),), "MiB")
    return found


def write_files(directory: Path, columns: Columns, tiny: Columns) -> None:
    """Write W1 and a tiny bundle, each with the key to fetch from it."""
    for name, each in (("W1", columns), ("tiny", tiny)):
        ours.save(directory / name, ours.w1_artifacts(each), level=_STORED)
        (directory / f"{name}.key").write_text(each["key"][common_row(each)])


def _in_a_process(name: str, directory: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.w6", "--case", name, directory],
        stdout=subprocess.PIPE,
        check=True,
    )
    return float(json.loads(done.stdout))


WORKLOAD = Workload("W6", "peak memory beyond what the caller holds", GOALS, run)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        _, _, case, place = sys.argv
        print(json.dumps(CASES[case](Path(place))))
    else:
        sys.exit(running.main([WORKLOAD]))
