"""
Harvesting: what a command left in its caches, as artifacts.

The directories are the command's alone, so all that is new in them is its own. What
may be half of something is left out: a bundle would keep it for ever.
"""

import struct
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from ..artifact import CacheArtifact
from ..cache_directory import open_owned
from ..errors import OverwinterError
from ..factory import CacheArtifactFactory
from ..kinds import FileArtifact, NativeArtifact, PGOArtifact, TritonArtifact
from ..kinds.places import is_made_again, place
from ..kinds.triton import CACHE as TRITON
from ..observing.listing import Identity, Listing, listing

__all__ = ["Harvest", "harvest"]

# A file whose writer was killed was changed just before: nobody writes one slowly.
_SETTLED = 5 * 10**9  # nanoseconds


@attrs.frozen
class Harvest:
    """
    What was new in the caches.

    Args:
        artifacts: It, as artifacts.
        problems: What was left out, and why, each as a line.
    """

    artifacts: list[CacheArtifact]
    problems: list[str]


def harvest(
    caches: Mapping[str, Path],
    before: Mapping[str, Listing],
    *,
    killed: bool,
    pgo_keys: Iterable[str] = (),
) -> Harvest:
    """
    Return what is in *caches* and was not there *before*.

    Args:
        caches: Name of a cache to its directory.
        before: Name of a cache to its files before the command had them.
        killed: A signal ended the command, maybe while it was writing.
        pgo_keys: Keys of code states, whose files' names hold less than these.
    """
    settled = time.time_ns() - _SETTLED if killed else None
    states = {PGOArtifact(key, b"").cache_entry().path: key for key in pgo_keys}
    artifacts: list[CacheArtifact] = []
    problems: list[str] = []
    for cache, root in caches.items():
        reasons: Counter[str] = Counter()
        for path, identity in listing(root).items():
            known = before.get(cache, {}).get(path) == identity
            if known or is_made_again(cache, path):
                continue
            try:
                found = _artifact(cache, root, path, identity, settled, states)
            except OverwinterError as error:
                found = str(error)
            if isinstance(found, str):
                reasons[found] += 1
            else:
                artifacts.append(found)
        problems += _lines(cache, reasons)
    return Harvest(artifacts, problems)


def _artifact(
    cache: str,
    root: Path,
    path: str,
    identity: Identity,
    settled: int | None,
    states: Mapping[str, str],
) -> CacheArtifact | str:
    """Return what is at *path*, or why it is left out."""
    where = place(cache, path)
    by_name = where is not None and where.name is not None
    size, changed, inode = identity
    if settled is not None and changed > settled and not by_name:
        return "a signal ended the command just after it was changed"
    with open_owned(root, path) as source:
        content = source.read(0, source.size)
        mode = source.mode & 0o755
        if (source.size, source.inode) != (size, inode) or len(content) != size:
            return "it is still being written"
    if where is None and cache == TRITON:
        return "it is no file of a kernel"
    if where is None:
        FileArtifact.check_key(f"{cache}/{path}")
        return FileArtifact(f"{cache}/{path}", content, mode)
    if not where.holds(content):
        return "its content is not what its name says"
    if where.kind == "native":
        if not _is_whole_library(content):
            return "it is no whole library"
        return NativeArtifact(where.key, content, mode)
    if where.kind == "triton":
        folder = str((root / path).parent)
        return TritonArtifact.from_file(where.key, content, mode, folder)
    key = states.get(path, where.key)
    artifact = CacheArtifactFactory.create(where.kind, key, content)
    artifact.check_key(key)
    return artifact


def _is_whole_library(content: bytes) -> bool:
    """
    Return whether a library reaches to its end.

    A linker writes it in place, its table of sections at the end of it.

    Source:
        System V ABI, "ELF Header".
    """
    if not sys.platform.startswith("linux"):
        return True
    order = "<" if content[5:6] == b"\1" else ">"
    is_64 = content[4:5] == b"\2"
    layout, at, sizes = ("Q", 0x28, 0x3A) if is_64 else ("I", 0x20, 0x2E)
    try:
        (table,) = struct.unpack_from(f"{order}{layout}", content, at)
        size, n = struct.unpack_from(f"{order}HH", content, sizes)
    except struct.error:
        return False
    return content.startswith(b"\x7fELF") and 0 < table <= len(content) - size * n


def _lines(cache: str, reasons: Mapping[str, int]) -> Iterator[str]:
    for reason, n in reasons.items():
        yield f"{cache}: {n} files left out: {reason}"
