"""Configuration: lines and a variable, read as a whole or not at all."""

import base64
import os
import tempfile
from datetime import date
from pathlib import Path

import pytest

from overwinter import ownership
from overwinter.errors import TrustError
from overwinter.trust import Policy, Rules, SigningKey, Trusted, own_key, public_text
from overwinter.trust.configuration import read_line, rules_of_this_account, user_file

SEED = bytes(range(32))
CI = SigningKey(SEED).public
OTHER = SigningKey(bytes(32)).public
NAMED = f"ci:{public_text(CI)}"
LAB = f"lab:{public_text(OTHER)}"
DIGEST = bytes(range(32, 64))
TEXT = "overwinter-secret-key-ed25519:" + base64.b64encode(SEED).decode()


@pytest.fixture
def trust(home):
    """Return what writes this account's file of rules."""

    def write(*lines):
        path = user_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


# --- lines ------------------------------------------------------------------

LINES = {
    f"trust {NAMED}": Rules((Trusted(CI, "ci", where="w"),)),
    f"  trust\t{NAMED}  # the builders ": Rules((Trusted(CI, "ci", where="w"),)),
    f"trust {NAMED} kinds=inductor,acme/plan until=2027-06-30": Rules(
        (
            Trusted(
                CI, "ci", frozenset({"inductor", "acme/plan"}), date(2027, 6, 30), "w"
            ),
        )
    ),
    f"revoke {NAMED}": Rules(revoked={CI: "w"}),
    f"revoke {public_text(CI)} # leaked": Rules(revoked={CI: "w"}),
    f"trust segment:{DIGEST.hex()}": Rules(segments={DIGEST: "w"}),
    f"revoke segment:{DIGEST.hex()}": Rules(revoked_segments={DIGEST: "w"}),
    f"revoke zero:{public_text(bytes(32))}": Rules(revoked={bytes(32): "w"}),
    "": Rules(),
    "   # nothing": Rules(),
}


@pytest.mark.parametrize("line", LINES, ids=ascii)
def test_a_line_says_one_thing(line):
    """A key with its limits, a segment, or that one of them counts no more."""
    assert read_line(line, "w") == LINES[line]


@pytest.mark.parametrize(
    "line",
    [
        "trust",
        f"trust {public_text(CI)}",
        f"trust :{public_text(CI)}",
        f"trust CI:{public_text(CI)}",
        f"trust *:{public_text(CI)}",
        f"trust {'x' * 65}:{public_text(CI)}",
        f"trust {NAMED[:-1]}",
        f"trust {NAMED[:-2]}9=",
        f"trust ci:{public_text(CI + CI)}",
        "trust ci:*",
        "trust *",
        f"trust zero:{public_text(bytes(32))}",
        f"Trust {NAMED}",
        f"allow {NAMED}",
        NAMED,
        f"trust {NAMED} inductor",
        f"trust {NAMED} kinds=",
        f"trust {NAMED} kinds=*",
        f"trust {NAMED} kinds=inductor,",
        f"trust {NAMED} kinds=Inductor",
        f"trust {NAMED} kinds=inductor kinds=native",
        f"trust {NAMED} until=2027-02-30",
        f"trust {NAMED} until=20270630",
        f"trust {NAMED} until=2027-06-30 until=2028-06-30",
        f"trust {NAMED} Kinds=inductor",
        f"revoke {NAMED} kinds=inductor",
        "revoke ci",
        f"trust segment:{DIGEST.hex()[:-1]}",
        f"trust segment:{DIGEST.hex().upper()}",
        f"trust segment:{public_text(CI)}",
        f"trust segment:{DIGEST.hex()} kinds=inductor",
        "trust segment:*",
        f"trust ci:\x1b[31m{public_text(CI)}",
    ],
    ids=ascii,
)
def test_a_line_that_cannot_be_understood_is_refused(line):
    """A slip must not look as if something were limited, or revoked."""
    with pytest.raises(TrustError, match=r"^w: .*mend it: until then nobody") as caught:
        read_line(line, "w")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("line", [f"trust {TEXT}", f"trust ci:{TEXT}", f"# {TEXT}"])
def test_a_secret_is_refused_and_not_shown(line):
    """It has the form of a named key: its seed would be trusted as a public one."""
    with pytest.raises(TrustError, match="a secret signing key") as caught:
        read_line(line, "w")
    assert "AAEC" not in f"{caught.value} {caught.value.args}"


