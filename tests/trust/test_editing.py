"""Editing: one line changes, the others and their comments stay."""

import os
import subprocess
import sys
import textwrap
from datetime import date

import pytest

from overwinter.errors import TrustError
from overwinter.trust import SigningKey, own_key, public_text
from overwinter.trust.configuration import rules_of_this_account, user_file
from overwinter.trust.editing import Subject, add, remove, revoke, subject_of

CI = SigningKey(bytes(range(32))).public
LAB = SigningKey(bytes(32)).public
DIGEST = bytes(range(32, 64))
CI_KEY, LAB_KEY = Subject(CI, "ci"), Subject(LAB, "lab")
SEGMENT = Subject(DIGEST, is_segment=True)
CI_TEXT, LAB_TEXT = f"ci:{public_text(CI)}", f"lab:{public_text(LAB)}"


def lines():
    """Return what this account's file says."""
    return user_file().read_text(encoding="utf-8").splitlines()


def put(*texts):
    """Write this account's file by hand."""
    user_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    user_file().write_text("".join(f"{each}\n" for each in texts), encoding="utf-8")


def test_a_first_rule_makes_the_file():
    """Nobody else may read or write it, or swap it in its folder."""
    before = os.umask(0)
    try:
        assert add(CI_KEY)
    finally:
        os.umask(before)
    assert lines() == [f"trust {CI_TEXT}"]
    assert user_file().stat().st_mode & 0o777 == 0o600
    assert user_file().parent.stat().st_mode & 0o777 == 0o700


def test_a_rule_is_replaced_where_it_stands():
    """What was limited before is limited anew, and said once."""
    put("# builders", f"trust {CI_TEXT} kinds=pgo # once", "", f"trust {LAB_TEXT}")
    assert add(CI_KEY, frozenset({"pgo", "inductor"}), date(2027, 6, 30))
    assert lines() == [
        "# builders",
        f"trust {CI_TEXT} kinds=inductor,pgo until=2027-06-30",
        "",
        f"trust {LAB_TEXT}",
    ]


def test_what_is_said_already_changes_nothing():
    """Nor does one's own key, which is trusted without a word."""
    assert add(CI_KEY) and add(SEGMENT)
    before = user_file().stat()
    assert not add(CI_KEY) and not add(SEGMENT)
    assert not add(Subject(own_key().public, "me"))
    assert user_file().stat().st_ino == before.st_ino


def test_a_rule_is_removed_with_all_that_say_it():
    """Comments and others stay."""
    put(f"trust {CI_TEXT}", "# x", f"trust {LAB_TEXT}", f"trust ci:{public_text(CI)}")
    assert remove(CI_KEY)
    assert lines() == ["# x", f"trust {LAB_TEXT}"]
    assert not remove(CI_KEY)


def test_a_revocation_takes_the_place_of_trust():
    """And stays: removing or adding does not undo it."""
    put(f"trust {CI_TEXT}", f"trust {LAB_TEXT}")
    assert revoke(CI_KEY)
    assert lines() == [f"revoke {CI_TEXT}", f"trust {LAB_TEXT}"]
    assert not revoke(CI_KEY)
    assert not remove(CI_KEY)
    with pytest.raises(
        TrustError, match=r"it is revoked in .*trust, line 1, .*by hand"
    ):
        add(CI_KEY)
    assert rules_of_this_account().revoked.keys() == {CI}


def test_a_segment_is_named_and_revoked_by_its_digest():
    """These bytes and no others."""
    assert add(SEGMENT)
    assert lines() == [f"trust segment:{DIGEST.hex()}"]
    assert revoke(SEGMENT)
    assert lines() == [f"revoke segment:{DIGEST.hex()}"]
    with pytest.raises(TrustError, match="it is revoked in"):
        add(SEGMENT)


def test_a_name_that_another_key_has_is_refused():
    """Whoever reads `ci` later must not be misled."""
    put(f"trust {CI_TEXT}")
    with pytest.raises(TrustError, match=f"a name that {public_text(CI)} has in"):
        add(Subject(LAB, "ci"))
    assert lines() == [f"trust {CI_TEXT}"]


@pytest.mark.parametrize(
    "subject",
    [
        Subject(CI),
        Subject(CI, "CI"),
        Subject(bytes(32), "zero"),
        Subject(CI, "segment"),
    ],
    ids=["no name", "a name in capitals", "weak", "a reserved name"],
)
def test_nothing_is_written_that_could_not_be_read(subject):
    """A line that cannot be read ends all trust."""
    with pytest.raises(TrustError):
        add(subject)
    assert not user_file().exists()


def test_a_link_stays_one(tmp_path):
    """What manages configuration finds its file changed, not replaced by another."""
    put(f"trust {CI_TEXT}")
    user_file().rename(tmp_path / "managed")
    user_file().symlink_to(tmp_path / "managed")
    add(LAB_KEY)
    assert user_file().is_symlink()
    assert LAB_TEXT in (tmp_path / "managed").read_text(encoding="utf-8")


def test_processes_that_add_at_once_all_have_their_say():
    """Each waits for the one before."""
    code = """
        import sys
        from overwinter.trust import SigningKey
        from overwinter.trust.editing import Subject, add
        n = int(sys.argv[1])
        for i in range(10):
            add(Subject(SigningKey(bytes([n, i]) * 16).public, f"k{n}-{i}"))
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(n)])
        for n in range(1, 5)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(rules_of_this_account().trusted) == 40


# --- what somebody wrote ----------------------------------------------------


def test_a_subject_is_a_key_a_name_or_a_segment():
    """All forms that a refusal or a list shows."""
    put(f"trust {CI_TEXT}")
    rules = rules_of_this_account()
    for text in (CI_TEXT, public_text(CI), "ci"):
        assert subject_of(text, rules) == CI_KEY
    assert subject_of(f"segment:{DIGEST.hex()}", rules) == SEGMENT
    assert subject_of(public_text(LAB), rules) == Subject(LAB)
    for each in (CI_KEY, SEGMENT, LAB_KEY):
        assert subject_of(str(each), rules) == each


INJECTED = f"x:{public_text(LAB)}#\ntrust evil:{public_text(LAB)}#a:{public_text(CI)}"


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1c", "\u2028", " "])
def test_a_kind_is_no_way_to_a_second_rule(end):
    """A comment and the end of a line would make one."""
    kind = f"pgo#{end}trust evil:{public_text(LAB)}"
    with pytest.raises(TrustError):
        add(CI_KEY, frozenset({kind}))
    assert not user_file().exists()


def test_processes_that_give_one_name_to_many_keys_leave_a_file_that_is_read():
    """One of them has it; the others are told so."""
    code = """
        import sys
        from overwinter.errors import TrustError
        from overwinter.trust import SigningKey
        from overwinter.trust.editing import Subject, add
        n = int(sys.argv[1])
        for i in range(20):
            try:
                add(Subject(SigningKey(bytes([n, i]) * 16).public, f"n{i}"))
            except TrustError as error:
                assert "another key's name" in str(error) or "a name that" in str(error)
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(n)])
        for n in range(1, 5)
    ]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len(rules_of_this_account().trusted) == 20


@pytest.mark.parametrize(
    "text",
    [
        "lab",
        "",
        "*",
        "segment:",
        "ci:x",
        "a b",
        "#",
        INJECTED,
        f"{CI_TEXT}#x",
        f"{CI_TEXT}\n",
    ],
)
def test_what_means_nothing_is_refused(text):
    """With where to look."""
    with pytest.raises(TrustError):
        subject_of(text, rules_of_this_account())
