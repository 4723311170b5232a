"""``overwinter rescue`` and ``export``: what they say, write, and exit with."""

import importlib.util
import json
import struct
import zlib
from pathlib import Path

import pytest

from overwinter import Bundle
from overwinter.cli import options
from overwinter.cli.main import main
from overwinter.torch.megacache import MegaCacheEntry, read_megacache, write_megacache

BLOBS = Path(__file__).parent.parent / "torch" / "megacache"
REAL = BLOBS / "torch-2.13.0-two-saves.bin"


@pytest.fixture
def run(capsys):
    """Return what runs a command, and gives code, standard output and error."""

    def command(*arguments):
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return command


def test_a_container_becomes_a_bundle(run, tmp_path):
    """What torch would have lost is counted, and what is not known said."""
    new = tmp_path / "new.owb"
    code, out, err = run("rescue", REAL, "-o", new)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["kind", "artifacts"],
        *([kind, "3"] for kind in ("aot_autograd", "autotune", "inductor")),
        *([kind, "3"] for kind in ("pgo", "precompile")),
    ]
    assert "torch's own loader would have dropped 2 " in err
    assert "as nobody says python_tag, torch_key, torch_version, vector_isa" in err
    assert "rescue it with --here" in err
    with Bundle(new) as bundle:
        assert len(bundle.segments) == 1


def test_what_the_user_says_is_kept(run, tmp_path):
    """And what nobody says stays unknown."""
    new = tmp_path / "new.owb"
    code, out, _ = run("rescue", REAL, "-o", new, "--torch", "2.13.0", "--json")
    report = json.loads(out)
    assert (code, report["version"], report["form"]) == (
        *(0, 1),
        "Mega-Cache, of torch 2.8 or later",
    )
    assert report["populated_nowhere"]["pgo"] == ["python_tag", "torch_key"]
    assert sum(report["dropped_by_torch"].values()) == 10
    with Bundle(new) as bundle:
        (environment,) = bundle.segments[0].statement.environments
    assert environment == {"torch_version": "2.13.0"}


@pytest.mark.torch
def test_who_says_that_it_was_made_here_can_use_it_here(run, tmp_path):
    """Torch's facts are those of this installation."""
    import overwinter.torch

    new = tmp_path / "new.owb"
    code, _, err = run("rescue", REAL, "-o", new, "--here")
    assert code == 0
    assert "populated nowhere" not in err
    with Bundle(new) as bundle:
        (environment,) = bundle.segments[0].statement.environments
    assert environment == overwinter.torch.environment()
    blob = tmp_path / "blob"
    code, _, err = run("export", new, "--torch", "2.13", "--here", "-o", blob)
    assert (code, err) == (0, "")
    assert len(read_megacache(blob.read_bytes()).entries) == 15


@pytest.mark.torch
def test_who_says_here_has_the_compiler_asked(run, tmp_path, monkeypatch):
    """A CPU has vectors that an old compiler has not: those graphs are others."""
    from overwinter.torch import facts

    asked = []
    monkeypatch.setattr(
        facts, "vector_isa", lambda *, sure=False: asked.append(sure) or "avx2"
    )
    new, blob = tmp_path / "new.owb", tmp_path / "blob"
    assert run("rescue", REAL, "-o", new, "--here")[0] == 0
    assert run("export", new, "--torch", "2.13", "--here", "-o", blob)[0] == 0
    assert asked == [True, True]


@pytest.mark.torch
def test_who_says_so_wrongly_is_refused(run, tmp_path):
    """A standalone file says of which torch it is."""
    container = write_megacache([MegaCacheEntry("pgo", "job:0:", b"x")])
    parts = (bytes(range(32)), b"YWJj", container)
    rest = b"".join(struct.pack(">Q", len(each)) + each for each in parts)
    blob = tmp_path / "blob"
    blob.write_bytes(struct.pack(">I", zlib.crc32(rest)) + rest)
    code, _, err = run("rescue", blob, "-o", tmp_path / "new.owb", "--here")
    assert code == 2
    assert "--here is not so: torch_key: made for 000102" in err


