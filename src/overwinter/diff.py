"""
Comparing two bundles: which artifacts only one holds, and which they hold otherwise.

Artifacts are compared as they are stored, by their identity (``schema/FORMAT.md``,
"Artifact digest") and the version of their records; nothing is built, trusted or run.
What both bundles say in the same words needs no look: record blocks of one digest,
kind and environment hold the same records and name the same payloads. Only other
blocks are read, one at a time, so what is equal by its words is not verified.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from .bundle import Bundle, RecordBlock
from .bundle.digesting import payload_digests
from .bundle.identity import record_digest
from .codec import TOO_NESTED, pack
from .environment import Environment
from .errors import FormatError, VersionError
from .files import Buffer, PathLike
from .limits import MAX_FAULTS, MAX_NODES_SEEN
from .memory import within_memory
from .progress import Counter, Progress
from .sources import Source

__all__ = [
    "DIFFERS",
    "ONLY_A",
    "ONLY_B",
    "UNKNOWN",
    "BundleDiff",
    "Difference",
    "Variant",
    "diff",
]

_REPORT_VERSION = 1

ONLY_A, ONLY_B, DIFFERS, UNKNOWN = "only a", "only b", "differs", "unknown"

Target = PathLike | Buffer | Source


@attrs.frozen
class Variant:
    """
    One artifact of a key.

    Args:
        version: Schema version of its record.
        digest: Its artifact digest, in hex; empty where it could not be read.
    """

    version: int
    digest: str


@attrs.frozen
class Difference:
    """
    What two bundles hold otherwise for one kind, environment and key.

    Args:
        outcome: ``only a``, ``only b``, ``differs``, or ``unknown`` where both have
            the key and what it holds could not be read.
        kind: The kind.
        key: The key.
        environment: What the artifacts were compiled for, where somebody said.
        a: The artifacts that only the first bundle holds.
        b: The artifacts that only the second holds.
        common: How many artifacts of this key both hold.
    """

    outcome: str
    kind: str
    key: str
    environment: Environment | None
    a: tuple[Variant, ...]
    b: tuple[Variant, ...]
    common: int


@attrs.frozen
class BundleDiff:
    """
    How two bundles differ.

    Args:
        a: The first bundle.
        b: The second.
        differences: By kind, environment and key.
        problems: What could not be compared.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    problems: tuple[str, ...] = ()

    def count(self, outcome: str) -> int:
        """Return how many keys have this outcome."""
        return sum(each.outcome == outcome for each in self.differences)

    def as_dict(self) -> dict[str, Any]:
        """Return the difference as plain values; the layout is versioned."""
        return {"version": _REPORT_VERSION, **attrs.asdict(self)}


def diff(a: Target, b: Target, *, progress: Progress | None = None) -> BundleDiff:
    """
    Return how two bundles differ; segments, order and signatures are no difference.

    Args:
        a: A path, the bytes of a bundle, or anything that reads ranges.
        b: The other.
        progress: Told of bytes done and in all.

    Raises:
        NotFoundError: There is no such file.
        FormatError: A bundle cannot be opened.
        VersionError: One was written for later readers.
    """
    with (
        Bundle(a) as one,
        Bundle(b) as other,
        within_memory(f"{one.name} and {other.name}", "their artifacts"),
    ):
        return _Comparison((one, other), progress).diff()


# Where an artifact stands: kind, environment as msgpack, key.
_Place = tuple[str, bytes, str]
# Version of a record, and its artifact digest; empty where it could not be read.
_Variant = tuple[int, bytes]
# What makes two record blocks equal: kind, version, fingerprint, environment, digest.
_Mark = tuple[str, int, bytes, bytes, bytes]