def test_what_is_trusted_can_be_written_and_read_again():
    """The text of an entry is the line that says it."""
    for line in LINES:
        for each in read_line(line, "w").trusted:
            assert read_line(f"trust {each}", "w").trusted == (each,)


# --- the variable -----------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [NAMED, f" {NAMED} ", f"{NAMED},{LAB}", f"{NAMED}\n{NAMED}"],
    ids=["one", "blanks", "two", "the same again"],
)
def test_a_named_key_is_trusted_beside_ones_own(given):
    """Who only reads needs the public half."""
    own = own_key()
    policy = Policy.of_this_machine({**os.environ, "OVERWINTER_TRUSTED_KEYS": given})
    assert {own.public, CI} <= policy.keys
    assert (OTHER in policy.keys) is ("lab" in given)


@pytest.mark.parametrize(
    "bad",
    [
        public_text(CI),
        f"ci={public_text(CI)}",
        f"ci:{public_text(OTHER)}",  # a name that has a key already
        f"zero:{public_text(bytes(32))}",
        f"segment:{DIGEST.hex()}",
        f"#lab:{public_text(OTHER)}",
        f"lab:{public_text(OTHER)}#",
        TEXT,
        f"ci:{TEXT}",
    ],
    ids=ascii,
)
def test_of_keys_that_cannot_be_read_none_counts(bad):
    """No half policy: a slip must not look as if the rest were meant."""
    environ = {**os.environ, "OVERWINTER_TRUSTED_KEYS": f"{NAMED} {bad}"}
    with pytest.raises(TrustError, match=r"^OVERWINTER_TRUSTED_KEYS: ") as caught:
        Policy.of_this_machine(environ)
    assert "AAEC" not in f"{caught.value} {caught.value.args}"


# --- files ------------------------------------------------------------------


def test_an_account_without_files_says_nothing():
    """No configuration is the ordinary case."""
    assert rules_of_this_account() == Rules()
    assert rules_of_this_account({}) == Rules()


def test_the_users_file_and_the_machines_files_add_up(trust, home, monkeypatch):
    """What is revoked in one of them is revoked."""
    mine = trust(f"trust {NAMED}", f"trust {LAB} kinds=pgo")
    machine = home / "etc" / "overwinter" / "trust"
    machine.parent.mkdir(parents=True)
    machine.write_text(f"# ours\nrevoke {NAMED}\ntrust segment:{DIGEST.hex()}\n")
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"relative:{home / 'etc'}:{home / 'none'}")
    rules = rules_of_this_account()
    assert [each.where for each in rules.trusted] == [
        f"{mine}, line 1",
        f"{mine}, line 2",
    ]
    assert rules.revoked == {CI: f"{machine}, line 2"}
    assert rules.segments == {DIGEST: f"{machine}, line 3"}


def test_one_line_that_cannot_be_read_ends_all_trust(trust):
    """Nothing is populated until somebody has looked; the line is named."""
    own_key()
    path = trust(f"trust {NAMED}", f"revok {LAB}")
    with pytest.raises(TrustError, match=rf"^{path}, line 2: 'revok', expected trust"):
        Policy.of_this_machine()


def test_a_name_stands_for_one_key(trust):
    """Who reads `ci` in a report must know which one that is."""
    path = trust(f"trust {NAMED}", f"trust ci:{public_text(OTHER)}")
    with pytest.raises(TrustError, match=f"{path}, line 2: 'ci', which is another"):
        rules_of_this_account()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_ends_all_trust(trust, mode):
    """Whoever else wrote it would decide what runs here."""
    path = trust(f"trust {NAMED}")
    path.chmod(mode)
    with pytest.raises(TrustError, match=rf"others may write \(mode {mode:04o}\)"):
        rules_of_this_account()
    path.chmod(0o644)
    assert rules_of_this_account().trusted


def test_a_folder_that_others_may_write_ends_all_trust(trust):
    """They could put another file in its place."""
    path = trust(f"trust {NAMED}")
    path.parent.chmod(0o777)
    with pytest.raises(TrustError, match="what others may write"):
        rules_of_this_account()


