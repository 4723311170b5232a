"""``overwinter schema``: from the class in the working directory to a release."""

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan, records_of, registered

from overwinter.bundle import write_bundle
from overwinter.cli.main import main

KIND = "acme.plans:Plan"
NO_CORPUS = "overwinter: CORPUS_HAS_VERSION was not checked: no --corpus\n"

_NUMBERS = itertools.count()
_SOURCE = '''\
"""What an author works on."""

import attrs

from overwinter import CacheArtifact


@attrs.frozen
class Note(CacheArtifact):
    """A note."""

    schema_package = "{name}_schema"
    migrations_package = "{name}_migrations"

    key: str
{fields}

    @staticmethod
    def type():
        """Return the kind."""
        return "acme/note"
'''


@attrs.define
class Author:
    """Who works on one class, in the working directory."""

    folder: Path
    name: str

    def says(self, *fields: str, source: str = _SOURCE) -> str:
        """Write the class with these fields; return how commands are told of it."""
        body = "\n".join(f"    {field}" for field in fields)
        text = source.format(name=self.name, fields=body)
        sys.modules.pop(self.name, None)
        # Two writes within a second would pass for one.
        self.name_of_file.unlink(missing_ok=True)
        for cached in self.folder.glob(f"__pycache__/{self.name}.*"):
            cached.unlink()
        self.name_of_file.write_text(text, encoding="utf-8")
        return f"{self.name}:Note"

    @property
    def name_of_file(self) -> Path:
        """The module."""
        return self.folder / f"{self.name}.py"

    def file(self, name: str) -> Path:
        """Return a file of the schema package."""
        return self.folder / f"{self.name}_schema" / name


@pytest.fixture
def author(tmp_path, monkeypatch):
    """Return an author in a working directory with empty packages."""
    author = Author(tmp_path / "work", f"notes{next(_NUMBERS)}")
    for package in ("schema", "migrations"):
        folder = author.folder / f"{author.name}_{package}"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    monkeypatch.chdir(author.folder)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield author
    for name in [name for name in sys.modules if name.startswith(author.name)]:
        del sys.modules[name]


def _json(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def _ran(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    assert main(["schema", *arguments]) == code
    return capsys.readouterr()


# --- draft ------------------------------------------------------------------


def test_a_draft_is_shown_and_not_written(author, capsys):
    """Data on standard output, and on standard error what it would become."""
    kind = author.says("title: str")
    shown = _ran(capsys, "draft", kind)
    assert shown.out == (
        "{\n"
        '  "kind": "acme/note",\n'
        '  "version": 1,\n'
        '  "cardinality": "many",\n'
        '  "fields": [\n'
        '    {"id": 1, "name": "key", "type": "str"},\n'
        '    {"id": 2, "name": "title", "type": "str"}\n'
        "  ]\n"
        "}\n"
    )
    name = f"{author.name}_schema/acme/note/v1.json"
    assert shown.err == f"overwinter: this is {name}; --write writes it\n"
    assert not author.file("acme").exists()


def test_a_draft_is_written_when_asked_for(author, capsys):
    """It says which files; asked again, that there was nothing to do."""
    kind = author.says("title: str")
    shown = _ran(capsys, "draft", kind, "--write", "--cardinality", "one")
    files = [author.file(f"acme/note/{name}") for name in ("v1.json", "HEAD")]
    wrote = "".join(f"overwinter: wrote {file}\n" for file in files)
    assert shown.err.startswith(wrote)
    assert f"then: overwinter schema check {kind}\n" in shown.err
    assert json.loads(files[0].read_text())["cardinality"] == "one"
    assert _ran(capsys, "draft", kind, "--write").err == (
        f"overwinter: {author.name}_schema/acme/note/v1.json says what the class says; "
        "nothing was written\n"
    )


def test_a_class_that_drifted_is_drafted(author, capsys):
    """From the working directory; the next command to run is said."""
    kind = author.says("title: str")
    _ran(capsys, "draft", kind, "--write")
    _ran(capsys, "release", kind)
    kind = author.says("title: str", "size: int = 7")
    shown = _ran(capsys, "check", kind, code=1).out
    assert "CLASS_MATCHES_SCHEMA: Note" in shown
    shown = _ran(capsys, "draft", kind, "--write")
    assert f"overwinter: next: overwinter migrate new {kind} --write\n" in shown.err
    assert json.loads(author.file("acme/note/v2.json").read_text())["fields"][2] == {
        "id": 3, "name": "size", "type": "i64", "default": 7,
    }  # fmt: skip


def test_a_class_that_cannot_be_said_is_told(author, capsys):
    """By its line, and that what it is now has no word."""
    shown = _ran(capsys, "draft", author.says("title: complex"), code=1)
    assert shown.out == ""
    assert "change  Note.title: <class 'complex'>  to one of the types" in shown.err


# --- diff -------------------------------------------------------------------


def test_the_last_two_versions_are_compared(capsys):
    """By field id, a line each; these are for people and for patches."""
    assert _ran(capsys, "diff", KIND).out == (
        "+ 5 device: str = 'unknown'\n+ 6 tiles: list<i64> = []\n"
    )


def test_any_two_versions_are_compared(capsys):
    """Also back."""
    assert _ran(capsys, "diff", KIND, "1", "2").out == (
        "- 2 median_us: optional<f64> = None\n+ 4 median_ns: optional<i64> = None\n"
    )
    assert _ran(capsys, "diff", KIND, "2", "1").out == (
        "+ 2 median_us: optional<f64> = None\n- 4 median_ns: optional<i64> = None\n"
    )
    assert _ran(capsys, "diff", KIND, "2", "2").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", KIND, "1", "4"],
        ["diff", KIND, "4"],
        ["export", KIND, "--version", "4"],
        ["docs", KIND, "--version", "4"],
    ],
    ids=" ".join,
)
def test_a_version_that_is_not_there_is_told(capsys, arguments):
    """With those that are."""
    shown = _ran(capsys, *arguments, code=2)
    assert "acme/plan has versions 1 to 3, not 4" in shown.err
    assert shown.out == ""


