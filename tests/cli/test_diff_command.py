"""``overwinter diff``: a table of what differs, and an exit code on request."""

import json
from pathlib import Path

import pytest
from bundles import ENVIRONMENT, built, flipped, plans, sample

from overwinter.cli.main import main

A = built(plans(("a", b"1"), ("c", b"3"), environment=ENVIRONMENT))
B = built(plans(("a", b"other"), ("c", b"3"), environment=ENVIRONMENT))


@pytest.fixture
def pair(put) -> list[str]:
    """Return the names of two bundles that differ."""
    Path(put(A)).rename("a.owb")
    Path("b.owb").write_bytes(B)
    return ["a.owb", "b.owb"]


def test_a_difference_is_a_row(pair, capsys):
    """With the first digits of each digest; standard error is silent."""
    assert main(["diff", *pair]) == 0
    shown = capsys.readouterr()
    head, row, environment, summary = shown.out.splitlines()
    assert head.split() == ["outcome", "kind", "environment", "key", "a", "b"]
    cells = row.split()
    assert cells[:4] == ["differs", "acme/plan", "#0", "a"]
    assert [cell[:3] for cell in cells[4:]] == ["v1:", "v1:"]
    assert environment == "#0: os linux, 2 instruction sets"
    assert summary == (
        "a is a.owb, b is b.owb: keys only in a: 0, only in b: 0, "
        "with other content: 1, unknown: 0"
    )
    assert shown.err == ""


def test_no_difference_is_said(put, capsys):
    """A bundle holds what it holds."""
    name = put(sample())
    assert main(["diff", name, name, "--exit-code"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "a is model.owb, b is model.owb: they hold the same artifacts\n"


def test_a_difference_ends_with_1_only_where_asked(pair):
    """As other comparisons do it: 1 means failed elsewhere."""
    assert main(["diff", *pair, "--exit-code"]) == 1
    assert main(["diff", *pair]) == 0
    assert main(["diff", pair[0], pair[0], "--exit-code"]) == 0


def test_what_cannot_be_compared_ends_with_4(pair, capsys):
    """Also where the rest differs and the code for that was asked."""
    Path("b.owb").write_bytes(flipped(B, B.index(b"other"), 0))
    assert main(["diff", *pair, "--exit-code"]) == 4
    shown = capsys.readouterr()
    assert "unknown" in shown.out
    assert "v1:?" in shown.out
    assert "overwinter: b.owb: segment 0, payload block 0: found SHA-256" in shown.err
    Path("b.owb").write_bytes(A + b"torn")
    assert main(["diff", *pair]) == 4
    assert "no difference in what could be compared" in capsys.readouterr().out


def test_a_difference_is_told_as_json(pair, capsys):
    """Digests whole, environments in full."""
    assert main(["diff", *pair, "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    (difference,) = plain.pop("differences")
    assert plain == {"version": 1, "a": "a.owb", "b": "b.owb", "problems": []}
    assert len(difference.pop("a")[0]["digest"]) == 64
    assert len(difference.pop("b")[0]["digest"]) == 64
    assert difference == {
        "outcome": "differs",
        "kind": "acme/plan",
        "key": "a",
        "environment": ENVIRONMENT,
        "common": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.owb", "missing.owb"], 3, "missing.owb: no such file"),
        (["a.owb", "foreign.owb"], 4, "starts with 50 4b"),
        (["a.owb"], 2, "Missing argument 'B'"),
        (["a.owb", "."], 2, "'.' is a directory"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_comparison_that_cannot_be_is_told(pair, capsys, arguments, code, words):
    """With the code of the reason."""
    Path("foreign.owb").write_bytes(b"PK")
    assert main(["diff", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err


def test_control_characters_are_shown_and_not_obeyed(put, capsys):
    """Keys come from a bundle, which anybody may have written."""
    name = put(built(plans(("a\x1b[31m", b"1"))))
    Path("b.owb").write_bytes(sample())
    assert main(["diff", name, "b.owb"]) == 0
    shown = capsys.readouterr()
    assert "a\\x1b[31m" in shown.out
    assert "\x1b" not in shown.out + shown.err
