"""The next version drafted, its step drafted, and released: a life on disk."""

import hashlib
import importlib
import json
from typing import Any

import attrs
import pytest
from acme.plans import registered

from overwinter import CacheArtifactManager, save
from overwinter.contract import (
    check,
    draft_version,
    name_release,
    release,
    write_draft,
    write_step,
)
from overwinter.errors import (
    BrokenRulesError,
    DriftError,
    KindError,
    MigrationError,
    StoreError,
)
from overwinter.migration import plan
from overwinter.schema import InvalidSchemaError
from overwinter.schema.released import parse_released


@attrs.frozen
class Point:
    """A record of version 1."""

    x: int


@attrs.frozen
class Wider:
    """The same of version 2."""

    x: int
    y: int = 0


def _drafted(author, /, **fields):
    """Write the draft that a class asks for; return its contract as it is then."""
    contract = author.contract(**fields)
    write_draft(contract, draft_version(contract))
    return author.contract(**fields)


def _released(author, /, **fields):
    """Write and release what a class asks for; return its contract as it is then."""
    release(_drafted(author, **fields))
    return author.contract(**fields)


def _ids(schema):
    return {field.name: field.id for field in schema.fields}


# --- drafting a version -----------------------------------------------------


def test_a_first_draft_is_version_1(author):
    """With its folder and HEAD; and nothing is broken."""
    contract = author.contract(title=str)
    schema = draft_version(contract)
    assert (schema.version, schema.cardinality) == (1, "many")
    files = [author.file("v1.json"), author.file("HEAD")]
    assert write_draft(contract, schema) == files
    assert author.plain(1)["fields"][1] == {"id": 2, "name": "title", "type": "str"}
    assert author.file("HEAD").read_text() == f"1 {schema.fingerprint.hex()}\n"
    assert check(author.contract(title=str)).violations == ()


def test_a_draft_that_says_what_the_class_says_is_left_alone(author):
    """Also its bytes: nothing is written where nothing has changed."""
    _drafted(author, title=str)
    author.file("v1.json").write_bytes(author.file("v1.json").read_bytes())
    contract = author.contract(title=str)
    assert write_draft(contract, draft_version(contract)) == []


def test_a_draft_is_drafted_again_under_its_number(author):
    """Until it is released there is no other version."""
    _drafted(author, title=str)
    _drafted(author, title=str, size=int)
    assert not author.file("v2.json").exists()
    assert [field["name"] for field in author.plain(1)["fields"]] == [
        "key", "title", "size",
    ]  # fmt: skip
    assert check(author.contract(title=str, size=int)).violations == ()


def test_what_a_draft_says_in_words_is_kept(author):
    """Also of what is inside a record, and of the kind."""
    _drafted(author, point=Point)
    plain = author.plain(1)
    plain["doc"] = "A note."
    plain["fields"][1]["doc"] = "Where it is."
    plain["fields"][1]["type"]["record"][0]["doc"] = "To the right."
    author.rewrite(1, plain)
    _drafted(author, point=Wider)
    plain = author.plain(1)
    assert plain["doc"] == "A note."
    assert plain["fields"][1]["doc"] == "Where it is."
    inside = plain["fields"][1]["type"]["record"]
    assert [field.get("doc") for field in inside] == ["To the right.", None]


def test_the_words_of_a_released_version_go_into_the_next(author):
    """By the name of the field."""
    _drafted(author, title=str)
    plain = author.plain(1)
    plain["fields"][1]["doc"] = "What it is about."
    author.rewrite(1, plain)
    _released(author, title=str)
    _drafted(author, title=str, size=(int, 0))
    assert author.plain(2)["fields"][1]["doc"] == "What it is about."


def test_after_a_release_the_next_version_is_drafted(author):
    """What is gone is reserved, what is new has an id that was never used."""
    _released(author, title=str, size=int)
    before = author.file("v1.json").read_bytes()
    schema = draft_version(author.contract(title=str, device=(str, "cpu")))
    assert schema.version == 2
    assert _ids(schema) == {"key": 1, "title": 2, "device": 4}
    assert (schema.reserved_ids, schema.reserved_names) == ((3,), ("size",))
    _drafted(author, title=str, device=(str, "cpu"))
    assert author.file("v1.json").read_bytes() == before


def test_what_is_released_is_drafted_no_more(author):
    """The class says what it says: there is nothing to do."""
    contract = _released(author, title=str)
    schema = draft_version(contract)
    assert schema.version == 1
    assert write_draft(contract, schema) == []


