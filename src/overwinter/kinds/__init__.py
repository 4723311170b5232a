"""
The built-in kinds: what torch.compile leaves behind, one small file for each.
"""

from ..artifact import CacheArtifactFactory
from .aot_autograd import AOTAutogradArtifact
from .autotune import AutotuneArtifact
from .inductor import InductorArtifact
from .native import NativeArtifact
from .pgo import PGOArtifact
from .precompile import PrecompileArtifact

__all__ = [
    "BUILTIN_KINDS",
    "AOTAutogradArtifact",
    "AutotuneArtifact",
    "InductorArtifact",
    "NativeArtifact",
    "PGOArtifact",
    "PrecompileArtifact",
]

BUILTIN_KINDS = (
    AOTAutogradArtifact,
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
    PrecompileArtifact,
)

for _cls in BUILTIN_KINDS:
    CacheArtifactFactory.register(_cls)
