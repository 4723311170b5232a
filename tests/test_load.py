"""Loading: verified, migrated, checked and staged before the first cache is touched."""

import hashlib
import io
import logging
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan, records_of, registered
from bundles import TORCH

from overwinter import Bundle, CacheArtifactFactory, load, save
from overwinter.bundle import Records, append_segment, verify, write_bundle
from overwinter.cache_directory import CacheDirectory, Staged
from overwinter.encode import encode
from overwinter.environment import capture
from overwinter.errors import (
    KeyGrammarError,
    KindCodeError,
    MigrationError,
    NotABundleError,
    NotFoundError,
    StoreError,
    TrustError,
)
from overwinter.kind import Kind
from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    FileArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
    PrecompileArtifact,
)
from overwinter.migration import Steps, migration, replace
from overwinter.sources import BytesSource
from overwinter.trust import SigningKey, own_key

# Torch's artifacts are populated nowhere unless they say which torch they are for.
pytestmark = pytest.mark.usefixtures("torch_said")

GRAPH = "f" + "a" * 51
RECORD = "2x/" + "c" * 52 + ".best_config"
FOREIGN = SigningKey(bytes(range(32)))
ARTIFACTS = [
    AOTAutogradArtifact("a" * 52, b"aot"),
    AutotuneArtifact.from_content(RECORD, b'{"XBLOCK": 8}'),
    FileArtifact("torchinductor/2x/unknown.bin", b"file"),
    InductorArtifact(GRAPH, b"graph"),
    NativeArtifact("torchinductor/2x/c.main.so", b"library"),
    PGOArtifact("job:0:", b"profile"),
    PrecompileArtifact("0" * 64, b"package"),
]


@pytest.fixture
def cache(home):
    """Return torch's cache directory, which is not there yet."""
    return home / "torchinductor"


@pytest.fixture
def path(tmp_path):
    """Return the path of a bundle of one artifact of each kind, saved here."""
    save(tmp_path / "model.owb", ARTIFACTS)
    return tmp_path / "model.owb"


def _bundle(*groups: Records, key: SigningKey | None = None) -> bytes:
    """Return a bundle signed by this machine unless told otherwise."""
    file = io.BytesIO()
    write_bundle(file, groups, writer="tests 1", key=key or own_key(), level=0)
    return file.getvalue()


def _unsigned(*groups: Records) -> bytes:
    file = io.BytesIO()
    write_bundle(file, groups, writer="tests 1", key=None, level=0)
    return file.getvalue()


def _appended(data: bytes, *groups: Records, key: SigningKey) -> bytes:
    file = io.BytesIO(data)
    file.seek(0, io.SEEK_END)
    append_segment(file, BytesSource(data), groups, key=key, level=0)
    return file.getvalue()


