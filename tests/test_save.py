"""Saving: whole files, nothing lost, and the same bytes from the same input."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from acme.plans import Plan, registered
from bundles import TORCH

from overwinter import Bundle, CacheArtifactManager, load, save
from overwinter.bundle import verify, write_bundle
from overwinter.bundle.prefix import Header
from overwinter.encode import encode
from overwinter.errors import (
    FormatError,
    KindError,
    NotABundleError,
    NotFoundError,
    NoTrailerError,
    StoreError,
    TrustError,
    UnknownFeatureError,
    WrongShapeError,
)
from overwinter.kinds import (
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
    PrecompileArtifact,
)
from overwinter.repack import repack
from overwinter.save import save_to_bytes
from overwinter.trust import Policy, SigningKey, editing, own_key
from overwinter.trust.editing import Subject

ENVIRONMENT = {"os": "linux", **TORCH}
RECORD = "2x/" + "c" * 52 + ".best_config"
KEYS = ["f" + letter * 51 for letter in "abc"]
ONE, TWO, THREE = (InductorArtifact(key, key[:2].encode()) for key in KEYS)


def _held(path: Path) -> list[str]:
    """Return the keys that the bundle at *path* gives back, sorted."""
    loaded = CacheArtifactManager.deserialize(
        path, environment=ENVIRONMENT, strict=True
    )
    return sorted(artifact.key for group in loaded.values() for artifact in group)


def _save(path: Path, *artifacts: Any, **options: Any) -> Any:
    return save(path, artifacts, environment=ENVIRONMENT, **options)


@pytest.fixture
def path(tmp_path):
    """Return where the bundle is saved, in a folder of its own."""
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder / "model.owb"


# --- saving -----------------------------------------------------------------


def test_a_new_bundle_holds_what_was_saved(path):
    """One segment, sound, signed by this machine; nothing is left beside it."""
    _save(path, ONE, TWO)
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []
        assert [segment.signers for segment in bundle.segments] == [(own_key().public,)]
    assert _held(path) == KEYS[:2]
    assert os.listdir(path.parent) == ["model.owb"]


def test_a_save_reports_what_it_wrote(path):
    """Kinds, keys and bytes; nothing became of anything else."""
    info = _save(path, ONE, TWO, PGOArtifact("job:0:", b"profile"))
    assert info.artifacts == {"inductor": KEYS[:2], "pgo": ["job:0:"]}
    assert info.n_bytes == 2 + 2 + len(b"profile")
    assert info.seconds > 0
    assert not info.problems


def test_saving_again_keeps_what_was_there(path):
    """A run sees only what it compiled; a bundle must not shrink to that."""
    _save(path, ONE)
    _save(path, TWO, THREE)
    assert _held(path) == KEYS
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []
        assert len(bundle.segments) == 2


def test_saving_the_same_again_leaves_the_file_as_it_is(path):
    """A job that restarts every hour does not grow its bundle every hour."""
    _save(path, ONE, TWO)
    before = path.read_bytes()
    info = _save(path, TWO, ONE)
    assert path.read_bytes() == before
    assert sorted(info.inductor_artifacts) == KEYS[:2]


def test_replacing_writes_a_new_bundle(path):
    """When asked to, and only then."""
    _save(path, ONE)
    _save(path, TWO, replace=True)
    assert _held(path) == KEYS[1:2]
    _save(path.with_name("new.owb"), ONE, replace=True)
    assert _held(path.with_name("new.owb")) == KEYS[:1]


def test_nothing_to_save_writes_nothing(path):
    """No empty bundle appears, and one that is there stays, replaced or not."""
    assert _save(path).empty()
    assert not path.exists()
    _save(path, ONE)
    before = path.read_bytes()
    assert _save(path, replace=True).empty()
    assert path.read_bytes() == before
    assert save_to_bytes([]) is None


def test_bytes_are_what_the_file_would_be(path):
    """The two ways of saving differ in nothing."""
    _save(path, ONE, TWO)
    data, info = save_to_bytes([ONE, TWO], environment=ENVIRONMENT)
    assert data == path.read_bytes()
    assert info.artifacts == {"inductor": KEYS[:2]}


def test_a_save_may_store_without_compression(path):
    """Level 0: the bytes of a payload stand in the file as they are."""
    content = b"compressible " * 100
    _save(path, InductorArtifact(KEYS[0], content), level=0)
    assert content in path.read_bytes()
    _save(path, InductorArtifact(KEYS[0], content), replace=True)
    assert content not in path.read_bytes()


def test_a_save_may_be_signed_by_another_key(path):
    """For one who signs on one machine for many."""
    key = SigningKey(bytes(32))
    _save(path, ONE, key=key)
    with Bundle(path) as bundle:
        assert bundle.segments[0].signers == (key.public,)


# --- one place for a key ----------------------------------------------------


def _loaded(path: Path, cache: Path) -> dict[str, bytes]:
    """Return the files of a cache that a load of the bundle at *path* fills."""
    directories = {"torchinductor": lambda: str(cache)}
    load(path, environment=ENVIRONMENT, directories=directories, strict=True)
    return {each.name: each.read_bytes() for each in cache.rglob("*.*")}


STATES = [b"learned %d" % number for number in range(5)]


@pytest.mark.parametrize("order", ["01234", "43210", "010", "0110", "20102"])
def test_what_a_job_learned_last_is_what_its_next_start_finds(path, order):
    """Torch writes a code state over the one before; a bundle must not go back."""
    for number in order:
        _save(path, PGOArtifact("job:0:", STATES[int(number)]))
    latest = {"code_state_job_0_.pkl": STATES[int(order[-1])]}
    assert _loaded(path, path.parent / "cache") == latest
    repack(path, path.with_name("repacked"))
    assert _loaded(path.with_name("repacked"), path.parent / "again") == latest


def test_of_one_save_the_last_state_of_a_job_is_written(path):
    """Whoever lists what was recorded lists the newest last."""
    for order in ((0, 1, 2), (2, 1, 0), (0, 1, 0)):
        states = [PGOArtifact("job:0:", STATES[number]) for number in order]
        (group,) = encode(states, {})
        assert group.columns["content"] == [STATES[order[-1]]]


def test_of_two_packages_for_one_function_the_one_saved_last_is_loaded(path):
    """A process that found one and compiled more writes both in its place."""
    for content in (b"one shape", b"two shapes", b"three", b"four"):
        _save(path, PrecompileArtifact("0" * 64, content))
        cache = path.parent / content.decode()
        load(
            path,
            environment=ENVIRONMENT,
            directories={"torchinductor": lambda cache=cache: str(cache)},
        )
        (entry,) = cache.rglob("entry")
        assert entry.read_bytes() == content


# --- equal bytes ------------------------------------------------------------


def test_equal_input_gives_equal_bytes_on_every_hash_seed(tmp_path):
    """In whatever order the artifacts come."""
    code = """
        import sys
        from overwinter.kinds import AutotuneArtifact, InductorArtifact
        from overwinter.save import save_to_bytes
        from overwinter.trust import SigningKey
        keys = {"f" + letter * 51 for letter in "abcdefgh"}
        artifacts = [InductorArtifact(key, key.encode()) for key in keys]
        artifacts += [
            AutotuneArtifact(
                f"ab/{key}.best_config", {name: 1 for name in {"X", "Y", "Z", "Q"}}
            )
            for key in keys
        ]
        environment = {name: name for name in {"os", "libc", "torch_key"}}
        key = SigningKey(bytes(32))
        data, _ = save_to_bytes(artifacts, environment=environment, key=key)
        sys.stdout.buffer.write(data)
    """
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in range(4)
    }
    assert len(found) == 1


# --- what is refused --------------------------------------------------------


def test_a_file_that_is_no_bundle_is_left_alone(path):
    """A mistyped path must not cost anybody a file."""
    for content in (b"", b"model weights", b"\0" * 100):
        path.write_bytes(content)
        with pytest.raises(NotABundleError, match="but a bundle starts with"):
            _save(path, ONE)
        assert path.read_bytes() == content


def test_a_bundle_that_was_cut_to_nothing_useful_is_left_alone(path):
    """Somebody may have a copy of its other half."""
    _save(path, ONE)
    with Bundle(path) as bundle:
        cut = path.read_bytes()[: bundle.start + 10]
    path.write_bytes(cut)
    with pytest.raises(NoTrailerError, match="trailer: found none"):
        _save(path, TWO)
    assert path.read_bytes() == cut


def test_a_save_behind_a_torn_append_keeps_what_was_whole(path):
    """A crash in the last save costs that save, and no other."""
    _save(path, ONE)
    whole = path.read_bytes()
    _save(path, TWO)
    torn = path.read_bytes()[:-200]
    assert torn.startswith(whole)
    path.write_bytes(torn)
    _save(path, THREE)
    assert _held(path) == [KEYS[0], KEYS[2]]
    assert path.read_bytes().startswith(torn)


def test_a_bundle_that_asks_for_more_than_we_know_is_left_alone(path, monkeypatch):
    """A later release may need something from whoever appends."""
    header = Header("later", write_requires=("an index",))
    with monkeypatch.context() as patch, path.open("wb") as file:
        patch.setattr("overwinter.bundle.writer.Header", lambda writer: header)
        write_bundle(file, encode([ONE], {}), writer="later", key=own_key())
    before = path.read_bytes()
    with pytest.raises(UnknownFeatureError, match=r"to append to it, .* know an index"):
        _save(path, TWO)
    assert path.read_bytes() == before


def test_an_artifact_that_does_not_fit_writes_nothing(path):
    """All are checked before the first byte, so nothing is half."""
    bad = AutotuneArtifact("a", {"x": {1, 2}})
    for artifacts in ([ONE, bad], [bad, bad], [ONE, Plan("a", b"x")]):
        with pytest.raises((WrongShapeError, KindError), match=r"autotune|acme/plan"):
            _save(path, *artifacts)
    assert not path.exists()


@pytest.mark.parametrize(
    "value",
    [{1}, (1,), "\ud800", {"\ud800": 1}, ["\ud800"], 2**64, [[2**64]], {1: 2}, object],
    ids=ascii,
)
def test_a_value_that_cannot_be_written_is_refused_in_words(path, value):
    """Whatever encoding would stumble over, validation has seen."""
    with pytest.raises(WrongShapeError, match=r"autotune\[0\]\.config\.?"):
        _save(path, AutotuneArtifact("a", {"x": value}))


def test_a_kind_that_is_not_registered_is_not_saved(path):
    """Without its schema nobody could say what was written."""
    with pytest.raises(KindError, match="kind 'acme/plan' is not registered"):
        _save(path, Plan("a", b"x"))


def test_a_folder_that_is_not_there_is_named(path):
    """Making it might put a bundle where nobody looks for it."""
    with pytest.raises(NotFoundError, match=r"/missing/model\.owb: could not write it"):
        _save(path.parent / "missing" / "model.owb", ONE)


def test_a_folder_is_no_bundle(path):
    """The path was meant to have a file's name behind it."""
    with pytest.raises(StoreError, match="folder: could not append to it: Is a direct"):
        _save(path.parent, ONE)


