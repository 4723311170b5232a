"""Upgrading: what is old becomes new, the rest is carried, and the plan says so."""

import contextlib
import io
import itertools
import json
import random
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan, records_of, registered
from bundles import appended, built, flipped, plans, regions
from test_golden import GOLDEN, POLICY, WRITE

from overwinter import (
    Bundle,
    CacheArtifact,
    CacheArtifactFactory,
    CacheArtifactManager,
)
from overwinter.bundle import KindStamp, Records, verify, write_bundle
from overwinter.codec import pack
from overwinter.encode import encode
from overwinter.errors import (
    ConflictError,
    FormatError,
    NotFoundError,
    OverwinterError,
    StoreError,
    UnknownFeatureError,
)
from overwinter.migration import Steps, migration, replace
from overwinter.schema import Payload
from overwinter.schema.released import parse_released, version_line
from overwinter.trust import Policy, SigningKey
from overwinter.upgrade import UpgradePlan, plan_upgrade, upgrade

KEY = WRITE["KEY"]
OTHER = SigningKey(bytes(32))
UPGRADER = SigningKey(bytes(range(1, 33)))


@pytest.fixture(autouse=True)
def acme():
    """Have acme's kind, whose records may be of three versions."""
    with registered(Plan):
        yield


def old(*keys: str, version: int = 1, **columns: list[Any]) -> Records:
    """Return records of an old version of acme's kind."""
    n = len(keys)
    times = {1: {"median_us": [1.5] * n}, 2: {"median_ns": [7] * n}}.get(version, {})
    programs = [f"program {key}".encode() for key in keys]
    return records_of(
        version, **{"key": list(keys), "program": programs, **times, **columns}
    )


def bundle_of(*groups: Records, key: SigningKey = KEY) -> bytes:
    """Return a bundle with a segment for each group."""
    data = built(groups[0], key=key, level=3)
    for group in groups[1:]:
        data = appended(data, group, key=key, level=3)
    return data


def upgraded(
    data: bytes | Path, out: Path, policy: Policy = POLICY
) -> tuple[bytes, UpgradePlan]:
    """Return a bundle after its upgrade, and what was said of that."""
    plan = upgrade(data, out, policy=policy, key=UPGRADER)
    return out.read_bytes(), plan


def loaded(data: bytes | Path, *keys: SigningKey) -> Any:
    """Return what a machine with these keys would populate, and the report."""
    policy = Policy([key.public for key in (keys or (KEY, UPGRADER))])
    environment = WRITE["ENVIRONMENT"]
    return CacheArtifactManager.deserialize(
        data, policy=policy, environment=environment
    )


def sorted_artifacts(found: Any) -> list[str]:
    """Return artifacts as text, in an order of their own."""
    return sorted(repr(attrs.asdict(each)) for kind in found.values() for each in kind)


# --- what becomes new -------------------------------------------------------


def test_old_records_are_new_afterwards_and_the_old_file_stays(tmp_path):
    """Loading the two gives the same artifacts; one of them migrates nothing."""
    path = tmp_path / "old.owb"
    path.write_bytes(bundle_of(old("a", "b"), old("c", version=2)))
    before = path.read_bytes()
    after, plan = upgraded(path, tmp_path / "new.owb")
    assert path.read_bytes() == before
    assert plan.migrated == 3
    assert sorted_artifacts(loaded(after)) == sorted_artifacts(loaded(before))
    assert len(loaded(before).info.migrated) == 3
    assert loaded(after).info.migrated == []
    assert list(verify(Bundle(after))) == []


@pytest.mark.parametrize(
    "release", sorted(p.parent.name for p in GOLDEN.glob("*/*.owb"))
)
def test_a_golden_bundle_is_upgraded(release, tmp_path):
    """What a release wrote, in today's versions, with nothing lost."""
    path = GOLDEN / release / "bundle.owb"
    after, plan = upgraded(path, tmp_path / "new.owb")
    assert plan.problems == ()
    assert sorted_artifacts(loaded(after)) == sorted_artifacts(loaded(path))
    assert loaded(after).info.migrated == []
    with Bundle(after) as bundle:
        assert list(verify(bundle)) == []