def _files(folder: Path) -> dict[str, str]:
    """Return every file below *folder*, staging included, with its digest."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- the whole way ----------------------------------------------------------


def test_what_was_saved_is_in_the_caches(path, cache):
    """Each artifact as the file that torch looks for, and nothing else."""
    info = load(path)
    wanted = {
        artifact.cache_entry().path: hashlib.sha256(artifact.content).hexdigest()
        for artifact in ARTIFACTS
    }
    assert _files(cache) == wanted
    assert info.artifacts == {each.type(): [each.key] for each in ARTIFACTS}
    assert info.n_bytes == sum(len(artifact.content) for artifact in ARTIFACTS)
    assert info.seconds > 0
    assert not info.problems


def test_bytes_are_loaded_like_a_file(path, cache):
    """Jobs get them from wherever they keep them."""
    info = load(path.read_bytes())
    assert len(info.artifacts) == len(ARTIFACTS)
    assert len(_files(cache)) == len(ARTIFACTS)


def test_a_second_load_changes_nothing(path, cache):
    """Not one byte, no time, no inode; no staging is left by either."""

    def states() -> dict[str, tuple[int, int]]:
        return {
            str(file): (file.stat().st_ino, file.stat().st_mtime_ns)
            for file in cache.rglob("*")
            if file.is_file()
        }

    load(path)
    before = states()
    info = load(path)
    assert states() == before
    assert len(info.present) == len(info.artifacts) == len(ARTIFACTS)
    assert not [name for name in os.listdir(cache) if name.startswith(".")]


def test_what_a_cache_holds_already_is_never_overwritten(path, cache):
    """It may be better than ours, and somebody may be reading it."""
    (cache / "2x").mkdir(parents=True)
    (cache / RECORD).write_bytes(b"tuned here")
    info = load(path)
    assert (cache / RECORD).read_bytes() == b"tuned here"
    assert [note.key for note in info.present] == [RECORD]


def test_a_load_goes_where_it_is_told(path, cache, tmp_path):
    """A framework may know better than its environment variables."""
    info = load(path, directories={"torchinductor": lambda: str(tmp_path / "other")})
    assert len(_files(tmp_path / "other")) == len(ARTIFACTS)
    assert not cache.exists()
    info = load(path, directories={})
    assert len(info.failed) == len(ARTIFACTS)


def test_artifacts_can_be_changed_before_they_are_staged(path, cache):
    """For a framework whose keys depend on the job."""

    def prepare(artifacts: list[Any]) -> list[Any]:
        return [each for each in artifacts if each.type() == "pgo"]

    info = load(path, prepare=prepare)
    assert info.artifacts == {"pgo": ["job:0:"]}
    assert list(_files(cache)) == ["dynamo/code_state_job_0_.pkl"]


@pytest.mark.parametrize("how", ["at once", "after the first"])
@pytest.mark.parametrize(
    "error", [MemoryError(), KeyError("x"), ExceptionGroup("many", [ValueError()])]
)
def test_a_framework_that_fails_to_prepare_costs_what_it_was_given(
    path, cache, error, how
):
    """Also where it raises several at once; in strict it is ours that leaves."""

    def prepare(artifacts: list[Any]) -> Any:
        if artifacts[0].type() == "pgo":
            if how == "at once":
                raise error
            return iter_and_raise()
        return artifacts

    def iter_and_raise() -> Any:
        yield ARTIFACTS[5]
        raise error

    info = load(path, prepare=prepare)
    (problem,) = info.problems
    assert problem.startswith("pgo: could not prepare 1 artifacts, from 'job:0:'")
    assert repr(error) in problem
    expected = {each.type() for each in ARTIFACTS}
    if how == "at once":
        expected.remove("pgo")
    assert set(info.artifacts) == expected
    with pytest.raises(KindCodeError, match="could not prepare 1 art") as caught:
        load(path, prepare=prepare, strict=True)
    assert caught.value.__cause__ is error


def test_dependencies_are_published_first(path, monkeypatch):
    """A process that compiles meanwhile finds no graph without its kernels."""
    published: list[str] = []
    publish = CacheDirectory.publish

    def noting(directory: CacheDirectory, staged: Staged, path: str) -> bool:
        parts = path.split("/")
        published.append(parts[-1] if "." in parts[-1] else parts[-3])
        return publish(directory, staged, path)

    monkeypatch.setattr(CacheDirectory, "publish", noting)
    load(path)
    native, tuned = published.index("c.main.so"), published.index(Path(RECORD).name)
    graph, aot = published.index(GRAPH[1:3]), published.index("aotautograd")
    assert max(native, tuned) < graph < aot
    assert len(published) == len(ARTIFACTS)


# --- a bundle that cannot be used -------------------------------------------


def _missing(path: Path) -> Any:
    return path.with_name("missing.owb")


def _not_a_bundle(path: Path) -> Any:
    path.write_bytes(b"not a bundle")
    return path


def _a_directory(path: Path) -> Any:
    return path.parent


def _foreign(path: Path) -> Any:
    return _bundle(*encode(ARTIFACTS, capture(TORCH)), key=FOREIGN)


def _not_signed(path: Path) -> Any:
    return _unsigned(*encode(ARTIFACTS, capture(TORCH)))


UNUSABLE = pytest.mark.parametrize(
    ("made", "error", "words"),
    [
        (_missing, NotFoundError, "no such file; check the path"),
        (_not_a_bundle, NotABundleError, "but a bundle starts with"),
        (_a_directory, StoreError, "it is not a regular file"),
        (_foreign, TrustError, "overwinter trust add key-"),
        (_not_signed, TrustError, "ask for a signed bundle, or save it again here"),
    ],
    ids=["missing", "not a bundle", "directory", "foreign", "unsigned"],
)


@UNUSABLE
def test_a_bundle_that_cannot_be_used_is_a_problem_and_populates_nothing(
    path, cache, caplog, made: Callable[[Path], Any], error, words
):
    """A miss never breaks a job; it is said once, with what would change it."""
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        info = load(made(path))
    assert not cache.exists()
    assert info.empty()
    (problem,) = info.problems
    assert words in problem
    assert [record.getMessage() for record in caplog.records] == [problem]


@UNUSABLE
def test_strict_raises_instead_of_reporting(path, cache, made, error, words):
    """And populates nothing either."""
    with pytest.raises(error, match=words):
        load(made(path), strict=True)
    assert not cache.exists()


def test_a_bundle_without_permission_is_a_problem(path, cache):
    """The path and the reason; the job goes on."""
    own_key()
    path.chmod(0)
    root = os.geteuid() == 0
    policy, environment = _policy(), capture(TORCH)
    if root:
        os.seteuid(65534)
    try:
        info = load(path, policy=policy, environment=environment)
        with pytest.raises(StoreError, match="could not open it: Permission denied"):
            load(path, policy=policy, environment=environment, strict=True)
    finally:
        if root:
            os.seteuid(0)
    assert "could not open it: Permission denied" in info.problems[0]
    assert not cache.exists()


def _policy() -> Any:
    from overwinter.trust import Policy

    return Policy.of_this_machine()


def test_a_machine_with_a_damaged_key_trusts_nobody(path, cache, home):
    """It cannot know its own segments; the job goes on cold."""
    (home / "data" / "overwinter" / "signing.key").write_text("damaged")
    info = load(path)
    assert "7 characters that are no signing key" in info.problems[0]
    assert not cache.exists()


def test_a_block_of_which_nothing_is_left_is_not_prepared(cache):
    """What is given no artifact has none to look at, and must not end the load."""
    (group,) = encode([InductorArtifact("f" + "a" * 51, b"x")], capture(TORCH))
    bad = attrs.evolve(group, columns={**group.columns, "key": ["no key of torch's"]})

    def prepare(artifacts: list[Any]) -> list[Any]:
        return [artifacts[0]]

    info = load(_bundle(bad), prepare=prepare)
    assert [note.key for note in info.quarantined] == ["no key of torch's"]
    assert not info.problems


@pytest.mark.parametrize("key", [FOREIGN, None], ids=["foreign", "unsigned"])
def test_a_refused_bundle_can_be_inspected_and_verified(key):
    """Reading is safe on anybody's bytes; only populating asks for trust."""
    groups = encode(ARTIFACTS, capture(TORCH))
    data = _bundle(*groups, key=key) if key else _unsigned(*groups)
    with Bundle(data) as bundle:
        assert list(verify(bundle)) == []
        assert bundle.segments[0].signers == ((key.public,) if key else ())
    info = load(data)
    assert {note.kind for note in info.refused} == {each.type() for each in ARTIFACTS}


