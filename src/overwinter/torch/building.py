"""
Warm means warm: torch builds things for a kernel whose library is there already.

Before it loads a kernel, torch preprocesses and precompiles the header that the
kernel's source includes (149 MB, seconds, outside its cache directory), and where
a kernel is built in parts (``cpp_wrapper_build_separate``) it compiles the parts,
even if nothing will be made of them. Switching these off would change every
kernel's name; so they are left out for one kernel at a time, when its library
exists.
"""

import logging
import os
import sys
from typing import Any

from .wrapping import Original, wrap

__all__ = ["build_only_what_is_missing"]

log = logging.getLogger("overwinter")


def build_only_what_is_missing() -> bool:
    """
    Let this process's torch build nothing for kernels whose libraries exist.

    Returns:
        Whether this torch has these steps where we know them; otherwise nothing
        was changed, and a warm start is some seconds slower.
    """
    from torch._inductor import codecache

    code = codecache.CppCodeCache.load_async.__func__.__code__
    if _SOURCE not in {*code.co_varnames, *code.co_cellvars}:
        return False
    names = {"_precompile_header": _lazy_header, "_worker_compile_cpp": _lazy_parts}
    if not all(callable(getattr(codecache, name, None)) for name in names):
        return False
    for name, lazy in names.items():
        wrap(codecache, name, lazy)
    return True


# In CppCodeCache.load_async, the only caller that names what it will load: the
# path of the kernel's source. The library will lie beside it.
_SOURCE = "main_path"


def _lazy_header(original: Original) -> Original:
    def precompile_header(*args: Any, **kwargs: Any) -> Any:
        # Without the caller's path, or without the library, all goes on as torch
        # has it. The empty name says that there is no precompiled header.
        source = sys._getframe(1).f_locals.get(_SOURCE)
        if isinstance(source, str):
            library = f"{os.path.splitext(source)[0]}.so"
            if os.path.exists(library):
                log.debug("%s is there: no header is precompiled for it", library)
                return ""
        return original(*args, **kwargs)

    return precompile_header


def _lazy_parts(original: Original) -> Original:
    def compile_parts(lock_path: str, builders: Any) -> Any:
        # The last one makes the file that is loaded, out of what the others make.
        # Torch looks again under its lock, for it may be half written.
        if os.path.exists(builders[-1].get_target_file_path()):
            builders = builders[-1:]
        return original(lock_path, builders)

    return compile_parts
