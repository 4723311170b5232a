"""``overwinter key``: what it prints, the codes it exits with, and no secret."""

import base64
import json
import os
import pwd
import subprocess
from pathlib import Path

import pytest
from bundles import KEY, built, plans, sample

from overwinter import Bundle
from overwinter.cli.main import main
from overwinter.trust import (
    Policy,
    SigningKey,
    editing,
    existing_key,
    own_key,
    public_text,
)
from overwinter.trust.configuration import user_file
from overwinter.trust.editing import Subject

SEED = bytes(range(32))
PREFIX = "overwinter-secret-key-ed25519:"
SECRET = base64.b64encode(SEED).decode()
PUBLIC = "A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
NAMED = f"key-03a107bf:{PUBLIC}"
ID = "4C476354A75A4756"


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Return what runs a command in an empty folder, whose secrets stay unsaid."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def command(*arguments):
        code = main(["key", *map(str, arguments)])
        out, err = capsys.readouterr()
        for path in [*folder.iterdir(), *tmp_path.glob("home/data/*/*")]:
            found = path.read_text(encoding="utf-8", errors="replace")
            if found.startswith(PREFIX):
                secret = found.removeprefix(PREFIX).split()[0]
                assert secret not in out + err
        assert SECRET not in out + err
        return code, out, err

    return command


@pytest.fixture
def given(run, monkeypatch):
    """Have the variable give a key whose public half is known."""
    Path("ci.key").write_text(f"{PREFIX}{SECRET}\n", encoding="ascii")
    Path("ci.key").chmod(0o600)
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "ci.key")


# --- new --------------------------------------------------------------------


def test_a_key_of_ones_own_is_made_once(run, home):
    """The second time is a conflict, and changes nothing."""
    code, out, err = run("new")
    key = existing_key()
    assert (code, err) == (0, "")
    assert out == f"key-{key.public[:4].hex()}:{public_text(key.public)}\n"
    code, out, err = run("new")
    assert (code, out) == (6, "")
    path = home / "data" / "overwinter" / "signing.key"
    assert err == f"overwinter: {path} is there already: see overwinter key show\n"
    assert existing_key().public == key.public


def test_a_new_key_that_does_not_sign_says_why(run, given):
    """The variable goes before it."""
    code, out, err = run("new")
    assert code == 0
    assert PUBLIC not in out
    assert "it signs once OVERWINTER_SIGNING_KEY is unset" in err


