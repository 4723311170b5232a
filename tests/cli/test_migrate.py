"""``overwinter migrate``: steps are drafted, and migrations planned; nothing is run."""

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from acme.plans import Plan, records_of, registered
from bundles import KEY, appended, built, flipped, regions

from overwinter import Bundle
from overwinter.cli.main import main
from overwinter.trust import SigningKey

CLASS = """
import attrs
from overwinter import CacheArtifact

@attrs.frozen
class Note(CacheArtifact):
    schema_package = "noted.schema"
    migrations_package = "noted.migrations"
    key: str

    @staticmethod
    def type():
        return "acme/note"
"""

KEY_FIELD = {"id": 1, "name": "key", "type": "str"}
SIZE = {"id": 2, "name": "size", "type": "i64"}
WEIGHT = {"id": 3, "name": "weight", "type": "i64"}
COLOUR = {"id": 4, "name": "colour", "type": "str", "default": "red"}


@pytest.fixture
def noted(tmp_path, monkeypatch):
    """Return what makes a package with a kind whose versions have these fields."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def make(*versions: list[dict[str, Any]]) -> Path:
        package = tmp_path / "noted"
        folder = package / "schema" / "acme" / "note"
        folder.mkdir(parents=True)
        (package / "migrations").mkdir()
        for each in ("", "schema", "migrations"):
            (package / each / "__init__.py").touch()
        (package / "notes.py").write_text(CLASS)
        for number, fields in enumerate(versions, 1):
            plain = {
                "kind": "acme/note",
                "version": number,
                "cardinality": "one",
                "fields": [KEY_FIELD, *fields],
            }
            (folder / f"v{number}.json").write_text(json.dumps(plain))
        return package / "migrations" / "acme" / "note" / "v1_to_v2.py"

    yield make
    for name in [each for each in sys.modules if each.split(".")[0] == "noted"]:
        del sys.modules[name]


def new(*arguments: str, code: int = 0) -> None:
    """Run ``migrate new`` on that kind."""
    assert main(["migrate", "new", "noted.notes:Note", *arguments]) == code


# --- new --------------------------------------------------------------------

DRAFTED = '''"""
acme/note 1 -> 2: what changed.

Why it changed.
"""

from overwinter.migration import add, drop, migration

STEP = migration(
    "acme/note",
    1,
    2,
    drop("size", loss="size, which later versions have no place for"),
    add("colour", default="red"),
)
'''


def test_a_step_is_printed_and_not_written(noted, capsys):
    """Data on standard output, words on standard error."""
    path = noted([SIZE], [COLOUR])
    new("--drop", "size")
    shown = capsys.readouterr()
    assert shown.out == DRAFTED
    assert shown.err == f"overwinter: this is {path}; --write writes it\n"
    assert not path.exists()


def test_a_step_is_written_with_the_folders_around_it(noted, capsys):
    """What is not a package is not shipped."""
    path = noted([SIZE], [COLOUR])
    new("--drop", "size", "--write")
    assert path.read_text() == DRAFTED
    assert (path.parent / "__init__.py").is_file()
    assert (path.parent.parent / "__init__.py").is_file()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"overwinter: wrote {path}; say in it why")


def test_a_step_that_is_there_is_not_written_over(noted, capsys):
    """Somebody filled it in."""
    path = noted([SIZE], [COLOUR])
    path.parent.mkdir(parents=True)
    path.write_text("filled in")
    new("--drop", "size", "--write", code=1)
    assert path.read_text() == "filled in"
    assert "could not write the step: there is one already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "drop", "words"),
    [
        (
            [SIZE],
            [COLOUR, WEIGHT],
            [],
            [
                "size is gone and weight or colour is new",
                'write replace("size", "weight", up=…, down=…), or say --drop size',
                'v1_to_v2.py by hand, with add("colour", default="red") beside it',
            ],
        ),
        ([SIZE], [WEIGHT], ["size"], ["weight is new and has no default: give it one"]),
        ([], [SIZE, WEIGHT], [], ["size is new and", "weight is new and"]),
        (
            [SIZE],
            [{**SIZE, "type": "str"}],
            [],
            ['size was i64 and is str: write convert("size", up=…, down=…)'],
        ),
        ([SIZE], [SIZE], ["size"], ["--drop size, which version 2 has"]),
        ([SIZE], [], ["siez"], ["--drop siez, which version 2 has or version 1 has n"]),
    ],
    ids=["replaced", "dropped", "added", "converted", "dropped and there", "mistyped"],
)
def test_what_the_schemas_leave_open_is_refused(
    noted, capsys, before, after, drop, words
):
    """Each field is named with the operation to write; no values are made up."""
    path = noted(before, after)
    options = [word for name in drop for word in ("--drop", name)]
    new("--write", *options, code=1)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("overwinter: acme/note 1 -> 2: ")
    for each in words:
        assert each in shown.err
    assert not path.exists()


def test_without_two_versions_there_is_no_step(noted, capsys):
    """The words say which command comes first."""
    noted([SIZE])
    new(code=1)
    assert "run 'overwinter schema draft'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("acme/unheard-of", 1, "kind 'acme/unheard-of' is not among"),
        ("noted.notes:Nothing", 2, "expected module:Class"),
        ("no_such_module:Note", 2, "No module named 'no_such_module'"),
        ("json:JSONDecoder", 2, "is no subclass of CacheArtifact"),
    ],
)
def test_a_kind_that_is_not_there_is_named(noted, capsys, name, code, words):
    """As a mistake in the arguments where it was to be a class."""
    noted([SIZE])
    assert main(["migrate", "new", name]) == code
    assert words in capsys.readouterr().err


# --- plan -------------------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch):
    """Have a machine that trusts the key of the tests."""
    seed = base64.b64encode(bytes(range(32))).decode()
    monkeypatch.setenv(
        "OVERWINTER_SIGNING_KEY", f"overwinter-secret-key-ed25519:{seed}"
    )


@pytest.fixture
def acme(trusting):
    """Have acme's kind on it."""
    with registered(Plan):
        yield


