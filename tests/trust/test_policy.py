"""Policy: whose word counts for what, and refusals that end with what changes them."""

from datetime import date

import pytest

from overwinter.errors import TrustError
from overwinter.trust import (
    Permission,
    Policy,
    Refusal,
    Rules,
    SigningKey,
    Trusted,
    named_text,
    own_key,
    public_text,
)
from overwinter.trust.policy import known_rules
from overwinter.trust.signing import new_key

CI = SigningKey(bytes(range(32))).public
OTHER = SigningKey(bytes(32)).public
NAME = bytes(range(32, 64))
TODAY = date(2026, 11, 23)
CI_TEXT = f"ci:{public_text(CI)}"


def verdict(policy, signers=(), kind="inductor"):
    """Return what *policy* says of one kind in the segment NAME."""
    return policy.verdicts([kind], NAME, signers)[kind]


def told(refusal):
    """Return the words of a refusal of one segment."""
    assert isinstance(refusal, Refusal)
    return str(refusal.error("model.owb, segment 0", [NAME]))


# --- whose word counts ------------------------------------------------------


def test_a_machine_trusts_its_own_key():
    """And, without any configuration, no other."""
    key = own_key()
    policy = Policy.of_this_machine()
    assert policy.keys == {key.public}
    assert verdict(policy, [key.public]) == Permission("own, this machine's own key")
    assert isinstance(verdict(policy, [CI, key.public]), Permission)
    assert isinstance(verdict(policy, [CI]), Refusal)


def test_a_machine_that_never_saved_trusts_nobody_and_makes_no_key(home):
    """A load needs no secret; making one would hide who signed, and may fail."""
    policy = Policy.of_this_machine()
    assert policy.keys == frozenset()
    assert list(home.iterdir()) == []
    assert "it has none of its own yet" in told(verdict(policy, [CI]))


def test_a_policy_that_trusts_nobody_refuses_everybody():
    """There is no switch that trusts everything, and none by accident."""
    for signers in ([], [OTHER], [OTHER, CI]):
        assert isinstance(verdict(Policy(), signers), Refusal)


def test_a_key_counts_for_its_kinds_only():
    """Each kind of a segment is judged by itself."""
    policy = Policy([Trusted(CI, "ci", frozenset({"autotune"}))])
    verdicts = policy.verdicts(["inductor", "autotune", "native"], NAME, [CI])
    assert verdicts["autotune"] == Permission("ci", is_limited=True)
    assert isinstance(verdicts["inductor"], Refusal)
    # One reason, so that one command changes it.
    assert verdicts["inductor"] == verdicts["native"]


@pytest.mark.parametrize(
    "day, is_allowed",
    [(date(2026, 6, 29), True), (date(2026, 6, 30), True), (date(2026, 7, 1), False)],
)
def test_a_key_counts_up_to_its_last_day(day, is_allowed):
    """The day itself is part of it, whatever the hour in UTC."""
    trusted = Trusted(CI, "ci", until=date(2026, 6, 30))
    found = verdict(Policy([trusted], today=day), [CI])
    assert isinstance(found, Permission) is is_allowed


def test_two_places_that_trust_a_key_add_up():
    """What the machine allows and what the user allows are both allowed."""
    both = [
        Trusted(CI, "ci", frozenset({"autotune"}), where="one"),
        Trusted(CI, "build", frozenset({"inductor"}), where="two"),
    ]
    verdicts = Policy(both).verdicts(["autotune", "inductor", "native"], NAME, [CI])
    assert verdicts["autotune"] == Permission("ci, one", is_limited=True)
    assert verdicts["inductor"] == Permission("build, two", is_limited=True)
    assert isinstance(verdicts["native"], Refusal)


def test_one_good_signature_of_several_is_enough():
    """A segment may be signed by who made it and by who checked it."""
    for signers in ([CI, OTHER], [OTHER, CI]):
        assert verdict(Policy([CI]), signers) == Permission(public_text(CI))


