"""Decoding: what fails is named by kind and key and left out, and the rest goes on."""

import io
import math
from typing import Any

import attrs
import pytest
from acme.plans import Plan, records_of, registered
from bundles import TORCH

from overwinter import Bundle, CacheArtifactFactory, CacheArtifactManager
from overwinter.bundle import KindStamp, Records, Segment, append_segment, write_bundle
from overwinter.bundle.trailer import SegmentEntry, read_trailer, write_trailer
from overwinter.encode import encode
from overwinter.errors import (
    DamagedError,
    FormatError,
    KeyGrammarError,
    MigrationError,
    OverwinterError,
    TrustError,
    WrongShapeError,
)
from overwinter.info import OUTCOMES
from overwinter.kind import Kind
from overwinter.kinds import InductorArtifact, NativeArtifact
from overwinter.schema import read_schema
from overwinter.sources import BytesSource
from overwinter.trust import Policy, SigningKey

OWN = SigningKey(bytes(32))
FOREIGN = SigningKey(bytes(range(32)))
MACHINE = {"os": "linux", "cpu_arch": "x86_64", "cpu_flags": ["avx"], **TORCH}
GRAPH = "f" + "a" * 51


@pytest.fixture(autouse=True)
def _acme():
    with registered(Plan):
        yield


def _bundle(*groups: Records, key: SigningKey | None = OWN) -> bytes:
    file = io.BytesIO()
    write_bundle(file, groups, writer="tests 1", key=key, level=0)
    return file.getvalue()


def _appended(data: bytes, *groups: Records, key: SigningKey | None = OWN) -> bytes:
    file = io.BytesIO(data)
    file.seek(0, io.SEEK_END)
    append_segment(file, BytesSource(data), groups, key=key, level=0)
    return file.getvalue()


def _load(data: bytes, *, strict: bool = False, **machine: Any) -> Any:
    return CacheArtifactManager.deserialize(
        data,
        policy=Policy([OWN.public]),
        environment={**MACHINE, **machine},
        strict=strict,
    )


def _notes(loaded: Any) -> dict[str, list[tuple[str, str]]]:
    """Return outcome to kind and key of what was noted so, where anything was."""
    return {
        outcome: [(note.kind, note.key) for note in notes]
        for outcome in OUTCOMES
        if (notes := getattr(loaded.info, outcome))
    }


def _current(*plans: Plan) -> Records:
    (group,) = encode(plans, MACHINE)
    return group


def _stamped(group: Records, **changes: Any) -> Records:
    return attrs.evolve(group, stamp=attrs.evolve(group.stamp, **changes))


# --- migration --------------------------------------------------------------


def test_old_records_become_artifacts_of_today():
    """Every version that was ever written, through all of its steps."""
    data = _bundle(
        records_of(1, key=["a", "b"], program=[b"1", b"2"], median_us=[1.5, None])
    )
    loaded = _load(data, strict=True)
    assert loaded["acme/plan"] == [Plan("a", b"1", 1_500), Plan("b", b"2")]
    assert [(note.key, note.reason) for note in loaded.info.migrated] == [
        ("a", "version 1 -> 3"),
        ("b", "version 1 -> 3"),
    ]


def test_records_of_all_versions_in_one_bundle_are_read_alike():
    """A bundle that three releases appended to."""
    data = _bundle(
        records_of(1, key=["a"], program=[b"1"], median_us=[0.001]),
        records_of(2, key=["b"], program=[b"2"], median_ns=[2]),
        _current(Plan("c", b"3", 3, "gpu", (8,))),
    )
    loaded = _load(data, strict=True)
    assert loaded["acme/plan"] == [
        Plan("a", b"1", 1),
        Plan("b", b"2", 2),
        Plan("c", b"3", 3, "gpu", (8,)),
    ]
    assert _notes(loaded) == {"migrated": [("acme/plan", "a"), ("acme/plan", "b")]}