def test_what_is_released_is_never_written_again(author):
    """Whatever somebody asks for; only HEAD is mended."""
    contract = _released(author, title=str)
    before = author.file("v1.json").read_bytes()
    other = attrs.evolve(draft_version(contract), cardinality="one")
    write_draft(contract, other)
    assert author.file("v1.json").read_bytes() == before


def test_a_rename_is_made_in_the_draft_and_stays_there(author):
    """The class alone cannot say it; the author gives the new name the old id."""
    _released(author, size=int, title=str)
    _drafted(author, n_bytes=int, title=str)
    plain = author.plain(2)
    assert plain["fields"][1]["id"] == 4
    plain["fields"][1]["id"] = 2
    del plain["reserved"]
    author.rewrite(2, plain)
    contract = _drafted(author, n_bytes=int, title=str)
    assert author.plain(2) == plain
    _, text = write_step(contract)
    assert 'rename("size", "n_bytes")' in text
    contract = author.contract(n_bytes=int, title=str)
    assert check(contract).violations == ()
    # And also where the class then changes on.
    schema = draft_version(author.contract(n_bytes=int, title=str, more=(int, 0)))
    assert _ids(schema) == {"key": 1, "n_bytes": 2, "title": 3, "more": 4}
    assert schema.reserved_ids == ()
    both = draft_version(author.contract(n_bytes=int, title=str, size=(int, 0)))
    assert _ids(both) == {"key": 1, "n_bytes": 2, "title": 3, "size": 4}


def test_a_reservation_in_the_draft_stays_there(author):
    """It may be of an id that a branch has used; what is back is reserved no more."""
    _released(author, title=str, size=int)
    _drafted(author, title=str)
    plain = author.plain(2)
    plain["reserved"]["ids"].append(9)
    author.rewrite(2, plain)
    _drafted(author, title=str)
    assert author.plain(2)["reserved"] == {"ids": [3, 9], "names": ["size"]}
    schema = draft_version(author.contract(title=str, size=int, more=(int, 0)))
    assert _ids(schema) == {"key": 1, "title": 2, "size": 3, "more": 10}
    assert (schema.reserved_ids, schema.reserved_names) == ((9,), ())


def test_a_rename_inside_a_record_stays_in_the_draft(author):
    """As one of a field of the kind."""
    renamed = attrs.make_class("Named", {"left": attrs.field(type=int)})
    _released(author, points=list[Point])
    _drafted(author, points=list[renamed])
    plain = author.plain(2)
    (inside,) = plain["fields"][1]["type"]["list"]["record"]
    assert inside["id"] == 2
    inside["id"] = 1
    author.rewrite(2, plain)
    contract = _drafted(author, points=list[renamed])
    assert author.plain(2) == plain
    assert 'each("points", rename("x", "left"))' in write_step(contract)[1]


def test_a_head_that_is_behind_is_mended(author):
    """As the message about it says: by drafting again."""
    _drafted(author, title=str)
    author.file("HEAD").write_bytes(b"<<<<<<< ours\n")
    contract = author.contract(title=str)
    (found,) = check(contract).violations
    assert found.rule == "SINGLE_HEAD"
    assert write_draft(contract, draft_version(contract)) == [author.file("HEAD")]
    assert check(author.contract(title=str)).violations == ()


def test_the_cardinality_is_as_it_was_or_as_it_is_asked_for(author):
    """A class does not say it."""
    contract = author.contract(title=str)
    write_draft(contract, draft_version(contract, "one"))
    contract = author.contract(title=str)
    assert draft_version(contract).cardinality == "one"
    release(contract)
    contract = author.contract(title=str)
    assert draft_version(contract).version == 1
    assert draft_version(contract, "many").version == 2


def test_a_class_without_words_is_refused(author):
    """With the line to change."""
    with pytest.raises(DriftError, match=r"change  Note\.title: <class 'complex'>"):
        draft_version(author.contract(title=complex))


def test_a_gap_before_the_draft_is_refused(author):
    """An id of the version that is not there might be taken again."""
    _released(author, title=str)
    _drafted(author, title=str, size=(int, 0))
    author.file("v1.json").unlink()
    with pytest.raises(InvalidSchemaError, match=r"v1\.json: file: found a gap"):
        draft_version(author.contract(title=str))


# --- drafting a step --------------------------------------------------------


