"""
What the keys of a command's graphs are made of, as its processes told.
"""

from collections.abc import Iterable
from pathlib import Path

from ..artifact import CacheArtifact
from ..errors import OverwinterError
from ..factory import CacheArtifactFactory
from ..kinds import FactorsArtifact
from ..sources import read_text

__all__ = ["told_factors"]


def told_factors(
    folder: Path, artifacts: Iterable[CacheArtifact]
) -> list[FactorsArtifact]:
    """
    Return the factors of those of *artifacts* that are graphs, where they were told.

    Args:
        folder: Where `overwinter.torch.inside` writes them.
        artifacts: What was harvested.
    """
    kind = CacheArtifactFactory.kind(FactorsArtifact.type())
    found = {}
    for each in artifacts:
        path = folder / f"{each.type()}-{each.key}.json"
        if not path.is_file():
            continue
        try:
            factors = FactorsArtifact.from_content(
                f"{each.type()}/{each.key}", read_text(path).encode()
            )
            kind.columns([factors])
        except OverwinterError:  # its process was killed, or it is no file of ours
            continue
        found[factors.key] = factors
    return list(found.values())