# --- check ------------------------------------------------------------------


def test_a_good_contract_is_a_line_of_a_table(capsys):
    """A literal; what was not asked is said on standard error."""
    shown = _ran(capsys, "check", KIND)
    assert shown.out == (
        "kind       version  released  oldest reader  broken rules\n"
        "acme/plan        3         3              2             0\n"
    )
    assert shown.err == NO_CORPUS


def test_a_good_contract_is_shown_as_json_of_a_versioned_layout(capsys):
    """A literal, for the programs that read it."""
    assert main(["schema", "check", "--json", KIND]) == 0
    assert _json(capsys) == {
        "version": 1,
        "kinds": [
            {
                "kind": "acme/plan",
                "owners": [],
                "newest": 3,
                "released": 3,
                "oldest_reader": 2,
                "violations": [],
            }
        ],
    }


def test_a_broken_rule_is_shown_and_fails(author, capsys):
    """The rule, the path, what was, what is, and what to write."""
    kind = author.says("title: str")
    _ran(capsys, "draft", kind, "--write")
    author.file("acme/note/HEAD").write_text("1 aa\n")
    shown = _ran(capsys, "check", kind, code=1)
    head, *lines = shown.out.splitlines()
    assert head.split() == ["kind", "version", "released", "oldest", "reader", "broken",
                            "rules"]  # fmt: skip
    assert lines[0].split() == ["acme/note", "1", "0", "1", "1"]
    assert lines[1:3] == ["", f"SINGLE_HEAD: {author.name}_schema/acme/note/HEAD"]
    assert lines[3].startswith("  was  1 ")
    assert lines[4] == "  now  1 aa"
    assert lines[5].endswith("run 'overwinter schema draft --write' on its class")
    (found,) = json.loads(_ran(capsys, "check", "--json", kind, code=1).out)["kinds"]
    (violation,) = found["violations"]
    assert list(violation) == ["rule", "path", "was", "now", "remedy"]
    assert violation["rule"] == "SINGLE_HEAD"


def test_a_contract_that_cannot_be_read_has_no_oldest_reader(author, capsys):
    """There is nobody to ask."""
    kind = author.says("title: str")
    shown = _ran(capsys, "check", kind, code=1)
    assert shown.out.splitlines()[1].split() == ["acme/note", "0", "0", "-", "1"]
    assert "run 'overwinter schema draft' on the class of acme/note" in shown.out
    found = json.loads(_ran(capsys, "check", "--json", kind, code=1).out)["kinds"][0]
    assert found["oldest_reader"] is None


