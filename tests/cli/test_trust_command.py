"""``overwinter trust``: what it asks, says and changes, and the codes it exits with."""

import json
import sys
from datetime import date

import pytest
from bundles import appended, built, plans, tiles

from overwinter.cli.main import main
from overwinter.trust import Policy, Refusal, SigningKey, own_key, public_text
from overwinter.trust.configuration import rules_of_this_account, user_file
from overwinter.trust.signing import new_key

CI = SigningKey(bytes(range(32)))
LAB = SigningKey(bytes(32))
CI_TEXT = f"ci:{public_text(CI.public)}"
DIGEST = "5e" * 32


@pytest.fixture
def run(capsys):
    """Return what runs a command, and gives code, standard output and error."""

    def command(*arguments):
        code = main(["trust", *(str(each) for each in arguments)])
        return code, *capsys.readouterr()

    return command


def lines():
    """Return what this account's file says."""
    return user_file().read_text(encoding="utf-8").splitlines()


# --- changing ---------------------------------------------------------------


def test_a_key_is_trusted_with_its_limits(run):
    """The words name the file, so that it is found again."""
    code, out, err = run(
        *("add", CI_TEXT, "--kind", "pgo", "--kind", "inductor"),
        *("--until", "2027-06-30", "--yes"),
    )
    assert (code, out) == (0, "")
    assert err == f"overwinter: {CI_TEXT} is trusted, as {user_file()} says\n"
    assert lines() == [f"trust {CI_TEXT} kinds=inductor,pgo until=2027-06-30"]
    assert run("add", CI_TEXT, "--yes")[0] == 0
    assert lines() == [f"trust {CI_TEXT}"]
    assert "was trusted already" in run("add", CI_TEXT, "--yes")[2]


def test_nobody_is_trusted_by_a_script_that_did_not_mean_it(run):
    """Without a terminal nobody can be asked, so it must be said."""
    code, _, err = run("add", CI_TEXT)
    assert code == 2
    assert "say --yes if that is meant" in err
    assert not user_file().exists()


@pytest.mark.parametrize("answer, is_trusted", [("y\n", True), ("\n", False)])
def test_a_person_is_asked(capsys, monkeypatch, answer, is_trusted):
    """With what it means; the answer that comes by itself is no."""

    class Terminal:
        def isatty(self):
            return True

        def readline(self, *_):
            return answer

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("builtins.input", lambda *_: answer.strip())
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda *_: answer.strip())
    code = main(["trust", "add", CI_TEXT, "--kind", "pgo"])
    words = capsys.readouterr().err
    assert "everything of the kinds pgo that this key (key id " in words
    assert "will run as you" in words
    assert bool(rules_of_this_account().trusted) is is_trusted
    assert code == (0 if is_trusted else 1)
    assert ("nothing is changed" in words) is not is_trusted


def test_segments_are_trusted_by_their_digests(run):
    """As a refusal of unsigned bytes proposes."""
    other = "a0" * 32
    assert run("add", f"segment:{DIGEST}", f"segment:{other}", "--yes")[0] == 0
    assert lines() == [f"trust segment:{DIGEST}", f"trust segment:{other}"]
    code, _, err = run("add", f"segment:{DIGEST}", "--kind", "pgo", "--yes")
    assert (code, "limits of keys" in err) == (2, True)


def test_a_key_without_a_name_is_asked_for_one(run):
    """A list of keys without names is read by nobody."""
    code, _, err = run("add", public_text(CI.public), "--yes")
    assert code == 2
    assert f"give the key a name: NAME:{public_text(CI.public)}" in err


@pytest.mark.parametrize("subject", ["ci", public_text(CI.public), CI_TEXT])
def test_a_key_is_removed_and_revoked_by_any_of_its_names(run, subject):
    """Whatever of it somebody has in hand."""
    run("add", CI_TEXT, "--yes")
    code, _, err = run("remove", subject)
    assert (code, lines()) == (0, [])
    assert err == f"overwinter: {CI_TEXT} is removed from {user_file()}\n"
    run("add", CI_TEXT, "--yes")
    code, _, err = run("revoke", subject)
    assert (code, lines()) == (0, [f"revoke {CI_TEXT}"])
    assert "was populated before stays in the caches" in err
    assert run("add", CI_TEXT, "--yes")[0] == 4


