"""Artifacts and the factory of their kinds, under the names of torch's own module."""

import hashlib
import itertools
import json
import math
import os
from collections import defaultdict
from typing import Any, ClassVar

import attrs
import pytest
from acme.plans import Plan, registered

from overwinter import CacheArtifact, CacheArtifactFactory, CacheEntry
from overwinter.codec import pack
from overwinter.errors import (
    DriftError,
    KeyGrammarError,
    KindError,
    MigrationError,
    StoreError,
    WrongShapeError,
)
from overwinter.kinds import AutotuneArtifact, InductorArtifact, NativeArtifact
from overwinter.schema import InvalidSchemaError, Payload

GRAPH = "f" + "a" * 51


@pytest.fixture
def acme(home, monkeypatch):
    """Have acme's kind registered, and return its cache directory."""
    monkeypatch.setenv("ACME_CACHE_DIR", str(home / "acme"))
    with registered(Plan):
        yield home / "acme"


# --- what a kind has --------------------------------------------------------


def test_an_artifact_has_the_names_of_torchs():
    """Who knows torch's module knows this one."""
    for name in ("type", "encode", "populate_cache"):
        assert callable(getattr(CacheArtifact, name))
    artifact = InductorArtifact(GRAPH, b"content")
    assert (artifact.key, artifact.content) == (GRAPH, b"content")


def test_a_kind_says_what_only_it_can_know():
    """Its name, its keys and its place; forgetting one is told in words."""

    @attrs.frozen
    class Nothing(CacheArtifact):
        key: str

    artifact = Nothing("a")
    for words, use in {
        "a kind names itself": artifact.type,
        "a kind knows its keys": lambda: artifact.check_key("a"),
        "a kind knows its cache": artifact.cache_entry,
        "a kind has a content": lambda: artifact.content,
    }.items():
        with pytest.raises(NotImplementedError, match=words):
            use()


def test_an_artifact_is_a_frozen_value():
    """Two entries of the same fields are one artifact, and nobody changes one."""
    artifact = InductorArtifact(GRAPH, b"content")
    assert artifact == InductorArtifact(GRAPH, b"content")
    assert len({artifact, InductorArtifact(GRAPH, b"content")}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        artifact.key = "other"  # type: ignore[misc]
    assert not hasattr(artifact, "__dict__")


def test_bytes_are_encoded_as_they_are():
    """As torch does; anything else was meant for another kind."""
    assert CacheArtifact.encode(b"\x80") == b"\x80"
    with pytest.raises(WrongShapeError, match="content: expected bytes, got dict"):
        CacheArtifact.encode({})


# --- populate_cache ---------------------------------------------------------


def test_an_artifact_puts_itself_into_its_cache(acme):
    """Alone, under the path of its entry, in a directory that need not be there."""
    Plan("a", b"program").populate_cache()
    assert (acme / "plans" / "a").read_bytes() == b"program"
    assert [path.name for path in (acme / "plans").iterdir()] == ["a"]


def test_a_cache_that_an_artifact_makes_is_no_secret(acme):
    """Its directories are as open as the framework would have made them."""
    before = os.umask(0o022)
    try:
        Plan("a", b"program").populate_cache()
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (acme, acme / "plans")] == [
        0o755,
        0o755,
    ]


def test_an_artifact_leaves_what_its_cache_holds(acme):
    """Somebody may be reading it."""
    Plan("a", b"first").populate_cache()
    Plan("a", b"second").populate_cache()
    assert (acme / "plans" / "a").read_bytes() == b"first"


def test_a_built_in_artifact_puts_itself_into_torchs_cache(home):
    """With the bits that its entry asks for."""
    NativeArtifact("torchinductor/2x/c.main.so", b"code").populate_cache()
    file = home / "torchinductor" / "2x" / "c.main.so"
    assert file.read_bytes() == b"code"
    assert file.stat().st_mode & 0o700 == 0o700


def test_an_artifact_with_a_bad_key_is_put_nowhere(home):
    """The key is a path inside the framework; ours asks first."""
    with pytest.raises(KeyGrammarError, match="leads out of the cache directory"):
        NativeArtifact("torchinductor/../x", b"code").populate_cache()
    assert list(home.iterdir()) == []