def test_what_is_new_is_signed_by_who_upgraded_and_the_rest_as_it_was(tmp_path):
    """Nobody signs for others."""
    current = encode([Plan("z", b"current")], {})[0]
    data = bundle_of(current, old("a"))
    after, plan = upgraded(data, tmp_path / "new.owb")
    with Bundle(data) as before, Bundle(after) as bundle:
        kept, made = bundle.segments
        assert kept.name == before.segments[0].name
        assert kept.signers == (KEY.public,)
        assert made.signers == (UPGRADER.public,)
        entry, was = kept.entry, before.segments[0].entry
        assert (
            after[entry.offset : entry.offset + entry.size]
            == data[was.offset : was.offset + was.size]
        )
    assert [each.action for each in plan.segments] == ["copy", "rewrite"]


def test_payloads_are_carried_as_they_are_stored(tmp_path, monkeypatch):
    """Neither decompressed nor hashed, however large they are."""
    data = bundle_of(old("a", "b", program=[bytes(5_000_000), b"x" * 3_000]))

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a payload block was read")

    with monkeypatch.context() as patch:
        patch.setattr("overwinter.bundle.reader.Segment.read_payload_blocks", refuse)
        after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 2
    assert [p.program for p in loaded(after)["acme/plan"]] == [
        bytes(5_000_000),
        b"x" * 3_000,
    ]


def test_a_kind_that_is_not_known_keeps_every_byte_and_its_stamp(tmp_path):
    """Beside records that are upgraded, in the same segment."""
    later = attrs.evolve(
        plans(("x", b"opaque"), ("y", b"too")).stamp, kind="acme/later"
    )
    unknown = attrs.evolve(plans(("x", b"opaque"), ("y", b"too")), stamp=later)
    file = io.BytesIO()
    write_bundle(file, [old("a"), unknown], writer="t", key=KEY)
    after, plan = upgraded(file.getvalue(), tmp_path / "new.owb")
    with Bundle(file.getvalue()) as before, Bundle(after) as bundle:
        was = next(b for b in before.segments[0].blocks if b.kind.kind == "acme/later")
        now = next(b for b in bundle.segments[0].blocks if b.kind.kind == "acme/later")
        assert now.kind == was.kind
        assert now.kind.schema == was.kind.schema
        assert attrs.evolve(now.stamp, kind=0) == attrs.evolve(was.stamp, kind=0)
        assert now.segment.read_record_block(
            now.number
        ) == was.segment.read_record_block(was.number)
        assert now.read().columns["content"] == [b"opaque", b"too"]
    (block,) = [b for b in plan.segments[0].blocks if b.kind == "acme/later"]
    assert "not registered" in block.reason


def test_a_version_that_is_later_than_ours_stays(tmp_path):
    """With the reason; its segment is copied."""
    stamp = attrs.evolve(old("a", version=2).stamp, version=9, oldest_reader=9)
    data = bundle_of(attrs.evolve(old("a", version=2), stamp=stamp))
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.segments[0].action == "copy"
    assert plan.segments[0].blocks[0].reason == (
        "version 9 is later than 3, the newest known here"
    )
    with Bundle(after) as bundle:
        assert bundle.segments[0].signers == (KEY.public,)


def test_a_field_that_a_later_version_added_travels(tmp_path):
    """A column that no schema of ours names is carried unread."""
    columns = {**old("a", "b").columns, "extra": [{"deep": [1]}, None]}
    records = attrs.evolve(old("a", "b"), columns=columns)
    after, _ = upgraded(bundle_of(records), tmp_path / "new.owb")
    with Bundle(after) as bundle:
        (block,) = bundle.segments[0].blocks
        assert block.kind.version == 3
        assert block.read_columns()[0]["extra"] == [{"deep": [1]}, None]