def test_a_revoked_key_counts_nowhere():
    """It beats every file, the variable and the own key."""
    rules = Rules((Trusted(CI, "ci"),), revoked={CI: "here, line 2"})
    assert isinstance(verdict(Policy([CI], rules), [CI]), Refusal)
    assert Policy([CI], rules).keys == frozenset()
    # Another signer's word is another word.
    assert isinstance(verdict(Policy([OTHER], rules), [CI, OTHER]), Permission)


def test_a_segment_can_be_named_whoever_signed_it():
    """An override is about these bytes, and is told as one."""
    rules = Rules(segments={NAME: "here, line 3"})
    found = Permission("here, line 3", is_limited=True, is_override=True)
    assert verdict(Policy([], rules), []) == found
    assert verdict(Policy([], rules), [OTHER]) == found
    assert isinstance(
        Policy([], rules).verdicts(["inductor"], CI, [])["inductor"], Refusal
    )


def test_a_revoked_segment_is_refused_whoever_signed_it():
    """One bad bundle of a good signer."""
    where = {NAME: "here, line 4"}
    rules = Rules(segments=where, revoked_segments=where)
    assert "a segment that is revoked in here, line 4" in told(
        verdict(Policy([CI], rules), [CI])
    )


# --- what may be signed anew ------------------------------------------------


def test_only_what_is_trusted_without_limits_may_be_signed_anew():
    """Else a compaction would end limits, expiry and the limits of an override."""
    until = Trusted(CI, "ci", until=date(2999, 1, 1))
    kinds = Trusted(CI, "ci", frozenset({"inductor"}))
    for policy in (
        Policy([until]),
        Policy([kinds]),
        Policy([], Rules(segments={NAME: "here"})),
    ):
        reason = policy.unvouched("s", ["inductor"], NAME, [CI])
        assert "trusted with limits" in reason
        assert "signed anew, it would lose them" in reason
    assert "signed by" in Policy([OTHER]).unvouched("s", ["inductor"], NAME, [CI])
    assert Policy([kinds, CI]).unvouched("s", ["inductor"], NAME, [CI]) == ""
    assert Policy([CI]).unvouched("s", ["inductor", "native"], NAME, [CI]) == ""


# --- the words --------------------------------------------------------------


def test_a_foreign_signature_is_refused_with_the_command_that_trusts_it():
    """And with what to compare first: a paste is easy, trust is not given by one."""
    assert told(verdict(Policy([OTHER]), [CI])) == (
        f"model.owb, segment 0: signed by {public_text(CI)}, expected a key that this "
        "machine trusts; if that is the key that its signer shows (overwinter key "
        f"show): overwinter trust add key-{CI[:4].hex()}:{public_text(CI)}"
    )


def test_an_unsigned_segment_is_refused_with_what_names_its_bytes():
    """Nobody said that what is in it may run."""
    refusal = verdict(Policy([OTHER]), [])
    assert told(refusal) == (
        "model.owb, segment 0: no valid signature, expected one by a key that this "
        "machine trusts; ask for a signed bundle, or save it again here; to populate "
        f"these bytes, and no others: overwinter trust add segment:{NAME.hex()}"
    )
    assert "segment:" not in str(refusal.error("s", [NAME] * 4))


def test_many_signers_are_counted_and_not_listed():
    """A stranger may sign many times; the line stays one that somebody reads."""
    signers = [SigningKey(bytes([n]) * 32).public for n in range(1, 9)]
    words = told(verdict(Policy([OTHER]), signers))
    three = sorted(signers)[:3]
    named = ", ".join(map(public_text, three))
    assert f"signed by {named} and 5 more, expected" in words
    assert words.endswith(
        "; if one of these is the key that its signer shows (overwinter key show): "
        + " or ".join(f"overwinter trust add {named_text(each)}" for each in three)
    )
    assert len(words) < 640


