"""Signing keys: made once, this account's alone, and never shown."""

import base64
import os
import pwd
import subprocess
import sys
import textwrap
import types

import pytest

from overwinter.errors import ConflictError, NotFoundError, StoreError, TrustError
from overwinter.trust import (
    Policy,
    SigningKey,
    existing_key,
    own_key,
    public_text,
    signing,
)
from overwinter.trust.signatures import encoded_for_signing
from overwinter.trust.signing import account_file, new_account_key, new_key, read_key

SEED = bytes(range(32))
PREFIX = "overwinter-secret-key-ed25519:"
TEXT = PREFIX + base64.b64encode(SEED).decode()


@pytest.fixture
def key_file(home):
    """Return where this machine's key is kept."""
    return home / "data" / "overwinter" / "signing.key"


def test_a_key_is_made_on_first_use_and_kept(key_file):
    """The second use finds the first one's key."""
    assert not key_file.exists()
    first = own_key()
    assert own_key().public == first.public
    assert key_file.read_text(encoding="ascii").startswith(PREFIX)


def test_only_its_owner_can_read_a_key(key_file):
    """The directory too: a name in it cannot be swapped by others."""
    before = os.umask(0)
    try:
        own_key()
    finally:
        os.umask(before)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.parent.stat().st_mode & 0o777 == 0o700


def test_every_machine_makes_a_key_of_its_own(monkeypatch, tmp_path):
    """Nothing but chance decides about it."""
    first = own_key()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert own_key().public != first.public


def test_processes_that_start_at_once_end_with_one_key(key_file):
    """One of them makes it, and all of them sign with it."""
    code = """
        import os, sys, time
        from overwinter.trust import own_key, public_text, SigningKey
        SigningKey(bytes(32))
        open(sys.argv[1] + f"/ready-{os.getpid()}", "w").close()
        while not os.path.exists(sys.argv[1] + "/go"):
            pass
        print(public_text(own_key().public))
    """
    meeting = key_file.parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(meeting)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    while len(list(meeting.glob("ready-*"))) < len(processes):
        assert all(process.poll() is None for process in processes)
    (meeting / "go").touch()
    said = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert said == {public_text(own_key().public)}
    assert [path.name for path in key_file.parent.iterdir()] == ["signing.key"]


def test_a_key_can_be_given_as_itself(monkeypatch, key_file):
    """For containers that live an hour, and have no home worth a file."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", f" {TEXT}\n")
    assert own_key().public == SigningKey(SEED).public
    assert not key_file.exists()


def test_a_key_can_be_given_as_a_file(monkeypatch, tmp_path, key_file):
    """Secrets are mounted as files, with a newline at the end or without."""
    for ending in ("", "\n", "\r\n"):
        (tmp_path / "secret").write_bytes((TEXT + ending).encode())
        monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(tmp_path / "secret"))
        assert own_key().public == SigningKey(SEED).public
    assert not key_file.exists()


def test_an_empty_variable_is_no_variable(monkeypatch, key_file):
    """As compose files and shells give one that is not set."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "")
    own_key()
    assert key_file.exists()


def test_a_key_is_kept_in_the_home_directory_without_other_advice(monkeypatch, home):
    """XDG's default; a relative directory is none, says XDG."""
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", value)
        own_key()
        assert (home / ".local/share/overwinter/signing.key").exists()


def test_a_home_is_the_one_that_was_given(tmp_path, home):
    """And the process's own where none was."""
    own_key({"HOME": str(tmp_path / "other")})
    assert (tmp_path / "other/.local/share/overwinter/signing.key").exists()
    own_key({})
    assert (home / ".local/share/overwinter/signing.key").exists()


def test_a_key_that_cannot_be_read_is_an_error_of_the_store(key_file):
    """Its path is ours, so it is told."""
    key_file.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"signing\.key: could not open it: it is not"):
        own_key()


def test_a_process_without_a_home_is_told_what_to_do(monkeypatch):
    """There is no place for a key, and none is made somewhere else."""

    def nobody(user):
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setenv("HOME", "")
    with pytest.raises(StoreError, match="no HOME and no OVERWINTER_SIGNING_KEY"):
        own_key({})
    # Whoever loads needs none: a fleet has no secret.
    trusted = {"OVERWINTER_TRUSTED_KEYS": f"ci:{public_text(SigningKey(SEED).public)}"}
    assert len(Policy.of_this_machine(trusted).keys) == 1


def test_an_empty_home_is_none(monkeypatch, home):
    """It is not the root of the file system."""
    monkeypatch.setenv("HOME", "")
    account = os.stat(home)  # something of this account
    monkeypatch.setattr(
        pwd,
        "getpwuid",
        lambda user: types.SimpleNamespace(pw_dir=str(home / str(user))),
    )
    assert account_file({"HOME": ""}).is_relative_to(home / str(account.st_uid))


