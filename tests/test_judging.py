"""Judging: each kind of each segment, and of strangers only so many signatures."""

import logging

import attrs
import msgpack
import pytest
from bundles import KEY, appended, built, plans, tiles
from forging import Forgery, file_of

from overwinter import Bundle, load
from overwinter.errors import TrustError
from overwinter.judging import judge, refusals
from overwinter.trust import Policy, Refusal, Rules, SigningKey, Trusted

CI = SigningKey(bytes(32))
STRANGER = SigningKey(bytes([7]) * 32)


def mixed():
    """Return a bundle of three signers: ours, one we know, and one we do not."""
    data = built(plans(("a", b"1")))
    data = appended(data, plans(("b", b"2")), tiles(("t", None)), key=CI)
    return appended(data, plans(("c", b"3")), key=STRANGER)


def judged(data, policy, **limits):
    """Return the kinds that are refused, by segment."""
    with Bundle(data) as bundle:
        return [sorted(each.refused) for each in judge(bundle, policy, **limits)]


def test_each_segment_is_judged_by_its_own_signers():
    """A union of many hands is used as far as it is trusted."""
    assert judged(mixed(), Policy([KEY.public])) == [
        [],
        ["acme/plan", "acme/tile"],
        ["acme/plan"],
    ]


def test_each_kind_of_a_segment_is_judged_by_itself():
    """What a key may bring is used, and the rest of its segment is not."""
    limited = Trusted(CI.public, "ci", frozenset({"acme/tile"}))
    assert judged(mixed(), Policy([KEY.public, limited])) == [
        [],
        ["acme/plan"],
        ["acme/plan"],
    ]


def test_a_reason_is_told_once_for_all_its_segments():
    """With all that one command would need."""
    data = mixed()
    for n in range(4, 9):
        data = appended(data, plans(("d", b"%d" % n)), key=STRANGER)
    with Bundle(data) as bundle:
        told = list(refusals("x.owb", judge(bundle, Policy([KEY.public, CI.public]))))
    ((error, those),) = told
    assert str(error).startswith("x.owb, segments 2, 3, 4 and 3 more: signed by ")
    assert [each.segment.number for each in those] == [2, 3, 4, 5, 6, 7]


# --- signatures that change nothing -----------------------------------------


def signed(number, key):
    """Return a segment with a signature by *key*, over something else."""
    signature = attrs.asdict(key.sign(b"something else"))
    # One name is listed once only: each segment says something of its own.
    return Forgery(
        statement={"later": number}, signatures=msgpack.packb([signature])
    ).segment()


def test_only_so_many_strangers_are_looked_at(monkeypatch):
    """A file has room for thousands, each of which takes a tenth of a millisecond."""
    looked_at = []
    monkeypatch.setattr(
        "overwinter.trust.signatures._holds",
        lambda signature, _: not looked_at.append(signature.key),
    )
    segments, good = [signed(n, STRANGER) for n in range(20)], Forgery().segment()
    with Bundle(file_of(*segments, good)) as bundle:
        found = judge(bundle, Policy([KEY.public]), looked_at=5)
    assert looked_at.count(STRANGER.public) == 5
    assert found[-1].refused == frozenset()
    words = [each.verdicts["acme/plan"] for each in found[:-1]]
    assert all(isinstance(each, Refusal) for each in words)
    assert "were not looked at" not in words[4].found
    assert all("were not looked at" in each.found for each in words[5:])


def test_only_so_many_false_signatures_of_a_trusted_key_are_looked_at(monkeypatch):
    """Anybody may write our key's name under anything."""
    looked_at = []
    monkeypatch.setattr(
        "overwinter.trust.signatures._holds",
        lambda signature, _: bool(looked_at.append(signature.key)),
    )
    segments = [signed(n, KEY) for n in range(8)]
    with Bundle(file_of(*segments)) as bundle:
        found = judge(bundle, Policy([KEY.public]), looked_at=3)
    # Each of three as one that counts, and then, for the words, as any other.
    assert len(looked_at) == 6
    assert all(each.refused == {"acme/plan"} for each in found)


# --- what a load makes of it ------------------------------------------------


def test_an_override_is_told_each_time(caplog):
    """Somebody set it once; who reads the log must find it."""
    data = built(plans(("a", b"1")), key=STRANGER)
    with Bundle(data) as bundle:
        (segment,) = bundle.segments
    rules = Rules(segments={segment.entry.digest: "/home/me/trust, line 3"})
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "overwinter"):
            info = load(data, policy=Policy([], rules))
        assert not info.refused
        told = caplog.messages[0]
        assert "segment 0 may be populated, whoever signed it" in told
        assert f"/home/me/trust, line 3 names segment {segment.name}" in told


@pytest.mark.parametrize("strict", [False, True])
def test_a_load_that_is_required_raises_what_it_would_have_told(strict):
    """A fleet that must not start cold says so."""
    with pytest.raises(TrustError, match="signed by"):
        load(mixed(), policy=Policy([KEY.public]), required=True, strict=strict)
    info = load(mixed(), policy=Policy([KEY.public]))
    assert len(info.problems) == 2
