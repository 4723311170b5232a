"""Whole walks of a user: what is damaged is mended, what is left out is told."""

import fcntl
import logging
import shlex
import subprocess
import sys

import pytest
from bundles import TORCH

import overwinter.torch
from overwinter import Bundle, CacheArtifactManager, default_manager, load, save
from overwinter.bundle import verify
from overwinter.errors import KeyGrammarError, StoreError
from overwinter.files import appending
from overwinter.kinds import InductorArtifact, NativeArtifact
from overwinter.repack import repack
from overwinter.trust import own_key, public_text
from overwinter.union import union
from overwinter.upgrade import upgrade

GRAPHS = [
    InductorArtifact("f" + letter * 51, letter.encode() * 500) for letter in "abc"
]
MACHINE: dict[str, str | list[str]] = {
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx2"],
    "os": "linux",
    **TORCH,
}


@pytest.fixture
def bundle(home):
    """Give the path of a saved bundle."""
    path = home / "model.owb"
    save(path, GRAPHS, environment=MACHINE)
    return path


def test_saving_again_mends_a_damaged_bundle(bundle):
    """A segment is only held if its blocks are whole; else the save is no save."""
    data = bytearray(bundle.read_bytes())
    data[150] ^= 1
    bundle.write_bytes(data)
    assert load(bundle, environment=MACHINE).empty()

    save(bundle, GRAPHS, environment=MACHINE)

    info = load(bundle, environment=MACHINE)
    assert sorted(info.inductor_artifacts) == [each.key for each in GRAPHS]


def test_saving_again_adds_nothing_to_a_sound_bundle(bundle):
    """The same artifacts are the same segment, and it is there."""
    size = bundle.stat().st_size
    save(bundle, GRAPHS, environment=MACHINE)
    assert bundle.stat().st_size == size


def test_a_cold_start_is_told(home, caplog):
    """Loaded, no faster, no reason: the reason is logged, once for each outcome."""
    path = home / "native.owb"
    natives = [
        NativeArtifact(f"torchinductor/2x/{name}.so", name.encode()) for name in "ab"
    ]
    save(path, natives, environment={**MACHINE, "cpu_flags": ["avx9000"]})
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        info = load(path, environment=MACHINE)
    assert info.empty()
    (record,) = caplog.records
    assert "2 artifacts skipped" in record.getMessage()
    assert "avx9000" in record.getMessage()


def test_an_append_that_goes_on_is_not_torn(bundle):
    """Ranks that share one bundle read what was there before, without a word."""
    with pytest.raises(KeyboardInterrupt), appending(bundle) as file:
        file.write(b"half a segment")
        with Bundle(bundle) as reader:
            assert len(reader.segments) == 1
            assert reader.recovery == ""
        raise KeyboardInterrupt
    assert list(verify(Bundle(bundle))) == []


def test_a_damaged_trailer_is_told_though_somebody_appends(bundle):
    """Only bytes behind the trailer may be somebody's who is still writing."""
    data = bytearray(bundle.read_bytes())
    data[-30] ^= 1
    bundle.write_bytes(data)
    with bundle.open("r+b") as other, Bundle(bundle) as before:
        fcntl.flock(other, fcntl.LOCK_EX)
        with Bundle(bundle) as during:
            assert "its second copy is damaged" in before.recovery
            assert during.recovery == before.recovery


def test_an_append_that_was_torn_is_told(bundle):
    """Without its writer, half a segment is what a crash left."""
    with bundle.open("ab") as file:
        file.write(b"half a segment")
    with Bundle(bundle) as reader:
        assert "14 bytes behind it are an append that was torn" in reader.recovery


