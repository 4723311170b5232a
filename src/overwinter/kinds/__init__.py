"""
The built-in kinds: what torch.compile leaves behind, one small file for each.
"""

from ..factory import CacheArtifactFactory
from ..registry import OURS, KindPack
from ..version import VERSION
from .aot_autograd import AOTAutogradArtifact
from .autotune import AutotuneArtifact
from .factors import FactorsArtifact
from .file import FileArtifact
from .inductor import InductorArtifact
from .megacache import MegaCacheArtifact
from .native import NativeArtifact
from .pgo import PGOArtifact
from .precompile import PrecompileArtifact
from .triton import TritonArtifact

__all__ = [
    "PACK",
    "AOTAutogradArtifact",
    "AutotuneArtifact",
    "FactorsArtifact",
    "FileArtifact",
    "InductorArtifact",
    "MegaCacheArtifact",
    "NativeArtifact",
    "PGOArtifact",
    "PrecompileArtifact",
    "TritonArtifact",
]

PACK = KindPack(
    [
        AOTAutogradArtifact,
        AutotuneArtifact,
        FactorsArtifact,
        FileArtifact,
        InductorArtifact,
        MegaCacheArtifact,
        NativeArtifact,
        PGOArtifact,
        PrecompileArtifact,
        TritonArtifact,
    ]
)

# At once, and not by the entry point alone: a copy of the package that was never
# installed has none. The second time changes nothing.
CacheArtifactFactory.registry.add_pack(PACK, f"{OURS} {VERSION}")
