"""
W4: append one artifact to W1, durably, beside a raw append and torch.

Every append is a new artifact of 20 KB, so each file grows by what it is given.
Torch has no way to append: it serializes everything again, here from memory, and
need not even write it.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from overwinter.bundle import Bundle
from overwinter.kinds.inductor import InductorArtifact

from . import ours, raw, running
from .goals import AtLeast, AtMost, Found, Goal
from .running import Options, Workload
from .timing import Contestant, check_agreement, measure
from .workloads import Columns, inductor_key, w1_columns

__all__ = ["GOALS", "WORKLOAD", "contestants", "raw_contestant"]

OURS = "append one artifact"
RAW = "raw append with fdatasync"
TORCH = "torch's serializer, from memory"

_PAYLOAD = 20_000  # bytes
_REPEAT = 15

GOALS: tuple[Goal, ...] = (
    AtMost(OURS, (RAW,), target=1.5, floor=2.5),
    AtLeast(OURS, TORCH, target=1_300, floor=500),
)


def contestants(columns: Columns, directory: Path) -> list[Contestant]:
    """Return ours and torch, each beside the artifacts of W1."""
    from .torch_format import TorchArtifact, deserialize, group, new_serializer

    path = directory / "bundle"
    ours.save(path, ours.w1_artifacts(columns), level=0)
    raw.sync(path)
    serializer = new_serializer(
        map(TorchArtifact, columns["key"], columns["payload"]),
    )
    mine, theirs = _new_artifacts(), _new_artifacts()

    def append() -> None:
        ours.append(path, InductorArtifact(*next(mine)))

    def append_to_torch() -> bytes:
        serializer.append(group([TorchArtifact(*next(theirs))]))
        return serializer.to_bytes()

    def keys(_: None) -> list[str]:
        with Bundle(path) as bundle:
            return sorted(ours.keys(bundle)["inductor"])

    return [
        Contestant(OURS, append, keys, repeat=_REPEAT),
        Contestant(
            TORCH,
            append_to_torch,
            lambda made: sorted(each.key for each in deserialize(made)),
        ),
    ]


def raw_contestant(columns: Columns, directory: Path) -> Contestant:
    """Return who appends as many bytes to as many, and knows nothing of them."""
    path, small = directory / "raw", directory / "small"
    raw.write(path, columns["payload"], durably=True)
    artifacts = _new_artifacts()
    ours.append(small, InductorArtifact(*next(artifacts)))
    before = small.stat().st_size
    ours.append(small, InductorArtifact(*next(artifacts)))
    data = random.Random(0).randbytes(small.stat().st_size - before)
    return Contestant(RAW, lambda: raw.append(path, data), list, repeat=_REPEAT)


def _new_artifacts() -> Iterator[tuple[str, bytes]]:
    """Give artifacts without end, the same ones each time."""
    chance = random.Random(0)
    while True:
        yield inductor_key(chance), chance.randbytes(_PAYLOAD)


def run(options: Options) -> Found:
    """Measure W4."""
    columns = w1_columns()
    who = contestants(columns, options.directory)
    check_agreement(who)
    return measure([raw_contestant(columns, options.directory), *who], options.rounds)


WORKLOAD = Workload("W4", "append one artifact to W1", GOALS, run)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