def test_an_artifact_of_a_cache_that_is_nowhere_is_an_error():
    """A native file may be of a framework that this process does not use."""
    words = "triton: could not find this cache's directory: its kind does not say"
    with pytest.raises(StoreError, match=words):
        NativeArtifact("triton/x", b"code").populate_cache()


# --- the factory ------------------------------------------------------------


def test_a_kind_is_registered_by_a_decorator():
    """The class comes back as it was, and its kind is known by name."""
    before = CacheArtifactFactory.kinds()
    with registered():
        assert CacheArtifactFactory.register(Plan) is Plan
        assert CacheArtifactFactory.kind("acme/plan").cls is Plan
        assert CacheArtifactFactory.kinds() == tuple(sorted([*before, "acme/plan"]))


def test_registering_a_class_again_changes_nothing(acme):
    """A module may be found by two ways, an import and a pack."""
    before = CacheArtifactFactory.kind("acme/plan")
    CacheArtifactFactory.register(Plan)
    assert CacheArtifactFactory.kind("acme/plan") is before


def test_a_name_is_registered_once(acme):
    """Two classes of one kind would read each other's bytes."""

    @attrs.frozen
    class Other(Plan):
        pass

    words = (
        r"kind 'acme/plan' is registered already, by Plan of acme; give the kind of "
        r".*Other of test_artifact another name"
    )
    with pytest.raises(KindError, match=words):
        CacheArtifactFactory.register(Other)
    assert CacheArtifactFactory.kind("acme/plan").cls is Plan


def test_a_kind_that_is_not_registered_is_named():
    """With those that are, and what to do."""
    words = (
        "kind 'acme/tile' is not registered; registered are aot_autograd, autotune, "
        "factors, file, inductor, megacache, native, pgo, precompile, triton; register "
        "its class"
    )
    for use in (
        lambda: CacheArtifactFactory.kind("acme/tile"),
        lambda: CacheArtifactFactory.create("acme/tile", "a", b""),
        lambda: CacheArtifactFactory.encode_create("acme/tile", "a", b""),
    ):
        with pytest.raises(KindError, match=words):
            use()


def test_an_artifact_is_created_of_a_cache_entry(acme):
    """By the kind's own reading of its bytes."""
    assert CacheArtifactFactory.create("inductor", GRAPH, b"x") == InductorArtifact(
        GRAPH, b"x"
    )
    assert CacheArtifactFactory.create("acme/plan", "a", b"x") == Plan("a", b"x")


def test_an_artifact_is_created_of_a_value(acme):
    """Torch records autotune's JSON value, and the bytes of every other kind."""
    artifact = CacheArtifactFactory.encode_create("autotune", "a", {"XBLOCK": 1})
    assert artifact == AutotuneArtifact("a", {"XBLOCK": 1}, order=("XBLOCK",))
    with pytest.raises(WrongShapeError, match="content: expected bytes, got str"):
        CacheArtifactFactory.encode_create("acme/plan", "a", "x")


def test_a_class_that_drifted_is_not_registered(acme):
    """And the registered kinds stay what they were."""
    before = CacheArtifactFactory.kinds()

    @attrs.frozen
    class Drifted(CacheArtifact):
        schema_package = "acme.schema"
        migrations_package = "acme.migrations"

        key: str
        program: Payload
        median_ns: int | None = None
        device: str = "unset"

        @staticmethod
        def type() -> str:
            return "acme/plan"

    with registered(), pytest.raises(DriftError) as caught:
        CacheArtifactFactory.register(Drifted)
    assert caught.value.faults == (
        "add     tiles: list<i64> = []",
        "change  device: str = 'unset'  to  device: str = 'unknown'",
    )
    assert caught.value.file == "acme.schema/acme/plan/v3.json"
    assert CacheArtifactFactory.kinds() == before


def _another(kind: str, **attributes: Any) -> type[CacheArtifact]:
    body = {"type": staticmethod(lambda: kind), "__slots__": (), **attributes}
    return attrs.frozen(type("Another", (Plan,), body))


def test_a_class_without_a_schema_is_not_registered():
    """The schema comes first."""
    words = "acme/tile: folder: found nothing"
    with registered(), pytest.raises(InvalidSchemaError, match=words):
        CacheArtifactFactory.register(_another("acme/tile"))


