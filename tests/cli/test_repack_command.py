"""``overwinter repack``: what it prints, and the codes it exits with."""

import json

import pytest

import overwinter
from overwinter import Bundle
from overwinter.cli.main import main
from overwinter.kinds.inductor import InductorArtifact
from overwinter.trust import SigningKey

ENVIRONMENT = {"torch_key": "t"}


@pytest.fixture
def run(capsys):
    """Return what runs a command, and gives code, standard output and error."""

    def command(*arguments):
        code = main([str(each) for each in arguments])
        return code, *capsys.readouterr()

    return command


def saved(path, *contents, key=None):
    """Save each content by itself, as one variant of one graph."""
    for content in contents:
        artifact = InductorArtifact("f" + "a" * 51, content)
        overwinter.save(path, [artifact], environment=ENVIRONMENT, key=key)


def test_a_bundle_is_repacked(run, tmp_path):
    """One segment, signed by the key of this machine; the old file stays."""
    path, new = tmp_path / "a.owb", tmp_path / "new.owb"
    saved(path, b"1", b"2")
    before = path.read_bytes()
    code, out, err = run("repack", path, "-o", new)
    assert (code, err) == (0, "")
    assert out == (
        f"{new}: 2 artifacts kept, 0 duplicates and 0 losers left out, "
        "0 segments carried as they are\n"
    )
    assert path.read_bytes() == before
    assert len(Bundle(new).segments) == 1


def test_the_report_is_versioned_json(run, tmp_path):
    """Losers are named with kind, key and reason."""
    path = tmp_path / "a.owb"
    variants = [InductorArtifact("f" + "a" * 51, b"%d" % n) for n in range(9)]
    overwinter.save(path, variants, environment=ENVIRONMENT)
    code, out, _ = run("repack", path, "-o", tmp_path / "new.owb", "--json")
    report = json.loads(out)
    assert code == 0
    assert (report["version"], report["kept"], report["copied"]) == (1, 8, 0)
    (loser,) = report["losers"]
    assert (loser["kind"], loser["reason"]) == ("inductor", "8 variants are better")


def test_what_is_not_trusted_is_told_with_code_4(run, tmp_path):
    """It is carried, and the new bundle is there."""
    path, new = tmp_path / "a.owb", tmp_path / "new.owb"
    saved(path, b"1", key=SigningKey(bytes(32)))
    code, out, err = run("repack", path, "-o", new)
    assert code == 4
    assert "1 segments carried" in out
    assert "trust" in err
    assert len(Bundle(new).segments) == 1


def test_what_is_there_or_not_there_is_told(run, tmp_path):
    """A conflict is code 6, a missing file 3, no output a wrong use."""
    path = tmp_path / "a.owb"
    saved(path, b"1")
    assert run("repack", path, "-o", path)[0] == 6
    assert run("repack", tmp_path / "none", "-o", tmp_path / "new")[0] == 3
    assert run("repack", path)[0] == 2