def test_a_step_that_fails_on_a_record_costs_that_record():
    """A time that is no number cannot become whole nanoseconds."""
    data = _bundle(
        records_of(
            1,
            key=["a", "b", "c", "d"],
            program=[b"1", b"2", b"3", b"4"],
            median_us=[1.0, math.nan, 3.0, math.inf],
        )
    )
    loaded = _load(data)
    assert loaded["acme/plan"] == [Plan("a", b"1", 1_000), Plan("c", b"3", 3_000)]
    assert _notes(loaded) == {
        "migrated": [("acme/plan", "a"), ("acme/plan", "c")],
        "quarantined": [("acme/plan", "b"), ("acme/plan", "d")],
    }
    assert "acme/plan 1 -> 2: found ValueError(" in loaded.info.quarantined[0].reason
    with pytest.raises(MigrationError, match="acme/plan 1 -> 2: found ValueError"):
        _load(data, strict=True)


def test_a_step_that_fails_on_every_record_names_each_once():
    """The block is empty afterwards, which is no damage of its own."""
    data = _bundle(
        records_of(1, key=["a", "b"], program=[b"1", b"2"], median_us=[math.nan] * 2)
    )
    loaded = _load(data)
    assert loaded == {}
    assert _notes(loaded) == {"quarantined": [("acme/plan", "a"), ("acme/plan", "b")]}


def test_a_step_that_makes_what_no_schema_allows_costs_that_record():
    """What comes out of a step is checked like what came out of the bundle."""
    data = _bundle(
        records_of(1, key=["a", "b"], program=[b"1", b"2"], median_us=[1e300, 1.0])
    )
    loaded = _load(data)
    assert loaded["acme/plan"] == [Plan("b", b"2", 1_000)]
    (note,) = loaded.info.quarantined
    assert note.key == "a"
    assert "acme/plan[0].median_ns: expected i64 from" in note.reason


# --- versions and kinds -----------------------------------------------------


def _later(oldest_reader: int, **columns: Any) -> Records:
    """Return records of version 4, which adds a field that nobody knows here."""
    kind = Kind(Plan)
    plain = kind.schema.as_plain()
    plain["version"] = 4
    plain["fields"].append({"id": 7, "name": "notes", "type": {"map": "str"}})
    schema = read_schema(plain)
    stamp = KindStamp("acme/plan", 4, schema.fingerprint, oldest_reader, plain)
    (current,) = encode([Plan("a", b"x", 3)], {})
    return Records(stamp, {**current.columns, **columns}, schema.payload_names)


def test_a_later_version_that_only_adds_is_read():
    """Its writer computed that readers of ours can; what we do not know is left out."""
    data = _bundle(_later(3, notes=[{"by": "somebody"}]))
    loaded = _load(data, strict=True)
    assert loaded["acme/plan"] == [Plan("a", b"x", 3)]
    assert _notes(loaded) == {}


def test_a_later_version_that_changed_something_stays_opaque():
    """Named with the version that it needs; nothing is guessed."""
    data = _bundle(_later(4, notes=[{}]), _current(Plan("b", b"y")))
    loaded = _load(data, strict=True)
    assert loaded["acme/plan"] == [Plan("b", b"y")]
    (note,) = loaded.info.opaque
    assert (note.kind, note.key) == ("acme/plan", "a")
    assert note.reason == (
        "written as version 4, which readers of 4 know; this release knows 3: upgrade "
        "overwinter, or save again with this release"
    )


def test_a_later_version_in_a_later_schema_language_stays_opaque():
    """Which of its columns are payloads cannot be known, and that is no damage."""
    later = _later(3, notes=[{}])
    plain = {**later.stamp.schema, "language": 2}
    data = _bundle(_stamped(later, schema=plain), _current(Plan("b", b"y")))
    loaded = _load(data, strict=True)
    assert loaded["acme/plan"] == [Plan("b", b"y")]
    assert _notes(loaded) == {"opaque": [("acme/plan", "a")]}
    assert loaded.info.opaque[0].reason == (
        "the schema of its version 4 has types that this release does not know, so "
        "its payloads cannot be told from its fields: upgrade overwinter, or save "
        "again with this release"
    )


