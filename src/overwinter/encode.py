"""
Artifacts to records: validated, sorted out by kind, stamped with an environment.

For older readers, records are brought back to the versions that these know.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby

from .artifact import CacheArtifact
from .bundle import Records
from .environment import Environment
from .errors import DraftError, TargetError
from .factory import CacheArtifactFactory
from .schema import read_released
from .version import VERSION

__all__ = ["Target", "encode"]

# A release of overwinter, or the version of each kind that shall not be the newest.
Target = str | Mapping[str, int]

# Releases before this one that can be written for.
_PREVIOUS = 2


def encode(
    artifacts: Iterable[CacheArtifact],
    environment: Environment,
    *,
    target: Target | None = None,
    allow_drafts: bool = False,
) -> list[Records]:
    """
    Return *artifacts* as records, one group for each kind.

    Equal artifacts come once; where a cache has one place for a key, the winner
    comes alone.

    Args:
        artifacts: Of any registered kinds.
        environment: What they were compiled for; left out of kinds that it does
            not matter to.
        target: Write for this release of overwinter, one of the two before this, or
            these versions of kinds; the newest of each kind if not given.
        allow_drafts: Write also what is described by a schema that may still change.

    Raises:
        KindError: An artifact's kind is not registered.
        WrongShapeError: A value does not fit its schema.
        DraftError: A schema is not released.
        TargetError: *target* is out of reach.
        MigrationError: There is no way back to a version of *target*.
    """
    groups: defaultdict[str, list[CacheArtifact]] = defaultdict(list)
    for _, run in groupby(artifacts, key=type):
        of_class = list(run)
        groups[of_class[0].type()] += of_class
    versions = _versions(target)
    records = []
    for name, group in groups.items():
        kind = CacheArtifactFactory.kind(name)
        newest = kind.schema.version
        version = versions.get(name, newest)
        if version not in kind.schemas:
            raise TargetError(f"{name} {version}", f"versions 1 to {newest}")
        stamp = kind.stamp_of(version) if version != newest else kind.stamp
        if stamp.draft and not allow_drafts:
            raise DraftError(name, version, kind.schemas[version].source)
        columns = kind.winning_columns(group)
        if version != newest:
            columns = kind.lowered(columns, version)
        records.append(
            Records(
                stamp,
                columns,
                kind.schemas[version].payload_names,
                environment if kind.cls.environment_rules else None,
            )
        )
    return records


def _versions(target: Target | None) -> Mapping[str, int]:
    """Return the version of each kind that *target* asks to be written."""
    if target is None:
        return {}
    if isinstance(target, Mapping):
        for name, version in target.items():
            if type(version) is not int:
                raise TargetError(f"{name} {version!r}", "a version of it")
            if name not in CacheArtifactFactory.kinds():
                known = ", ".join(CacheArtifactFactory.kinds())
                raise TargetError(f"{name!r}", f"kinds out of {known}")
        return target
    if not isinstance(target, str):
        raise TargetError(repr(target), "a release, or versions by kind")
    releases = read_released(CacheArtifact.schema_package).releases
    reach = [name for name in releases if name != VERSION][-_PREVIOUS:]
    if target == VERSION:
        return {}
    if target not in reach:
        raise TargetError(f"release {target}", f"one of {', '.join(reach)}")
    return releases[target]