def old(*keys: str, **columns: list[Any]) -> Any:
    """Return records of version 1."""
    n = len(keys)
    values = {"median_us": [1.5] * n, "program": [b"program"] * n}
    return records_of(1, **{"key": list(keys), **values, **columns})


def test_a_plan_is_shown_as_a_table(put, capsys, acme):
    """A literal: each block, what it becomes and loses; and nothing is written."""
    data = built(old("a", "b"), level=3)
    with Bundle(data) as bundle:
        name = bundle.segments[0].name[:8]
    assert main(["migrate", "plan", put(data)]) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "segment   kind       version  becomes  artifacts  fail  why\n"
        f"{name}  acme/plan        1        3          2     0  "
        "loses fractions of a nanosecond\n"
        "model.owb: 2 artifacts migrated in 1 of 1 segments; "
        "the rest is copied as it is\n"
    )
    assert shown.err == ""
    assert Path("model.owb").read_bytes() == data
    assert [path.name for path in Path.cwd().glob("*.owb")] == ["model.owb"]


def test_a_plan_is_shown_as_json_of_a_versioned_layout(put, capsys, acme):
    """A literal, for the programs that read it."""
    data = built(old("a", "b"), level=3)
    with Bundle(data) as bundle:
        name = bundle.segments[0].name
    assert main(["migrate", "plan", "--json", put(data)]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "version": 1,
        "file": "model.owb",
        "segments": [
            {
                "name": name,
                "action": "rewrite",
                "reason": "",
                "blocks": [
                    {
                        "kind": "acme/plan",
                        "version": 1,
                        "becomes": 3,
                        "rows": 2,
                        "first": "a",
                        "reason": "",
                        "losses": ["fractions of a nanosecond"],
                        "failed": [],
                    }
                ],
            }
        ],
        "problems": [],
        "migrated": 2,
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: built(old("a"), key=SigningKey(bytes(32))),
            "expected a key that this machine trusts",
        ),
        (
            lambda: built(old("a", "b", median_us=[float("inf"), 1.0]), level=3),
            "acme/plan 'a': acme/plan 1 -> 2: found OverflowError",
        ),
        (lambda: _damaged(), "segment 0, statement: found SHA-256"),
        (lambda: appended(built(old("a")), old("b"))[:-500], "an append that was torn"),
    ],
    ids=["not trusted", "fails", "damaged", "torn"],
)
def test_a_plan_with_problems_ends_with_4(put, capsys, acme, make, words):
    """The plan is on standard output all the same, and each problem in words."""
    name = put(make())
    assert main(["migrate", "plan", name]) == 4
    shown = capsys.readouterr()
    assert "artifacts migrated in " in shown.out
    assert words in shown.err
    assert main(["migrate", "plan", "--json", name]) == 4
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert words in problem


def _damaged() -> bytes:
    data = built(old("a"), key=KEY)
    return flipped(data, regions(data)["statement 0"][5], 0)


def test_a_bundle_that_is_not_there_ends_with_3(put, capsys, acme):
    """As for every command."""
    assert main(["migrate", "plan", "missing.owb"]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("overwinter: missing.owb: no such file")


def test_a_kind_that_nobody_here_knows_is_copied(put, capsys, trusting):
    """It is no problem; the table says why it stays."""
    with registered(without=("acme/plan",)):
        assert main(["migrate", "plan", put(built(old("a")))]) == 0
    shown = capsys.readouterr()
    assert "kind 'acme/plan' is not registered" in shown.out
    assert "0 artifacts migrated in 0 of 1 segments" in shown.out
    assert shown.err == ""
