"""
Natives: the compiled files of this process, C++ kernels and probes of the CPU.

Only what this process loaded or built: a cache directory is shared, and sweeping
it would sign what somebody else put there. A file in whose place somebody else can
put another is left out, and so is one that is no longer the one that runs.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from ..cache_directory import open_owned
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


@attrs.frozen
class _File:
    """
    A compiled file of torch's.

    Args:
        cache: Torch's cache directory when it was made.
        path: Its place in that, with ``/``.
        mapped: Where it is mapped into this process, the file as the kernel numbers
            it there: what is read must be what runs.
    """

    cache: Path
    path: str
    mapped: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        return f"{CACHE}/{self.path}"


def natives(problems: list[str]) -> list[NativeArtifact]:
    """
    Return the compiled files in torch's cache directory that this process uses.

    Args:
        problems: Takes a line for whatever could not be taken along.
    """
    found: dict[str, _File] = {}
    gone: set[str] = set()
    with private_parts(problems, "find its C++ kernels", _SLOWER):
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        root = Path(os.path.realpath(cache_dir()))
        for name, mapped in _mapped_files().items():
            file = _file(root, Path(name.removesuffix(_GONE)), mapped)
            if file and name.endswith(".so"):
                found[file.key] = file
            elif file and name.endswith(f".so{_GONE}"):
                gone.add(file.key)
        _add(found, (_file(root, path) for path in _built_kernels(root)), gone)
    with private_parts(problems, "find its probes of the CPU", _SLOWER):
        _add(found, (_file(root, path) for path in probes(root)), gone)

    if lost := len(gone - set(found)):
        problems.append(
            f"the files of {lost} kernels in use are gone, or others are in their "
            f"places: {_SLOWER}; save before their cache directory is removed"
        )
    artifacts = []
    for _, file in sorted(found.items()):
        try:
            artifacts.append(_artifact(file))
        except OverwinterError as error:
            problem = f"left out: {error}"
            if problem not in problems:  # one directory has many of them
                problems.append(problem)
    return artifacts


def _add(
    found: dict[str, _File], files: Iterable[_File | None], gone: set[str]
) -> None:
    """Add what is mapped nowhere; what stands where a mapped file was is another."""
    for file in files:
        if file and file.key not in gone:
            found.setdefault(file.key, file)


def _file(root: Path, path: Path, mapped: frozenset[str] = frozenset()) -> _File | None:
    """
    Return the file of torch's at *path*, ``None`` where torch did not put it there.

    A cache directory may lie above a whole environment: being in it says nothing.
    """
    name = "/".join(path.parts[-2:])
    if _HASHED.fullmatch(name):
        # Also if the directory was another at that time.
        return _File(path.parent.parent, name, mapped)
    if path.is_relative_to(root / "triton"):
        return _File(root, path.relative_to(root).as_posix(), mapped)
    return None


def _artifact(file: _File) -> NativeArtifact:
    NativeArtifact.check_key(file.key)
    # Whoever can write there has what they like signed with our key.
    with open_owned(file.cache, file.path) as source:
        if file.mapped and not _is_mapped(source, file.mapped):
            raise StoreError(
                source.name, "take it along", "it is not the file that runs here"
            )
        return NativeArtifact(
            file.key, source.read(0, source.size), source.mode & 0o755
        )


def _is_mapped(source: FileSource, mapped: frozenset[str]) -> bool:
    """Return whether an open file is the one that the kernel numbers so."""
    device = source.device
    if f"{os.major(device):02x}:{os.minor(device):02x} {source.inode}" in mapped:
        return True
    # Btrfs and some overlays number a mapping otherwise than its file: so does this.
    with source.view(0, 1):
        return _mapped_files().get(source.name) == mapped


def _mapped_files() -> dict[str, frozenset[str]]:
    """
    Return the files that are mapped into this process, and how they are numbered.

    Source:
        ``Documentation/filesystems/proc.rst`` of Linux, "/proc/PID/maps".
    """
    try:
        text = read_text("/proc/self/maps", errors="surrogateescape")
    except StoreError:  # no such file on macOS; the code caches know most of them too
        return {}
    found: defaultdict[str, set[str]] = defaultdict(set)
    for line in text.split("\n"):
        fields = line.split(maxsplit=5)
        if len(fields) == 6:
            *_, device, inode, name = fields
            found[name].add(f"{device} {inode}")
    return {name: frozenset(numbers) for name, numbers in found.items()}


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