def test_only_the_segments_that_we_trust_are_populated(cache):
    """A bundle that somebody else appended to."""
    (mine,) = encode([InductorArtifact(GRAPH, b"mine")], capture(TORCH))
    (theirs,) = encode([InductorArtifact(GRAPH, b"theirs")], capture(TORCH))
    info = load(_appended(_bundle(mine), theirs, key=FOREIGN))
    assert list(_files(cache).values()) == [hashlib.sha256(b"mine").hexdigest()]
    assert [note.kind for note in info.refused] == ["inductor"]


# --- hostile keys -----------------------------------------------------------

HOSTILE = [
    "../outside",
    "../../outside",
    "a/../../outside",
    "a/..",
    "..\\outside",
    "torchinductor/../outside",
    "x\0outside",
    "x\noutside",
    GRAPH + "\n",
    GRAPH + "/../../outside",
    "x" * 300,
]
# Names that a job may have: torch makes a safe file's name of them.
ODD = ["torchinductor//outside", "torchinductor/.overwinter-x/outside", "é/outside"]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda each: each.type())
def test_a_key_that_leads_outside_writes_nothing(artifact, cache, tmp_path):
    """Signed by ourselves, and refused all the same: nothing is written anywhere."""
    (group,) = encode([artifact], capture(TORCH))
    keys = [*HOSTILE, f"{tmp_path}/outside"]
    keys += [] if artifact.type() == "pgo" else ODD
    columns = {name: column * len(keys) for name, column in group.columns.items()}
    columns["key"] = keys
    hostile = Records(group.stamp, columns, group.payload_names, group.environment)
    data = _bundle(hostile, group)
    own_key()
    before = _files(tmp_path)
    info = load(data)
    written = _files(tmp_path).keys() - before.keys()
    entry = f"home/torchinductor/{artifact.cache_entry().path}"
    assert written == {entry}
    assert sorted(note.key for note in info.quarantined) == sorted(keys)
    assert info.artifacts == {artifact.type(): [artifact.key]}
    with pytest.raises(KeyGrammarError, match=f"^{artifact.type()}: key "):
        load(data, strict=True)