def test_a_later_schema_language_does_not_matter_where_nothing_is_a_payload():
    """The columns that we know say everything; what we do not know is left out."""
    ours = CacheArtifactFactory.kind("autotune")
    key = f"0a/{'c' * 51}.best_config"
    artifact = ours.cls.from_content(key, b'{"num_warps": 8}')
    (group,) = encode([artifact], MACHINE)
    version = ours.schema.version + 1
    plain = {**ours.schema.as_plain(), "version": version, "language": 2}
    later = _stamped(group, version=version, schema=plain, fingerprint=bytes(32))
    assert _load(_bundle(later), strict=True) == {"autotune": [artifact]}


def test_a_version_that_cannot_be_is_a_problem():
    """Versions count from 1; a trusted signer may be mistaken all the same."""
    loaded = _load(_bundle(_stamped(_current(Plan("a", b"x")), version=0)))
    assert loaded == {}
    assert "segment 0, statement: found version 0" in loaded.info.problems[0]


def test_another_schema_of_the_same_version_stays_opaque():
    """A draft that was written before its release means something else."""
    current = _current(Plan("a", b"x"))
    plain = Kind(Plan).schema.as_plain()
    plain["fields"][2]["type"] = {"optional": "u64"}
    draft = read_schema(plain)
    data = _bundle(_stamped(current, fingerprint=draft.fingerprint, schema=plain))
    loaded = _load(data, strict=True)
    assert loaded == {}
    (note,) = loaded.info.opaque
    assert note.key == "a"
    assert note.reason == (
        f"its version 3 is not the released one ({draft.fingerprint.hex()[:16]}…); "
        "ask who wrote the bundle for the schema that they used"
    )


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("lie", ["another kind's", "none at all", "one field less"])
def test_a_schema_under_the_fingerprint_of_another_stays_opaque(lie, version):
    """It would decide which columns are payloads; the fingerprint vouches for it."""
    group = _current(Plan("a", b"x")) if version == 3 else _later(3)
    plain = dict(group.stamp.schema)
    if lie == "another kind's":
        plain = CacheArtifactFactory.kind("inductor").schema.as_plain()
    elif lie == "none at all":
        plain["cardinality"] = "some"
    else:
        plain["fields"] = plain["fields"][:-1]
    loaded = _load(_bundle(_stamped(group, schema=plain), key=OWN), strict=True)
    assert loaded == {}
    (note,) = loaded.info.opaque
    if version == 4 and lie == "none at all":  # as in a later schema language
        assert "has types that this release does not know" in note.reason
    else:
        assert note.reason == (
            f"the schema of its version {version} in the bundle is not the one that "
            f"it names ({group.stamp.fingerprint.hex()[:16]}…); ask who signed it to "
            "save it again"
        )


def test_an_unknown_kind_stays_opaque():
    """Listed and counted; what would read it is said."""
    data = _bundle(*encode([Plan("a", b"x"), InductorArtifact(GRAPH, b"y")], MACHINE))
    with registered(without=("acme/plan",)):
        loaded = _load(data, strict=True)
    assert list(loaded) == ["inductor"]
    (note,) = loaded.info.opaque
    assert (note.kind, note.key) == ("acme/plan", "a")
    assert note.reason.startswith("kind 'acme/plan' is not registered; registered are")
    assert note.reason.endswith("it is kept as it is")


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), ExceptionGroup("x", [OSError()])]
)
def test_a_check_of_keys_that_raises_quarantines_its_artifact(error, monkeypatch):
    """A kind's own code must not break the job; in strict what leaves is ours."""

    def check_key(key: str) -> None:
        if key == "a":
            raise error

    data = _bundle(_current(Plan("a", b"x"), Plan("b", b"y")))
    monkeypatch.setattr(Plan, "check_key", check_key)
    loaded = _load(data)
    assert loaded["acme/plan"] == [Plan("b", b"y")]
    (note,) = loaded.info.quarantined
    assert f"its kind's code raised {error!r}" in note.reason
    with pytest.raises(KeyGrammarError, match="could not be checked") as caught:
        _load(data, strict=True)
    assert caught.value.__cause__ is error