@pytest.mark.parametrize(
    ("blob", "version"), [("2.7.1", "2.13.0"), ("2.9.1", "2.7.1"), ("2.9.1", "2.6.0")]
)
def test_a_torch_that_did_not_write_it_is_wrong_usage(run, tmp_path, blob, version):
    """Layouts differ, and its graphs would be taken for another torch's."""
    new = tmp_path / "new.owb"
    path = BLOBS / f"torch-{blob}-one-save.bin"
    code, _, err = run("rescue", path, "-o", new, "--torch", version)
    assert code == 2
    assert f"and cannot be of torch {version}" in err
    assert not new.exists()
    assert run("rescue", path, "-o", new, "--torch", blob)[0] == 0


def test_here_needs_torch(run, tmp_path, monkeypatch):
    """Its facts can be asked of nobody else."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    new = tmp_path / "new.owb"
    for command in (
        ("rescue", REAL, "-o", new, "--here"),
        ("export", REAL, "--torch", "2.13", "-o", new, "--here"),
    ):
        code, _, err = run(*command)
        assert code == 2
        assert "--here asks torch, which is not installed here" in err
    assert options.importlib is importlib
    assert not new.exists()


def test_an_entry_that_no_torch_writes_ends_with_4(run, tmp_path):
    """The rest is rescued, and the bundle is written."""
    blob = tmp_path / "blob"
    entries = [
        MegaCacheEntry("inductor", "../x", b"x"),
        MegaCacheEntry("inductor", "f" + "a" * 51, b"y"),
    ]
    blob.write_bytes(write_megacache(entries))
    code, _, err = run("rescue", blob, "-o", tmp_path / "new.owb")
    assert code == 4
    assert "left out: inductor: " in err
    assert (tmp_path / "new.owb").exists()


def test_nothing_is_written_over(run, tmp_path):
    """Neither a bundle, which would gain a segment, nor a container."""
    new = tmp_path / "new.owb"
    new.write_bytes(b"mine")
    assert run("rescue", REAL, "-o", new)[0] == 6
    assert new.read_bytes() == b"mine"
    assert run("rescue", REAL, "-o", tmp_path / "m.owb", "--torch", "2.13.0")[0] == 0
    code, _, _ = run("export", tmp_path / "m.owb", "--torch", "2.13", "-o", new)
    assert code == 6
    assert new.read_bytes() == b"mine"


def test_a_container_for_another_torch_names_what_does_not_go_in(run, tmp_path):
    """Where nothing is left, none is written."""
    bundle, blob = tmp_path / "m.owb", tmp_path / "blob"
    run("rescue", REAL, "-o", bundle, "--torch", "2.13.0")
    code, _, err = run("export", bundle, "--torch", "2.9", "-o", blob)
    assert code == 1
    assert "left out: 3 inductor: torch_version: made for 2.13.0, asked for 2.9" in err
    assert "left out: 3 precompile: torch 2.9 has no such kind" in err
    assert not blob.exists()
    code, out, _ = run("export", bundle, "--torch", "2.9", "-o", blob, "--json")
    report = json.loads(out)
    assert (code, report["file"], report["entries"]) == (1, None, {})
    assert len(report["left_out"]) == 15


@pytest.mark.parametrize("version", ["2.5", "newest"])
def test_a_version_that_is_none_is_wrong_usage(run, tmp_path, version):
    """With those that are known."""
    bundle = tmp_path / "m.owb"
    run("rescue", REAL, "-o", bundle)
    code, _, err = run("export", bundle, "--torch", version, "-o", tmp_path / "b")
    assert code == 2
    assert "--torch: expected a version of torch, 2.7 to 2.14" in err


def test_what_is_not_trusted_ends_with_4(run, tmp_path, monkeypatch):
    """The refusal ends with its command; nothing unsigned is made of it."""
    bundle = tmp_path / "m.owb"
    run("rescue", REAL, "-o", bundle)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "another"))
    code, _, err = run("export", bundle, "--torch", "2.13", "-o", tmp_path / "b")
    assert code == 4
    assert "overwinter trust add key-" in err
    assert not (tmp_path / "b").exists()


def test_where_nothing_can_be_kept_no_bundle_is_written(run, tmp_path):
    """And that is said; a program sees it by the code."""
    blob, new = tmp_path / "blob", tmp_path / "new.owb"
    blob.write_bytes(write_megacache([MegaCacheEntry("inductor", "../x", b"x")]))
    code, _, err = run("rescue", blob, "-o", new)
    assert code == 4
    assert f"nothing in {blob} can be kept: {new} is not written" in err
    assert not new.exists()