def test_a_key_that_cannot_be_put_down_is_an_error_of_the_store(home, monkeypatch):
    """The path tells where room must be made."""
    (home / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "file"))
    with pytest.raises(
        StoreError, match=r"signing\.key: could not .*: Not a directory"
    ):
        own_key()


DAMAGED = {
    "empty": "",
    "cut": TEXT[:-4],
    "long": PREFIX + base64.b64encode(SEED + SEED).decode(),
    "not base64": PREFIX + "S3cretS3cret!!!",
    "a letter too many": TEXT[:40] + "!" + TEXT[40:],
    "another kind": "overwinter-secret-key-rsa:" + "S3cret" * 8,
    "no words": base64.b64encode(SEED).decode(),
    "bytes": "S3cret\ufffd\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_key_file_is_refused_and_never_shown(key_file, content):
    """What stands there may be a key that was pasted wrongly: a secret."""
    key_file.parent.mkdir(parents=True)
    key_file.write_text(content, encoding="utf-8")
    key_file.chmod(0o600)
    words = rf"signing.key: {len(content.strip())} characters that are no signing key"
    with pytest.raises(TrustError, match=words) as caught:
        own_key()
    for shown in (str(caught.value), repr(caught.value.args)):
        assert "S3cret" not in shown
        assert "AAEC" not in shown
    assert caught.value.__cause__ is None
    assert "move it away, and a new key is made" in str(caught.value)
    assert key_file.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    "given",
    [content for content in DAMAGED.values() if content and "\0" not in content],
)
def test_a_damaged_key_in_the_variable_is_refused_and_never_shown(monkeypatch, given):
    """Without its first words a key looks like a path: it is not shown as one."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", given)
    with pytest.raises(
        TrustError, match=r"^OVERWINTER_SIGNING_KEY: \d+ char"
    ) as caught:
        own_key()
    for shown in (str(caught.value), repr(caught.value.args)):
        assert "S3cret" not in shown
        assert "AAEC" not in shown
    assert "unset" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_file_that_is_not_there_is_told_without_its_name(home, monkeypatch):
    """The variable is named, and the reason; what it holds is not."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(home / "missing" / "S3cret"))
    with pytest.raises(TrustError, match=r"no file to read .No such file") as caught:
        own_key()
    assert "S3cret" not in str(caught.value)


def test_a_key_shows_its_public_half_only():
    """Whoever logs a key logs a name."""
    key = SigningKey(SEED)
    assert repr(key) == f"<SigningKey {public_text(key.public)}>"
    assert base64.b64encode(SEED).decode() not in repr(key)


def test_a_public_key_is_text_that_people_exchange():
    """Base64 of its 32 bytes; the pair is that of RFC 8032's first test."""
    seed = bytes.fromhex(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    )
    public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert public_text(SigningKey(seed).public) == public


def test_a_key_that_somebody_else_could_know_is_not_ours(key_file):
    """It would sign as us, and we would trust whoever else has it."""
    own_key()
    key_file.chmod(0o644)
    with pytest.raises(
        TrustError, match=r"others may read or write \(mode 0644\)"
    ) as it:
        own_key()
    assert f"chmod 600 {key_file}" in str(it.value)
    key_file.chmod(0o600)
    assert own_key()


def test_a_key_that_somebody_planted_is_not_ours(key_file, monkeypatch):
    """Whoever put it there would be trusted."""
    own_key()
    monkeypatch.setattr(os, "geteuid", lambda: key_file.stat().st_uid + 1)
    with pytest.raises(TrustError, match="a key that belongs to user"):
        own_key()
    policy = Policy.of_this_machine()
    (problem,) = policy.problems
    assert "a key that belongs to user" in problem
    assert policy.keys == frozenset()


