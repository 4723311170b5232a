"""The manager: artifacts of a process in memory, with torch's names and meaning."""

import copy
import io
import pickle
import threading
from contextvars import copy_context
from typing import Any

import pytest
from acme.plans import Plan, registered

from overwinter import (
    Bundle,
    CacheArtifactFactory,
    CacheArtifactManager,
    default_manager,
)
from overwinter import manager as manager_module
from overwinter.errors import (
    FormatError,
    KindError,
    NotABundleError,
    NotFoundError,
    TrustError,
    WrongShapeError,
)
from overwinter.kinds import InductorArtifact
from overwinter.trust import Policy, SigningKey

# Torch's artifacts are populated nowhere unless they say which torch they are for.
pytestmark = pytest.mark.usefixtures("torch_said")

GRAPH, OTHER_GRAPH = "f" + "a" * 51, "f" + "b" * 51
RECORD = "2x/" + "c" * 52 + ".best_config"


@pytest.fixture
def manager():
    """Return a manager that holds nothing."""
    return CacheArtifactManager()


def _saved(manager: CacheArtifactManager) -> bytes:
    saved = manager.serialize()
    assert saved is not None
    return saved[0]


def _contents(data: bytes) -> dict[str, list[bytes]]:
    loaded = CacheArtifactManager.deserialize(data, strict=True)
    return {
        kind: sorted(artifact.content for artifact in artifacts)
        for kind, artifacts in loaded.items()
    }


# --- recording --------------------------------------------------------------


def test_what_is_recorded_is_saved_and_read_again(manager):
    """The whole life: record, serialize, deserialize."""
    manager.record_artifact("inductor", GRAPH, b"graph")
    manager.record_artifact("autotune", RECORD, {"XBLOCK": 8})
    data, info = manager.serialize()
    assert info.artifacts == {"autotune": [RECORD], "inductor": [GRAPH]}
    assert _contents(data) == {"autotune": [b'{"XBLOCK": 8}'], "inductor": [b"graph"]}


def test_recording_twice_changes_nothing(manager):
    """A cache hit records an entry again."""
    for _ in range(2):
        manager.record_artifact("inductor", GRAPH, b"graph")
        manager.record(InductorArtifact(GRAPH, b"graph"))
    assert len(manager) == 1
    manager.serialize()
    manager.record_artifact("inductor", GRAPH, b"graph")
    assert not manager.need_serialize()


def test_variants_of_one_key_are_recorded_side_by_side(manager):
    """One graph may have been compiled under several guards."""
    for content in (b"a", b"b"):
        manager.record_artifact("inductor", GRAPH, content)
    assert len(manager) == 2
    assert _contents(_saved(manager)) == {"inductor": [b"a", b"b"]}


def test_an_unknown_kind_is_refused_when_it_is_recorded(manager):
    """The caller is there to register it; at saving it would be too late."""
    with pytest.raises(KindError, match="kind 'acme/plan' is not registered"):
        manager.record_artifact("acme/plan", "a", b"x")
    with pytest.raises(KindError, match="kind 'acme/plan' is not registered"):
        manager.record(Plan("a", b"x"))
    assert len(manager) == 0


def test_a_value_that_does_not_fit_is_refused_when_it_is_recorded(manager):
    """One bad artifact must not cost a save all the others."""
    with pytest.raises(WrongShapeError, match="content: expected bytes, got str"):
        manager.record_artifact("inductor", GRAPH, "text")
    with pytest.raises(WrongShapeError, match=r"inductor\[0\]\.key: expected a key"):
        manager.record_artifact("inductor", "", b"graph")
    with pytest.raises(WrongShapeError, match=r"inductor\[0\]\.content: expected payl"):
        manager.record(InductorArtifact(GRAPH, None))  # type: ignore[arg-type]
    assert len(manager) == 0