def test_a_kind_that_is_not_allowed_is_refused_with_all_that_would_be():
    """One command, for all kinds that the segment needs, that keeps the others."""
    trusted = Trusted(CI, "ci", frozenset({"autotune"}), date(2027, 1, 1))
    verdicts = Policy([trusted], today=TODAY).verdicts(
        ["inductor", "acme/plan"], NAME, [CI]
    )
    assert told(verdicts["inductor"]) == (
        "model.owb, segment 0: signed by ci, trusted for autotune only, expected a key "
        "that is trusted for acme/plan, inductor; if what acme/plan, inductor bring "
        f"may run: overwinter trust add {CI_TEXT} --kind acme/plan --kind autotune "
        "--kind inductor --until 2027-01-01"
    )


def test_an_expired_key_is_refused_with_another_year():
    """Trust that ends is prolonged, not made endless."""
    trusted = Trusted(CI, "ci", until=date(2026, 6, 30))
    assert told(verdict(Policy([trusted], today=TODAY), [CI])) == (
        "model.owb, segment 0: signed by ci, trusted until 2026-06-30, expected a key "
        "that is trusted today; if it still is: overwinter trust add "
        f"{CI_TEXT} --until 2027-11-23"
    )


def test_a_revoked_key_is_refused_with_its_place_and_no_command():
    """Who revoked it had a reason: nothing here undoes it."""
    rules = Rules(revoked={CI: "/etc/xdg/overwinter/trust, line 2"})
    words = told(verdict(Policy([CI], rules), [CI]))
    assert "revoked in /etc/xdg/overwinter/trust, line 2" in words
    assert "overwinter trust" not in words.replace("overwinter/trust", "")
    assert "ask its owner to save again with another key" in words


def test_a_key_that_expired_is_offered_the_same_kinds_again():
    """The words ask about the time; kinds are another question."""
    trusted = Trusted(CI, "ci", frozenset({"autotune"}), date(2020, 1, 1))
    verdicts = Policy([trusted], today=TODAY).verdicts(["inductor"], NAME, [CI])
    words = told(verdicts["inductor"])
    assert "if it still is: overwinter trust add ci:" in words
    assert "--kind autotune --until" in words
    assert "inductor" not in words


def test_a_signing_key_that_cannot_be_used_ends_no_other_trust(home, monkeypatch):
    """A load needs no secret; what that key signed is not trusted, and that is told."""
    path = home / "data" / "overwinter" / "signing.key"
    own = own_key()
    path.chmod(0o644)
    monkeypatch.setenv("OVERWINTER_TRUSTED_KEYS", f"ci:{public_text(CI)}")
    policy = Policy.of_this_machine()
    assert policy.keys == {CI}
    (problem,) = policy.problems
    assert str(path) in problem and "what it signed is not trusted" in problem
    path.chmod(0o600)
    assert Policy.of_this_machine().keys == {CI, own.public}


def test_a_given_key_and_the_accounts_own_are_both_trusted(home, monkeypatch, tmp_path):
    """What the account saved before it was given one is still its own."""
    own = own_key()
    given = new_key(tmp_path / "ci.key", "ci")
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(tmp_path / "ci.key"))
    assert Policy.of_this_machine().keys == {own.public, given.public}
    names = {each.name: each.key for each in known_rules().trusted}
    assert names == {"ci": given.public, "own": own.public}


def test_a_revoked_key_answers_for_nobody():
    """What it signs anew would be refused, and the good signature gone."""
    policy = Policy([OTHER], Rules(revoked={CI: "a file, line 1"}))
    policy.check_signer(OTHER)
    with pytest.raises(TrustError, match="it is revoked in a file, line 1"):
        policy.check_signer(CI)


def test_a_segment_of_nothing_is_no_way_to_a_signature():
    """It has a name and signers all the same."""
    assert Policy([OTHER]).unvouched("m.owb", [], NAME, [CI])
    assert not Policy([CI]).unvouched("m.owb", [], NAME, [CI])
    revoked = Rules(revoked_segments={NAME: "a file"})
    assert Policy([CI], revoked).unvouched("m.owb", [], NAME, [CI])