V1 = {"title": str, "point": Point, "points": dict[str, list[Point]]}
INFINITE = float("inf")


@pytest.mark.parametrize(
    ("fields", "operations"),
    [
        ({**V1, "size": (int, 7)}, ['add("size", default=7)']),
        ({**V1, "best": (float, INFINITE)}, ['add("best", default=float("inf"))']),
        (
            {**V1, "more": (Any, attrs.Factory(lambda: {"a": [1, None, -INFINITE]}))},
            ['add("more", default={"a": [1, None, float("-inf")]})'],
        ),
        (
            {"point": Point, "points": dict[str, list[Point]]},
            ['drop("title", loss="title, which later versions have no place for")'],
        ),
        ({**V1, "point": Wider}, ['each("point", add("y", default=0))']),
        (
            {**V1, "points": dict[str, list[Wider]]},
            ['each("points", add("y", default=0), keyed=True)'],
        ),
        ({**V1, "title": str | None}, []),
        (V1, []),
    ],
    ids=["add", "infinite", "nested", "drop", "each", "keyed", "widened", "nothing"],
)
def test_a_step_is_drafted_and_keeps_the_rules_as_it_is(author, fields, operations):
    """What the schemas say for certain needs no hand."""
    _released(author, **V1)
    contract = _drafted(author, **fields)
    if contract.newest == 1:
        assert fields == V1
        return
    path, text = write_step(contract)
    assert path == author.file("v1_to_v2.py")
    assert path.read_text(encoding="utf-8") == text
    assert all(each in text for each in operations)
    assert text.count("=migration") + text.count("= migration") == 1
    assert check(author.contract(**fields)).violations == ()


def test_a_step_is_drafted_without_being_written(author):
    """To look at it first."""
    _released(author, title=str)
    contract = _drafted(author, title=str, size=(int, 7))
    path, text = write_step(contract, write=False)
    assert 'add("size", default=7)' in text
    assert not path.exists()
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"title": str, "n_bytes": (int, 0)},
            r'size is gone and n_bytes is new: write replace\("size", "n_bytes", up=…, '
            r"down=…\), or say --drop size",
        ),
        (
            {"title": str, "size": str},
            r'size was i64 and is str: write convert\("size"',
        ),
        (
            {"title": str, "size": int, "more": int},
            r"more is new and has no default: give it one in the schema, or make it "
            r'from other fields with custom\(…, adds=\["more"\]\)',
        ),
    ],
    ids=["replace", "convert", "no default"],
)
def test_a_step_is_not_guessed(author, fields, words):
    """It says which operation to write, and writes none."""
    _released(author, title=str, size=int)
    contract = _drafted(author, **fields)
    with pytest.raises(MigrationError, match=words):
        write_step(contract)
    assert not author.file("v1_to_v2.py").exists()


def test_what_is_gone_for_good_is_said(author):
    """Then the new field is no replacement."""
    _released(author, title=str, size=int)
    contract = _drafted(author, title=str, n_bytes=(int, 0))
    _, text = write_step(contract, drop=["size"])
    assert 'drop("size", ' in text
    assert 'add("n_bytes", default=0)' in text
    assert check(author.contract(title=str, n_bytes=(int, 0))).violations == ()


def test_a_new_field_without_default_is_asked_for_also_beside_a_drop(author):
    """Else the step would make records without it."""
    _released(author, title=str, size=int)
    contract = _drafted(author, title=str, n_bytes=int)
    with pytest.raises(MigrationError, match="n_bytes is new and has no default"):
        write_step(contract, drop=["size"])


def test_a_step_that_is_there_is_not_overwritten(author):
    """Somebody may have written it."""
    _released(author, title=str)
    contract = _drafted(author, title=str, size=(int, 7))
    path, _ = write_step(contract)
    path.write_text("# mine", encoding="utf-8")
    with pytest.raises(StoreError, match="could not write the step: there is one"):
        write_step(contract)
    assert path.read_text(encoding="utf-8") == "# mine"


def test_there_is_no_step_to_the_first_version(author):
    """It says so, and how there would be a second."""
    contract = _drafted(author, title=str)
    with pytest.raises(InvalidSchemaError, match="overwinter schema draft"):
        write_step(contract)


# --- releasing --------------------------------------------------------------


