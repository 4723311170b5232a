"""
What runs inside the processes of an observed command, called by its hook.

`fill` when torch has what reads its caches, and `report` when a process ends: only
there is known which torch it is, and what its caches did.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..observing.listing import listing
from ..running.told import silenced
from . import facts, populating
from .building import build_only_what_is_missing
from .versions import private_parts

__all__ = ["fill", "report"]

Note = Callable[..., None]

# Where torch counts, and what we call it.
_COUNTERS = {
    "aot_autograd": "autograd_cache",
    "inductor": "fxgraph_cache",
    "dynamo_cache": "dynamo_cache",
}
_OUTCOMES = ("hit", "miss", "bypass", "guard_miss")


def fill(root: str, note: Note) -> None:
    """
    Fill torch's cache, which is about to be used, from the bundle of the command.

    Once for each torch: of ranks and workers, one does and the others wait.

    Args:
        root: The command's workspace.
        note: Takes what was done.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    bundle, directory = os.environ["OVERWINTER_OBSERVED_BUNDLE"], cache_dir()
    with _alone(root), silenced():
        marker = Path(root, f"filled-{_this_torch(directory)}")
        if marker.exists():
            with private_parts([], "", ""):  # whoever filled it has told
                build_only_what_is_missing()
            return
        info = populating.load(bundle).as_dict() if bundle else {}
        note("filled", directory, info, dict(listing(Path(directory))))
        marker.touch()


def report(root: str, note: Note) -> None:
    """
    Tell what torch's caches did in this process, and which torch it is.

    Args:
        root: The command's workspace.
        note: Takes it.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    note("graphs", cache_dir(), _graphs())
    problems: list[str] = []
    environment = facts.environment(problems)
    note("torch", dict(environment), problems, _pgo_key())


def _graphs() -> dict[str, dict[str, int]]:
    utils = sys.modules.get("torch._dynamo.utils")
    if utils is None:  # so nothing was compiled
        return {}
    return {
        group: {
            outcome: int(utils.counters[group][f"{name}_{outcome}"])
            for outcome in _OUTCOMES
        }
        for group, name in _COUNTERS.items()
    }


def _pgo_key() -> str:
    pgo = sys.modules.get("torch._dynamo.pgo")
    try:
        return (pgo and pgo.get_cache_key()) or ""
    except Exception:  # a reserved name, which torch refused when it compiled
        return ""


def _this_torch(directory: str) -> str:
    import torch

    said: list[Any] = [
        torch.__file__,
        sys.implementation.cache_tag,
        os.environ.get("ATEN_CPU_CAPABILITY"),
        directory,
    ]
    return hashlib.sha256(repr(said).encode()).hexdigest()[:16]


@contextmanager
def _alone(root: str) -> Iterator[None]:
    file = os.open(os.path.join(root, "filling"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
