"""``overwinter union``: one bundle of several, and words on what was wrong in them."""

import json
from pathlib import Path

import pytest
from bundles import built, flipped, plans, regions, sample, sample_of_two
from forging import HEADER, file_of, prefix_of

from overwinter import Bundle
from overwinter.bundle import verify
from overwinter.cli.main import main


def left() -> list[str]:
    """Return the names of all files here."""
    return sorted(path.name for path in Path.cwd().iterdir() if path.is_file())


def test_a_union_ends_with_0_and_says_what_it_did(put, capsys):
    """A row for each part as it was given; standard error is silent."""
    name = put(sample_of_two())
    Path("other.owb").write_bytes(sample())
    assert main(["union", name, "other.owb", "-o", "new.owb"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "part       segments  problems",
        "model.owb         2         0",
        "other.owb         1         0",
        "new.owb: 2 segments; 1 came more than once",
    ]
    assert shown.err == ""
    with Bundle("new.owb") as bundle:
        assert list(verify(bundle)) == []
        assert len(bundle.segments) == 2


def test_a_union_is_told_as_json(put, capsys):
    """A literal, for the programs that read it."""
    assert main(["union", put(sample()), "--out", "new.owb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "file": "new.owb",
        "segments": 1,
        "parts": [{"file": "model.owb", "segments": 1, "problems": []}],
        "duplicates": 0,
    }


def test_damage_in_a_part_ends_with_4_and_is_carried(put, capsys):
    """The new bundle holds everything, and so the damage too."""
    data = sample_of_two()
    name = put(flipped(data, regions(data)["statement 0"][5], 0))
    Path("other.owb").write_bytes(built(plans(("z", b"1"))))
    assert main(["union", name, "other.owb", "-o", "new.owb"]) == 4
    shown = capsys.readouterr()
    assert "model.owb  " in shown.out
    assert "overwinter: model.owb: segment 0, statement: found SHA-256" in shown.err
    with Bundle("new.owb") as bundle:
        assert (len(bundle.segments), len(bundle.refused)) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["model.owb", "missing.owb", "-o", "new.owb"], 3, "missing.owb: no such"),
        (["model.owb", "later.owb", "-o", "new.owb"], 5, "must know warp"),
        (["model.owb", "cut.owb", "-o", "new.owb"], 4, "cut.owb: trailer: found"),
        (["model.owb", "-o", "model.owb"], 6, "something there already"),
        (["model.owb", "-o", "cut.owb"], 6, "something there already"),
        (["model.owb", "-o", "no/new.owb"], 3, "no/new.owb: could not write it"),
        (["model.owb"], 2, "Missing option '-o'"),
        (["-o", "new.owb"], 2, "Missing argument 'FILES...'"),
        ([".", "-o", "new.owb"], 2, "'.' is a directory"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_a_union_that_cannot_be_is_told(put, capsys, arguments, code, words):
    """With the code of the reason; nothing is written, and nothing written over."""
    data = sample()
    put(data)
    Path("cut.owb").write_bytes(data[:200])
    later = prefix_of({**HEADER, "write_requires": ["warp"]})
    Path("later.owb").write_bytes(file_of(prefix=later))
    assert main(["union", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert left() == ["cut.owb", "later.owb", "model.owb"]
    assert Path("model.owb").read_bytes() == data
    assert Path("cut.owb").read_bytes() == data[:200]