class _Comparison:
    def __init__(
        self, bundles: tuple[Bundle, Bundle], progress: Progress | None
    ) -> None:
        self.bundles = bundles
        self.problems: list[str] = []
        self.n_problems = 0
        for bundle in bundles:
            if bundle.recovery:
                self.tell(f"{bundle.name}: {bundle.recovery}")
            for _, error in bundle.refused:
                self.tell(str(error))
        one, other = ({_mark(block) for block in _blocks(each)} for each in bundles)
        self.shared = one & other
        total = sum(
            block.stamp.size
            + (0 if _mark(block) in self.shared else block.stamp.payload_size)
            for bundle in bundles
            for block in _blocks(bundle)
        )
        self.counter = Counter(total, progress)
        self.found: dict[_Place, tuple[set[_Variant], set[_Variant]]] = {}
        self.environments: dict[bytes, Environment | None] = {}

    def diff(self) -> BundleDiff:
        for side, bundle in enumerate(self.bundles):
            for block in _blocks(bundle):
                if _mark(block) not in self.shared:
                    self.add(block, side)
                    self.counter.advance(block.stamp.size + block.stamp.payload_size)
        self.drop_equal()
        self.look_into_shared()
        self.drop_equal()
        one, other = self.bundles
        differences = [
            self.difference(place, *variants)
            for place, variants in sorted(self.found.items(), key=lambda item: item[0])
        ]
        problems = self.problems
        if (more := self.n_problems - len(problems)) > 0:
            problems = [
                *problems,
                f"{more:,} more problems; fetch the files again, or restore copies",
            ]
        return BundleDiff(one.name, other.name, tuple(differences), tuple(problems))

    def add(self, block: RecordBlock, side: int) -> None:
        group = _group(block)
        self.environments.setdefault(group[1], block.environment)
        for key, variant in self.contents(block) or ():
            place = *group, key
            if place not in self.found:
                self.found[place] = (set(), set())
            self.found[place][side].add(variant)

    def drop_equal(self) -> None:
        self.found = {
            place: (a, b)
            for place, (a, b) in self.found.items()
            if a != b or not _are_known(a)
        }

    def look_into_shared(self) -> None:
        """
        Add what both hold of the keys that seem to differ.

        One may hold an artifact in a block of its own that the other has only in a
        block that both have.
        """
        groups = {place[:2] for place in self.found}
        one, other = self.bundles
        twins = {
            mark: block
            for segment in other.segments
            for block in segment.blocks
            if (mark := _mark(block)) in self.shared and _group(block) in groups
        }
        for block in _blocks(one):
            twin = twins.pop(_mark(block), None)
            if twin is not None:
                self.add_shared(block, twin)
                self.counter.advance(block.stamp.size)

    def add_shared(self, block: RecordBlock, twin: RecordBlock) -> None:
        group = _group(block)
        try:
            keys = block.read_columns()[0]["key"]
            if not any((*group, key) in self.found for key in keys):
                return
        except FormatError:
            pass  # it is told below, where the twin is asked instead
        contents = self.contents(block)
        if contents is None or not _are_known(variant for _, variant in contents):
            contents = self.contents(twin) or contents or []
        for key, variant in contents:
            for variants in self.found.get((*group, key), ()):
                variants.add(variant)

    def contents(self, block: RecordBlock) -> list[tuple[str, _Variant]] | None:
        """Return key and artifact of each row, or ``None`` where the keys are lost."""
        stamp = block.kind
        name = f"{block.segment.source.name}: {block.part}"
        try:
            if block.schema is None:
                self.tell(
                    f"{name}: {block.stamp.rows:,} artifacts of {stamp.kind} version "
                    f"{stamp.version} are compared by key alone: their schema has "
                    f"types that this release does not know; upgrade overwinter"
                )
                keys = block.read_columns()[0]["key"]
                return [(key, (stamp.version, b"")) for key in keys]
            return list(self.rows(block, name))
        except (FormatError, VersionError) as error:
            self.tell(
                f"{error}; its {block.stamp.rows:,} artifacts, from "
                f"{block.stamp.first!a:.80} on, are not compared"
            )
            return None

    def rows(self, block: RecordBlock, name: str) -> Iterator[tuple[str, _Variant]]:
        """Give key and artifact of each row; of payloads only digests are held."""
        content = block.open()
        columns, spans = content.columns, content.spans
        listed = (span for column in spans.values() for span in column if span)
        digests = payload_digests(block.segment, content.table, listed)
        faults = {str(each) for each in digests.values() if not isinstance(each, bytes)}
        for fault in sorted(faults):
            self.tell(fault)
        fields = {
            field: (span and digests[span] for span in spans[field])
            if field in spans
            else columns.each(field)
            for field in columns
        }
        for values in zip(*fields.values(), strict=True):
            record = dict(zip(fields, values, strict=True))
            key, digest = record["key"], b""
            try:
                if any(value is TOO_NESTED for value in values):
                    raise ValueError(f"more than {MAX_NODES_SEEN:,} lists and maps")
                if not any(isinstance(value, FormatError) for value in values):
                    digest = record_digest(record, ())
            except ValueError as error:  # also: nested deeper than what is written
                self.tell(f"{name}, {key!a:.80}: {error}")
            yield key, (block.kind.version, digest)

    def tell(self, problem: str) -> None:
        """Note what could not be compared, unless that was said of many already."""
        self.n_problems += 1
        if self.n_problems <= MAX_FAULTS:
            self.problems.append(problem)

    def difference(
        self, place: _Place, a: set[_Variant], b: set[_Variant]
    ) -> Difference:
        kind, environment, key = place
        common = {each for each in a & b if _are_known([each])}
        if not a or not b:
            outcome = ONLY_A if a else ONLY_B
        else:
            outcome = DIFFERS if _are_known(a | b) else UNKNOWN
        return Difference(
            outcome,
            kind,
            key,
            self.environments[environment],
            _variants(a - common),
            _variants(b - common),
            len(common),
        )


def _are_known(variants: Iterable[_Variant]) -> bool:
    return all(digest for _, digest in variants)


def _variants(variants: Iterable[_Variant]) -> tuple[Variant, ...]:
    return tuple(Variant(version, digest.hex()) for version, digest in sorted(variants))


def _blocks(bundle: Bundle) -> Iterator[RecordBlock]:
    return (block for segment in bundle.segments for block in segment.blocks)


def _group(block: RecordBlock) -> tuple[str, bytes]:
    return block.kind.kind, pack(block.environment)


def _mark(block: RecordBlock) -> _Mark:
    stamp, (kind, environment) = block.kind, _group(block)
    return kind, stamp.version, stamp.fingerprint, environment, block.stamp.digest
