"""
Triton's cache directory as artifacts.

The directory must be one process's own, as `overwinter run` makes it: what others
might put into a shared one would be signed with the rest. Untested on a GPU.
"""

import os
import stat

from ..errors import OverwinterError
from ..kinds.places import is_made_again
from ..kinds.triton import TritonArtifact
from ..sources import FileSource

__all__ = ["triton_artifacts"]


def triton_artifacts(
    directory: str, cache: str, problems: list[str]
) -> list[TritonArtifact]:
    """
    Return the files of Triton's in a directory.

    Args:
        directory: Its path, as the process that filled it had it.
        cache: What stands before the hash in a key: ``triton``, or
            ``torchinductor/triton/0``.
        problems: Takes a line for each file that is left out.
    """
    found = []
    for folder in _entries(directory, stat.S_ISDIR):
        path = os.path.join(directory, folder)
        for name in _entries(path, stat.S_ISREG):
            key = f"{cache}/{folder}/{name}"
            if is_made_again(*key.split("/", 1)):
                continue
            try:
                found.append(_artifact(key, path, name))
            except OverwinterError as error:
                problems.append(f"left out: {error}")
    return found


def _entries(path: str, is_wanted: object) -> list[str]:
    assert callable(is_wanted)
    try:
        with os.scandir(path) as entries:
            return sorted(
                each.name
                for each in entries
                if is_wanted(each.stat(follow_symlinks=False).st_mode)
            )
    except OSError:  # it is not there, or went away: Triton compiles again
        return []


def _artifact(key: str, folder: str, name: str) -> TritonArtifact:
    source = FileSource(os.path.join(folder, name))
    try:
        content = source.read(0, source.size)
    finally:
        source.close()
    return TritonArtifact.from_file(key, content, source.mode, folder)
