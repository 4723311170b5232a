"""
Warming: a bundle loaded before a block of code, and what is new kept after it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from ..files import PathLike, is_url
from ..info import CacheInfo
from . import populating
from .counting import Since, counts
from .observer import OBSERVER
from .saving import save
from .watching import watch

__all__ = ["warm"]

log = logging.getLogger("overwinter")


@contextmanager
def warm(bundle: PathLike, *, required: bool) -> Iterator[CacheInfo]:
    """Load a bundle and append to it; see `overwinter.torch.warm`."""
    watch(OBSERVER)
    # The first start has none yet, which is no problem.
    info = CacheInfo(counters=Since(counts()))
    if is_url(bundle) or os.path.lexists(bundle):
        info = populating.load(bundle, required=required)
    try:
        yield info
    finally:
        if is_url(bundle):
            log.info("an object is not written, so nothing new of this process is kept")
        else:
            # Also of a block that fails: what it compiled is as good as any.
            _keep(bundle)


def _keep(bundle: PathLike) -> None:
    try:
        save(bundle)
    except Exception as error:  # the job has done its work
        log.warning("nothing is kept of this process: %s", error)