# --- damage -----------------------------------------------------------------


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def test_a_damaged_payload_costs_its_artifact():
    """Of several payload blocks one is damaged; the records are not."""
    programs = [bytes([number]) * 2**22 for number in range(3)]
    data = _bundle(
        _current(*[Plan(k, p) for k, p in zip("abc", programs, strict=True)])
    )
    damaged = _flipped(data, data.index(b"\x01" * 64) + 1_000)
    loaded = _load(damaged)
    assert [plan.key for plan in loaded["acme/plan"]] == ["a", "c"]
    assert _notes(loaded) == {"quarantined": [("acme/plan", "b")]}
    assert (
        "segment 0, payload block 1: found SHA-256" in loaded.info.quarantined[0].reason
    )
    with pytest.raises(FormatError, match="payload block 1: found SHA-256"):
        _load(damaged, strict=True)


def test_a_damaged_payload_that_an_old_record_needs_costs_that_record():
    """The damaged row is left out before any step looks at the others."""
    programs = [bytes([number]) * 2**22 for number in range(3)]
    data = _bundle(
        records_of(1, key=list("abc"), program=programs, median_us=[1.0, 2.0, 3.0])
    )
    loaded = _load(_flipped(data, data.index(b"\x01" * 64) + 1_000))
    assert [plan.median_ns for plan in loaded["acme/plan"]] == [1_000, 3_000]
    assert _notes(loaded)["quarantined"] == [("acme/plan", "b")]


def test_a_damaged_record_block_costs_its_records_and_no_others():
    """Their keys are lost, so they are named by the first of them."""
    data = _bundle(
        _current(Plan("a", b"x"), Plan("b", b"y"), Plan("c", b"z")),
        records_of(2, key=["d"], program=[b"w"], median_ns=[2]),
    )
    damaged = _flipped(data, data.index(b"tiles"))
    loaded = _load(damaged)
    assert [plan.key for plan in loaded["acme/plan"]] == ["d"]
    assert _notes(loaded)["quarantined"] == [("acme/plan", "a and 2 after it")]
    with pytest.raises(FormatError, match=r"record block \d: found SHA-256"):
        _load(damaged, strict=True)


def test_a_damaged_block_of_one_record_is_named_by_that():
    """Nothing comes after it."""
    data = _bundle(_current(Plan("a", b"x")))
    loaded = _load(_flipped(data, data.index(b"tiles")))
    assert _notes(loaded) == {"quarantined": [("acme/plan", "a")]}


def test_a_torn_append_is_a_problem_and_not_the_end():
    """What was whole before is used."""
    whole = _bundle(_current(Plan("a", b"x")))
    torn = _appended(whole, _current(Plan("b", b"y")))[:-300]
    loaded = _load(torn)
    assert loaded["acme/plan"] == [Plan("a", b"x")]
    assert "append that was torn" in loaded.info.problems[0]
    with pytest.raises(DamagedError, match=r"end of file: .* torn; what the trailer"):
        _load(torn, strict=True)


def test_a_refused_segment_is_a_problem_and_the_others_are_read():
    """Its statement is damaged, so nothing of it is known."""
    first = _bundle(_current(Plan("a", b"x")))
    both = _appended(first, _current(Plan("b", b"y")))
    damaged = _flipped(both, both.index(b"overwinter.segment/1"))
    loaded = _load(damaged)
    assert loaded["acme/plan"] == [Plan("b", b"y")]
    assert "segment 0, statement: found SHA-256" in loaded.info.problems[0]
    with pytest.raises(FormatError, match="segment 0, statement: found SHA-256"):
        _load(damaged, strict=True)