def test_a_release_names_each_file_with_its_digest(author):
    """One line for each version that was not released before."""
    contract = _drafted(author, title=str)
    (line,) = release(contract)
    digest = hashlib.sha256(author.file("v1.json").read_bytes()).hexdigest()
    assert line.startswith(f"acme/note 1 {digest} - ")
    assert (author.schema / "RELEASED").read_text(encoding="utf-8") == line


def test_a_release_adds_lines_and_changes_none(author):
    """The seal of each holds those before it."""
    _released(author, title=str)
    (first,) = (author.schema / "RELEASED").read_text().splitlines(keepends=True)
    fields = {"title": str, "size": (int, 7)}
    contract = _drafted(author, **fields)
    path, _ = write_step(contract)
    (line,) = release(author.contract(**fields))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert line.split()[:2] == ["acme/note", "2"]
    assert line.split()[3] == digest
    assert (author.schema / "RELEASED").read_text() == first + line
    assert check(author.contract(**fields)).violations == ()


def test_a_release_twice_is_no_change(author):
    """Of the file either."""
    contract = _released(author, title=str)
    before = (author.schema / "RELEASED").read_bytes()
    assert release(contract) == []
    assert (author.schema / "RELEASED").read_bytes() == before


def test_what_breaks_a_rule_is_not_released(author):
    """It lists what is broken, and writes nothing."""
    _released(author, title=str)
    contract = _drafted(author, title=str, size=(int, 7))
    before = (author.schema / "RELEASED").read_bytes()
    with pytest.raises(
        BrokenRulesError, match=r"released nothing:\n  .*EXISTS"
    ) as told:
        release(contract)
    assert "mend them, then release again" in str(told.value)
    assert (author.schema / "RELEASED").read_bytes() == before


def test_a_first_release_that_is_broken_writes_no_file(author):
    """There was none."""
    _drafted(author, title=str)
    with pytest.raises(BrokenRulesError):
        release(author.contract(title=int))
    assert not (author.schema / "RELEASED").exists()


def test_two_kinds_of_a_package_are_released_into_one_list(author):
    """Each with lines of its own."""
    for kind in ("acme/note", "tile"):
        contract = author.contract(kind, title=str)
        write_draft(contract, draft_version(contract))
        release(author.contract(kind, title=str))
    text = (author.schema / "RELEASED").read_text()
    assert [line.split()[0] for line in text.splitlines()] == ["acme/note", "tile"]
    for kind in ("acme/note", "tile"):
        assert check(author.contract(kind, title=str)).violations == ()


def test_a_release_has_a_name(author):
    """It names all that was released by then, and no later one takes it again."""
    _released(author, title=str)
    line = name_release(author.schema.name, "1.0")
    assert line.startswith("= 1.0 ")
    text = (author.schema / "RELEASED").read_text()
    assert parse_released(text, "RELEASED").releases == {"1.0": {"acme/note": 1}}
    with pytest.raises(InvalidSchemaError, match=r"release '1\.0'"):
        name_release(author.schema.name, "1.0")
    with pytest.raises(InvalidSchemaError, match="a word that is new"):
        name_release(author.schema.name, "one point oh")
    assert (author.schema / "RELEASED").read_text() == text


def test_a_package_that_is_not_there_is_told():
    """By its name."""
    with pytest.raises(KindError, match="no_such_schemas, which is not installed"):
        name_release("no_such_schemas", "1.0")


# --- a whole life -----------------------------------------------------------


def test_a_kind_lives_through_two_versions(author, tmp_path):
    """What its first release saved is loaded by its second, as the step says."""
    path = tmp_path / "old.owb"
    first = _released(author, title=str, point=Point).cls
    assert first is not None
    with registered(first):
        save(path, [first(key="a", title="one", point=Point(3))])

    fields = {"title": str, "point": Wider, "device": (str, "unknown")}
    contract = _drafted(author, **fields)
    assert [each.rule for each in check(contract).violations] == [
        "MIGRATION_EXISTS",
        "FIELD_SAME_TYPE_OR_CONVERT",
    ]
    write_step(contract)
    contract = author.contract(**fields)
    assert check(contract).violations == ()
    release(contract)

    # The second release is another process.
    plan._load.cache_clear()
    importlib.invalidate_caches()
    second = contract.cls
    assert second is not None
    with registered(second):
        loaded = CacheArtifactManager.deserialize(path, strict=True)
    assert loaded["acme/note"] == [
        second(key="a", title="one", point=Wider(3, 0), device="unknown")
    ]
    assert json.loads(author.file("v2.json").read_text())["version"] == 2