def test_threads_that_record_at_once_lose_nothing(manager):
    """Compilation runs on many threads; each of them records."""
    start = threading.Barrier(8)

    def record(thread: int) -> None:
        start.wait()
        for number in range(50):
            manager.record_artifact("inductor", GRAPH, b"%d %d" % (thread, number))
            manager.record_artifact("inductor", GRAPH, b"shared %d" % number)
            manager.need_serialize()

    threads = [threading.Thread(target=record, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(manager) == 8 * 50 + 50


# --- serializing ------------------------------------------------------------


def test_nothing_recorded_is_nothing_saved(manager):
    """As torch says it: no bytes of an empty bundle."""
    assert manager.serialize() is None
    assert not manager.need_serialize()


def test_saving_twice_keeps_everything(manager):
    """Torch's second save loses, when it is loaded, what the first one had."""
    manager.record_artifact("inductor", GRAPH, b"first")
    first = _saved(manager)
    manager.record_artifact("inductor", OTHER_GRAPH, b"second")
    manager.record_artifact("pgo", "job:0:", b"profile")
    second = _saved(manager)
    assert _contents(first) == {"inductor": [b"first"]}
    assert _contents(second) == {"inductor": [b"first", b"second"], "pgo": [b"profile"]}


def test_saving_again_gives_the_same_bytes(manager):
    """Nothing of the clock, of chance or of the order of recording is in them."""
    entries = [(GRAPH, b"a"), (GRAPH, b"b"), (OTHER_GRAPH, b"c")]
    for key, content in entries:
        manager.record_artifact("inductor", key, content)
    turned = CacheArtifactManager()
    for key, content in reversed(entries):
        turned.record_artifact("inductor", key, content)
    assert _saved(manager) == _saved(manager) == _saved(turned)


def test_saving_is_needed_when_something_new_was_recorded(manager):
    """Since the last save, and not since the beginning."""
    assert not manager.need_serialize()
    manager.record_artifact("inductor", GRAPH, b"a")
    assert manager.need_serialize()
    manager.serialize()
    assert not manager.need_serialize()
    manager.record_artifact("inductor", GRAPH, b"b")
    assert manager.need_serialize()


def test_a_save_that_failed_is_still_needed(manager, monkeypatch):
    """What was never written is still to be written."""
    manager.record_artifact("inductor", GRAPH, b"a")
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "no key")
    with pytest.raises(TrustError, match="OVERWINTER_SIGNING_KEY"):
        manager.serialize()
    assert manager.need_serialize()
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY")
    assert _contents(_saved(manager)) == {"inductor": [b"a"]}


def test_what_is_recorded_during_a_save_is_for_the_next(manager, monkeypatch):
    """It is not in the bytes, so it is still needed; a clear is not undone."""
    manager.record_artifact("inductor", GRAPH, b"a")
    real = manager_module.save_to_bytes

    def slow(artifacts: Any, **options: Any) -> Any:
        manager.record_artifact("inductor", GRAPH, b"b")
        return real(artifacts, **options)

    with monkeypatch.context() as patch:
        patch.setattr(manager_module, "save_to_bytes", slow)
        manager.serialize()
    assert manager.need_serialize()

    def cleared(artifacts: Any, **options: Any) -> Any:
        manager.clear()
        return real(artifacts, **options)

    with monkeypatch.context() as patch:
        patch.setattr(manager_module, "save_to_bytes", cleared)
        manager.serialize()
    manager.record_artifact("inductor", GRAPH, b"c")
    assert manager.need_serialize()


def test_a_bundle_says_what_it_was_compiled_for(manager):
    """The caller's environment, also where it says nothing, and else this machine's."""
    manager.record_artifact("inductor", GRAPH, b"a")
    for environment in ({"torch_version": "2.13.0"}, {}):
        data, _ = manager.serialize(environment=environment)
        with Bundle(data) as bundle:
            assert bundle.segments[0].statement.environments == (environment,)
    with Bundle(_saved(manager)) as bundle:
        (found,) = bundle.segments[0].statement.environments
    assert "python_tag" in found


def test_clearing_forgets_what_was_recorded(manager):
    """And that it was ever saved."""
    manager.record_artifact("inductor", GRAPH, b"a")
    manager.serialize()
    manager.clear()
    assert manager.serialize() is None
    manager.record_artifact("inductor", GRAPH, b"a")
    assert manager.need_serialize()


# --- a fresh cache ----------------------------------------------------------


def test_a_fresh_cache_is_empty_and_goes_away(manager):
    """What is recorded inside is saved inside, and nowhere else."""
    manager.record_artifact("inductor", GRAPH, b"outside")
    manager.serialize()
    with manager.with_fresh_cache():
        assert len(manager) == 0
        assert manager.serialize() is None
        manager.record_artifact("inductor", GRAPH, b"inside")
        assert manager.need_serialize()
        assert _contents(_saved(manager)) == {"inductor": [b"inside"]}
    assert not manager.need_serialize()
    assert _contents(_saved(manager)) == {"inductor": [b"outside"]}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_old_cache_comes_back_after_an_exception(manager, error):
    """A test that fails inside must not take the process's artifacts along."""
    manager.record_artifact("inductor", GRAPH, b"outside")
    with pytest.raises(error, match="inside"), manager.with_fresh_cache():
        manager.record_artifact("inductor", GRAPH, b"inside")
        manager.clear()
        raise error("inside")
    assert _contents(_saved(manager)) == {"inductor": [b"outside"]}


def test_fresh_caches_nest(manager):
    """Each gives back what it found."""
    with manager.with_fresh_cache():
        manager.record_artifact("inductor", GRAPH, b"one")
        with manager.with_fresh_cache():
            manager.record_artifact("inductor", GRAPH, b"two")
            assert len(manager) == 1
        assert _contents(_saved(manager)) == {"inductor": [b"one"]}
    assert len(manager) == 0


# --- deserializing ----------------------------------------------------------


def test_what_is_loaded_says_what_became_of_the_rest(manager):
    """Artifacts by kind, as torch gives them, and a report beside them."""
    with registered(Plan):
        manager.record_artifact("acme/plan", "a", b"x")
        manager.record_artifact("inductor", GRAPH, b"a")
        data = _saved(manager)
    loaded = manager.deserialize(data)
    assert loaded == {"inductor": [InductorArtifact(GRAPH, b"a")]}
    assert loaded.info.artifacts == {"inductor": [GRAPH]}
    (note,) = loaded.info.opaque
    assert (note.kind, note.key) == ("acme/plan", "a")
    assert "kind 'acme/plan' is not registered" in note.reason


def test_loading_reads_a_path_too(manager, tmp_path):
    """Bytes as in torch, or the file that holds them."""
    manager.record_artifact("inductor", GRAPH, b"a")
    (tmp_path / "model.owb").write_bytes(_saved(manager))
    assert list(manager.deserialize(tmp_path / "model.owb")) == ["inductor"]


def test_loading_never_fails_as_a_whole(manager, tmp_path):
    """A job goes on cold; why is in the report."""
    loaded = manager.deserialize(b"not a bundle")
    assert loaded == {}
    assert "but a bundle starts with" in loaded.info.problems[0]
    loaded = manager.deserialize(tmp_path / "missing")
    assert "no such file" in loaded.info.problems[0]
    assert manager.populate_caches(loaded).problems == loaded.info.problems


def test_strict_loading_raises_what_would_be_reported(manager, tmp_path):
    """For those who would rather know than go on."""
    with pytest.raises(NotABundleError, match="but a bundle starts with"):
        manager.deserialize(b"not a bundle", strict=True)
    with pytest.raises(NotFoundError, match="no such file"):
        manager.deserialize(tmp_path / "missing", strict=True)
    manager.record_artifact("inductor", GRAPH, b"a")
    with pytest.raises(TrustError, match="signed by"):
        manager.deserialize(_saved(manager), policy=Policy([]), strict=True)


def test_one_damaged_artifact_does_not_cost_the_others(manager):
    """Torch's checksum covers everything, so one bit loses everything."""
    large = bytes(range(256)) * 2**14
    contents = [bytes([n]) + large for n in range(3)]
    for content in contents:
        manager.record_artifact("inductor", GRAPH, content)
    saved = _saved_stored(manager)
    at = saved.index(b"\x01" + large[:64])
    damaged = saved[: at + 9] + bytes([saved[at + 9] ^ 1]) + saved[at + 10 :]
    loaded = manager.deserialize(damaged)
    assert {each.content[0] for each in loaded["inductor"]} == {0, 2}
    (note,) = loaded.info.quarantined
    assert (note.kind, note.key) == ("inductor", GRAPH)
    assert "SHA-256" in note.reason
    with pytest.raises(FormatError, match="SHA-256"):
        manager.deserialize(damaged, strict=True)


def _saved_stored(manager: CacheArtifactManager) -> bytes:
    """Return what *manager* holds as a bundle without compression."""
    from overwinter.save import save_to_bytes

    saved = save_to_bytes(manager._artifacts.values(), level=0)
    assert saved is not None
    return saved[0]


def test_what_was_loaded_can_be_sent_on(manager):
    """One rank reads the bundle and sends the artifacts to its neighbours."""
    manager.record_artifact("inductor", GRAPH, b"a")
    loaded = manager.deserialize(_saved(manager))
    for again in (pickle.loads(pickle.dumps(loaded)), copy.deepcopy(loaded)):
        assert again == loaded
        assert again.info == loaded.info


# --- populating -------------------------------------------------------------


def test_what_was_loaded_is_put_into_the_caches(manager, home):
    """And counted as populated."""
    manager.record_artifact("autotune", RECORD, {"XBLOCK": 8})
    manager.record_artifact("inductor", GRAPH, b"graph")
    info = manager.populate_caches(manager.deserialize(_saved(manager)))
    assert (home / "torchinductor" / RECORD).read_bytes() == b'{"XBLOCK": 8}'
    assert info.artifacts == {"autotune": [RECORD], "inductor": [GRAPH]}
    assert info.n_bytes == len(b'{"XBLOCK": 8}') + len(b"graph")
    assert not info.failed


def test_populating_reports_what_loading_left_out(manager):
    """One report tells the whole story."""
    with registered(Plan):
        manager.record_artifact("acme/plan", "a", b"x")
        data = _saved(manager)
    loaded = manager.deserialize(data)
    info = manager.populate_caches(loaded)
    assert [note.key for note in info.opaque] == ["a"]
    assert info.empty()
    info.opaque.clear()
    assert loaded.info.opaque


def test_a_kind_of_a_third_party_is_put_into_its_own_cache(manager, home, monkeypatch):
    """Its class says where that is; nothing else needs to know."""
    monkeypatch.setenv("ACME_CACHE_DIR", str(home / "acme"))
    with registered(Plan):
        manager.record_artifact("acme/plan", "a", b"x")
        info = manager.populate_caches(manager.deserialize(_saved(manager)))
        assert info.acme_plan_artifacts == ["a"]
    assert (home / "acme" / "plans" / "a").read_bytes() == b"x"


def test_plain_artifacts_are_populated_as_well(manager, home):
    """A dict as torch has it, made by hand."""
    info = manager.populate_caches({"inductor": [InductorArtifact(GRAPH, b"graph")]})
    assert info.inductor_artifacts == [GRAPH]
    assert len([path for path in home.rglob("*") if path.is_file()]) == 1


def test_an_artifact_that_cannot_be_populated_is_reported(manager, home):
    """The others are; strict raises, and then none is."""
    artifacts = {
        "inductor": [
            InductorArtifact("../x", b"bad"),
            InductorArtifact(GRAPH, b"graph"),
        ]
    }
    info = manager.populate_caches(artifacts)
    assert [note.key for note in info.failed] == ["../x"]
    assert info.inductor_artifacts == [GRAPH]
    with pytest.raises(FormatError, match="leads out of the cache directory"):
        manager.populate_caches(artifacts, strict=True)


# --- the default manager ----------------------------------------------------


def test_a_process_has_one_manager_unless_told_otherwise():
    """Whoever asks gets the same one; a context may have its own."""
    assert default_manager() is default_manager()
    own = CacheArtifactManager()

    def inside() -> CacheArtifactManager:
        manager_module._default.set(own)
        return default_manager()

    assert copy_context().run(inside) is own
    assert default_manager() is not own


def test_another_thread_has_the_same_manager():
    """Compilation moves to helper threads, whose context is new."""
    found: list[CacheArtifactManager] = []
    thread = threading.Thread(target=lambda: found.append(default_manager()))
    thread.start()
    thread.join()
    assert found == [default_manager()]


def test_two_managers_share_nothing(manager):
    """Torch's are one class with global dictionaries."""
    manager.record_artifact("inductor", GRAPH, b"a")
    assert CacheArtifactManager().serialize() is None


def test_a_bundle_is_signed_by_this_machine_unless_told_otherwise(manager, monkeypatch):
    """So that the machine that saved can load."""
    manager.record_artifact("inductor", GRAPH, b"a")
    data = _saved(manager)
    key = SigningKey(bytes(32))
    assert manager.deserialize(data, policy=Policy([key.public])) == {}
    assert list(manager.deserialize(data)) == ["inductor"]
    with Bundle(io.BytesIO(data).getvalue()) as bundle:
        assert bundle.segments[0].signers == tuple(Policy.of_this_machine().trusted)


def test_every_registered_kind_can_be_recorded(manager):
    """By the values that its own cache records."""
    keys = {
        "aot_autograd": "a" * 52,
        "autotune": "ab/" + "c" * 51 + ".best_config",
        "factors": "inductor/f" + "a" * 51,
        "file": "jax/jit_step-0123-cache",
        "inductor": "f" + "a" * 51,
        "megacache": "precompile_dynamo/key",
        "native": "torchinductor/2x/c2xx.main.so",
        "pgo": "job:0:tag",
        "precompile": "0" * 64,
        "triton": f"triton/{'A' * 52}/k.cubin",
    }
    factors = b'{"digests": {"gm": "q"}, "texts": {}}'
    values = {"autotune": {"XBLOCK": 1}, "factors": factors}
    for kind in CacheArtifactFactory.kinds():
        value = values.get(kind, b"content")
        manager.record_artifact(kind, keys[kind], value)
    assert len(manager) == len(CacheArtifactFactory.kinds())