def test_removing_tells_what_trusts_it_still(run, monkeypatch):
    """Else who removed it would believe that it is gone."""
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", CI_TEXT)
    code, _, err = run("remove", "ci")
    assert code == 0
    assert "trusted still, by OVERWINTER_TRUSTED_KEYS" in err
    assert f"overwinter trust revoke {CI_TEXT}" in err


def test_ones_own_key_can_be_revoked_by_the_name_that_the_list_shows(run):
    """After a leak: nothing that it signed is populated any more."""
    own = own_key().public
    assert run("revoke", "own")[0] == 0
    assert lines() == [f"revoke own:{public_text(own)}"]
    assert isinstance(
        Policy.of_this_machine().verdicts(["pgo"], b"", [own])["pgo"], Refusal
    )


def test_a_name_that_nobody_has_is_refused(run):
    """With where to look."""
    for given in ("nobody", "ci:abc", "segment:5e"):
        code, _, err = run("revoke", given)
        assert code == 2
        assert f"Error: what was given: '{given}'" in err
        assert err.endswith("; see overwinter trust list\n")


def test_a_day_that_is_past_is_refused(run):
    """A key that counts never is not what anybody means to add."""
    code, _, err = run("add", CI_TEXT, "--until", "2020-01-01", "--yes")
    assert code == 2
    assert "--until 2020-01-01 is past" in err
    assert not user_file().exists()


def test_a_kind_that_is_not_here_is_told(run):
    """It may be a pack's that is installed later, or a slip."""
    code, _, err = run("add", CI_TEXT, "--kind", "inducter", "--yes")
    assert code == 0
    assert "no kind inducter is known here; those that are: aot_autograd, " in err
    assert lines() == [f"trust {CI_TEXT} kinds=inducter"]


def test_what_is_replaced_is_said_before_the_question(run):
    """Who answers sees which limits end."""
    run("add", CI_TEXT, "--kind", "pgo", "--until", "2999-12-31", "--yes")
    _, _, err = run("add", CI_TEXT, "--until", "2998-12-31")
    assert "signs will run as you, until 2998-12-31, whenever a bundle" in err
    assert f"trust {CI_TEXT} kinds=pgo until=2999-12-31" in err
    assert "line 1: trust" in err


def test_nobody_is_asked_about_what_cannot_be(run):
    """A question comes after everything that would refuse its answer."""
    run("revoke", CI_TEXT)
    code, _, err = run("add", CI_TEXT)
    assert code == 4
    assert "it is revoked in" in err
    assert "will run as you" not in err


def test_a_closed_standard_input_is_nobody(run, monkeypatch):
    """As under a scheduler that gives none."""
    monkeypatch.setattr(sys, "stdin", None)
    code, _, err = run("add", CI_TEXT)
    assert code == 2
    assert "say --yes if that is meant" in err


def test_who_revokes_the_own_key_is_told_what_follows(run):
    """From now on it signs what nobody populates."""
    own = own_key()
    code, _, err = run("revoke", "own")
    assert code == 0
    assert f"it is the key that signs here, from {own.where}" in err
    assert "give this account another" in err


def test_who_removes_what_is_revoked_is_told(run):
    """A command must not look as if it had ended the revocation."""
    run("revoke", CI_TEXT)
    code, _, err = run("remove", CI_TEXT)
    assert code == 0
    assert f"it is revoked in {user_file()}, line 1, and stays so" in err


# --- listing ----------------------------------------------------------------


