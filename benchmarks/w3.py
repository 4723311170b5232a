"""
W3: open a bundle, list its keys, fetch one artifact, beside torch's format.

Every run opens the file anew. Torch's format can only be read and decoded whole.
Warm is a file that the system holds in memory; cold is one that it was told to
forget, though a host below a virtual machine may remember.

What is fetched has a payload of the median size, 20 KB in W1. An artifact of as much
is also fetched out of bundles of 4 MB to 4 GB of payloads: 6 GB of disk in all.
"""

import pickle
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from overwinter.bundle import Bundle, Records, write_bundle
from overwinter.factory import CacheArtifactFactory

from . import ours, raw, running
from .goals import AtLeast, AtMost, Found, Goal
from .running import Options, Workload
from .timing import Contestant, check_agreement, measure, say
from .w2_peers import FIELDS, as_row
from .workloads import Columns, common_row, inductor_key, w1_columns, w2_columns

__all__ = ["GOALS", "WORKLOAD", "contestants", "size_contestants"]

SIZES = {"4 MB": 4, "40 MB": 40, "400 MB": 400, "4 GB": 4_000}  # in MB
WARM, COLD = "warm", "cold"
_REPEAT = {WARM: 15, COLD: 3}


def _fetch(workload: str, state: str) -> str:
    return f"{workload}: fetch one, {state}"


def _keys(workload: str) -> str:
    return f"{workload}: list all keys, warm"


def _from(size: str) -> str:
    return f"fetch one out of {size}"


TORCH = "torch's format"

GOALS: tuple[Goal, ...] = (
    *(
        AtLeast(
            _fetch(workload, state),
            f"{TORCH}, {workload}, {state}",
            target,
            floor,
            against=TORCH,
        )
        for workload, state, target, floor in (
            ("W1", WARM, 4_000, 1_000),
            ("W1", COLD, 700, 200),
            ("W2", WARM, 900, 300),
            ("W2", COLD, 140, 50),
        )
    ),
    AtLeast(_keys("W2"), f"{TORCH}, W2, {WARM}", 30, 15, against=TORCH),
    # Independent of the size: as far as the noise of a millisecond lets one say so.
    AtMost(_from("4 GB"), (_from("4 MB"),), 1.25, 2, against="out of 4 MB"),
)


def contestants(
    workload: str, kind: str, columns: Columns, path: Path, serialized: Path
) -> list[list[Contestant]]:
    """
    Return who fetches one artifact, and who lists all keys: those who must agree.

    Args:
        workload: Its name.
        kind: Of its artifacts.
        columns: The workload; its last field is the payload.
        path: Our bundle of it.
        serialized: The same in torch's format.
    """
    from .torch_format import deserialize

    names = FIELDS if kind == ours.Record.type() else ["key", "content"]
    key = columns["key"][common_row(columns)]

    def of_torch() -> list[Any]:
        return deserialize(serialized.read_bytes())

    def one_of_torch() -> Any:
        return next(each for each in of_torch() if each.key == key)

    def torch_values(found: Any) -> list[Any]:
        if kind != ours.Record.type():
            return [(found.key, found.content)]
        return [pickle.loads(found.content)]

    fetching = []
    for state in (WARM, COLD):
        mine, theirs = (
            (lambda: None) if state == WARM else _evicting(each)
            for each in (path, serialized)
        )
        fetching += [
            Contestant(
                _fetch(workload, state),
                lambda: fetch_one(path, kind, key),
                lambda found: [tuple(each[name] for name in names) for each in found],
                mine,
                _REPEAT[state],
            ),
            Contestant(
                f"{TORCH}, {workload}, {state}", one_of_torch, torch_values, theirs
            ),
        ]
    listing = [
        Contestant(
            _keys(workload),
            lambda: list_keys(path),
            lambda found: sorted(found[kind]),
            repeat=3,
        ),
        Contestant(
            "", of_torch, lambda found: sorted(each.key for each in found)
        ),  # what it takes is that of fetching one
    ]
    return [fetching, listing]