def test_a_class_without_its_migrations_is_not_registered():
    """Old bundles would otherwise be found unreadable by their users."""
    cls = _another("acme/plan", migrations_package="overwinter_migrations")
    words = "acme/plan: acme/plan 1 -> 2: found no step, expected one; mend the step"
    with registered(), pytest.raises(MigrationError, match=words):
        CacheArtifactFactory.register(cls)


def test_a_kind_knows_every_version_of_its_schema(acme):
    """The oldest as well: bundles of every release are read."""
    kind = CacheArtifactFactory.kind("acme/plan")
    assert [kind.schemas[n].version for n in range(1, len(kind.schemas) + 1)] == [
        1,
        2,
        3,
    ]
    assert kind.schema is kind.schemas[3]


def test_a_stamp_says_who_can_read_what_is_written(acme):
    """Version, fingerprint, the computed oldest reader, and the schema itself."""
    kind = CacheArtifactFactory.kind("acme/plan")
    stamp = kind.stamp
    assert (stamp.kind, stamp.version, stamp.oldest_reader) == ("acme/plan", 3, 2)
    assert stamp.fingerprint == kind.schema.fingerprint
    assert stamp.schema == kind.schema.as_plain()
    json.dumps(stamp.schema)


# --- columns ----------------------------------------------------------------


def test_artifacts_become_columns_of_plain_values(acme):
    """In the order of the fields; a tuple is a list on the wire."""
    kind = CacheArtifactFactory.kind("acme/plan")
    columns = kind.columns([Plan("a", b"x", tiles=(1, 2)), Plan("b", b"y", 3)])
    assert columns == {
        "key": ["a", "b"],
        "program": [b"x", b"y"],
        "median_ns": [None, 3],
        "device": ["unknown", "unknown"],
        "tiles": [[1, 2], []],
    }


def test_columns_become_the_artifacts_they_were(acme):
    """Inverse functions, types included."""
    kind = CacheArtifactFactory.kind("acme/plan")
    plans = [Plan("a", b"x", tiles=(1, 2)), Plan("b", b"y", 3, "gpu")]
    assert kind.build(kind.columns(plans)) == plans
    assert kind.build(kind.columns([])) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": 3}, "key: expected str, got int 3"),
        ({"key": ""}, "key: expected a key, got an empty string"),
        ({"program": "text"}, "program: expected payload, got str 'text'"),
        ({"program": None}, "program: expected payload, got null"),
        ({"median_ns": "3"}, "median_ns: expected i64, got str '3'"),
        (
            {"median_ns": 2**63},
            r"median_ns: expected i64 from .*, got 9223372036854775808",
        ),
        ({"device": None}, "device: expected str, got null"),
        ({"tiles": "12"}, "tiles: expected list<i64>, got str '12'"),
        ({"tiles": None}, "tiles: expected list<i64>, got NoneType None"),
        ({"tiles": 5}, "tiles: expected list<i64>, got int 5"),
        ({"tiles": (1, "2")}, r"tiles\[1\]: expected i64, got str '2'"),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_and_not_coerced(acme, change, words):
    """The program that made it is to be mended, so it is told where."""
    kind = CacheArtifactFactory.kind("acme/plan")
    good = Plan("a", b"x")
    bad = attrs.evolve(good, **change)
    words = rf"^saving acme/plan: acme/plan\[1\]\.{words}; mend the program"
    with pytest.raises(WrongShapeError, match=words):
        kind.columns([good, bad])


def test_an_error_lists_twenty_faults(acme):
    """A thousand bad artifacts are one mistake of one program."""
    kind = CacheArtifactFactory.kind("acme/plan")
    plans = [Plan("a", b"x")] * 19
    bad = [Plan("", "x", "3") for _ in range(1_000)]  # type: ignore[arg-type]
    with pytest.raises(WrongShapeError) as caught:
        kind.columns([*plans, *bad])
    assert len(caught.value.faults) == 20


# --- identity and winners ---------------------------------------------------


