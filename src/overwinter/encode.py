"""
Artifacts to records: validated, sorted out by kind, stamped with an environment.
"""

from collections import defaultdict
from collections.abc import Iterable

from .artifact import CacheArtifact
from .bundle import Records
from .environment import Environment
from .factory import CacheArtifactFactory

__all__ = ["encode"]


def encode(
    artifacts: Iterable[CacheArtifact], environment: Environment
) -> list[Records]:
    """
    Return *artifacts* as records, one group for each kind.

    Equal artifacts come once; where a cache has one place for a key, the winner
    comes alone.

    Args:
        artifacts: Of any registered kinds.
        environment: What they were compiled for; left out of kinds that it does
            not matter to.

    Raises:
        KindError: An artifact's kind is not registered.
        WrongShapeError: A value does not fit its schema.
    """
    groups: defaultdict[str, list[CacheArtifact]] = defaultdict(list)
    for artifact in artifacts:
        groups[artifact.type()].append(artifact)
    records = []
    for name, group in groups.items():
        kind = CacheArtifactFactory.kind(name)
        records.append(
            Records(
                kind.stamp,
                kind.winning_columns(group),
                kind.schema.payload_names,
                environment if kind.cls.environment_rules else None,
            )
        )
    return records
