"""
A listing: the files of a directory, so that two of them tell what is new.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Identity", "Listing", "listing"]

Identity = tuple[int, int, int]  # size, time of the last change in ns, number
Listing = dict[str, Identity]  # path in the directory, with ``/``, to its file


def listing(directory: Path) -> Listing:
    """
    Return the regular files below *directory*; links are neither followed nor named.

    Files come and go while it is read: what is gone is left out.
    """
    return dict(sorted(_files(os.fspath(directory), "")))


def _files(directory: str, prefix: str) -> Iterator[tuple[str, Identity]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    for entry in entries:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            continue
        path = f"{prefix}{entry.name}"
        if stat.S_ISDIR(found.st_mode):
            yield from _files(entry.path, f"{path}/")
        elif stat.S_ISREG(found.st_mode):
            yield path, (found.st_size, found.st_mtime_ns, found.st_ino)
