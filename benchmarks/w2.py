"""
W2: 200,000 records with small payloads, from attrs objects and back, beside peers.

Everybody writes a file and reads one; nobody syncs. Ours hashes, signs, verifies and
validates each value against its schema; nobody else does more than some of that.
"""

import sys
from pathlib import Path
from typing import Any

from . import ours, running
from .goals import AtLeast, AtMost, Found, Goal
from .running import Options, Workload
from .timing import Contestant, check_agreement, measure
from .w2_peers import CATTRS, FIELDS, MSGSPEC, TORCH, Peer, as_row, peers, torch_peer
from .workloads import W2_ROWS, Columns, w2_columns

__all__ = ["GOALS", "WORKLOAD", "contestants", "lazy_contestants"]

SAVE, LOAD = "save attrs objects", "load attrs objects"
LAZY = "load keys and payloads alone"

GOALS: tuple[Goal, ...] = (
    AtLeast(SAVE, f"{CATTRS}, save", target=2.3, floor=1.6, against=CATTRS),
    AtMost(SAVE, (f"{MSGSPEC}, save",), target=4, floor=6, against=MSGSPEC),
    AtLeast(LOAD, f"{CATTRS}, load", target=8, floor=5, against=CATTRS),
    AtMost(LOAD, (f"{MSGSPEC}, load",), target=1.1, floor=1.6, against=MSGSPEC),
    AtLeast(LAZY, f"{TORCH}, load", target=15, floor=10, against=TORCH),
    AtLeast(LAZY, f"{MSGSPEC}, load", target=3, floor=2, against=MSGSPEC),
)


def contestants(
    records: list[ours.Record], others: list[Peer], directory: Path
) -> tuple[list[Contestant], list[Contestant]]:
    """
    Return who saves and who loads, ours first.

    Args:
        records: W2.
        others: The peers of ours.
        directory: For files; what is to be loaded is written at once.
    """
    me = Peer(
        "ours",
        lambda path: ours.save(path, records, level=0),
        ours.load,
        lambda found: map(as_row, found),
    )
    savers, loaders = [], []
    for number, each in enumerate([me, *others]):
        path = directory / f"{number}"
        each.write(path)
        save, load = f"{each.name}, save", f"{each.name}, load"
        if each is me:
            save, load = SAVE, LOAD
        savers.append(_saving(save, each, directory / "fresh"))
        loaders.append(_loading(load, each, path))
    return savers, loaders


def lazy_contestants(columns: Columns, directory: Path) -> list[Contestant]:
    """Return ours reading keys and payloads only, and what it must find."""

    def read() -> list[tuple[str, bytes]]:
        return [
            pair
            for each in ours.read_blocks(directory / "0")
            for pair in zip(each["key"], each["payload"], strict=True)
        ]

    pairs = list(zip(columns["key"], columns["payload"], strict=True))
    return [Contestant(LAZY, read, list), Contestant("", list, lambda _: pairs)]


def _saving(name: str, peer: Peer, path: Path) -> Contestant:
    return Contestant(
        name,
        lambda: peer.write(path),
        lambda _: _rows(peer, peer.read(path)),
        lambda: path.unlink(missing_ok=True),
    )


def _loading(name: str, peer: Peer, path: Path) -> Contestant:
    return Contestant(name, lambda: peer.read(path), lambda found: _rows(peer, found))


def _rows(peer: Peer, found: Any) -> list[Any]:
    return list(peer.rows(found))


def run(options: Options) -> Found:
    """Measure W2."""
    ours.register()
    columns = w2_columns()
    assert list(columns) == FIELDS
    records = ours.w2_artifacts(columns)
    others = [*peers(records), torch_peer(records)]
    savers, loaders = contestants(records, others, options.directory)
    lazy = lazy_contestants(columns, options.directory)
    for each in (savers, loaders, lazy):
        check_agreement(each)
    return measure([*savers, *loaders, lazy[0]], options.rounds)


WORKLOAD = Workload(
    "W2", f"{W2_ROWS:,} records of six fields and 200 bytes", GOALS, run
)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
