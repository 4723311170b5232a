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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..kinds.triton import triton_directory
from ..observing.listing import listing
from ..running.told import silenced
from . import facts, populating
from .building import build_only_what_is_missing
from .counting import counts
from .explaining import explain
from .observer import OBSERVER
from .versions import private_parts
from .watching import watch

__all__ = ["fill", "report"]

_EXPLAINED = 64  # graphs at most: a process ends, and somebody waits for it

Note = Callable[..., None]


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
    watch(OBSERVER)
    with _alone(root), silenced():
        marker = Path(root, f"filled-{_this_torch(directory)}")
        if marker.exists():
            with private_parts([], "", ""):  # whoever filled it has told
                build_only_what_is_missing()
            return
        kernels = triton_directory()
        # A program may have compiled kernels of its own by now.
        before = {each: listing(Path(each)) for each in (directory, kernels)}
        info = populating.load(bundle).as_dict() if bundle else {}
        for each, files in before.items():
            brought = dict(listing(Path(each)).items() - files.items())
            note("filled", each, info if each == directory else {}, brought)
        marker.touch()


def report(root: str, note: Note) -> None:
    """
    Tell what torch's caches did in this process, and which torch it is.

    Args:
        root: The command's workspace.
        note: Takes it.
    """
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    note("graphs", cache_dir(), counts())
    problems: list[str] = []
    environment = facts.environment(problems)
    note("torch", dict(environment), problems, _pgo_key())
    _tell_factors(os.path.join(root, "factors"))
    if missed := _missed():
        note("missed", missed)


def _tell_factors(folder: str) -> None:
    # What was found is no news.
    for each in OBSERVER.missed():
        if factors := OBSERVER.factors(each.kind, each.key):
            path = os.path.join(folder, f"{each.kind}-{each.key}.json")
            # Another process may have looked up the same graph.
            with suppress(FileExistsError), open(path, "xb") as file:
                file.write(factors.content)


def _missed() -> list[str]:
    """Return why graphs missed, if there was a bundle in which they could be."""
    bundle = os.environ["OVERWINTER_OBSERVED_BUNDLE"]
    if not bundle or not OBSERVER.missed():
        return []
    return explain(bundle, OBSERVER, most=_EXPLAINED).lines()


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
