"""
Exporting: a container that torch's own loader takes, out of a bundle.

It holds one group of each kind, as torch's loader drops all but the last. It says
nothing of who signed what, nor what it was compiled for: so only what this account
trusts goes into it, of one environment, and whoever gives it on answers for it.
"""

from collections import Counter
from collections.abc import Mapping

import attrs

from ..artifact import CacheArtifact
from ..bundle import Bundle
from ..decode import decode
from ..environment import Environment, misfit
from ..errors import ManyEnvironmentsError
from ..factory import CacheArtifactFactory
from ..files import Buffer, PathLike
from ..info import CacheInfo, Note
from ..kinds import MegaCacheArtifact
from ..kinds.torchinductor import GRAPH_RULES
from ..trust import Policy
from .megacache import MegaCacheEntry, write_megacache
from .versions import TABLE, Version, row

__all__ = ["Exported", "export"]

_NO_KIND = "torch {} has no such kind in its containers"
_NATIVE = "no container of torch holds libraries: they are built again where it is used"


@attrs.frozen
class Exported:
    """
    A container of torch's, and what became of the bundle.

    Args:
        blob: The container; empty where nothing could go into it.
        kinds: Torch's kinds to the number of entries.
        left_out: What could not, and why.
        problems: What was wrong with the bundle as a whole.
    """

    blob: bytes = attrs.field(repr=False)
    kinds: Mapping[str, int]
    left_out: list[Note]
    problems: list[str]


def export(
    target: PathLike | Buffer,
    torch: str,
    *,
    here: Environment | None = None,
    policy: Policy | None = None,
) -> Exported:
    """
    Return a container for a version of torch, with what a bundle has for it.

    Args:
        target: The bundle.
        torch: Major and minor version, such as ``"2.9"``; what is behind is ignored.
        here: Only what fits this machine; without it all that says no other version
            of torch, if that is for one environment.
        policy: Whose segments to take; those that this machine trusts if not given.

    Raises:
        ValueError: *torch* is no version, or one that wrote no containers.
        ManyEnvironmentsError: The artifacts are for several environments.
        NotFoundError: There is no such file.
        FormatError: The bundle cannot be opened.
        TrustError: What this account says of trust cannot be read.
    """
    version, known = _version(torch)
    chosen = _Chosen(version, known, here)
    info = CacheInfo()
    with Bundle(target) as bundle:
        name = bundle.name
        artifacts = [
            each
            for block in decode(
                bundle,
                info,
                policy=policy or Policy.of_this_machine(),
                fits=chosen.misfit,
            )
            for each in block
        ]
    if len(chosen.environments) > 1:
        raise ManyEnvironmentsError(name, chosen.differences())
    entries, left_out = _entries(artifacts, version, known)
    left_out += [
        *info.skipped,
        *info.refused,
        *info.opaque,
        *info.quarantined,
    ]
    blob = write_megacache(entries, layout=known.container) if entries else b""
    kinds = Counter(each.kind for each in entries)
    return Exported(blob, dict(sorted(kinds.items())), left_out, info.problems)


def _version(text: str) -> tuple[str, Version]:
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0]
    try:
        number = int(major), int(minor)
        return f"{number[0]}.{number[1]}", row(number)
    except (ValueError, KeyError) as error:
        first, last = min(TABLE), max(TABLE)
        raise ValueError(
            f"expected a version of torch, {first[0]}.{first[1]} to "
            f"{last[0]}.{last[1]} or a later one, got {text!a:.40}"
        ) from error


class _Chosen:
    """Which blocks go into a container, by what they were compiled for."""

    def __init__(self, version: str, known: Version, here: Environment | None) -> None:
        self.version, self.known, self.here = version, known, here
        # What of an environment decides whether graphs may be used together.
        self.environments: set[tuple[tuple[str, str], ...]] = set()

    def misfit(
        self, cls: type[CacheArtifact], environment: Environment | None
    ) -> str | None:
        """Return why artifacts do not go into the container."""
        kind = cls.type()
        if kind == "native":
            return _NATIVE
        if kind != MegaCacheArtifact.type() and kind not in self.known.kinds:
            return _NO_KIND.format(self.version)
        stated = environment or {}
        made_for = stated.get("torch_version", "")
        if made_for and not f"{made_for}.".startswith(f"{self.version}."):
            return f"torch_version: made for {made_for}, asked for {self.version}"
        rules = cls.environment_rules
        if self.here is not None:
            reason = misfit(environment, self.here, rules)
            return None if reason is None else str(reason)
        if rules:
            fields = [each for each in sorted(GRAPH_RULES) if each in stated]
            self.environments.add(tuple((each, str(stated[each])) for each in fields))
        return None

    def differences(self) -> str:
        """Return in which fields the environments differ."""
        shared = set.intersection(*map(set, self.environments))
        fields = {name for each in self.environments for name, _ in set(each) - shared}
        return ", ".join(sorted(fields))


def _entries(
    artifacts: list[CacheArtifact], version: str, known: Version
) -> tuple[list[MegaCacheEntry], list[Note]]:
    """Return the entries of a container; of what has one place, the winner."""
    entries: list[MegaCacheEntry] = []
    left_out: list[Note] = []
    best: dict[tuple[str, str], CacheArtifact] = {}
    for artifact in artifacts:
        if isinstance(artifact, MegaCacheArtifact):
            kind, key = artifact.entry
            if kind in known.kinds:
                entries.append(MegaCacheEntry(kind, key, artifact.content))
            else:
                reason = _NO_KIND.format(version)
                left_out.append(Note(artifact.type(), artifact.key, reason))
            continue
        kind, key = artifact.type(), artifact.key
        if CacheArtifactFactory.kind(kind).schema.cardinality == "one":
            other = best.get((kind, key))
            # Of those that it prefers alike, the later, as in torch's own cache.
            if other is None or artifact.preference() <= other.preference():
                best[kind, key] = artifact
        else:
            entries.append(MegaCacheEntry(kind, key, artifact.content))
    entries += [MegaCacheEntry(k, key, each.content) for (k, key), each in best.items()]
    return entries, left_out
