"""
Filling the caches that are not torch's, before a command has them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ..artifact import CacheArtifact
from ..files import PathLike
from ..info import OUTCOMES, CacheInfo, Note
from ..kinds import FileArtifact
from ..load import load
from .told import silenced

__all__ = ["fill"]


def fill(bundle: PathLike, caches: Mapping[str, Path]) -> CacheInfo:
    """
    Put a bundle's files into *caches*, and return what became of these.

    Of torch's artifacts its own load tells, in a process that has torch.

    Args:
        bundle: The bundle's path.
        caches: Name of a cache to its directory.
    """
    homeless: Counter[str] = Counter()

    def ours(artifacts: list[CacheArtifact]) -> Iterator[CacheArtifact]:
        for each in artifacts:
            if isinstance(each, FileArtifact):
                cache = each.key.partition("/")[0]
                if cache in caches:
                    yield each
                else:
                    homeless[cache] += 1

    places = {name: _finder(path) for name, path in caches.items()}
    with silenced():
        info = load(bundle, directories=places, prepare=ours)
    for outcome in OUTCOMES:
        notes: list[Note] = getattr(info, outcome)
        notes[:] = [note for note in notes if note.kind == FileArtifact.type()]
    info.problems += [
        f"{n} files of cache {cache} were left in the bundle: give their directory by "
        f"--dir {cache}=PATH"
        for cache, n in homeless.items()
    ]
    return info


def _finder(path: Path) -> Callable[[], str]:
    return lambda: str(path)