def test_every_kind_is_checked_where_none_is_named(capsys):
    """Those of every installed distribution; ours break no rule."""
    found = json.loads(_ran(capsys, "check", "--json").out)["kinds"]
    names = [each["kind"] for each in found]
    assert {"aot_autograd", "autotune", "inductor", "pgo"} <= set(names)
    assert [each["violations"] for each in found] == [[] for _ in found]


def test_several_kinds_are_checked_together(author, capsys):
    """One that breaks a rule fails them all."""
    shown = _ran(capsys, "check", KIND, author.says("title: str"), code=1)
    assert len(shown.out.splitlines()[1:3]) == 2
    assert shown.out.splitlines()[1].split()[-1] == "0"
    assert shown.out.splitlines()[2].split()[-1] == "1"


def _corpus(folder: Path, *versions: int) -> str:
    columns: dict[int, dict[str, list[Any]]] = {
        1: {"key": ["a"], "program": [b"x"], "median_us": [None]},
        2: {"key": ["a"], "program": [b"x"], "median_ns": [None]},
        3: {
            "key": ["a"], "program": [b"x"], "median_ns": [None], "device": ["cpu"],
            "tiles": [[1]],
        },
    }  # fmt: skip
    with registered(Plan):
        for version in versions:
            path = folder / "kept" / str(version) / "bundle.owb"
            path.parent.mkdir(parents=True)
            records = records_of(version, **columns[version])
            with path.open("wb") as file:
                write_bundle(file, [records], writer="tests", key=None)
    return str(folder / "kept")


def test_a_corpus_with_every_version_is_enough(tmp_path, capsys):
    """Bundles in the folder, and in folders in it."""
    corpus = _corpus(tmp_path, 1, 2, 3)
    shown = _ran(capsys, "check", KIND, "--corpus", corpus)
    assert shown.out.splitlines()[1].split()[-1] == "0"
    assert shown.err == ""


def test_a_corpus_without_a_version_is_told(tmp_path, capsys):
    """That version alone."""
    shown = _ran(capsys, "check", KIND, "--corpus", _corpus(tmp_path, 1, 3), code=1)
    assert shown.out.count("CORPUS_HAS_VERSION") == 1
    assert "CORPUS_HAS_VERSION: acme/plan 2\n" in shown.out


def test_a_corpus_that_is_not_there_is_told(capsys):
    """As any argument that cannot be: 2."""
    shown = _ran(capsys, "check", KIND, "--corpus", "no/such/folder", code=2)
    assert shown.out == ""
    assert "Directory 'no/such/folder' does not exist" in shown.err


def test_a_corpus_with_a_damaged_bundle_is_told(tmp_path, capsys):
    """It is not passed over: 4."""
    (tmp_path / "a.owb").write_bytes(b"no bundle")
    shown = _ran(capsys, "check", KIND, "--corpus", str(tmp_path), code=4)
    assert "a.owb" in shown.err


# --- release ----------------------------------------------------------------


def test_a_release_prints_its_lines(author, capsys):
    """As they stand in the file; a second one has none."""
    kind = author.says("title: str")
    _ran(capsys, "draft", kind, "--write")
    shown = _ran(capsys, "release", kind)
    assert shown.out.startswith("acme/note 1 ")
    assert author.file("RELEASED").read_text() == shown.out
    shown = _ran(capsys, "release", kind)
    assert shown.out == ""
    assert shown.err == "overwinter: acme/note: every version is released already\n"


def test_two_kinds_are_released_at_once(author, capsys):
    """Each line seals those before it, so the second is behind the first's."""
    both = _SOURCE + _SOURCE.replace("class Note", "class Memo").replace(
        "acme/note", "acme/memo"
    )
    note = author.says("title: str", source=both)
    kinds = [note, note.replace(":Note", ":Memo")]
    for kind in kinds:
        _ran(capsys, "draft", kind, "--write")
    shown = _ran(capsys, "release", *kinds)
    assert [line.split()[0] for line in shown.out.splitlines()] == [
        "acme/note",
        "acme/memo",
    ]
    assert author.file("RELEASED").read_text() == shown.out
    assert "every version is released already" in _ran(capsys, "release", *kinds).err