def test_two_segments_that_become_equal_are_one(tmp_path):
    """A segment is named by what it says."""
    one = old("a", version=1, median_us=[None])
    two = old("a", version=2, median_ns=[None])
    data = bundle_of(one, two)
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert len(plan.segments) == 2
    with Bundle(after) as bundle:
        assert len(bundle.segments) == 1
        assert list(verify(bundle)) == []


def test_upgrading_again_changes_nothing(tmp_path):
    """Byte for byte."""
    after, _ = upgraded(bundle_of(old("a"), old("b", version=2)), tmp_path / "1.owb")
    again, plan = upgraded(
        after, tmp_path / "2.owb", Policy([KEY.public, UPGRADER.public])
    )
    assert again == after
    assert plan.migrated == 0


# --- what stays -------------------------------------------------------------


def test_what_this_machine_does_not_trust_is_copied(tmp_path):
    """To sign what came out of it would be to trust it."""
    data = bundle_of(old("a"), key=OTHER)
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert [each.action for each in plan.segments] == ["copy"]
    assert "a key that this machine trusts" in plan.segments[0].reason
    assert plan.problems
    with Bundle(after) as bundle:
        assert bundle.segments[0].signers == (OTHER.public,)


def test_a_record_that_a_step_fails_on_stays_as_it_was(tmp_path):
    """Nothing is lost: a mended step may bring it over one day."""
    times = [1.0, float("inf"), 2.0, float("nan")]
    data = bundle_of(old("a", "b", "c", "d", median_us=times))
    after, plan = upgraded(data, tmp_path / "new.owb")
    (block,) = plan.segments[0].blocks
    assert [note.key for note in block.failed] == ["b", "d"]
    assert (
        "acme/plan 'b': acme/plan 1 -> 2: found OverflowError" in block.failed[0].reason
    )
    assert "median_us" in block.failed[0].reason
    assert block.migrated == 2
    with Bundle(after) as bundle:
        found = {
            (b.kind.version, key)
            for b in bundle.segments[0].blocks
            for key in b.read_columns()[0]["key"]
        }
        assert found == {(3, "a"), (3, "c"), (1, "b"), (1, "d")}
        assert list(verify(bundle)) == []
    assert sorted_artifacts(loaded(after)) == sorted_artifacts(loaded(data))


def test_a_step_that_reads_payloads_is_left_to_a_load(tmp_path):
    """An upgrade carries them unread, and says which step would need them."""
    kind = CacheArtifactFactory.kind("acme/plan")
    reads = migration("acme/plan", 2, 3, replace("program", "code", up=len, down=bytes))
    kind.steps = Steps("acme/plan", 3, {1: kind.steps._steps[1], 2: reads})
    _, plan = upgraded(bundle_of(old("a")), tmp_path / "new.owb")
    assert plan.segments[0].action == "copy"
    assert plan.segments[0].blocks[0].reason == (
        "a step reads or makes payloads (program), carried unread here"
    )


def test_a_statement_with_later_words_is_not_taken_apart(tmp_path):
    """Written again by us, it would lose them."""
    from overwinter.bundle import segment as module

    def with_more(statement: Any) -> bytes:
        plain = json.loads("{}")
        plain.update(original_plain(statement))
        return pack({**plain, "more": "than we know"})

    def original_plain(statement: Any) -> dict[str, Any]:
        from overwinter.codec import unpack

        found: dict[str, Any] = unpack(original(statement), "", "")
        return found

    original = module.Statement.pack
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Statement, "pack", with_more)
        data = bundle_of(old("a"))
    _, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.segments[0].action == "copy"
    assert plan.segments[0].reason == "its statement says more than this release knows"