# --- the machine ------------------------------------------------------------


@pytest.mark.skipif("cpu_flags" not in capture(), reason="no instruction sets known")
def test_a_library_for_a_newer_cpu_is_not_populated(cache):
    """The flag that this CPU lacks is named; a library for this one is put there."""
    here = capture(TORCH)
    newer = {**here, "cpu_flags": sorted([*here["cpu_flags"], "avx99_quantum"])}
    data = _bundle(
        *encode([NativeArtifact("torchinductor/new.so", b"new")], newer),
        *encode([NativeArtifact("torchinductor/here.so", b"here")], here),
    )
    info = load(data)
    assert list(_files(cache)) == ["here.so"]
    (note,) = info.skipped
    assert note.key == "torchinductor/new.so"
    assert note.reason == "cpu_flags: needs avx99_quantum, which this machine lacks"


def test_an_environment_that_says_nothing_is_not_this_machines(cache):
    """An empty description is one: a library is safe nowhere in it."""
    (group,) = encode([NativeArtifact("torchinductor/a.so", b"x")], capture(TORCH))
    info = load(_bundle(group), environment={})
    assert not cache.exists()
    assert [note.key for note in info.skipped] == ["torchinductor/a.so"]


# --- migrations before caches -----------------------------------------------


@pytest.fixture
def acme(home, monkeypatch):
    """Have acme's kind registered, and return its cache directory."""
    monkeypatch.setenv("ACME_CACHE_DIR", str(home / "acme"))
    with registered(Plan):
        yield home / "acme"


def test_old_plans_are_put_into_a_cache_of_today(acme):
    """Verified, migrated, checked, staged, published."""
    data = _bundle(
        records_of(1, key=["a", "b"], program=[b"1", b"2"], median_us=[1.5, None])
    )
    info = load(data)
    assert info.acme_plan_artifacts == ["a", "b"]
    assert [note.key for note in info.migrated] == ["a", "b"]
    assert (acme / "plans" / "a").read_bytes() == b"1"