def test_a_release_is_named(author, capsys):
    """Together with the kind, or by its package later."""
    kind = author.says("title: str")
    _ran(capsys, "draft", kind, "--write")
    first, second = _ran(capsys, "release", kind, "--name", "1.0").out.splitlines()
    assert first.startswith("acme/note 1 ")
    assert second.startswith("= 1.0 ")
    package = f"{author.name}_schema"
    shown = _ran(capsys, "release", "--package", package, "--name", "1.1")
    assert shown.out.startswith("= 1.1 ")
    shown = _ran(capsys, "release", "--package", package, "--name", "1.1", code=1)
    assert "release '1.1'" in shown.err


def test_what_breaks_a_rule_is_not_released(author, capsys):
    """The rules are listed; nothing is written."""
    kind = author.says("title: str")
    _ran(capsys, "draft", kind, "--write")
    shown = _ran(capsys, "release", author.says("title: int"), code=1)
    assert "CLASS_MATCHES_SCHEMA" in shown.err
    assert shown.out == ""
    assert not author.file("RELEASED").exists()


def test_a_release_of_nothing_is_a_mistake(capsys):
    """Of who calls: 2."""
    shown = _ran(capsys, "release", code=2)
    assert "name a KIND, or give a release a --name" in shown.err


# --- export and docs --------------------------------------------------------


def test_a_schema_is_exported_as_json_schema(capsys):
    """The newest, or the one that is asked for."""
    assert main(["schema", "export", KIND]) == 0
    found = _json(capsys)
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["title"] == "acme/plan version 3"
    assert list(found["properties"]) == [
        "key", "program", "median_ns", "device", "tiles",
    ]  # fmt: skip
    assert main(["schema", "export", KIND, "--version", "1"]) == 0
    assert _json(capsys)["title"] == "acme/plan version 1"


def test_a_schema_has_a_page(capsys):
    """In Markdown, with what each field means."""
    shown = _ran(capsys, "docs", KIND).out
    assert shown.startswith("# acme/plan, version 3\n")
    assert "| 5 | `device` | `str` | `'unknown'` | Where the time was taken. |" in shown
    shown = _ran(capsys, "docs", KIND, "--version", "1").out
    assert shown.startswith("# acme/plan, version 1\n")


def test_an_installed_kind_is_found_by_its_name(capsys):
    """No class needs to be said."""
    assert _ran(capsys, "docs", "pgo").out.startswith("# pgo, version 1\n")


# --- for newcomers ----------------------------------------------------------


@pytest.mark.parametrize("command", ["draft", "diff", "check", "export", "docs"])
def test_a_kind_that_nobody_has_is_told(capsys, command):
    """With those that there are, and the other way to say it."""
    shown = _ran(capsys, command, "autotunes", code=1)
    assert "kind 'autotunes' is not among aot_autograd, autotune," in shown.err
    assert "or name its class as module:Class" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:Plan", "No module named 'no_such_module'"),
        ("acme.plans:Plans", "module 'acme.plans' has no attribute 'Plans'"),
        ("acme.plans:", "expected module:Class"),
        (":Plan", "expected module:Class"),
        ("acme.plans:cache_directory", "is no subclass of CacheArtifact"),
        ("acme.graphs:Source", "is no subclass of CacheArtifact"),
    ],
)
def test_a_class_that_is_not_there_is_told(capsys, name, words):
    """It is a mistake of who calls: 2."""
    shown = _ran(capsys, "check", name, code=2)
    assert words in shown.err
    assert name in shown.err


@pytest.mark.parametrize(
    ("old_text", "new_text", "words"),
    [
        ("def type", "def other", "kind 'Note' does not name itself; write a static"),
        (
            "@attrs.frozen\n",
            "",
            "kind 'acme/note' has the class Note, which is no attrs class; decorate it",
        ),
        ('schema"', 'schemas"', "_schemas, which is not installed; make the folder of"),
    ],
    ids=["no kind", "no attrs class", "no package"],
)
def test_a_class_that_is_half_written_is_told(
    author, capsys, old_text, new_text, words
):
    """With what is missing."""
    assert old_text in _SOURCE
    kind = author.says("title: str", source=_SOURCE.replace(old_text, new_text))
    shown = _ran(capsys, "draft", kind, "--write", code=1)
    assert words in shown.err
    assert "Traceback" not in shown.err


def test_every_command_explains_itself(capsys):
    """By its name in the group's help."""
    shown = _ran(capsys, "--help").out
    for command in ("draft", "diff", "check", "release", "export", "docs"):
        assert f"  {command} " in shown
        assert "Usage: overwinter schema" in _ran(capsys, command, "--help").out
