"""The steps of the built-in kinds: proved without data, and run on a real release."""

from pathlib import Path

import pytest

from overwinter import CacheArtifactFactory, CacheArtifactManager
from overwinter.codec import Columns
from overwinter.trust import Policy, SigningKey

GOLDEN = Path(__file__).parent.parent / "golden" / "0.1.0" / "bundle.owb"
POLICY = Policy([SigningKey(bytes(range(32))).public])
STEPS = [
    (kind, version)
    for kind in CacheArtifactFactory.kinds()
    for version in range(1, CacheArtifactFactory.kind(kind).schema.version)
]


def test_autotune_has_a_step():
    """The tests below run over what is registered, so that must be something."""
    assert ("autotune", 1) in STEPS


@pytest.mark.parametrize(("name", "version"), STEPS)
def test_a_step_leads_to_the_schema_that_it_claims(name, version):
    """No data is needed: what the operations do to a schema is the next schema."""
    kind = CacheArtifactFactory.kind(name)
    old, new = kind.schemas[version], kind.schemas[version + 1]
    (step, *_) = kind.steps.plan(version).steps
    assert step.effect(old, new) == {field.name: field for field in new.fields}


def test_autotune_of_release_0_1_0_is_migrated():
    """Milliseconds become nanoseconds, the device unknown; torch's bytes stay."""
    loaded = CacheArtifactManager.deserialize(
        GOLDEN, policy=POLICY, environment={"torch_key": "00" * 32}, strict=True
    )
    found = {each.key[:2]: each for each in loaded["autotune"]}
    times = {key: each.time_taken_ns for key, each in found.items()}
    assert times == {"0a": 12_000_000, "1a": 0, "2a": None, "3a": None}
    assert {each.device for each in loaded["autotune"]} == {"unknown"}
    assert found["2a"].content == b'{"XBLOCK":1e3,"time_taken_ms":12.75}'
    assert {(note.kind, note.reason) for note in loaded.info.migrated} == {
        ("autotune", "version 1 -> 2")
    }
    assert len(loaded.info.migrated) == 4


def test_a_step_carries_unread_what_it_does_not_name():
    """Columns that no operation touches are passed on as the bytes that they were."""
    kind = CacheArtifactFactory.kind("autotune")
    (step,) = kind.steps.plan(1).steps
    encoded = {field.name: b"never read" for field in kind.schemas[1].fields}
    columns = Columns(2, {**encoded, "time_taken_ms": [3, None]})

    migrated = step.apply(columns)

    assert migrated["time_taken_ns"] == [3_000_000, None]
    assert migrated["device"] == ["unknown", "unknown"]
    untouched = set(encoded) - {"time_taken_ms"}
    assert {migrated.encoded(name) for name in untouched} == {b"never read"}