def test_every_migration_is_done_before_the_first_cache_is_touched(acme, cache):
    """Graphs stand in the bundle before the plans; none is in its place yet."""
    seen: list[list[str]] = []

    def up(us: float) -> int:
        published = [
            path
            for path in [*acme.rglob("*"), *cache.rglob("*")]
            if path.is_file() and ".overwinter-" not in str(path)
        ]
        seen.append([str(path) for path in published])
        return round(us * 1_000)

    kind = CacheArtifactFactory.kind("acme/plan")
    step = migration(
        "acme/plan", 1, 2, replace("median_us", "median_ns", up=up, down=float)
    )
    kind.steps = Steps("acme/plan", 3, {1: step, 2: kind.steps.plan(2).steps[0]})
    groups = [
        records_of(1, key=[f"old-{n}"], program=[b"1"], median_us=[1.0])
        for n in range(3)
    ]
    data = _bundle(*encode([Plan("a", b"x"), *ARTIFACTS], capture(TORCH)), groups[0])
    for group in groups[1:]:
        data = _appended(data, group, key=own_key())
    info = load(data, strict=True)
    assert seen == [[], [], []]
    assert sorted(info.acme_plan_artifacts) == ["a", "old-0", "old-1", "old-2"]
    assert len(_files(cache)) == len(ARTIFACTS)


def test_a_step_that_fails_costs_its_record_and_strict_the_load(acme):
    """In the report by kind and key; in strict nothing is populated."""
    nan = float("nan")
    data = _bundle(
        records_of(1, key=["a", "b"], program=[b"1", b"2"], median_us=[nan, 1.0])
    )
    with pytest.raises(MigrationError, match="acme/plan 1 -> 2: found ValueError"):
        load(data, strict=True)
    assert not acme.exists()
    info = load(data)
    assert list(_files(acme)) == ["plans/b"]
    assert [note.key for note in info.quarantined] == ["a"]


# --- interrupted ------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_load_that_is_interrupted_leaves_nothing(cache, tmp_path, error):
    """In the middle of the second block: staged files go, and none is published."""
    data = _bundle(*encode(ARTIFACTS, capture(TORCH)))
    calls = []

    def prepare(artifacts: list[Any]) -> list[Any]:
        calls.append(artifacts)
        if len(calls) == 3:
            raise error("stop")
        return artifacts

    with pytest.raises(error, match="stop"):
        load(data, prepare=prepare)
    assert _files(cache) == {}
    assert os.listdir(cache) == []


def test_a_damaged_artifact_is_quarantined_and_the_rest_is_populated(cache):
    """A flipped byte in one payload block of three costs one graph."""
    graphs = [InductorArtifact(GRAPH, bytes([n]) * 2**22) for n in range(3)]
    data = bytearray(_bundle(*encode(graphs, capture(TORCH))))
    data[data.index(b"\x01" * 64) + 1_000] ^= 1
    info = load(bytes(data))
    assert len(_files(cache)) == 2
    (note,) = info.quarantined
    assert (note.kind, note.key) == ("inductor", GRAPH)


def test_populating_is_as_private_as_the_process(path, cache):
    """Under a umask of 077 nobody else can read what torch would have hidden."""
    before = os.umask(0o077)
    try:
        load(path)
    finally:
        os.umask(before)
    for file in cache.rglob("*"):
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0


def test_the_kinds_of_the_fixture_are_all_that_are_built_in():
    """The tests above stand for every kind; a new one must join them."""
    populated = {
        name
        for name in CacheArtifactFactory.kinds()
        if CacheArtifactFactory.kind(name).cls.caches
    }
    populated.remove("triton")  # which is tried in its own tests
    assert {each.type() for each in ARTIFACTS} == populated
    assert Kind(Plan).name not in CacheArtifactFactory.kinds()
