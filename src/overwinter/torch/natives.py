"""
Natives: the compiled files of this process, C++ kernels and probes of the CPU.

Only what this process loaded or built: a cache directory is shared, and sweeping
it would sign what somebody else put there.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ..errors import OverwinterError, StoreError
from ..kinds import NativeArtifact
from ..kinds.torchinductor import CACHE
from ..sources import FileSource, read_text
from .probes import probes
from .versions import private_parts

__all__ = ["natives"]

_SLOWER = "a warm start builds them again"

# A file that torch names by the hash of its source.
_HASHED = re.compile(r"([a-z2-7]{2})/c\1[a-z2-7]{49}(?:\.main)?\.so")
_GONE = " (deleted)"  # how the kernel marks a mapped file that has no name any more


def natives(problems: list[str]) -> list[NativeArtifact]:
    """
    Return the compiled files in torch's cache directory that this process uses.

    Args:
        problems: Takes a line for whatever could not be taken along.
    """
    found: dict[str, Path] = {}  # key to file
    gone: set[str] = set()
    with private_parts(problems, "find its C++ kernels", _SLOWER):
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        root = Path(os.path.realpath(cache_dir()))
        for name in _mapped_files():
            key = _key(root, Path(name.removesuffix(_GONE)))
            if key and name.endswith(".so"):
                found[key] = Path(name)
            elif key and name.endswith(f".so{_GONE}"):
                gone.add(key)
        found |= {_key(root, path): path for path in _built_kernels(root)}
    with private_parts(problems, "find its probes of the CPU", _SLOWER):
        found |= {_key(root, path): path for path in probes(root)}

    if lost := len(gone - set(found)):
        problems.append(
            f"the files of {lost} kernels in use are gone: {_SLOWER}; save before "
            "their cache directory is removed"
        )
    artifacts = []
    for key, path in sorted(found.items()):
        try:
            artifacts.append(_artifact(key, path))
        except OverwinterError as error:
            problems.append(f"left out: {error}")
    return artifacts


def _key(root: Path, path: Path) -> str:
    """
    Return the key of *path*, empty where torch did not put it into a cache.

    A cache directory may lie above a whole environment: being in it says nothing.
    """
    name = "/".join(path.parts[-2:])
    if _HASHED.fullmatch(name):
        return f"{CACHE}/{name}"  # also if the directory was another at that time
    if path.is_relative_to(root / "triton"):
        return f"{CACHE}/{path.relative_to(root).as_posix()}"
    return ""


def _artifact(key: str, path: Path) -> NativeArtifact:
    NativeArtifact.check_key(key)
    source = FileSource(path)
    try:
        return NativeArtifact(key, source.read(0, source.size), source.mode & 0o755)
    finally:
        source.close()


def _mapped_files() -> list[str]:
    """Return the names of the files that are mapped into this process."""
    try:
        text = read_text("/proc/self/maps", errors="surrogateescape")
    except StoreError:  # no such file on macOS; the code caches know most of them too
        return []
    fields = (line.split(maxsplit=5) for line in text.split("\n"))
    return sorted({each[5] for each in fields if len(each) == 6})


def _built_kernels(root: Path) -> Iterator[Path]:
    """Give the kernels in *root* that torch's code caches built or loaded."""
    from torch._inductor.codecache import CppCodeCache

    classes: list[type] = [CppCodeCache]
    for cls in classes:
        classes += cls.__subclasses__()
        for key in getattr(cls, "cache", {}):
            path = root / key[1:3] / f"{key}.main.so"
            if path.is_file():
                yield path
