"""
Compile caches that survive the winter between versions.

Saving goes ``artifact`` (an attrs object of a kind) → ``encode`` (validated
records) → ``bundle`` (one signed segment of blocks) → ``files`` (a file that
appears whole or not at all); ``save`` says so line by line.

Loading returns: ``files`` → ``bundle`` (verified) → ``decode`` (trusted, fit for
this machine, migrated, checked) → ``populate`` (staged, then published into the
live caches); ``load`` says so line by line.

Upgrading, ``upgrade``, is loading into a new bundle instead of into caches; what a
kind promises is held together, for who writes one, by ``contract``. ``union`` and
``diff`` take bundles as they are stored, and build nothing; ``repack`` makes one
segment of many.

For PyTorch, ``overwinter.torch`` drains and populates a live process.
"""

from . import kinds as _builtin_kinds  # noqa: F401  (importing registers them)
from .artifact import CacheArtifact, CacheEntry
from .bundle import Bundle
from .errors import OverwinterError
from .factory import CacheArtifactFactory
from .grammar import KeyGrammar
from .info import CacheInfo
from .load import load
from .manager import CacheArtifactManager, default_manager
from .registry import KindPack
from .save import save
from .version import VERSION as __version__

__all__ = [
    "Bundle",
    "CacheArtifact",
    "CacheArtifactFactory",
    "CacheArtifactManager",
    "CacheEntry",
    "CacheInfo",
    "KeyGrammar",
    "KindPack",
    "OverwinterError",
    "__version__",
    "default_manager",
    "load",
    "save",
]
