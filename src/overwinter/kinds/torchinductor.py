"""
What the kinds of torch share: their cache directory, file names and environment.

Nothing here imports torch: reading a bundle works where it is not installed.
"""

import base64
import hashlib
import os
import re
from types import MappingProxyType

from ..environment import EXACT_REQUIRED

__all__ = [
    "CACHE",
    "CACHES",
    "GRAPH_RULES",
    "PICKLE_RULES",
    "VECTORS",
    "cache_directory",
    "content_name",
]

CACHE = "torchinductor"

# A pickle of one torch means nothing to another, and reading it runs what is in it.
# Some of torch's keys hash its sources (``torch_key``), so that elsewhere they only
# miss; others do not. So whoever saves must say all three: `overwinter.torch` does.
PICKLE_RULES = MappingProxyType(
    {
        "python_tag": EXACT_REQUIRED,
        "torch_version": EXACT_REQUIRED,
        "torch_key": EXACT_REQUIRED,
    }
)


# A graph for the CPU holds C++ that was written for vectors of one width, and a hit
# compiles it for those of the machine that it is on: the output is nan, or the process
# dies. Torch's keys say nothing of the CPU, and the CPU's flags not all:
# ``ATEN_CPU_CAPABILITY`` and an old compiler make them narrower.
VECTORS = "vector_isa"
GRAPH_RULES = MappingProxyType({**PICKLE_RULES, VECTORS: EXACT_REQUIRED})


def cache_directory() -> str:
    """
    Return Inductor's cache directory, as torch will find it.

    Source:
        ``torch._inductor.runtime.cache_dir_utils`` of torch 2.13.
    """
    # 5 ms that whoever sets the variable does not pay.
    import getpass
    import tempfile

    given = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if given is not None:
        return os.path.abspath(given)
    try:
        user = getpass.getuser()
    except (KeyError, ModuleNotFoundError, OSError):
        user = f"uid_{os.getuid()}"
    user = re.sub(r'[\\/:*?"<>|]', "_", user)
    return os.path.join(tempfile.gettempdir(), f"torchinductor_{user}")


CACHES = {CACHE: cache_directory}


def content_name(content: bytes) -> str:
    """Return the name that torch gives to a file with this content."""
    digest = hashlib.sha256(content).digest()
    return base64.b32encode(digest)[:51].decode().lower()