# --- records that lie -------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"median_ns": ["3", 1]}, "median_ns: expected i64, got str '3'"),
        ({"median_ns": [True, 1]}, "median_ns: expected i64, got bool True"),
        ({"device": [None, "unknown"]}, "device: expected str, got null"),
        ({"tiles": [[1, "2"], []]}, "tiles[1]: expected i64, got str '2'"),
        ({"tiles": ["12", []]}, "tiles: expected list<i64>, got str '12'"),
        ({"program": [None, b"y"]}, "program: expected payload, got null"),
        ({"key": ["", "b"]}, "key: expected a key, got an empty string"),
    ],
    ids=ascii,
)
def test_a_record_that_does_not_fit_its_schema_is_left_out(columns, words):
    """Signed by us and wrong all the same: nothing is coerced, the rest loads."""
    current = _current(Plan("a", b"x"), Plan("b", b"y", 1))
    lying = attrs.evolve(current, columns={**current.columns, **columns})
    loaded = _load(_bundle(lying))
    assert loaded["acme/plan"] == [Plan("b", b"y", 1)]
    assert len(loaded.info.quarantined) == 1
    assert f"acme/plan[0].{words}" in loaded.info.quarantined[0].reason
    with pytest.raises(WrongShapeError, match=r"acme/plan\[0\]\."):
        _load(_bundle(lying), strict=True)


def test_a_block_without_a_column_is_left_out():
    """It was promised by the schema, so all of its records are wrong."""
    current = _current(Plan("a", b"x"), Plan("b", b"y"))
    columns = {k: v for k, v in current.columns.items() if k != "device"}
    data = _bundle(attrs.evolve(current, columns=columns))
    loaded = _load(data)
    assert loaded == {}
    assert _notes(loaded) == {"quarantined": [("acme/plan", "a and 1 after it")]}
    assert "no column 'device'" in loaded.info.quarantined[0].reason
    with pytest.raises(DamagedError, match="no column 'device'"):
        _load(data, strict=True)


def test_a_key_that_its_kind_does_not_know_is_left_out():
    """A path out of the cache directory, signed by a key that we trust."""
    current = _current(Plan("a", b"x"), Plan("b", b"y"))
    lying = attrs.evolve(current, columns={**current.columns, "key": ["../../a", "b"]})
    loaded = _load(_bundle(lying))
    assert loaded["acme/plan"] == [Plan("b", b"y")]
    assert _notes(loaded) == {"quarantined": [("acme/plan", "../../a")]}
    with pytest.raises(KeyGrammarError, match=r"'\.\./\.\./a' is no name"):
        _load(_bundle(lying), strict=True)


def test_a_class_that_asks_more_than_its_schema_costs_what_it_refuses():
    """A validator of a third party's class must not end the load."""

    def small(artifact: Any, field: Any, value: int | None) -> None:
        if value is not None and value > 100:
            raise ValueError(f"{value} is too slow")

    @attrs.frozen
    class Strict(Plan):
        median_ns: int | None = attrs.field(default=None, validator=small)
        device: str = "unknown"
        tiles: tuple[int, ...] = ()

    data = _bundle(_current(*[Plan(k, b"x", n) for k, n in zip("abc", (1, 200, 3))]))  # noqa: B905
    with registered(Strict, without=("acme/plan",)):
        loaded = _load(data)
        with pytest.raises(WrongShapeError, match="200 is too slow"):
            _load(data, strict=True)
    assert [plan.key for plan in loaded["acme/plan"]] == ["a", "c"]
    assert _notes(loaded) == {"quarantined": [("acme/plan", "b")]}
    assert "200 is too slow" in loaded.info.quarantined[0].reason


# --- trust and environment --------------------------------------------------