def test_a_file_of_somebody_else_ends_all_trust(trust, monkeypatch):
    """Root may decide for everybody on the machine, nobody else may."""
    path = trust(f"trust {NAMED}")
    owner = path.stat().st_uid
    if owner == 0:
        os.chown(path, 65534, -1)
        owner = 65534
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(TrustError, match=f"what belongs to user {owner}"):
        rules_of_this_account()


def test_a_link_to_a_file_is_followed(trust, tmp_path):
    """What manages configuration puts links there."""
    path = trust(f"trust {NAMED}")
    path.rename(tmp_path / "managed")
    path.symlink_to(tmp_path / "managed")
    assert rules_of_this_account().trusted


@pytest.mark.parametrize(
    "content, words",
    [(b"\xff\xfe", "no UTF-8"), (b"#" * (2**20 + 1), "1,048,577 bytes")],
    ids=["no text", "huge"],
)
def test_a_file_that_is_no_list_of_lines_ends_all_trust(trust, content, words):
    """What cannot be read could have revoked something."""
    trust().write_bytes(content)
    with pytest.raises(TrustError, match=words):
        rules_of_this_account()


def test_a_file_that_cannot_be_read_ends_all_trust(home):
    """Not being allowed to know is no permission."""
    user_file().mkdir(parents=True)
    with pytest.raises(TrustError, match=r"not a regular file.*nobody is trusted"):
        Policy.of_this_machine()


def test_a_link_to_nothing_ends_all_trust(trust):
    """What it led to may have revoked a key."""
    trust(f"trust {NAMED}")
    user_file().rename(user_file().with_name("elsewhere"))
    user_file().symlink_to("nowhere")
    with pytest.raises(TrustError, match="a link to nothing, expected a file of rules"):
        Policy.of_this_machine()


def test_a_linked_file_lies_where_nobody_else_writes(trust, tmp_path):
    """Else somebody puts another in its place."""
    trust(f"trust {NAMED}")
    shared = tmp_path / "shared"
    shared.mkdir()
    user_file().rename(shared / "rules")
    user_file().symlink_to(shared / "rules")
    assert rules_of_this_account().trusted
    shared.chmod(0o777)
    with pytest.raises(TrustError, match="shared: what others may write"):
        Policy.of_this_machine()


def test_the_page_shows_lines_that_are_read(trust):
    """Whoever copies them changes names and keys, and nothing else."""
    page = Path(__file__).parents[2] / "docs" / "trust.md"
    blocks = page.read_text(encoding="utf-8").split("```")
    (shown,) = [each for each in blocks if each.startswith("\ntrust ")]
    trust(*shown.strip().splitlines())
    rules = rules_of_this_account()
    assert [each.name for each in rules.trusted] == ["ci", "lab"]
    assert rules.trusted[1].is_limited
    assert len(rules.revoked) == len(rules.segments) == 1
    assert len(rules.revoked_segments) == 1


def test_the_home_of_somebody_else_says_nothing_of_this_account(monkeypatch):
    """As root's, which a container may say whatever its user."""
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", NAMED)
    monkeypatch.delenv("XDG_CONFIG_HOME")
    for home in ("/dev/null", "/nonexistent/home"):
        monkeypatch.setenv("HOME", home)
        assert rules_of_this_account().trusted[0].key == CI
    if os.geteuid() == 0:
        # Not below this test's own folder, which nobody else may enter.
        with tempfile.TemporaryDirectory() as root:
            Path(root, ".config").mkdir()
            monkeypatch.setenv("HOME", root)
            monkeypatch.setenv("XDG_CONFIG_DIRS", "/nonexistent")
            os.seteuid(65534)
            try:
                assert rules_of_this_account().trusted[0].key == CI
            finally:
                os.seteuid(0)


def test_a_group_of_ones_own_is_nobody_else(trust, monkeypatch):
    """With a umask of 002, every file that is written by hand is writable by it."""
    trust(f"trust {NAMED}")
    user_file().chmod(0o664)
    with pytest.raises(TrustError, match="what others may write"):
        rules_of_this_account()
    monkeypatch.setattr(ownership, "_is_private", lambda user, group: True)
    assert rules_of_this_account().trusted[0].key == CI
    user_file().chmod(0o666)
    with pytest.raises(TrustError, match="what others may write"):
        rules_of_this_account()