def test_without_a_key_nothing_is_written(path, monkeypatch):
    """An unsigned bundle would be of no use to anybody."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "no key")
    with pytest.raises(TrustError, match="OVERWINTER_SIGNING_KEY"):
        _save(path, ONE)
    assert os.listdir(path.parent) == []


# --- two at once ------------------------------------------------------------

_SAVER = """
    import json, os, sys
    from overwinter import save
    from overwinter.kinds import InductorArtifact
    path, me, times = sys.argv[1], sys.argv[2], int(sys.argv[3])
    artifact = InductorArtifact("f" + me * 51, me.encode())
    said = json.loads(sys.argv[4])
    save(path + ".warm", [artifact], environment=said)
    open(f"{path}.ready-{me}", "w").close()
    while not os.path.exists(path + ".go"):
        pass
    for number in range(times):
        artifact = InductorArtifact("f" + me * 50 + chr(97 + number), me.encode())
        save(path, [artifact], environment=said)
"""


@pytest.mark.parametrize("times", [1, 12])
def test_processes_that_save_at_once_lose_nothing(path, times):
    """Ranks end together; the first of them makes the file, the others append."""
    saver = [sys.executable, "-c", textwrap.dedent(_SAVER), str(path)]
    said = json.dumps(ENVIRONMENT)
    savers = [subprocess.Popen([*saver, me, str(times), said]) for me in "abc"]
    while len(list(path.parent.glob("*.ready-*"))) < len(savers):
        assert all(saver.poll() is None for saver in savers)
    path.with_name(path.name + ".go").touch()
    assert [saver.wait(timeout=60) for saver in savers] == [0] * len(savers)
    loaded = CacheArtifactManager.deserialize(
        path, environment=ENVIRONMENT, strict=True
    )
    found = sorted(each.key[1] + each.key[-1] for each in loaded["inductor"])
    assert found == sorted(me + chr(97 + n) for me in "abc" for n in range(times))
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []


_RANK = """
    import json, os, sys
    from overwinter import save
    from overwinter.kinds import InductorArtifact
    from overwinter.trust import SigningKey
    path, rank, said = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
    def graph(number):
        key = "f" + "k" * 49 + chr(97 + number // 26) + chr(97 + number % 26)
        return InductorArtifact(key, bytes((number * at) % 251 for at in range(5000)))
    artifacts = [*map(graph, range(20)), graph(20 + rank)]
    open(f"{path}.ready-{rank}", "w").close()
    while not os.path.exists(path + ".go"):
        pass
    save(path, artifacts, environment=said, key=SigningKey(bytes(32)), level=0)
"""


def test_ranks_that_save_at_once_write_what_they_share_once(path):
    """Each decides under the lock, so that one of them writes it and the others see."""
    ranks = 8
    rank = [sys.executable, "-c", textwrap.dedent(_RANK), str(path)]
    said = json.dumps(ENVIRONMENT)
    processes = [subprocess.Popen([*rank, str(n), said]) for n in range(ranks)]
    while len(list(path.parent.glob("*.ready-*"))) < ranks:
        assert all(each.poll() is None for each in processes)
    path.with_name(path.name + ".go").touch()
    assert [each.wait(timeout=60) for each in processes] == [0] * ranks
    content = (20 + ranks) * 5000
    assert os.path.getsize(path) <= 1.1 * content + ranks * 2_000
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []
        assert [
            sum(block.stamp.rows for block in segment.blocks)
            for segment in bundle.segments
        ] == [21, *[1] * (ranks - 1)]
        assert len(bundle.keys()["inductor"]) == 20 + ranks


def test_a_bundle_that_appears_during_a_first_save_is_appended_to(path, monkeypatch):
    """Whoever finishes second finds a file that was not there when he began."""
    started = []

    def slow(*arguments: Any, **options: Any) -> Any:
        if not started:
            started.append(True)
            _save(path, ONE)
        return write_bundle(*arguments, **options)

    # The package's own ``save`` is the function.
    monkeypatch.setattr(sys.modules["overwinter.save"], "write_bundle", slow)
    _save(path, TWO)
    assert _held(path) == KEYS[:2]


# --- records ----------------------------------------------------------------


def test_records_are_grouped_by_kind_with_what_matters_to_them():
    """An environment stands with the kinds that ask for one, and only with those."""
    with registered(Plan):
        groups = encode([ONE, Plan("a", b"x"), TWO], ENVIRONMENT)
    found = {group.stamp.kind: group for group in groups}
    assert found["inductor"].environment == ENVIRONMENT
    assert found["inductor"].columns["key"] == KEYS[:2]
    assert found["inductor"].payload_names == {"content"}
    assert found["acme/plan"].environment is None
    assert found["acme/plan"].stamp.version == 3


def test_one_place_gets_one_artifact():
    """Of two compiled files for one path, the same one is saved everywhere."""
    artifacts = [NativeArtifact("torchinductor/a/b.so", each) for each in (b"1", b"2")]
    (forth,) = encode(artifacts, {})
    (back,) = encode(reversed(artifacts), {})
    assert forth.columns == back.columns
    assert len(forth.columns["key"]) == 1


def test_a_save_tells_what_no_machine_will_populate(path):
    """At once, where the facts can still be had, and what gives them."""
    manager = CacheArtifactManager()
    for kind, key in (("autotune", RECORD), ("inductor", KEYS[0])):
        manager.record_artifact(kind, key, b"x" if kind == "inductor" else {})
    _, info = manager.serialize()
    (problem,) = info.problems
    assert problem.startswith(
        "inductor: saved without torch_version, torch_key, vector_isa, so that no "
        "machine will populate them; "
    )
    _, info = manager.serialize(environment=ENVIRONMENT)
    assert info.problems == []


def test_what_is_saved_here_is_loaded_here(path):
    """Without any argument; but what nobody says of a torch stays unknown."""
    with registered(Plan):
        save(path, [Plan("a", b"x"), ONE])
        loaded = CacheArtifactManager.deserialize(path)
    assert loaded == {"acme/plan": [Plan("a", b"x")]}
    assert [note.kind for note in loaded.info.skipped] == ["inductor"]
    with Bundle(path) as bundle:
        (environment,) = bundle.segments[0].statement.environments
    assert environment["python_tag"] == sys.implementation.cache_tag


def test_damage_that_a_save_finds_is_told_to_its_caller(path):
    """A save reads what it appends to, and does not go on over a flipped header."""
    _save(path, ONE)
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="header: found CRC-32"):
        _save(path, TWO)
    assert path.read_bytes() == bytes(data)


def test_a_policy_decides_about_what_is_loaded_not_saved(path):
    """A bundle may hold segments of several signers."""
    _save(path, ONE, key=SigningKey(bytes(32)))
    _save(path, TWO)
    assert Policy.of_this_machine().keys == {own_key().public}
    loaded = CacheArtifactManager.deserialize(path, environment=ENVIRONMENT)
    assert loaded["inductor"] == [TWO]
    assert [note.key for note in loaded.info.refused] == KEYS[:1]


def test_who_signs_with_a_revoked_key_is_told(path):
    """Such a bundle is refused where it was saved, and says so too late."""
    _save(path, ONE)
    editing.revoke(Subject(own_key().public))
    info = save(path, [TWO], environment=ENVIRONMENT)
    (problem,) = info.problems
    assert "own key, which is revoked in" in problem
    assert "give this account another" in problem
    assert save_to_bytes([ONE], environment=ENVIRONMENT)[1].problems == [problem]
    assert (
        save(path, [ONE], environment=ENVIRONMENT, key=SigningKey(bytes(32))).problems
        == []
    )
    info = CacheArtifactManager.deserialize(path, environment=ENVIRONMENT).info
    assert "move the file of this machine's own key away" in str(info.problems)


def test_a_given_key_that_is_empty_is_told(path, monkeypatch):
    """As a secret that was not set arrives: another key signs than was meant."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "")
    info = save(path, [ONE], environment=ENVIRONMENT)
    (problem,) = info.problems
    assert "OVERWINTER_SIGNING_KEY is empty: signed by this account's own" in problem
