"""Catalogues: the schema files of a package, one for each version, without gaps."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from overwinter.schema import Catalog, InvalidSchemaError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what writes ``acme/plan/<name>`` into a package named ``shelf``."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "shelf", raising=False)
    folder = tmp_path / "shelf" / "acme" / "plan"
    folder.mkdir(parents=True)
    (tmp_path / "shelf" / "__init__.py").touch()

    def write(name: str, plain: Any) -> Path:
        file = folder / name
        text = plain if isinstance(plain, str) else json.dumps(plain)
        file.write_text(text, encoding="utf-8")
        return file

    return write


def _schema(version: int, kind: str = "acme/plan", **field: Any) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [{"id": 1, "name": "key", "type": "str"}]
    if field:
        fields.append({"id": 2, "name": "size", **field})
    return {"kind": kind, "version": version, "cardinality": "one", "fields": fields}


def test_a_catalogue_gives_each_version_and_knows_the_newest(package):
    """Versions are counted by their files: there is no list to forget one in."""
    for version in range(1, 12):
        package(f"v{version}.json", _schema(version))
    catalog = Catalog("shelf", "acme/plan")
    assert [catalog[version].version for version in (1, 9, 11)] == [1, 9, 11]
    assert catalog.newest.version == len(catalog) == 11
    assert 11 in catalog
    assert 12 not in catalog
    assert 0 not in catalog


def test_a_schema_is_read_once(package):
    """A schema file is frozen: looking again cannot find anything else."""
    file = package("v1.json", _schema(1))
    catalog = Catalog("shelf", "acme/plan")
    first = catalog[1]
    file.unlink()
    assert catalog[1] is first


def test_other_files_are_no_versions(package):
    """Notes, drafts and what an editor leaves behind may stand beside schemas."""
    package("v1.json", _schema(1))
    for name in ("v2.json~", "draft.json", "v02.json", "v1.json.orig", "README.md"):
        package(name, "{}")
    assert len(Catalog("shelf", "acme/plan")) == 1


@pytest.mark.parametrize(
    ("versions", "found"), [([1, 3], r"\[1, 3\]"), ([2], r"\[2\]"), ([], r"\[\]")]
)
def test_a_gap_between_versions_is_refused(package, versions, found):
    """A version that is not there could never be read again."""
    for version in versions:
        package(f"v{version}.json", _schema(version))
    words = (
        f"shelf/acme/plan: versions: found {found}, expected 1, 2, 3 … without a gap"
    )
    with pytest.raises(InvalidSchemaError, match=words):
        Catalog("shelf", "acme/plan")


def test_a_kind_without_a_folder_is_refused(package):
    """The error says which folder to make, and what belongs into it."""
    words = r"shelf/acme/tile: folder: found nothing, expected a folder with v1\.json"
    with pytest.raises(InvalidSchemaError, match=words):
        Catalog("shelf", "acme/tile")


@pytest.mark.parametrize(
    "stated", [_schema(2), _schema(1, "acme/plans")], ids=["version", "kind"]
)
def test_a_file_that_states_another_kind_or_version_is_refused(package, stated):
    """A copied file whose head was forgotten would shadow what it was copied from."""
    package("v1.json", stated)
    words = (
        f"v1.json: kind, version: found {stated['kind']} version {stated['version']}"
    )
    with pytest.raises(InvalidSchemaError, match=words):
        _ = Catalog("shelf", "acme/plan").newest


def test_a_file_that_is_no_json_is_refused_by_name(package):
    """The error names the file and the place in it."""
    package("v1.json", '{"kind": ')
    words = r"shelf/acme/plan/v1\.json: file: found .*line 1.*, expected JSON"
    with pytest.raises(InvalidSchemaError, match=words):
        _ = Catalog("shelf", "acme/plan").newest


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("i64", "3"),
        ("i64", True),
        ("i64", 2**63),
        ("u64", -1),
        ("f64", 1),
        ("str", None),
        ({"list": "i64"}, [1, "2"]),
        ({"map": "str"}, []),
        ("payload", ""),
    ],
)
def test_a_default_that_its_own_field_could_not_hold_is_refused(
    package, type_, default
):
    """A default becomes a value of every record that lacks the field."""
    package("v1.json", _schema(1, type=type_, default=default))
    words = r"v1\.json: size\.default: found .*, expected a value of "
    with pytest.raises(InvalidSchemaError, match=words):
        _ = Catalog("shelf", "acme/plan").newest


@pytest.mark.parametrize(
    ("type_", "default"),
    [
        ("i64", 3),
        ({"optional": "payload"}, None),
        ({"map": "opaque"}, {"x": [1, None]}),
        ("f64", 0.5),
    ],
)
def test_a_default_that_its_field_can_hold_is_read(package, type_, default):
    """Null, zero and empty are three defaults, and all of them are allowed."""
    package("v1.json", _schema(1, type=type_, default=default))
    newest = Catalog("shelf", "acme/plan").newest
    assert newest.fields[1].default == default


def test_the_errors_of_a_file_name_the_file(package):
    """Of a package with many schemas the author is told which."""
    package("v1.json", _schema(1, type="int"))
    words = r"^shelf/acme/plan/v1\.json: fields\[1\]\.type"
    with pytest.raises(InvalidSchemaError, match=words):
        _ = Catalog("shelf", "acme/plan").newest


@pytest.mark.parametrize(
    "type_", [{"list": "payload"}, {"optional": {"map": "payload"}}]
)
def test_a_payload_is_a_field_and_nothing_inside_one(package, type_):
    """Inside a list it would be bytes like others, and not stored apart."""
    package("v1.json", _schema(1, type=type_))
    words = r"v1\.json: size\.type: found .*payload.*, expected payload or optional"
    with pytest.raises(InvalidSchemaError, match=words):
        _ = Catalog("shelf", "acme/plan").newest
