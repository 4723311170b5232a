"""
W1: 2,000 artifacts of about 400 MB, saved and loaded, beside peers.

Everybody writes a file and reads one; nobody syncs, except where it says durable.
L is the larger of hashing the same bytes on two threads and of writing or reading
them raw: what a verified format costs at least.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import ours, raw, running
from .goals import AtLeast, AtMost, Found, Goal
from .running import Options, Workload
from .timing import Contestant, Figures, check_agreement, measure
from .w1_peers import RAW, TORCH, Peer, peers, torch_peer
from .workloads import W1_ROWS, Columns, w1_columns

__all__ = ["GOALS", "WORKLOAD", "contestants"]

HASH = "SHA-256 on two threads"
BARE_SAVE, BARE_LOAD = "bare: write and SHA-256", "bare: read and SHA-256"
SAVE, LOAD = "save, stored", "load, verified"
SAVE_ZSTD, SAVE_DURABLE = "save, zstd 3", "save, stored, durable"
RAW_DURABLE = "raw, durable, save"
SIZE, SIZE_WHOLE = "size of the file, zstd 3", "zstd 3 over the whole"

GOALS: tuple[Goal, ...] = (
    AtMost(SAVE, (HASH, f"{RAW}, save"), target=1.2, floor=1.6, against="L"),
    AtLeast(SAVE, f"{TORCH}, save", target=6, floor=4, against=TORCH),
    AtMost(SAVE_DURABLE, (RAW_DURABLE,), target=1.1, floor=1.4, against=RAW),
    AtMost(LOAD, (HASH, f"{RAW}, load"), target=1.2, floor=1.6, against="L"),
    AtLeast(LOAD, f"{TORCH}, load", target=3.5, floor=2.5, against=TORCH),
    AtMost(SAVE_ZSTD, (f"{TORCH}, save",), target=1, floor=1.5, against=TORCH),
    AtMost(SIZE, (SIZE_WHOLE,), target=1.2, floor=1.5),
)


def contestants(
    columns: Columns, others: list[Peer], directory: Path
) -> tuple[list[Contestant], list[Contestant]]:
    """
    Return who saves and who loads, ours first.

    Args:
        columns: W1.
        others: The peers of ours.
        directory: For files; what is to be loaded is written at once.
    """
    artifacts = ours.w1_artifacts(columns)
    fresh = directory / "fresh"
    raw_bytes = columns["payload"]

    def clear() -> None:
        # One file at a time, on a disk at rest: who comes late would pay for the
        # pages that others left to be written.
        shutil.rmtree(fresh, ignore_errors=True)
        os.sync()
        fresh.mkdir()

    def saving(name: str, write: Callable[[Path], Any], peer: Peer) -> Contestant:
        path = fresh / "file"
        return Contestant(
            name,
            lambda: write(path),
            lambda _: sorted(peer.rows(peer.read(path))),
            clear,
        )

    def loading(name: str, peer: Peer, number: int) -> Contestant:
        path = directory / f"{number}"
        peer.write(path)
        os.sync()
        return Contestant(
            name, lambda: peer.read(path), lambda found: sorted(peer.rows(found))
        )

    me = Peer(
        SAVE,
        lambda path: ours.save(path, artifacts, level=0),
        lambda path: list(ours.read_blocks(path)),
        lambda blocks: (
            pair
            for each in blocks
            for pair in zip(each["key"], each["content"], strict=True)
        ),
    )
    raw_peer = next(each for each in others if each.name == RAW)
    savers = [
        saving(SAVE, me.write, me),
        saving(SAVE_ZSTD, lambda path: ours.save(path, artifacts, level=3), me),
        saving(
            SAVE_DURABLE, lambda path: ours.save_durably(path, artifacts, level=0), me
        ),
        saving(
            RAW_DURABLE, lambda path: raw.write(path, raw_bytes, durably=True), raw_peer
        ),
        *(saving(f"{each.name}, save", each.write, each) for each in others),
    ]
    loaders = [
        loading(LOAD, me, 0),
        *(
            loading(f"{each.name}, load", each, number)
            for number, each in enumerate(others, 1)
        ),
    ]
    return savers, loaders


def bare_contestants(payloads: list[bytes], directory: Path) -> list[Contestant]:
    """
    Return what any verified format does at least: hash, and hash beside the raw I/O.

    No goal asks for the last two; they say how near a goal can be.
    """
    path = raw.write(directory / "bare", payloads)
    fresh = directory / "bare, fresh"

    def clear() -> None:
        fresh.unlink(missing_ok=True)
        os.sync()

    return [
        Contestant(HASH, lambda: raw.sha256_on_two_threads(payloads), list),
        Contestant(BARE_SAVE, lambda: raw.write_and_hash(fresh, payloads), list, clear),
        Contestant(BARE_LOAD, lambda: raw.read_and_hash(path), list),
    ]


def run(options: Options) -> Found:
    """Measure W1."""
    columns = w1_columns()
    others = [*peers(columns), torch_peer(columns)]
    savers, loaders = contestants(columns, others, options.directory)
    check_agreement(savers)
    check_agreement(loaders)
    payloads = columns["payload"]
    bare = bare_contestants(payloads, options.directory)
    found = measure([*bare, *savers, *loaders], options.rounds)
    return {**found, **sizes(columns, options.directory)}


def sizes(columns: Columns, directory: Path) -> Found:
    """Return the size of our file, and of everything in one zstd frame."""
    from overwinter.bundle.blocks import compress

    artifacts = ours.w1_artifacts(columns)
    path = ours.save(directory / "sized", artifacts, level=3)
    whole = compress(b"".join(columns["payload"]), 3)[0]
    return {
        name: Figures(name, (size / 1e6,), "MB")
        for name, size in ((SIZE, path.stat().st_size), (SIZE_WHOLE, len(whole)))
    }


WORKLOAD = Workload(
    "W1", f"{W1_ROWS:,} artifacts of about 400 MB, saved and loaded", GOALS, run
)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
