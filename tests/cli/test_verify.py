"""``overwinter verify``: every byte read, and an exit code that tells."""

import json

import pytest
from bundles import KEY, built, flipped, plans, regions, sample, sample_of_two

from overwinter.cli.main import main
from overwinter.trust import SigningKey


def test_a_sound_bundle_is_said_to_be_sound(put, capsys):
    """On standard output, with what was looked at; standard error is silent."""
    assert main(["verify", put(sample_of_two())]) == 0
    shown = capsys.readouterr()
    assert (
        shown.out == "model.owb: sound: 6 artifacts in 2 segments, 2 of them signed\n"
    )
    assert shown.err == ""


@pytest.mark.parametrize("key", [None, SigningKey(bytes(32))], ids=["nobody", "other"])
def test_anybodys_bundle_can_be_verified(put, capsys, key):
    """Whether it is whole is another question than whether it is trusted."""
    assert main(["verify", put(built(plans(("a", b"x")), key=key))]) == 0
    signed = 1 if key else 0
    assert f"1 artifacts in 1 segments, {signed} of them" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("region", "outcome"),
    [
        ("statement 0", "refused"),
        ("signatures 1", "refused"),
        ("foot 0", "refused"),
        ("layout 0", "quarantined"),
        ("blocks 1", "quarantined"),
        ("second copy", "tail ignored"),
    ],
)
def test_damage_anywhere_ends_with_4(put, capsys, region, outcome):
    """Each of the three outcomes by its name, and the words on standard error."""
    data = sample_of_two()
    place = regions(data)[region]
    damaged = put(flipped(data, place[len(place) // 2], 3))
    assert main(["verify", damaged]) == 4
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith("outcome")
    assert any(line.startswith(outcome) for line in shown.out.splitlines())
    assert "sound" not in shown.out
    words = "overwinter: model.owb is damaged: "
    assert words in shown.err
    assert "what is sound can still be loaded" in shown.err
    assert all(line.startswith("overwinter: ") for line in shown.err.splitlines())


def test_what_is_lost_is_named(put, capsys):
    """The artifacts of a damaged payload block, by kind and key."""
    data = built(plans(("a", b"first payload"), ("b", b"second")))
    assert main(["verify", put(flipped(data, data.index(b"second"), 0))]) == 4
    shown = capsys.readouterr()
    (row,) = shown.out.splitlines()[1:]
    assert row.split()[0] == "quarantined"
    assert row.endswith("acme/plan  a b")
    assert "model.owb: segment 0, payload block 0: found SHA-256" in shown.err
    assert "1 findings, 2 artifacts named" in shown.err


def test_findings_are_json_of_a_versioned_layout(put, capsys):
    """A literal, for the programs that read it."""
    data = built(plans(("a", b"first payload")))
    assert main(["verify", "--json", put(data)]) == 0
    sound = {
        "version": 1,
        "file": "model.owb",
        "artifacts": 1,
        "segments": 1,
        "signed_segments": 1,
        "findings": [],
    }
    assert json.loads(capsys.readouterr().out) == sound
    assert main(["verify", "--json", put(flipped(data, data.index(b"first"), 0))]) == 4
    found = json.loads(capsys.readouterr().out)
    (finding,) = found["findings"]
    assert found == {**sound, "findings": [finding]}
    assert finding.pop("reason").startswith("model.owb: segment 0, payload block 0: ")
    assert finding == {
        "outcome": "quarantined",
        "part": "segment 0, record block 0",
        "kind": "acme/plan",
        "keys": ["a"],
    }


def test_control_characters_are_shown_and_not_obeyed(put, capsys):
    """Keys stand in findings, and file names in every sentence."""
    data = built(plans(("a\x1b[31m", b"first payload")))
    assert main(["verify", put(flipped(data, data.index(b"first"), 0))]) == 4
    shown = capsys.readouterr()
    assert "acme/plan  a\\x1b[31m" in shown.out
    assert "\x1b" not in shown.out + shown.err


def test_every_byte_is_read(put, capsys):
    """No flipped bit of a small bundle is called sound."""
    data = sample()
    for position in range(0, len(data), 7):
        assert main(["verify", put(flipped(data, position, position % 8))]) == 4
        assert "sound:" not in capsys.readouterr().out
    assert KEY.public in data