def test_a_place_that_no_file_can_have_is_named(monkeypatch, tmp_path):
    """An error of the system would end a job that only wanted to load."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ("x" * 300)))
    with pytest.raises(StoreError, match="File name too long"):
        existing_key()


# --- keys for elsewhere -----------------------------------------------------


def test_a_key_for_elsewhere_is_made_for_its_reader_alone(tmp_path, key_file):
    """Whatever the umask; this account signs with it as little as before."""
    before = os.umask(0)
    try:
        made = new_key(tmp_path / "ci.key")
    finally:
        os.umask(before)
    assert (tmp_path / "ci.key").stat().st_mode & 0o777 == 0o600
    assert read_key(tmp_path / "ci.key").public == made.public
    assert existing_key() is None
    assert not key_file.exists()


def test_a_key_for_elsewhere_replaces_nothing(tmp_path):
    """What is there may be a key that has signed already."""
    new_key(tmp_path / "ci.key")
    before = (tmp_path / "ci.key").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for name in ("ci.key", "link"):
        with pytest.raises(ConflictError, match="something there already"):
            new_key(tmp_path / name)
    assert (tmp_path / "ci.key").read_bytes() == before
    assert not (tmp_path / "missing").exists()


def test_no_folder_is_made_for_a_key_for_elsewhere(tmp_path):
    """A slip in its path would hide the secret where nobody looks."""
    with pytest.raises(NotFoundError, match="its folder"):
        new_key(tmp_path / "no" / "ci.key")
    assert not (tmp_path / "no").exists()


def test_a_key_says_its_name_on_its_second_line(tmp_path, monkeypatch):
    """Literally; one without a name is the one line of every release."""
    named, plain = tmp_path / "named", tmp_path / "plain"
    assert new_key(named, "ci").name == "ci"
    assert new_key(plain).name == ""
    secret, name = named.read_text(encoding="ascii").splitlines()
    assert (len(secret), name) == (len(TEXT), "# name: ci")
    assert len(plain.read_text(encoding="ascii").splitlines()) == 1
    for given in (str(named), f"{TEXT}\n# name: ci\n", f"{TEXT} # name: ci"):
        monkeypatch.setenv("OVERWINTER_SIGNING_KEY", given)
        assert own_key().name == "ci"


@pytest.mark.parametrize("name", ["CI", "", " ", "a b", "c" * 65, "-a", "ci\nx", "ä"])
def test_a_second_line_that_is_no_name_is_refused(tmp_path, name):
    """Such a name could not be trusted under; none is made either."""
    path = tmp_path / "key"
    path.write_text(f"{TEXT}\n# name: {name}\n", encoding="utf-8")
    with pytest.raises(TrustError, match="no signing key"):
        read_key(path)
    if name:
        with pytest.raises(ValueError, match="expected a name of small letters"):
            new_key(tmp_path / "other", name)
        assert not (tmp_path / "other").exists()


def test_the_own_key_file_is_one_line(key_file):
    """Releases 0.1 and 0.2 share it, and refuse a second one."""
    new_account_key()
    assert key_file.read_text(encoding="ascii").count("\n") == 1
    with pytest.raises(ConflictError):
        new_account_key()
    assert existing_key() is not None


def test_a_key_tells_where_it_is_from(tmp_path, monkeypatch, key_file):
    """The variable is named where it decides."""
    assert own_key().where == str(key_file)
    path = tmp_path / "ci.key"
    assert new_key(path).where == str(path)
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(path))
    assert own_key().where == f"{path}, as OVERWINTER_SIGNING_KEY says"
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", TEXT)
    assert own_key().where == "OVERWINTER_SIGNING_KEY"


# --- mounted secrets --------------------------------------------------------


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Return a key as Kubernetes mounts it: links in a folder that all may write."""
    folder = tmp_path / "secrets"
    (folder / "..2026_11_23").mkdir(parents=True)
    (folder / "..data").symlink_to("..2026_11_23")
    (folder / "ci").symlink_to("..data/ci")
    folder.chmod(0o1777)
    path = folder / "..2026_11_23" / "ci"
    path.write_text(TEXT, encoding="ascii")
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(folder / "ci"))
    return path


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o640, 0o644])
def test_a_mounted_secret_may_be_read_by_others(mounted, mode):
    """Docker gives 0444, Kubernetes 0640 to a group: who is in there may read it."""
    mounted.chmod(mode)
    assert own_key().public == SigningKey(SEED).public


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_given_key_that_others_may_write_is_refused(mounted, mode):
    """Whoever writes it signs as us; the step that mends it is said."""
    mounted.chmod(mode)
    with pytest.raises(TrustError, match=f"others may write .mode {mode:04o}") as it:
        own_key()
    assert "chmod go-w" in str(it.value)


def test_a_given_key_of_another_user_is_taken_only_from_a_folder_of_ours(
    mounted, monkeypatch
):
    """A container sees its host's file so; in a folder for all, who put it there?"""
    ours = mounted.stat().st_uid
    monkeypatch.setattr(signing, "_content", lambda _: (TEXT, ours + 1, 0o444))
    folder = mounted.parents[1]
    with pytest.raises(TrustError, match=f"a key that belongs to user {ours + 1}"):
        own_key()
    folder.chmod(0o755)
    assert own_key().public == SigningKey(SEED).public


def test_no_statement_is_signed_as_a_bare_message():
    """Else whoever chooses the message has a segment signed."""
    key = SigningKey(SEED)
    signed = key.sign(b"words")
    message = encoded_for_signing(b"words")
    with pytest.raises(ValueError, match="expected no encoded statement"):
        key.sign_bare(message)
    assert key.sign_bare(b"x" + message) != signed.signature