def test_a_reader_leaves_the_lock_alone(bundle):
    """Who asks whether somebody appends must not keep a writer waiting."""
    with bundle.open("ab") as file:
        file.write(b"torn")
    with Bundle(bundle), bundle.open("r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_load_makes_no_key(home):
    """A secret that nobody needs can only be lost, or fail to be made."""
    load(home / "missing.owb")
    assert not (home / "data").exists()


def test_a_key_that_no_load_would_use_is_not_saved(home):
    """Told when it is saved, not when it is missed."""
    bad = InductorArtifact("../../etc/passwd", b"x")
    with pytest.raises(KeyGrammarError, match="leads out of the cache directory"):
        save(home / "bad.owb", [bad, *GRAPHS])
    assert not (home / "bad.owb").exists()


def test_a_path_with_a_nul_is_no_crash(home):
    """A load never breaks a job, whatever it is given as a path."""
    (problem,) = load("model\0.owb").problems
    assert "a NUL in its path" in problem
    with pytest.raises(StoreError, match="a NUL in its path"):
        load("model\0.owb", strict=True)


@pytest.mark.parametrize(
    ("name", "words"),
    [("a\0b", "a NUL in its path"), ("a\ud800", "no path has such characters")],
    ids=ascii,
)
@pytest.mark.parametrize(
    "work",
    {
        "save": lambda bundle, out: save(out, GRAPHS),
        "replace": lambda bundle, out: save(out, GRAPHS, replace=True),
        "union": lambda bundle, out: union([bundle, bundle], out),
        "repack": lambda bundle, out: repack(bundle, out),
        "upgrade": lambda bundle, out: upgrade(bundle, out),
    }.items(),
    ids=lambda item: item[0],
)
def test_a_path_that_no_file_can_have_is_an_error_of_the_store(
    work, name, words, bundle, home
):
    """Also where a bundle is to be written; nothing else is left there."""
    before = sorted(home.iterdir())
    with pytest.raises(StoreError, match=words):
        work[1](bundle, home / name)
    assert sorted(home.iterdir()) == before


def test_what_is_no_bundle_at_all_is_a_mistake_of_the_program():
    """`None` is no path, and no job goes on as it should with it."""
    with pytest.raises(TypeError, match=r"expected a path, bytes, or .*, got NoneType"):
        load(None)  # type: ignore[arg-type]


def test_the_drop_in_takes_bytes_and_no_path(bundle):
    """As torch's: a path would be read by accident, not by intention."""
    with pytest.raises(TypeError, match=r"got str; a path is for overwinter\.torch"):
        overwinter.torch.load_cache_artifacts(str(bundle))  # type: ignore[arg-type]


def test_a_manager_can_be_the_default_for_a_while():
    """In one context, and only there."""
    before, mine = default_manager(), CacheArtifactManager()
    with mine.as_default():
        assert default_manager() is mine
    assert default_manager() is before


def test_a_builder_signs_and_the_fleet_reads(home, tmp_path, monkeypatch):
    """Two homes and no shared secret; what a refusal ends with is all that it takes."""
    bundle = home / "model.owb"
    save(bundle, GRAPHS, environment=MACHINE)
    builder = public_text(own_key().public)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "fleet" / name))

    def loaded(cache):
        caches = {"torchinductor": lambda: str(tmp_path / cache)}
        return load(bundle, environment=MACHINE, directories=caches)

    def shell(command):
        # As it is pasted, where nobody is there to be asked.
        python = f"{shlex.quote(sys.executable)} -m overwinter.cli.main"
        subprocess.run(command.replace("overwinter", python, 1), shell=True, check=True)

    cold = loaded("cold")
    assert cold.empty()
    (problem,) = cold.problems
    command = problem[problem.index("overwinter trust add") :]
    assert command.endswith(f":{builder}")
    shell(f"{command} --yes")
    warm = loaded("warm")
    assert warm.artifacts == {"inductor": [each.key for each in GRAPHS]}
    assert not warm.problems
    # No secret was made there.
    assert not (tmp_path / "fleet" / "XDG_DATA_HOME").exists()
    shell(f"overwinter trust revoke {builder}")
    assert loaded("after").empty()
