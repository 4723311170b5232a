"""
Warm means warm: torch precompiles a header only where something is compiled.

Before it loads a kernel, torch preprocesses and precompiles the header that the
kernel's source includes (149 MB, seconds, outside its cache directory), even
where the kernel's library is there already and nothing will be compiled.
Switching header precompilation off would change every kernel's name; so the step
is left out for one kernel at a time, when its library exists.
"""

import functools
import logging
import os
import sys
from typing import Any

__all__ = ["make_header_lazy"]

log = logging.getLogger("overwinter")


def make_header_lazy() -> bool:
    """
    Let this process's torch precompile its header only for kernels to be built.

    Returns:
        Whether this torch has the step where we know it; otherwise nothing was
        changed, and a warm start is some seconds slower.
    """
    from torch._inductor import codecache

    original = getattr(codecache, "_precompile_header", None)
    if original is None:
        return False
    if getattr(original, "_overwinter", False):
        return True

    @functools.wraps(original)
    def precompile_unless_built(*args: Any, **kwargs: Any) -> str:
        # The caller, CppCodeCache.load_async, has written its source and knows
        # its path; the library will lie beside it. Without that knowledge, or
        # without the library, everything goes on as torch has it.
        source = sys._getframe(1).f_locals.get("main_path")
        if isinstance(source, str) and os.path.exists(_library_of(source)):
            log.debug("%s is there: no header is precompiled for it", source)
            return ""
        path: str = original(*args, **kwargs)
        return path

    precompile_unless_built._overwinter = True  # type: ignore[attr-defined]
    codecache._precompile_header = precompile_unless_built
    return True


def _library_of(source: str) -> str:
    return f"{os.path.splitext(source)[0]}.so"
