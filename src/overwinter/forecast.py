"""
Forecasting: which artifacts of a bundle can hit on a machine, before any is loaded.

It asks what a load asks, in the same order: whether they are trusted, whether this
release reads them, whether they fit. A hit means that a framework may find them: what
its job then looks for, by shapes, types and settings, nobody can tell from outside.
"""

from collections.abc import Iterable
from typing import Any

import attrs

from .artifact import CacheArtifact
from .bundle import Bundle, RecordBlock
from .decode import kind_of
from .environment import Environment, Machine, capture, misfit
from .errors import FormatError, TailIgnoredError
from .factory import CacheArtifactFactory
from .files import Buffer, PathLike
from .judging import Judged, judge
from .trust import Permission, Policy

__all__ = ["Forecast", "Foreseen", "forecast"]

HIT, MISS, UNKNOWN = "hit", "miss", "unknown"
KEPT = "kept"  # in bundles alone: no load has a place for it
_REPORT_VERSION = 1


@attrs.frozen
class Foreseen:
    """
    What becomes of one block's artifacts, which share kind and environment.

    Args:
        segment: The segment's number in the bundle.
        kind: Their kind.
        artifacts: How many they are.
        outcome: ``hit``, ``miss``, ``unknown`` where this machine does not know
            what would decide, or ``kept`` where there is no cache for such.
        field: What decides, if it is no hit: a field of the environment, ``trust`` or
            ``version``.
        reason: What it says.
        keys: Their keys, if these were asked for.
    """

    segment: int
    kind: str
    artifacts: int
    outcome: str
    field: str = ""
    reason: str = ""
    keys: tuple[str, ...] = ()


@attrs.frozen
class Forecast:
    """
    What a load would do here.

    Args:
        file: The bundle.
        blocks: What becomes of its artifacts.
        remarks: What follows for one kind from what becomes of another.
        problems: What is wrong with the bundle as a whole.
    """

    file: str
    blocks: tuple[Foreseen, ...]
    remarks: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def count(self, outcome: str) -> int:
        """Return how many artifacts have an outcome."""
        return sum(each.artifacts for each in self.blocks if each.outcome == outcome)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values; the layout is versioned."""
        counts = {each: self.count(each) for each in (HIT, MISS, UNKNOWN, KEPT)}
        return {"version": _REPORT_VERSION, **counts, **attrs.asdict(self)}


def forecast(
    target: PathLike | Buffer,
    *,
    environment: Environment | Machine | None = None,
    policy: Policy | None = None,
    keys: bool = False,
) -> Forecast:
    """
    Return what a load of a bundle would do here; no payload is read.

    Args:
        target: The bundle's path, or its bytes.
        environment: What to hold artifacts against, as for `load`.
        policy: Whose segments may be used; this machine's own if not given.
        keys: Read the keys, and say them too.

    Raises:
        NotFoundError: There is no such file.
        FormatError: It cannot be opened.
        VersionError: It was written for later readers.
        TrustError: What this account says of trust cannot be read.
    """
    CacheArtifactFactory.discover()
    machine = capture() if environment is None else environment
    with Bundle(target) as bundle:
        problems = list(dict.fromkeys(str(error) for _, error in bundle.refused))
        if bundle.recovery:
            problems.append(
                str(
                    TailIgnoredError(
                        bundle.name, "end of file", bundle.recovery, "a trailer"
                    )
                )
            )
        blocks = []
        for judged in judge(bundle, policy or Policy.of_this_machine()):
            for block in judged.segment.blocks:
                outcome, field, reason = _foreseen(block, judged, machine)
                blocks.append(
                    Foreseen(
                        judged.segment.number,
                        block.kind.kind,
                        block.stamp.rows,
                        outcome,
                        field,
                        reason,
                        _keys(block, problems) if keys else (),
                    )
                )
        remarks = tuple(dict.fromkeys(_remarks(blocks)))
        return Forecast(bundle.name, tuple(blocks), remarks, tuple(problems))


def _foreseen(
    block: RecordBlock, judged: Judged, machine: Environment | Machine
) -> tuple[str, str, str]:
    verdict = judged.verdicts[block.kind.kind]
    if not isinstance(verdict, Permission):
        return MISS, "trust", f"{verdict.found}, expected {verdict.expected}"
    kind, reason = kind_of(block)
    if kind is None:
        return MISS, "version", reason
    if not kind.cls.is_cached:
        return KEPT, "", "no cache has a place for it"
    stated = block.environment
    here = machine(stated or {}) if callable(machine) else machine
    found = misfit(stated, here, kind.cls.environment_rules)
    if found is None:
        return HIT, "", ""
    return UNKNOWN if found.is_unknown else MISS, found.field, found.reason


def _keys(block: RecordBlock, problems: list[str]) -> tuple[str, ...]:
    try:
        return tuple(str(key) for key in block.read_columns()[0]["key"])
    except FormatError as error:
        problems.append(str(error))
        return ()


def _remarks(blocks: Iterable[Foreseen]) -> Iterable[str]:
    """Give what follows where artifacts hit, and those that they need do not."""
    blocks = list(blocks)
    hits = {each.kind for each in blocks if each.outcome == HIT}
    for each in blocks:
        if each.outcome != MISS or each.kind in hits:
            continue
        needed_by = sorted(kind for kind in hits if each.kind in _needs(kind))
        if needed_by:
            yield (
                f"{', '.join(needed_by)} can hit and {each.kind} cannot: what is in "
                "it is built again"
            )


def _needs(kind: str) -> tuple[str, ...]:
    cls: type[CacheArtifact] = CacheArtifactFactory.kind(kind).cls
    return cls.populate_after