def test_everything_that_is_said_is_listed(run, monkeypatch):
    """With its place, and whether it counts today."""
    own = own_key()
    user_file().parent.mkdir(mode=0o700, parents=True)
    user_file().write_text(f"trust {CI_TEXT} until=2020-01-01\n", encoding="utf-8")
    run("add", f"segment:{DIGEST}", "--yes")
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", f"lab:{public_text(LAB.public)}")
    run("revoke", f"lab:{public_text(LAB.public)}")
    code, out, _ = run("list", "--json")
    found = json.loads(out)
    assert (code, found["version"]) == (0, 1)
    assert [(each["state"], each["what"]) for each in found["rules"]] == [
        ("trusted", f"own:{public_text(own.public)}"),
        ("expired", CI_TEXT),
        ("revoked", f"lab:{public_text(LAB.public)}"),
        ("trusted", f"segment:{DIGEST}"),
        ("revoked", public_text(LAB.public)),
    ]
    assert found["rules"][1]["until"] == str(date(2020, 1, 1))
    assert found["rules"][2]["where"] == "OVERWINTER_TRUSTED_KEYS"
    code, out, _ = run("list")
    assert code == 0
    assert out.splitlines()[0].split() == ["state", "what", "kinds", "until", "where"]
    assert len(out.splitlines()) == 6


def test_a_machine_that_trusts_nobody_says_so(run):
    """Instead of a table of nothing."""
    code, out, err = run("list")
    assert (code, out) == (0, "")
    assert "the first save makes a key of your own" in err


# --- why --------------------------------------------------------------------


def test_why_tells_each_kind_of_each_segment(run, tmp_path):
    """By whose word it is populated, or which command would change it."""
    key = own_key()
    data = built(plans(("a", b"1"), ("b", b"2")), key=key)
    data = appended(data, plans(("b", b"3")), tiles(("t", None)), key=CI)
    path = tmp_path / "m.owb"
    path.write_bytes(data)
    run("add", CI_TEXT, "--kind", "acme/tile", "--yes")
    code, out, err = run("why", path)
    assert code == 4
    assert [line.split()[:4] for line in out.splitlines()[1:]] == [
        ["0", "acme/plan", "2", "yes"],
        ["1", "acme/plan", "1", "no"],
        ["1", "acme/tile", "1", "yes"],
    ]
    assert f"overwinter trust add {CI_TEXT} --kind acme/plan --kind acme/tile" in err
    code, out, _ = run("why", path, "--json")
    first, second = json.loads(out)["segments"]
    assert first["kinds"][0]["by"] == "own, this machine's own key"
    assert second["signers"] == [public_text(CI.public)]
    assert [each["populated"] for each in second["kinds"]] == [False, True]
    run("add", CI_TEXT, "--yes")
    code, out, err = run("why", path)
    assert (code, err) == (0, "")


def test_own_is_the_name_of_this_accounts_key_alone(run):
    """In an emergency it must mean nobody else."""
    own = own_key()
    code, _, err = run("add", f"own:{public_text(LAB.public)}", "--yes")
    assert code == 4
    assert "the name of this account's own key" in err
    user_file().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    by_hand = f"trust own:{public_text(LAB.public)}\n"
    user_file().write_text(by_hand, encoding="utf-8")
    assert run("revoke", "own")[0] == 0
    assert f"revoke own:{public_text(own.public)}" in lines()


def test_kinds_may_be_given_as_the_file_has_them(run):
    """Separated by commas."""
    assert run("add", CI_TEXT, "--kind", "pgo,autotune", "--yes")[0] == 0
    assert lines() == [f"trust {CI_TEXT} kinds=autotune,pgo"]


def test_a_limit_for_the_key_that_signs_here_is_written(run, monkeypatch, tmp_path):
    """It is trusted only as long as it is given."""
    path = tmp_path / "ci.key"
    made = new_key(path, "ci")
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(path))
    text = f"ci:{public_text(made.public)}"
    code, _, err = run("add", text, "--kind", "pgo", "--yes")
    assert (code, "is trusted, as" in err) == (0, True)
    assert lines() == [f"trust {text} kinds=pgo"]
