"""
Probes: the small libraries by which torch asks what the CPU can do.

Torch compiles them into its cache directory and loads them in a child process, so
they are mapped nowhere. Their names hash source, flags, compiler and torch's
version, so the names are computed again.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["probes"]


def probes(root: Path) -> Iterator[Path]:
    """Give the probes in the cache directory *root* that this process used."""
    from torch._inductor import cpu_vec_isa
    from torch._inductor.codecache import code_hash

    if not cpu_vec_isa.valid_vec_isa_list.cache_info().currsize:
        return  # this process never asked
    for isa in {*cpu_vec_isa.supported_vec_isa_list, *cpu_vec_isa.valid_vec_isa_list()}:
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
    """Give the flags under which *isa* may be probed: they grow as probes succeed."""
    base = getattr(isa, "_arch_flags", "")
    extras = (" -mavx512bf16", " -mamx-fp16")
    for count in range(len(extras) + 1):
        for some in itertools.permutations(extras, count):
            yield base + "".join(some)
    armv9a = getattr(isa, "_armv9a_arch_flags", None)
    if armv9a:
        yield armv9a