@pytest.mark.parametrize("key", [FOREIGN, None], ids=["foreign", "unsigned"])
def test_a_segment_of_somebody_else_is_refused_and_counted(key):
    """The rest of the bundle is ours, and is used."""
    data = _bundle(_current(Plan("a", b"x"), Plan("b", b"y")), key=key)
    data = _appended(data, _current(Plan("c", b"z")))
    loaded = _load(data)
    assert loaded["acme/plan"] == [Plan("c", b"z")]
    (note,) = loaded.info.refused
    assert (note.kind, note.key, note.artifacts) == ("acme/plan", "a", 2)
    (problem,) = loaded.info.problems
    assert problem == loaded.info.refused[0].reason
    words = "signed by " if key else "no valid signature, expected one by a key that"
    assert problem.startswith(f"<bytes>, segment 0: {words}")
    with pytest.raises(TrustError, match=words):
        _load(data, strict=True)


def test_a_thousand_damaged_segments_are_twenty_problems_and_a_number():
    """A file of a megabyte may list more than anybody reads in a log."""
    data = _bundle(_current(Plan("a", b"x")))
    (good,) = read_trailer(BytesSource(data), Bundle(data).start).segments
    end = good.offset + good.size
    bad = [SegmentEntry(end + 200 * n, 200, bytes([n]) * 32) for n in range(100)]
    data = data[:end] + bytes(20_000) + write_trailer([good, *bad], end + 20_000)
    loaded = _load(data)
    assert loaded["acme/plan"] == [Plan("a", b"x")]
    *damaged, more = loaded.info.problems
    assert len(damaged) == 20
    assert more == (
        "<bytes>: 80 more segments are refused; fetch the file again, or restore a copy"
    )


def test_what_was_made_for_another_machine_is_skipped_with_each_artifact():
    """No damage and nobody's fault, so strict does not raise."""
    (group,) = encode(
        [NativeArtifact("torchinductor/a.so", b"x")], {**MACHINE, "cpu_flags": ["amx"]}
    )
    loaded = _load(_bundle(group), strict=True)
    assert loaded == {}
    (note,) = loaded.info.skipped
    assert (note.kind, note.key) == ("native", "torchinductor/a.so")
    assert note.reason == "cpu_flags: needs amx, which this machine lacks"


def test_each_machine_takes_its_own_part():
    """One fat bundle serves machines that differ."""
    groups = []
    for flag in ("avx", "amx"):
        artifact = NativeArtifact(f"torchinductor/{flag}.so", b"x")
        groups += encode([artifact], {**MACHINE, "cpu_flags": [flag]})
    data = _bundle(*groups)
    for flags, keys in (
        (["avx"], "avx"),
        (["amx"], "amx"),
        (["amx", "avx"], "amx avx"),
    ):
        loaded = _load(data, cpu_flags=flags)
        found = [artifact.key for artifact in loaded["native"]]
        assert sorted(found) == [f"torchinductor/{key}.so" for key in keys.split()]


def test_what_is_skipped_is_not_read():
    """A damaged block for another machine is no damage here."""
    (group,) = encode(
        [NativeArtifact("torchinductor/a.so", b"xyz" * 100)],
        {**MACHINE, "os": "darwin"},
    )
    data = _bundle(group)
    loaded = _load(_flipped(data, data.index(b"xyzxyz")), strict=True)
    assert _notes(loaded) == {"skipped": [("native", "torchinductor/a.so")]}


def test_what_is_left_out_of_a_damaged_block_is_named_by_its_first():
    """Its keys cannot be read, for whatever reason it was left out."""
    (group,) = encode(
        [NativeArtifact(f"torchinductor/{n}.so", b"xyz") for n in "ab"],
        {**MACHINE, "os": "darwin"},
    )
    data = _bundle(group)
    loaded = _load(_flipped(data, data.index(b"torchinductor/b")))
    (note,) = loaded.info.skipped
    assert (note.kind, note.key) == ("native", "torchinductor/a.so and 1 after it")
    assert note.reason.startswith("os: made for darwin, here is linux; ")
    assert "SHA-256" in note.reason


