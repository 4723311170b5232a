"""Drafts: what no promise holds for is written when asked for, and says so."""

import json
import sys

import attrs
import pytest
from acme.plans import registered

from overwinter import (
    Bundle,
    CacheArtifact,
    CacheArtifactFactory,
    CacheArtifactManager,
    save,
)
from overwinter.cli.main import main
from overwinter.errors import DraftError
from overwinter.kinds import PACK, PGOArtifact
from overwinter.schema import InvalidSchemaError
from overwinter.schema.released import parse_released, version_line


@pytest.fixture
def draft(tmp_path, monkeypatch):
    """Register a kind whose only schema is a draft; return the schema package."""
    folder = tmp_path / "drafts" / "acme" / "idea"
    folder.mkdir(parents=True)
    (tmp_path / "drafts" / "__init__.py").touch()
    schema = {
        "kind": "acme/idea",
        "version": 1,
        "cardinality": "one",
        "fields": [{"id": 1, "name": "key", "type": "str"}],
    }
    (folder / "v1.json").write_text(json.dumps(schema), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with registered(_Idea):
        yield tmp_path / "drafts"
    sys.modules.pop("drafts", None)


@attrs.frozen
class _Idea(CacheArtifact):
    schema_package = "drafts"
    migrations_package = "drafts"
    key: str

    @staticmethod
    def type() -> str:
        return "acme/idea"

    @classmethod
    def check_key(cls, key: str) -> None:
        pass


WORDS = (
    r"acme/idea: version 1 is a draft: drafts/acme/idea/v1\.json is not released.*; "
    r"release it with 'overwinter schema release acme/idea', or save with "
    r"allow_drafts=True"
)


def test_a_draft_is_not_written(draft, tmp_path):
    """Whoever opens the bundle in a year would have no schema for it."""
    with pytest.raises(DraftError, match=WORDS):
        save(tmp_path / "a.owb", [_Idea("a")])
    assert not (tmp_path / "a.owb").exists()
    manager = CacheArtifactManager()
    manager.record(_Idea("a"))
    with pytest.raises(DraftError, match=WORDS):
        manager.serialize()


def test_a_draft_is_written_when_asked_for_and_says_so(draft, tmp_path, capsys):
    """In the signed statement; what is released has no word about it."""
    path = tmp_path / "a.owb"
    save(path, [_Idea("a"), PGOArtifact("job:0:x", b"y")], allow_drafts=True)
    with Bundle(path) as bundle:
        stamps = bundle.segments[0].statement.kinds
    assert {stamp.kind: stamp.draft for stamp in stamps} == {
        "acme/idea": True,
        "pgo": False,
    }
    assert main(["inspect", str(path)]) == 0
    assert "1 (draft)" in capsys.readouterr().out
    assert ["draft" in stamp.as_plain() for stamp in stamps] == [True, False]
    assert CacheArtifactManager.deserialize(path, strict=True)["acme/idea"]


def test_a_draft_that_became_something_else_is_opaque(draft, tmp_path):
    """Its version number is the same; its fingerprint is not."""
    path = tmp_path / "a.owb"
    save(path, [_Idea("a")], allow_drafts=True)
    file = draft / "acme" / "idea" / "v1.json"
    schema = json.loads(file.read_text(encoding="utf-8"))
    schema["cardinality"] = "many"
    file.write_text(json.dumps(schema), encoding="utf-8")
    with registered(_Idea, without=("acme/idea",)):
        loaded = CacheArtifactManager.deserialize(path)
    (note,) = loaded.info.opaque
    assert "its version 1 was a draft when it was written" in note.reason


def test_a_released_schema_is_written_without_a_word(draft, tmp_path):
    """A line in RELEASED with the digest of the file is all that it needs."""
    content = (draft / "acme" / "idea" / "v1.json").read_bytes()
    line = version_line(parse_released("", ""), "acme/idea", 1, content, None)
    (draft / "RELEASED").write_text(line, encoding="utf-8")
    with registered(_Idea, without=("acme/idea",)):
        save(tmp_path / "a.owb", [_Idea("a")])
        assert not CacheArtifactFactory.kind("acme/idea").stamp.draft


def test_a_released_file_that_was_edited_is_not_written(draft, tmp_path):
    """What a release wrote under that version would be read as something else."""
    line = version_line(parse_released("", ""), "acme/idea", 1, b"as it was", None)
    (draft / "RELEASED").write_text(line, encoding="utf-8")
    words = (
        r"drafts/acme/idea/v1\.json: file: found RELEASED_FILE_IMMUTABLE: SHA-256 .*, "
        r"expected .*, as it was released; restore it from version control"
    )
    with (
        registered(_Idea, without=("acme/idea",)),
        pytest.raises(InvalidSchemaError, match=words),
    ):
        save(tmp_path / "a.owb", [_Idea("a")], allow_drafts=True)


@pytest.mark.parametrize("cls", PACK.classes, ids=lambda cls: cls.type())
def test_the_builtin_kinds_are_released(cls):
    """A save of torch's caches never has to say that it allows drafts."""
    assert not CacheArtifactFactory.kind(cls.type()).stamp.draft
