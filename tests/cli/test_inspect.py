"""``overwinter inspect``: what a bundle holds, read from its statements."""

import json
from typing import Any

import pytest
from bundles import (
    ENVIRONMENT,
    KEY,
    appended,
    built,
    flipped,
    plans,
    regions,
    sample,
    sample_of_two,
)

from overwinter import Bundle
from overwinter.cli.main import main
from overwinter.trust import SigningKey, public_text


def _json(
    capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, Any]:
    assert main(["inspect", "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_bundle_is_shown_as_a_table(put, capsys):
    """A literal: the file, and for each segment its signer, kinds and machines."""
    data = sample()
    assert main(["inspect", put(data)]) == 0
    shown = capsys.readouterr()
    with Bundle(data) as bundle:
        (segment,) = bundle.segments
        size = f"{segment.entry.size:,}"
    assert shown.out == (
        f"model.owb: {len(data):,} bytes, 1 segments, by tests 1\n"
        "\n"
        f"segment {segment.name[:16]}: {size} bytes\n"
        f"signed by {public_text(KEY.public)}\n"
        "kind       version  artifacts  payload bytes  environment\n"
        "acme/plan        1          2             19  #0\n"
        "acme/tile        1          2             14  any\n"
        "#0: os linux, 2 instruction sets\n"
    )
    assert shown.err == ""


def test_the_keys_are_listed_when_asked_for(put, capsys):
    """Each with its kind; without asking, a bundle of a million stays readable."""
    name = put(sample())
    assert main(["inspect", name]) == 0
    assert "kind       key" not in capsys.readouterr().out
    assert main(["inspect", "--keys", name]) == 0
    shown = capsys.readouterr().out
    assert shown.endswith(
        "\n\nkind       key\nacme/plan  a\nacme/plan  b\nacme/tile  c\nacme/tile  d\n"
    )


def test_a_bundle_is_shown_as_json_of_a_versioned_layout(put, capsys):
    """A literal, for the programs that read it."""
    data = sample()
    with Bundle(data) as bundle:
        (segment,) = bundle.segments
    assert _json(capsys, "--keys", put(data)) == {
        "version": 1,
        "file": "model.owb",
        "size": len(data),
        "writer": "tests 1",
        "segments": [
            {
                "name": segment.name,
                "size": segment.entry.size,
                "signers": [public_text(KEY.public)],
                "environments": [dict(ENVIRONMENT)],
                "kinds": [
                    {
                        "kind": "acme/plan",
                        "version": 1,
                        "draft": False,
                        "environment": 0,
                        "artifacts": 2,
                        "payload_bytes": 19,
                    },
                    {
                        "kind": "acme/tile",
                        "version": 1,
                        "draft": False,
                        "environment": None,
                        "artifacts": 2,
                        "payload_bytes": 14,
                    },
                ],
                "artifacts": [
                    {"kind": "acme/plan", "key": "a"},
                    {"kind": "acme/plan", "key": "b"},
                    {"kind": "acme/tile", "key": "c"},
                    {"kind": "acme/tile", "key": "d"},
                ],
            }
        ],
        "problems": [],
    }


def test_json_lists_keys_only_when_asked_for(put, capsys):
    """As the table."""
    assert "artifacts" not in _json(capsys, put(sample()))["segments"][0]


def test_every_segment_is_shown(put, capsys):
    """In the order of the file."""
    data = sample_of_two()
    with Bundle(data) as bundle:
        names = [segment.name for segment in bundle.segments]
    found = _json(capsys, put(data))
    assert [segment["name"] for segment in found["segments"]] == names
    assert len(names) == 2


@pytest.mark.parametrize(
    ("key", "signers"),
    [(None, []), (SigningKey(bytes(32)), [SigningKey(bytes(32))])],
    ids=["nobody", "somebody else"],
)
def test_anybodys_bundle_is_shown(put, capsys, key, signers):
    """Reading is safe; nothing of it is run, so nobody needs to be trusted."""
    name = put(built(plans(("a", b"x")), key=key))
    found = _json(capsys, name)["segments"][0]["signers"]
    assert found == [public_text(each.public) for each in signers]
    assert main(["inspect", name]) == 0
    shown = public_text(signers[0].public) if signers else "nobody"
    assert f"signed by {shown}\n" in capsys.readouterr().out


def test_what_is_damaged_is_told_beside_what_is_sound(put, capsys):
    """One segment is refused; the other is shown, and the words are elsewhere."""
    data = sample_of_two()
    damaged = flipped(data, regions(data)["statement 0"][5], 0)
    assert main(["inspect", put(damaged)]) == 4
    shown = capsys.readouterr()
    assert shown.out.startswith(
        f"model.owb: {len(data):,} bytes, 1 segments, by tests 1"
    )
    assert "overwinter: model.owb: segment 0, statement: found SHA-256" in shown.err
    (problem,) = _json(capsys, "model.owb", code=4)["problems"]
    assert "segment 0, statement: found SHA-256" in problem


def test_a_torn_append_is_told(put, capsys):
    """The earlier segments are shown."""
    data = sample_of_two()[:-500]
    assert main(["inspect", put(data)]) == 4
    shown = capsys.readouterr()
    assert "1 segments" in shown.out
    assert "an append that was torn" in shown.err


def test_a_block_whose_keys_are_lost_is_told(put, capsys):
    """The others' keys are listed."""
    data = built(plans(("a", b"x")))
    data = appended(data, plans(("b", b"y")))
    damaged = flipped(data, data.index(b"ratio"), 0)
    assert main(["inspect", "--keys", put(damaged)]) == 4
    shown = capsys.readouterr()
    assert "acme/plan  b\n" in shown.out
    assert "acme/plan  a\n" not in shown.out
    assert "segment 0, record block 0: found SHA-256" in shown.err


def test_nothing_is_read_that_nobody_asked_for(put, capsys):
    """Without --keys no block is: a damaged one is no news."""
    data = built(plans(("a", b"x")))
    assert main(["inspect", put(flipped(data, data.index(b"ratio"), 0))]) == 0
    assert capsys.readouterr().err == ""


def test_control_characters_are_shown_and_not_obeyed(put, capsys):
    """Keys, writers and environments may come from anybody."""
    environment = {"os": "\x1b[2Jlinux"}
    data = built(
        plans(("a\x1b[31m\nb\u202ec", b"x"), environment=environment),
        writer="\x07tests\r\n",
    )
    assert main(["inspect", "--keys", put(data)]) == 0
    shown = capsys.readouterr().out
    assert "acme/plan  a\\x1b[31m\\nb\\u202ec\n" in shown
    assert "by \\x07tests\\r\\n\n" in shown
    assert "#0: os \\x1b[2Jlinux\n" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_text_of_any_language_is_shown_as_it_is(put, capsys):
    """Only what a terminal would obey is escaped, and only that character."""
    name = put(built(plans(("größe-日本\x00é", b"x"))))
    assert main(["inspect", "--keys", name]) == 0
    assert "acme/plan  größe-日本\\x00é\n" in capsys.readouterr().out
