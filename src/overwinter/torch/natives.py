"""
The compiled files of this process: C++ kernels and the probes of the CPU.

Only what this process loaded or built: a cache directory is shared, and sweeping
it would sign what somebody else put there.
"""

import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..files import FileSource
from ..kinds import NativeArtifact
from ..kinds.torchinductor import CACHE

__all__ = ["natives"]


def natives() -> list[NativeArtifact]:
    """Return the compiled files in torch's cache directory that this process uses."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    root = Path(os.path.realpath(cache_dir()))
    paths = {*_mapped_libraries(root), *_loaded_kernels(root), *_probes(root)}
    return [_artifact(root, path) for path in sorted(paths)]


def _artifact(root: Path, path: Path) -> NativeArtifact:
    source = FileSource(path)
    try:
        content = source.read(0, source.size)
    finally:
        source.close()
    mode = stat.S_IMODE(path.stat().st_mode) & 0o755
    key = f"{CACHE}/{path.relative_to(root).as_posix()}"
    return NativeArtifact(key, content, mode)


def _mapped_libraries(root: Path) -> Iterator[Path]:
    """Give the libraries under *root* that are mapped into this process."""
    try:
        with open(
            "/proc/self/maps", encoding="utf-8", errors="surrogateescape"
        ) as maps:
            lines = maps.readlines()
    except OSError:  # no such file on macOS; the code caches below know too
        return
    for name in {line.split(maxsplit=5)[-1].rstrip("\n") for line in lines}:
        path = Path(name)
        if name.endswith(".so") and path.is_relative_to(root) and path.is_file():
            yield path


def _loaded_kernels(root: Path) -> Iterator[Path]:
    """Give the kernels that torch's code caches built or loaded."""
    from torch._inductor.codecache import CppCodeCache

    classes: list[type] = [CppCodeCache]
    for cls in classes:
        classes += cls.__subclasses__()
        for key in getattr(cls, "cache", {}):
            path = root / key[1:3] / f"{key}.main.so"
            if path.is_file():
                yield path


def _probes(root: Path) -> Iterator[Path]:
    """
    Give the small libraries by which torch asked what the CPU can do.

    Torch compiles them and loads them in a child process, so they are mapped
    nowhere. Their names hash source, flags, compiler and torch's version, so the
    names are computed again; flags vary with what earlier probes found.
    """
    from torch._inductor import cpu_vec_isa
    from torch._inductor.codecache import code_hash

    if not cpu_vec_isa.valid_vec_isa_list.cache_info().currsize:
        return  # this process never asked
    for isa in cpu_vec_isa.supported_vec_isa_list:
        for code, flags in itertools.product(_sources(type(isa)), _flag_sets(isa)):
            fingerprint = cpu_vec_isa._get_isa_dry_compile_fingerprint(flags)
            key = code_hash(code.strip(), fingerprint)
            path = root / key[1:3] / f"{key}.so"
            if path.is_file():
                yield path


def _sources(cls: type) -> list[str]:
    names = [name for name in dir(cls) if re.fullmatch(r"_\w+_code", name)]
    return [code for name in names if isinstance(code := getattr(cls, name), str)]


def _flag_sets(isa: object) -> Iterable[str]:
    base = getattr(isa, "_arch_flags", "")
    extras = (" -mavx512bf16", " -mamx-fp16")
    yield base
    for count in range(1, len(extras) + 1):
        for some in itertools.permutations(extras, count):
            yield base + "".join(some)
    armv9a = getattr(isa, "_armv9a_arch_flags", None)
    if armv9a:
        yield armv9a