def test_a_key_for_elsewhere_comes_with_both_steps(run, monkeypatch):
    """What is printed is what the other side trusts; here nothing does."""
    code, out, err = run("new", "-o", "ci.key", "--name", "ci")
    assert code == 0
    assert out.startswith("ci:")
    assert existing_key() is None
    first, second = err.splitlines()
    assert f"OVERWINTER_SIGNING_KEY={Path('ci.key').absolute()}" in first
    assert f"overwinter trust add {out.strip()}, or" in second
    assert "OVERWINTER_TRUSTED_KEYS" in second
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", out.strip())
    public = base64.b64decode(out.strip().removeprefix("ci:"))
    assert public in Policy.of_this_machine().keys
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "ci.key")
    assert own_key().public == public


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-o", "there"], 6, "there: found something there already"),
        (["-o", "no/ci.key"], 3, "no/ci.key: could not write it: its folder"),
        (["-o", "."], 2, "is a directory"),
        (["-o", "x", "--name", "C I"], 2, "a name has small letters"),
        (["-o", "x", "--name", ""], 2, "a name has small letters"),
        (["--name", "ci"], 2, "--name is for a pair for elsewhere"),
        (["-o", "../home/data/overwinter/signing.key"], 2, "leave out -o"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_key_that_cannot_be_made_is_told(run, arguments, code, words):
    """With the code of the reason, and nothing is left."""
    Path("there").write_text("words", encoding="ascii")
    found, out, err = run("new", *arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert [path.name for path in Path.cwd().iterdir()] == ["there"]
    assert Path("there").read_text(encoding="ascii") == "words"
    assert existing_key() is None


# --- show, list -------------------------------------------------------------


def test_a_key_is_shown_with_number_and_place(run, given):
    """The line that another account adds comes first."""
    code, out, err = run("show")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        NAMED,
        f"key id {ID}",
        "from ci.key, as OVERWINTER_SIGNING_KEY says",
    ]


def test_a_file_is_shown_under_its_name(run):
    """The name that it was made with."""
    _, made, _ = run("new", "-o", "ci.key", "--name", "ci")
    _, out, _ = run("show", "ci.key", "--json")
    shown = json.loads(out)
    assert shown["key"] == made.strip()
    assert (shown["version"], shown["where"]) == (1, "ci.key")
    assert len(shown["key_id"]) == 16


def test_no_key_is_code_3_and_how_one_comes(run):
    """Nothing is made by looking."""
    for arguments in (["show"], ["export"], ["export", "--minisign"]):
        code, out, err = run(*arguments)
        assert (code, out) == (3, "")
        assert "the first save makes it, or overwinter key new" in err
    code, out, err = run("show", "missing.key")
    assert (code, out) == (3, "")
    assert "missing.key: no such key file; overwinter key new -o makes one" in err
    assert existing_key() is None


def test_a_file_that_is_no_key_is_code_4(run):
    """What is in it is not shown."""
    Path("model.owb").write_bytes(sample())
    code, out, err = run("show", "model.owb")
    assert (code, out) == (4, "")
    assert "that are no signing key" in err


def test_both_keys_are_listed_and_which_signs(run, given, monkeypatch):
    """What the variable gives signs in the place of the account's own."""
    _, own, _ = run("new")
    _, out, _ = run("list", "--json")
    rows = json.loads(out)["keys"]
    assert [(row["key"], row["signs"]) for row in rows] == [
        (NAMED, True),
        (own.strip(), False),
    ]
    assert run("list")[1].splitlines()[1].split()[:3] == [NAMED, ID, "yes"]
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY")
    (row,) = json.loads(run("list", "--json")[1])["keys"]
    assert (row["key"], row["signs"]) == (own.strip(), True)


def test_no_keys_are_an_empty_list(run):
    """Words go to standard error; JSON is JSON."""
    code, out, err = run("list")
    assert (code, out) == (0, "")
    assert "there is no signing key yet" in err
    assert json.loads(run("list", "--json")[1]) == {"version": 1, "keys": []}


# --- export -----------------------------------------------------------------


def test_the_public_half_is_exported_as_text(run, given):
    """To standard output, or to a file that was not there."""
    assert run("export") == (0, f"{NAMED}\n", "")
    assert run("export", "ci.key", "-o", "ci.pub") == (0, "", "")
    assert Path("ci.pub").read_text(encoding="ascii") == f"{NAMED}\n"
    code, _, err = run("export", "-o", "ci.pub")
    assert code == 6
    assert "found something there already" in err


def test_the_stock_tool_verifies_what_is_exported(run, given):
    """The walk of who has minisign and no overwinter; one changed byte ends it."""
    data = sample()
    Path("model.owb").write_bytes(data)
    assert run("export", "--minisign", "-o", "ci.pub")[0] == 0
    signature = ["export", "--signature", "model.owb", "-o", "model.owb.minisig"]
    assert run(*signature) == (0, "", "")
    assert run("export", "--signature", "model.owb")[1] == Path(
        "model.owb.minisig"
    ).read_text(encoding="ascii")
    command = ["minisign", "-V", "-H", "-m", "model.owb", "-p", "ci.pub"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Signature and comment signature verified" in told.stdout
    Path("model.owb").write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert subprocess.run(command, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["theirs.owb"], 4, "1 of 1 segments that this key"),
        (["missing.owb"], 3, "missing.owb: no such file"),
        (["ci.key"], 4, "ci.key"),
        (["theirs.owb", "ci.key"], 2, "--signature takes neither"),
        (["theirs.owb", "--minisign"], 2, "--signature takes neither"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_signature_that_is_not_given_is_told(run, given, arguments, code, words):
    """Nobody signs for others, nor anything but bundles; nothing is written."""
    Path("theirs.owb").write_bytes(built(plans(("a", b"1")), key=SigningKey(bytes(32))))
    assert KEY.public == own_key().public
    found, out, err = run("export", "--signature", *arguments, "-o", "out.minisig")
    assert (found, out) == (code, "")
    assert words in err
    assert not os.path.lexists("out.minisig")


# --- sign -------------------------------------------------------------------


def test_a_bundle_is_signed_by_one_more(run, monkeypatch):
    """Once its signer is trusted; before, it is carried and the code is 4."""
    theirs = SigningKey(bytes(32))
    Path("model.owb").write_bytes(built(plans(("a", b"1")), key=theirs))
    code, out, err = run("sign", "model.owb", "-o", "stranger.owb")
    assert code == 4
    assert "0 segments signed" in out
    assert "overwinter trust add" in err
    named = f"ci:{public_text(theirs.public)}"
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", named)
    assert run("sign", "model.owb", "-o", "new.owb") == (
        0,
        "new.owb: 1 segments signed, 0 had your signature already, "
        "0 carried as they are\n",
        "",
    )
    (segment,) = Bundle("new.owb").segments
    assert set(segment.signers) == {theirs.public, own_key().public}
    report = json.loads(run("sign", "new.owb", "-o", "again.owb", "--json")[1])
    assert (report["version"], report["signed"], report["already"]) == (1, 0, 1)
    assert run("sign", "model.owb", "-o", "new.owb")[0] == 6
    assert run("sign", "missing.owb", "-o", "x")[0] == 3
    assert run("sign", "model.owb")[0] == 2


def test_a_secret_in_the_place_of_a_file_is_not_shown(run):
    """The variable may hold the key itself, and a log is kept."""
    secret = "overwinter-secret-key-ed25519:" + base64.b64encode(bytes(32)).decode()
    for command in (["show", secret], ["export", secret]):
        code, out, err = run(*command)
        assert (code, out) == (3, "")
        assert "overwinter-secret-key-ed25519:… no such key file" in err.replace(
            "…:", "…"
        )
        assert "AAAA" not in err


def test_a_revoked_key_is_listed_as_such(run):
    """It goes on signing until it is moved away."""
    own = own_key()
    editing.revoke(Subject(own.public))
    code, _, err = run("list")
    assert code == 0
    assert f"{public_text(own.public)} is revoked in {user_file()}, line 1" in err
    (row,) = json.loads(run("list", "--json")[1])["keys"]
    assert row["revoked"] == f"{user_file()}, line 1"


def test_a_file_without_a_name_is_wrong_usage(run):
    """As an unset variable gives one."""
    code, _, err = run("new", "-o", "")
    assert code == 2
    assert "-o needs the name of a file" in err


def test_a_pair_for_elsewhere_needs_no_home(run, monkeypatch, tmp_path):
    """As in a container that makes keys for others."""

    def nobody(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name)
    assert run("new", "-o", tmp_path / "ci.key")[0] == 0
    assert run("list")[0] == 0
    code, _, err = run("new")
    assert code == 1
    assert "could not find a place for the signing key" in err
