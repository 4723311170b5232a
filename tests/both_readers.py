"""What the two readers say of a bundle, and whether it is the same."""

from contextlib import suppress
from typing import Any, NamedTuple

import second_reader
from canonical import artifact_digest

from overwinter.bundle import Bundle, verify
from overwinter.bundle.content import Rows
from overwinter.bundle.identity import record_digest
from overwinter.bundle.record_block import RecordBlock
from overwinter.errors import FormatError, OverwinterError

__all__ = ["Answer", "difference", "first_answer", "second_answer"]


class Said(NamedTuple):
    """What is read of one segment; opaque: kind, version, first key, rows."""

    digest: bytes
    signers: list[bytes]
    artifacts: list[tuple[Any, ...]]
    opaque: list[tuple[Any, ...]]


class Answer(NamedTuple):
    """What is read of a file, and the outcomes of its damage."""

    segments: list[Said]
    outcomes: set[str]


def first_answer(data: bytes) -> Answer | None:
    """Return what overwinter's reader says; of a file that it refuses nothing."""
    try:
        bundle = Bundle(data)
    except OverwinterError:
        return None
    segments = []
    for segment in bundle.segments:
        signers = [
            signature.key
            for signature in segment.signatures
            if signature.algorithm == "ed25519"
        ]
        said = Said(segment.entry.digest, signers, [], [])
        for block in segment.blocks:
            with suppress(FormatError):
                rows = block.read()
                if block.schema is not None:
                    said.artifacts.extend(_artifacts(block, rows))
                    continue
                for at in range(len(rows.table.blocks)):
                    segment.read_payload_blocks(rows.table, at, at)
                stamp, kind = block.stamp, block.kind
                said.opaque.append((kind.kind, kind.version, stamp.first, stamp.rows))
        segments.append(said)
    return Answer(segments, {finding.outcome for finding in verify(bundle)})


def second_answer(data: bytes) -> Answer | None:
    """Return what the second reader says; of a file that it refuses nothing."""
    try:
        segments, damage = second_reader.read_bundle(data)
    except second_reader.Invalid:
        return None
    found = []
    for segment in segments:
        artifacts = [
            (*each[:4], artifact_digest(each.record, each.payloads))
            for each in segment.artifacts
        ]
        found.append(Said(segment.digest, segment.signers, artifacts, segment.kept))
        damage += segment.damage
    return Answer(found, {each.outcome for each in damage})


def difference(data: bytes) -> str:
    """Return what the two readers say otherwise, or nothing."""
    one, other = first_answer(data), second_answer(data)
    if one is None or other is None:
        return "" if one is other else f"only the {'second' if one else 'first'} reads"
    if one.outcomes != other.outcomes:
        return f"damage: {one.outcomes} and {other.outcomes}"
    if len(one.segments) != len(other.segments):
        return f"segments: {len(one.segments)} and {len(other.segments)}"
    for number, pair in enumerate(zip(one.segments, other.segments, strict=True)):
        # A schema that the first takes for none may be one to the second.
        opaque = {kept[:2] for said in pair for kept in said.opaque}
        seen = [_seen(said, opaque) for said in pair]
        for what, *parts in zip(
            seen[0], *(each.values() for each in seen), strict=True
        ):
            # As text, 1 is neither True nor 1.0.
            first, second = map(repr, parts)
            if first != second:
                return f"segment {number}, {what}: {first:.500} and {second:.500}"
    return ""


def _artifacts(block: RecordBlock, rows: Rows) -> list[tuple[Any, ...]]:
    columns, kind = dict(rows.columns), block.kind
    environment = None if block.environment is None else dict(block.environment)
    found = []
    for row in range(rows.columns.rows):
        if row not in rows.faults:
            record = {name: columns[name][row] for name in columns}
            digest = record_digest(record, block.payload_names)
            found.append((kind.kind, kind.version, environment, record, digest))
    return found


def _seen(said: Said, opaque: set[tuple[Any, ...]]) -> dict[str, Any]:
    """Return what is compared; of the kinds *opaque* only how many records."""
    known = [each for each in said.artifacts if each[:2] not in opaque]
    rows = len(said.artifacts) - len(known) + sum(kept[3] for kept in said.opaque)
    return {
        "digest": said.digest,
        "signers": said.signers,
        "artifacts": known,
        "opaque": rows,
    }