def test_a_file_that_asks_more_of_writers_is_not_written_again(tmp_path):
    """Unknown features may say what a copy must not lose."""
    from overwinter.bundle import prefix as module

    data = bundle_of(old("a"))
    header = module.Header("t", write_requires=("an index",))
    start = Bundle(data).start
    moved = module.write_prefix(header) + data[start:]
    shift = len(module.write_prefix(header)) - start
    with Bundle(data) as bundle:
        from overwinter.bundle.trailer import SegmentEntry, write_trailer

        entries = [
            SegmentEntry(s.entry.offset + shift, s.entry.size, s.entry.digest)
            for s in bundle.segments
        ]
        end = bundle.trailer.offset + shift
    moved = moved[:end] + write_trailer(entries, end)
    with pytest.raises(UnknownFeatureError, match="an index"):
        upgrade(moved, tmp_path / "new.owb", policy=POLICY)
    assert not (tmp_path / "new.owb").exists()


# --- payloads that go -------------------------------------------------------


@attrs.frozen
class _Two(CacheArtifact):
    schema_package = "two_payloads"
    migrations_package = "two_payloads"
    key: str
    second: Payload

    @staticmethod
    def type() -> str:
        return "acme/two"

    @classmethod
    def check_key(cls, key: str) -> None:
        pass


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Have a kind whose second version drops the first of two payloads."""
    folder = tmp_path / "lib" / "two_payloads" / "acme" / "two"
    folder.mkdir(parents=True)
    for parent in (folder, folder.parent, folder.parent.parent):
        (parent / "__init__.py").touch()
    key = {"id": 1, "name": "key", "type": "str"}
    first = {"id": 2, "name": "first", "type": "payload"}
    second = {"id": 3, "name": "second", "type": "payload"}
    for version, fields in ((1, [key, first, second]), (2, [key, second])):
        schema: dict[str, Any] = {
            "kind": "acme/two",
            "version": version,
            "cardinality": "one",
            "fields": fields,
        }
        if version == 2:
            schema["reserved"] = {"ids": [2], "names": ["first"]}
        (folder / f"v{version}.json").write_text(json.dumps(schema), encoding="utf-8")
    step = (
        "from overwinter.migration import drop, migration\n"
        'STEP = migration("acme/two", 1, 2, drop("first", loss="it"))\n'
    )
    (folder / "v1_to_v2.py").write_text(step, encoding="utf-8")
    lines = ""
    for version in (1, 2):
        content = (folder / f"v{version}.json").read_bytes()
        sealed = step.encode() if version > 1 else None
        released = parse_released(lines, "")
        lines += version_line(released, "acme/two", version, content, sealed)
    (folder.parent.parent / "RELEASED").write_text(lines, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    with registered(_Two, Plan, without=("acme/plan",)):
        yield


def test_payloads_that_are_dropped_are_gone_and_the_rest_is_found(two, tmp_path):
    """Blocks behind theirs get other numbers, in opaque records too."""
    kind = CacheArtifactFactory.kind("acme/two")
    schema = kind.schemas[1]
    stamp = KindStamp("acme/two", 1, schema.fingerprint, 1, schema.as_plain())
    # Large ones get blocks of their own, a small one shares that of its neighbours.
    rows = {
        "key": ["a", "b", "c"],
        "first": [bytes([1]) * 5_000_000, b"", b"one" * 50],
        "second": [bytes([2]) * 5_000_000, b"two" * 50, b""],
    }
    unknown = attrs.evolve(plans(("x", b"opaque" * 9)).stamp, kind="acme/zzz")
    opaque = attrs.evolve(plans(("x", b"opaque" * 9)), stamp=unknown)
    file = io.BytesIO()
    mine = Records(stamp, rows, schema.payload_names)
    write_bundle(file, [mine, opaque], writer="t", key=KEY, level=0)
    data = file.getvalue()
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 3
    assert len(after) < len(data) - 4_000_000
    with Bundle(after) as bundle:
        assert list(verify(bundle)) == []
        (zzz,) = [b for b in bundle.segments[0].blocks if b.kind.kind == "acme/zzz"]
        assert zzz.read().columns["content"] == [b"opaque" * 9]
    found = loaded(after)["acme/two"]
    assert [each.second for each in found] == rows["second"]


# --- what a step must not do to what is carried -----------------------------


def write_kind(folder: Path, schemas: list[list[Any]], steps: list[str]) -> None:
    """Write and release a kind's versions; ``acme/two`` in the package."""
    where = folder / "acme" / "two"
    where.mkdir(parents=True)
    for parent in (where, where.parent, folder):
        (parent / "__init__.py").touch()
    lines = ""
    for version, fields in enumerate(schemas, 1):
        schema = {
            "kind": "acme/two",
            "version": version,
            "cardinality": "one",
            "fields": fields,
        }
        content = json.dumps(schema).encode()
        (where / f"v{version}.json").write_bytes(content)
        step = None
        if version > 1:
            step = (
                "from overwinter.migration import *\n"
                f'STEP = migration("acme/two", {version - 1}, {version}, '
                f"{steps[version - 2]})\n"
            ).encode()
            (where / f"v{version - 1}_to_v{version}.py").write_bytes(step)
        released = parse_released(lines, "")
        lines += version_line(released, "acme/two", version, content, step)
    (folder / "RELEASED").write_text(lines, encoding="utf-8")


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Return what makes a kind of two versions, and a bundle of its first."""

    def make(
        before: list[Any], after: list[Any], step: str, fields: Any, **columns: Any
    ) -> bytes:
        # A name that no other test has imported.
        name = f"other_{next(numbers)}"
        write_kind(tmp_path / name, [[KEY_FIELD, *before], [KEY_FIELD, *after]], [step])
        monkeypatch.syspath_prepend(tmp_path)
        defaults = {
            each["name"]: each["default"] for each in after if "default" in each
        }
        body = {
            field: attrs.field(type=kind, default=defaults.get(field, attrs.NOTHING))
            for field, kind in {"key": str, **fields}.items()
        }
        cls: Any = attrs.make_class("Other", body, (CacheArtifact,), frozen=True)
        cls.schema_package = cls.migrations_package = name
        cls.type = staticmethod(lambda: "acme/two")
        cls.check_key = classmethod(lambda cls, key: None)
        stack.enter_context(registered(cls, without=("acme/plan",)))
        schema = CacheArtifactFactory.kind("acme/two").schemas[1]
        stamp = KindStamp("acme/two", 1, schema.fingerprint, 1, schema.as_plain())
        return built(Records(stamp, columns, schema.payload_names), key=KEY)

    with contextlib.ExitStack() as stack:
        yield make


numbers = itertools.count()
KEY_FIELD = {"id": 1, "name": "key", "type": "str"}
PROGRAM = {"id": 2, "name": "program", "type": "payload"}


def test_a_payload_is_not_read_under_another_name_either(other, tmp_path):
    """What stands for it must never be taken for its bytes."""
    size = {"id": 3, "name": "size", "type": "i64"}
    data = other(
        [PROGRAM],
        [size],
        'rename("program", "code"), replace("code", "size", up=len, loss="it")',
        {"size": int},
        key=["a"],
        program=[bytes(1_000)],
    )
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 0
    assert "reads or makes payloads" in plan.segments[0].blocks[0].reason
    assert [each.size for each in loaded(after)["acme/two"]] == [1_000]


@pytest.mark.parametrize(
    "step",
    [
        'replace("note", "blob", up=str.encode, down=bytes.decode)',
        'custom(lambda r: {**r, "blob": r["note"].encode()}, removes=["note"], '
        'adds=["blob"], loss="it")',
    ],
    ids=["replace", "custom"],
)
def test_a_payload_that_a_step_makes_is_left_to_a_load(step, other, tmp_path):
    """Its bytes must never be taken for a reference to others."""
    note = {"id": 3, "name": "note", "type": "str"}
    blob = {"id": 4, "name": "blob", "type": {"optional": "payload"}, "default": None}
    data = other(
        [PROGRAM, note],
        [PROGRAM, blob],
        step,
        {"program": Payload, "blob": Payload | None},
        key=["a"],
        program=[b"SECRET"],
        note=["\0\5"],
    )
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 0
    assert "reads or makes payloads" in plan.segments[0].blocks[0].reason
    assert [each.blob for each in loaded(after)["acme/two"]] == [b"\0\5"]


def test_a_payload_that_is_added_empty_is_upgraded(other, tmp_path):
    """There is nothing to store."""
    blob = {"id": 4, "name": "blob", "type": {"optional": "payload"}, "default": None}
    data = other(
        [PROGRAM],
        [PROGRAM, blob],
        'add("blob", default=None)',
        {"program": Payload, "blob": Payload | None},
        key=["a"],
        program=[b"x" * 99],
    )
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 1
    (found,) = loaded(after)["acme/two"]
    assert (found.program, found.blob) == (b"x" * 99, None)


def test_a_step_that_changes_values_in_place_changes_them_once(other, tmp_path):
    """Also where it is tried again for the sake of a record that it fails on."""
    tags = {"id": 3, "name": "tags", "type": {"list": "str"}}
    data = other(
        [tags],
        [tags],
        'convert("tags", up=lambda v: v.append("new") or [1 // (len(v[0]) - 1), v][1], '
        'loss="it")',
        {"tags": list[str]},
        key=[str(n) for n in range(8)],
        tags=[["x" if n == 5 else "xx"] for n in range(8)],
    )
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert [note.key for note in plan.segments[0].blocks[0].failed] == ["5"]
    found = loaded(after)["acme/two"]
    assert [each.tags for each in found] == [["xx", "new"]] * 7
    with Bundle(after) as bundle:
        (left,) = [b for b in bundle.segments[0].blocks if b.kind.version == 1]
        assert left.read().columns["tags"] == [["x"]]


def test_a_record_that_failed_comes_over_once_its_step_is_mended(tmp_path):
    """It stands beside others of the newest version by then."""
    data = bundle_of(old("a", "b", median_us=[1.0, float("inf")]))
    after, _ = upgraded(data, tmp_path / "1.owb")
    kind = CacheArtifactFactory.kind("acme/plan")
    mended = migration(
        "acme/plan", 1, 2,
        replace("median_us", "median_ns", up=lambda us: round(min(us, 9e9)), loss="x"),
    )  # fmt: skip
    kind.steps = Steps("acme/plan", 3, {1: mended, 2: kind.steps._steps[2]})
    both = Policy([KEY.public, UPGRADER.public])
    again, plan = upgraded(after, tmp_path / "2.owb", both)
    assert plan.migrated == 1
    assert sorted(p.key for p in loaded(again)["acme/plan"]) == ["a", "b"]
    assert list(verify(Bundle(again))) == []


def test_blocks_that_grow_are_cut(other, tmp_path):
    """A reader accepts no more than the writer writes."""
    note = {"id": 3, "name": "note", "type": "str"}
    more = {"id": 4, "name": "more", "type": "str", "default": "d" * 40_000}
    data = other(
        [note],
        [note, more],
        'add("more", default="d" * 40_000)',
        {"note": str, "more": str},
        key=[f"{n:04}" for n in range(2_000)],
        note=["n"] * 2_000,
    )
    after, plan = upgraded(data, tmp_path / "new.owb")
    assert plan.migrated == 2_000
    with Bundle(after) as bundle:
        assert len(list(bundle.segments[0].blocks)) > 1
        assert list(verify(bundle)) == []


def test_a_kind_whose_newest_version_is_a_draft_is_not_upgraded(tmp_path):
    """What every release reads would become what no promise holds for."""
    kind = CacheArtifactFactory.kind("acme/plan")
    kind.stamp = attrs.evolve(kind.stamp, draft=True)
    _, plan = upgraded(bundle_of(old("a")), tmp_path / "new.owb")
    assert plan.migrated == 0
    assert "is a draft" in plan.segments[0].blocks[0].reason


def test_of_two_segments_of_one_name_both_stay_unless_they_are_equal(tmp_path):
    """A name says what was signed: not by whom, and not that its blocks are whole."""
    one = bundle_of(old("a"))
    new, _ = upgraded(one, tmp_path / "1.owb")
    # The upgraded segment, damaged in a block, before the sound old one.
    with Bundle(new) as made, Bundle(one) as before:
        first, second = made.segments[0].entry, before.segments[0].entry
        damaged = bytearray(new[first.offset : first.offset + first.size])
        damaged[0] ^= 1
        start = before.start
    from overwinter.bundle.trailer import SegmentEntry, write_trailer

    middle = start + len(damaged)
    end = middle + second.size
    both = one[:start] + bytes(damaged)
    both += one[second.offset : second.offset + second.size]
    both += write_trailer(
        [
            SegmentEntry(start, len(damaged), first.digest),
            SegmentEntry(middle, second.size, second.digest),
        ],
        end,
    )
    trusted = Policy([KEY.public, UPGRADER.public])
    after, _ = upgraded(both, tmp_path / "2.owb", trusted)
    assert [plan.key for plan in loaded(both)["acme/plan"]] == ["a"]
    assert [plan.key for plan in loaded(after)["acme/plan"]] == ["a"]


@pytest.mark.parametrize("what", ["no payload column", "a table of no such block"])
def test_a_block_that_is_signed_and_wrong_stays(what, tmp_path, monkeypatch):
    """Only errors of our own leave the library, also on what we trust."""
    from overwinter.bundle import segment_writer as writer

    original = writer.write_record_block

    def wrong(columns: Any, table: Any) -> bytes:
        held = columns.items_unread()
        if what == "no payload column":
            held.pop("program")
        else:
            table = attrs.evolve(table, blocks=tuple(n + 7 for n in table.blocks))
        return original(columns.replaced(held), table)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_record_block", wrong)
        data = bundle_of(old("a"))
    assert check_plan(data, tmp_path / "new.owb") == "problems"


def test_a_block_that_lists_what_is_not_there_stays_beside_what_moves(
    tmp_path, monkeypatch
):
    """It is carried as it is, and so is every payload block: some may be its own."""
    from overwinter.bundle import segment_writer as writer

    original = writer.write_record_block

    def wrong(columns: Any, table: Any) -> bytes:
        if "content" in columns:
            table = attrs.evolve(table, blocks=tuple(n + 7 for n in table.blocks))
        return original(columns, table)

    group = plans(("x", b"opaque"))
    earlier = attrs.evolve(group.stamp, kind="acme/earlier")
    file = io.BytesIO()
    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_record_block", wrong)
        unknown = attrs.evolve(group, stamp=earlier)
        write_bundle(file, [unknown, old("a")], writer="t", key=KEY, level=0)
    after, _ = upgraded(file.getvalue(), tmp_path / "new.owb")
    assert b"opaque" in after
    (segment,) = Bundle(after).segments
    kept, _ = segment.blocks
    assert kept.read_columns()[1].blocks == (7,)


# --- the plan is what happens -----------------------------------------------


def described(plan: UpgradePlan) -> list[tuple[str, int, int]]:
    """Return kind, version and number of records that a plan says there will be."""
    found: list[tuple[str, int, int]] = []
    for segment in plan.segments:
        for block in segment.blocks:
            found.append((block.kind, block.becomes, block.rows - len(block.failed)))
            found.append((block.kind, block.version, len(block.failed)))
    return sorted(each for each in found if each[2])


def observed(data: bytes) -> list[tuple[str, int, int]]:
    """Return kind, version and number of records that a bundle has."""
    with Bundle(data) as bundle:
        return sorted(
            (block.kind.kind, block.kind.version, block.stamp.rows)
            for segment in bundle.segments
            for block in segment.blocks
        )


def check_plan(data: bytes, out: Path, *, with_load: bool = True) -> str:
    """Hold what the plan says against what happens; return how it ended."""
    try:
        planned = plan_upgrade(data, policy=POLICY)
    except OverwinterError as error:
        with pytest.raises(type(error)):
            upgrade(data, out, policy=POLICY, key=UPGRADER)
        assert not out.exists()
        return type(error).__name__
    out.unlink(missing_ok=True)
    done = upgrade(data, out, policy=POLICY, key=UPGRADER)
    assert done.as_dict() == planned.as_dict()
    after = out.read_bytes()
    # Two that become equal are one; a damaged bundle has no such two here.
    assert observed(after) == described(planned)
    if with_load:
        assert sorted_artifacts(loaded(after)) == sorted_artifacts(loaded(data))
    out.unlink()
    return "problems" if planned.problems else "sound"


def sources() -> dict[str, bytes]:
    """Return the bundles that are damaged below."""
    found = {path.parent.name: path.read_bytes() for path in GOLDEN.glob("*/*.owb")}
    times = [1.0, float("inf")]
    with registered(Plan):
        found["acme"] = bundle_of(old("a", "b", median_us=times), old("c", version=2))
    return found


def test_what_the_plan_says_is_what_happens(tmp_path):
    """Over every golden bundle, and one with a record that a step fails on."""
    ends = {n: check_plan(d, tmp_path / "new.owb") for n, d in sources().items()}
    assert ends.pop("acme") == "problems"
    assert set(ends.values()) == {"sound"}


@pytest.mark.parametrize("name", sorted(sources()))
def test_what_the_plan_says_is_what_happens_to_damaged_bundles(name, tmp_path):
    """Thousands of them: a flipped bit anywhere, and a cut anywhere."""
    data = sources()[name]
    rng = random.Random(name)
    parts = [where for where in regions(data).values() if len(where)]
    ends: dict[str, int] = {}
    for number in range(1_200):
        where = rng.choice(parts)
        position = rng.randrange(where.start, where.stop)
        damaged = (
            data[:position] if number % 5 == 0 else flipped(data, position, number % 8)
        )
        # Megabytes of payloads, twice: not every time.
        with_load = len(data) < 10_000 or number % 20 == 0
        end = check_plan(damaged, tmp_path / "new.owb", with_load=with_load)
        ends[end] = ends.get(end, 0) + 1
    assert sum(ends.values()) == 1_200
    # Each of the three outcomes of damage was among them.
    assert {"problems", "sound"} <= ends.keys()
    assert len(ends) > 3


# --- files ------------------------------------------------------------------


def test_nothing_that_is_there_is_written_over(tmp_path):
    """Also not the bundle itself."""
    path = tmp_path / "old.owb"
    path.write_bytes(bundle_of(old("a")))
    before = path.read_bytes()
    with pytest.raises(ConflictError, match="found something there already"):
        upgrade(path, path, policy=POLICY, key=UPGRADER)
    assert path.read_bytes() == before
    assert list(tmp_path.glob("*.owb")) == [path]


def test_a_file_that_is_not_there_or_no_bundle_is_named(tmp_path):
    """And nothing is made."""
    with pytest.raises(NotFoundError):
        upgrade(tmp_path / "none.owb", tmp_path / "new.owb")
    (tmp_path / "empty.owb").touch()
    with pytest.raises(FormatError):
        upgrade(tmp_path / "empty.owb", tmp_path / "new.owb")
    assert not (tmp_path / "new.owb").exists()


def test_an_upgrade_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    """The old bundle is whole, and no half of a new one stands beside it."""
    path = tmp_path / "old.owb"
    path.write_bytes(bundle_of(old("a")))

    def full(*arguments: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("overwinter.upgrade.copy_bytes", full)
    monkeypatch.setattr("overwinter.bundle.rewriting.write_all", full)
    with pytest.raises(StoreError, match="No space left"):
        upgrade(path, tmp_path / "new.owb", policy=POLICY, key=UPGRADER)
    assert [each.name for each in tmp_path.glob("*") if each.is_file()] == ["old.owb"]