def test_no_block_of_a_stranger_is_read(monkeypatch):
    """A kilobyte may decode to gigabytes: who is not trusted does not decide it."""
    monkeypatch.setattr(Segment, "read_record_block", None)
    data = _bundle(_current(Plan("a", b"x"), Plan("b", b"y")), key=FOREIGN)
    loaded = _load(data)
    (note,) = loaded.info.refused
    assert (note.kind, note.key, note.artifacts) == ("acme/plan", "a", 2)
    assert "refused: 2 (signed by nobody" in str(loaded.info)


def test_a_refusal_is_told_once_for_all_segments_of_its_signer():
    """A file may list thousands; a log of as many lines would be read by nobody."""
    data = _bundle(_current(Plan("a", b"0")), key=FOREIGN)
    for n in range(1, 5):
        data = _appended(data, _current(Plan("a", b"%d" % n)), key=FOREIGN)
    data = _appended(data, _current(Plan("b", b"x")), key=None)
    data = _appended(data, _current(Plan("c", b"x")))
    loaded = _load(data)
    assert [plan.key for plan in loaded["acme/plan"]] == ["c"]
    foreign, unsigned = loaded.info.problems
    assert foreign.startswith("<bytes>, segments 0, 1, 2 and 2 more: signed by ")
    assert unsigned.startswith("<bytes>, segment 5: no valid signature")
    assert sum(note.artifacts for note in loaded.info.refused) == 6


def test_a_reason_that_many_artifacts_share_is_held_once():
    """A block may have a million rows, and its fault a kilobyte of text."""
    data = _bundle(_current(*(Plan(f"p{n}", b"x") for n in range(9))))
    damaged = bytearray(data)
    with Bundle(data) as bundle:
        (segment,) = bundle.segments
        place = segment.placement(1)
        damaged[segment.entry.offset + place.offset] ^= 1
    loaded = _load(bytes(damaged))
    assert len(loaded.info.quarantined) == 9
    assert len({id(note.reason) for note in loaded.info.quarantined}) == 1


# --- several segments -------------------------------------------------------


def test_an_artifact_that_two_segments_hold_comes_once():
    """Saves overlap; equal is equal, whoever saved it."""
    data = _bundle(_current(Plan("a", b"x"), Plan("b", b"y")))
    data = _appended(data, _current(Plan("b", b"y"), Plan("c", b"z")))
    data = _appended(data, records_of(2, key=["a"], program=[b"x"], median_ns=[None]))
    with Bundle(data) as bundle:
        assert len(bundle.segments) == 3
    loaded = _load(data)
    assert [plan.key for plan in loaded["acme/plan"]] == ["a", "b", "c"]


def test_everything_that_can_be_wrong_at_once_is_told_at_once():
    """One load, one report, and what is good is used."""
    # A save refuses such a key; a writer of somebody else's may not.
    both = CacheArtifactFactory.kind("acme/plan").columns(
        [Plan("good", b"x"), Plan("BAD", b"y")]
    )
    data = _bundle(
        attrs.evolve(_current(Plan("good", b"x")), columns=both),
        records_of(
            1, key=["old", "odd"], program=[b"1", b"2"], median_us=[1.0, math.inf]
        ),
        _later(4, notes=[{}]),
        *encode([NativeArtifact("torchinductor/a.so", b"n")], {"os": "darwin"}),
    )
    data = _appended(data, _current(Plan("foreign", b"z")), key=FOREIGN)
    loaded = _load(data)
    assert sorted(plan.key for plan in loaded["acme/plan"]) == ["good", "old"]
    assert _notes(loaded) == {
        "migrated": [("acme/plan", "old")],
        "opaque": [("acme/plan", "a")],
        "quarantined": [("acme/plan", "odd"), ("acme/plan", "BAD")],
        "skipped": [("native", "torchinductor/a.so")],
        "refused": [("acme/plan", "foreign")],
    }
    with pytest.raises(OverwinterError):
        _load(data, strict=True)