def fetch_one(path: Path, kind: str, key: str) -> list[dict[str, Any]]:
    """Open the bundle at *path* and return what it holds under *key*."""
    with Bundle(path) as bundle:
        return ours.fetch(bundle, kind, key)


def list_keys(path: Path) -> dict[str, list[str]]:
    """Open the bundle at *path* and return its keys, by kind."""
    with Bundle(path) as bundle:
        return ours.keys(bundle)


def _evicting(path: Path) -> Callable[[], None]:
    return lambda: raw.evict(path)


def size_contestants(directory: Path, sizes: dict[str, int]) -> list[Contestant]:
    """Return who fetches one small artifact out of bundles of so many MB."""
    made = []
    for name, megabytes in sizes.items():
        say(f"making a bundle of {name}")
        path = directory / f"{megabytes}"
        key = write_sized(path, megabytes)
        raw.sync(path)
        made.append(
            Contestant(
                _from(name),
                lambda path=path, key=key: fetch_one(path, "inductor", key),
                lambda found: [each["content"] for each in found],
                repeat=_REPEAT[WARM],
            )
        )
    return made


def write_sized(path: Path, megabytes: int) -> str:
    """
    Write a bundle of random payloads of 1 MB, and one of 20 KB; return its key.

    The payloads are views into one pool at different places: none equals another,
    and 4 GB of them take 64 MB of memory.
    """
    chance = random.Random(megabytes)
    pool = memoryview(chance.randbytes(64 * 10**6))
    step = (len(pool) - 10**6) // megabytes
    keys = sorted(inductor_key(chance) for _ in range(megabytes + 1))
    small = len(keys) // 3
    payloads: list[Any] = [
        pool[number * step :][: 10**6] for number in range(megabytes)
    ]
    payloads.insert(small, bytes(random.Random(0).randbytes(20_000)))
    kind = CacheArtifactFactory.kind("inductor")
    records = Records(
        kind.stamp,
        {"key": keys, "content": payloads},
        kind.schema.payload_names,
        ours.ENVIRONMENT,
    )
    with open(path, "w+b", buffering=0) as file:
        write_bundle(file, [records], writer="benchmarks", key=ours.KEY, level=0)
    return keys[small]


def files(
    directory: Path, workloads: dict[str, Columns]
) -> Iterator[tuple[str, str, Columns, Path, Path]]:
    """Give W1 and W2, each with its kind, and as a bundle and in torch's format."""
    from .torch_format import TorchArtifact, serialize

    w1, w2 = workloads["W1"], workloads["W2"]
    records = ours.w2_artifacts(w2)
    pickled = [pickle.dumps(as_row(each), protocol=5) for each in records]
    for workload, columns, artifacts, contents in (
        ("W1", w1, ours.w1_artifacts(w1), w1["payload"]),
        ("W2", w2, records, pickled),
    ):
        path, serialized = directory / workload, directory / f"{workload}.torch"
        ours.save(path, artifacts, level=0)
        serialized.write_bytes(
            serialize(list(map(TorchArtifact, columns["key"], contents)))
        )
        raw.sync(path)
        raw.sync(serialized)
        yield workload, artifacts[0].type(), columns, path, serialized


def run(options: Options) -> Found:
    """Measure W3."""
    ours.register()
    columns = {"W1": w1_columns(), "W2": w2_columns()}
    pairs = [
        pair
        for each in files(options.directory, columns)
        for pair in contestants(*each)
    ]
    for each in pairs:
        check_agreement(each)
    who = [each for pair in pairs for each in pair if each.name]
    found = measure(who, options.rounds)
    sized = size_contestants(options.directory, SIZES)
    check_agreement(sized)
    return {**found, **measure(sized, max(options.rounds, 9))}


WORKLOAD = Workload("W3", "open, list the keys, fetch one artifact", GOALS, run)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