def test_the_digest_is_that_of_the_record_with_its_payload_named(acme):
    """As FORMAT.md, "Artifact digest", says."""
    kind = CacheArtifactFactory.kind("acme/plan")
    record = {
        "key": "a",
        "program": hashlib.sha256(b"x").digest(),
        "median_ns": None,
        "device": "unknown",
        "tiles": [1],
    }
    wanted = hashlib.sha256(pack(record)).digest()
    assert kind.digest(Plan("a", b"x", tiles=(1,))) == wanted
    assert kind.digest(Plan("a", b"y", tiles=(1,))) != wanted


def _winners(*artifacts: CacheArtifact) -> list[Any]:
    kind = CacheArtifactFactory.kind(artifacts[0].type())
    return kind.build(kind.winning_columns(artifacts))


def test_different_keys_all_stay(acme):
    """In the order in which they came; the writer sorts."""
    plans = [Plan(key, b"x") for key in "cab"]
    assert _winners(*plans) == plans


def test_of_one_key_the_preferred_artifact_stays_alone(acme):
    """Where a cache has one place for a key; here the faster plan."""
    slow, fast, unknown = Plan("a", b"x", 9), Plan("a", b"y", 3), Plan("a", b"z")
    assert _winners(slow, unknown, fast) == [fast]
    assert _winners(unknown, slow) == [slow]


def test_variants_of_one_key_all_stay(acme):
    """Guard variants of a graph share its key; equal ones are one."""
    a, b = InductorArtifact(GRAPH, b"a"), InductorArtifact(GRAPH, b"b")
    found = _winners(a, b, a, InductorArtifact(GRAPH, b"a"))
    assert sorted(found, key=lambda each: each.content) == [a, b]


def test_the_winner_does_not_depend_on_the_order(acme):
    """Every machine that merges the same artifacts keeps the same ones."""
    plans = [
        Plan("a", b"x", 3),
        Plan("a", b"y", 3),
        Plan("a", b"x", 3, "gpu"),
        Plan("a", b"z"),
    ]
    found = [_winners(*turned) for turned in itertools.permutations(plans)]
    assert all(each == found[0] for each in found)
    assert found[0][0].median_ns == 3
    graphs = [InductorArtifact(GRAPH, content) for content in (b"a", b"b", b"c")]
    kept = {tuple(_winners(*turned)) for turned in itertools.permutations(graphs)}
    assert len(kept) == 1


def test_artifacts_of_one_record_are_one_though_python_tells_them_apart():
    """A NaN is not equal to itself, and a list is no tuple; the bytes are the same."""
    key = "ab/" + "c" * 51 + ".best_config"
    one = AutotuneArtifact(key, {"x": math.nan}, order=("x",))
    two = AutotuneArtifact(key, {"x": float("nan")}, order=["x"])  # type: ignore[arg-type]
    assert one != two
    assert len(_winners(one, two)) == 1


def test_artifacts_of_one_key_that_do_not_fit_are_refused_in_words():
    """Before they are compared: what cannot be written has no digest."""
    bad = [AutotuneArtifact("a", {"x": each}) for each in ({1}, {2})]
    with pytest.raises(WrongShapeError, match=r"autotune\[0\]\.config\.x: expected a"):
        _winners(*bad)


def test_only_variants_of_one_key_are_hashed(acme, monkeypatch):
    """Hashing every payload would cost a save as much as writing it."""
    hashed: defaultdict[str, int] = defaultdict(int)
    kind = CacheArtifactFactory.kind("acme/plan")
    digest = kind.digest

    def counting(artifact: CacheArtifact) -> bytes:
        hashed[artifact.key] += 1
        return digest(artifact)

    monkeypatch.setattr(kind, "digest", counting)
    kind.winning_columns([Plan("a", b"1"), Plan("b", b"2"), Plan("b", b"3")])
    assert hashed == {"b": 2}


def test_an_entry_shows_no_content():
    """Megabytes of machine code do not belong into a log."""
    entry = CacheEntry("torchinductor", "a/b", b"x" * 10**6)
    assert repr(entry) == (
        "CacheEntry(cache='torchinductor', path='a/b', mode=420, order=0)"
    )


def test_a_kind_may_have_no_rules_caches_or_order():
    """What a kind does not say does not matter to it."""

    class Plain(CacheArtifact):
        names: ClassVar[list[str]] = []

    assert Plain.environment_rules == {}
    assert Plain.caches == {}
    assert Plain.populate_after == ()
