"""``overwinter certify``: its codes and what it prints, without any torch."""

import json
import sys

from overwinter import save
from overwinter.cli.main import main
from overwinter.environment import capture
from overwinter.kinds import AutotuneArtifact

NOTHING_OBSERVED = [sys.executable, "-I", "-c", "print('mine')"]


def certify(tmp_path, *options, command=NOTHING_OBSERVED):
    """Return the exit code of a certificate that cannot be had."""
    bundle = tmp_path / "model.owb"
    key = "ab/" + "0" * 16 + ".best_config"
    save(bundle, [AutotuneArtifact(key)], environment=capture())
    return main(["certify", *options, str(bundle), "--", *command])


def test_what_is_not_certified_exits_with_1_and_says_why(tmp_path, capfd):
    """Data on standard output, and there alone: the command prints elsewhere."""
    assert certify(tmp_path) == 1
    out, err = capfd.readouterr()
    assert out.startswith("not certified: ")
    assert "reason: no Python process was observed" in out
    assert err == "mine\n"


def test_a_certificate_is_json_if_asked_for(tmp_path, capfd):
    """Versioned, and nothing but it."""
    assert certify(tmp_path, "--json") == 1
    report = json.loads(capfd.readouterr().out)
    assert (report["version"], report["certified"]) == (1, False)
    assert report["command"] == NOTHING_OBSERVED


def test_options_of_the_command_are_its_own(tmp_path, capfd):
    """Whatever stands behind ``--``."""
    command = [sys.executable, "-I", "-c", "import sys; print(*sys.argv)", "--json"]
    assert certify(tmp_path, command=command) == 1
    assert capfd.readouterr().err == "-c --json\n"


def test_directories_are_kept_if_asked_for(tmp_path, monkeypatch, capfd):
    """To be looked at; where they are is said."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    certify(tmp_path, "--keep")
    (kept,) = tmp_path.glob("overwinter-*")
    assert f"overwinter: kept: {kept}" in capfd.readouterr().err
    assert (kept / "caches").is_dir()


def test_a_bundle_that_is_not_there_exits_with_3(tmp_path, capfd):
    """As with every command."""
    assert main(["certify", str(tmp_path / "none.owb"), "--", "true"]) == 3
    assert "no such file" in capfd.readouterr().err
