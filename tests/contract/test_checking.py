"""Every rule: a change that breaks it, and one close to it that does not."""

import hashlib
from typing import Any

import attrs
import pytest
from contracts import (
    DOES,
    KIND,
    MODE,
    POINT,
    Change,
    Note,
    Parts,
    field,
    good,
    good_corpus,
)

from overwinter.artifact import CacheArtifact
from overwinter.contract import check
from overwinter.schema.rules import RULES, Violation


def _found(parts: Parts) -> tuple[Violation, ...]:
    return check(parts.made(), parts.corpus).violations


def _rules(parts: Parts) -> set[str]:
    return {each.rule for each in _found(parts)}


def test_a_good_contract_breaks_no_rule():
    """All the others change this one, so that what they find is theirs."""
    parts = good()
    parts.corpus = good_corpus(parts)
    assert _found(parts) == ()


def test_what_was_read_is_given_back():
    """For who asks on: the schemas, the steps and what is released."""
    checked = check(good().made())
    assert [each.version for each in checked.schemas] == [1, 2, 3]
    assert sorted(checked.steps) == [1, 2]
    assert checked.released.newest(KIND) == 2


# --- every rule -------------------------------------------------------------


@attrs.frozen
class Case:
    """
    One rule.

    Args:
        rule: The rule.
        bad: What breaks it.
        good: What is close to that, and breaks none.
        words: Texts of the message: where, what was, what is, and what to write.
        others: Rules that cannot but be broken together with it.
    """

    rule: str
    bad: Change
    good: Change
    words: tuple[str, ...]
    others: frozenset[str] = frozenset()


def _without_class(change: Change) -> Change:
    """Return the change, of a contract whose class is of no matter."""

    def changed(parts: Parts) -> None:
        parts.cls = None
        change(parts)

    return changed


def _id_reused(parts: Parts) -> None:
    # The reservation is forgotten together with the id: else the file is refused.
    parts.schemas[3]["reserved"] = {"ids": [], "names": ["median_us"]}
    parts.field(3, "device")["id"] = 3


def _name_reused(parts: Parts) -> None:
    parts.field(3, "device")["name"] = "name"
    parts.edit(3, '"device"', '"name"')


def _other_name(parts: Parts) -> None:
    parts.field(3, "device")["name"] = "machine"
    parts.edit(3, '"device"', '"machine"')


def _dropped(parts: Parts) -> None:
    parts.drop(3, "title")
    parts.edit(3, "each(", 'drop("title", loss="the title"), each(')
    parts.edit(3, "import add", "import drop, add")


def _dropped_and_reserved(parts: Parts) -> None:
    _dropped(parts)
    parts.schemas[3]["reserved"] = {"ids": [2, 3], "names": ["median_us", "title"]}


def _reserved(*ids: int) -> Change:
    def change(parts: Parts) -> None:
        parts.schemas[3]["reserved"] = {"ids": list(ids), "names": ["median_us"]}

    return change


def _typed(kind: Any, operation: str = "") -> Change:
    def change(parts: Parts) -> None:
        parts.field(3, "title")["type"] = kind
        parts.edit(3, "each(", f"{operation}each(")
        parts.edit(3, "import add", "import add, convert")

    return change


def _not_defaulted(parts: Parts) -> None:
    del parts.field(3, "device")["default"]
    # No operation adds without a default; to make it is the other way.
    parts.edit(3, 'add("device", default="unknown"),', "")
    parts.edit(3, "import add", "import add, custom")


def _made_from_others(parts: Parts) -> None:
    _not_defaulted(parts)
    made = 'lambda r: {**r, "device": r["title"]}'
    parts.edit(3, "each(", f'custom({made}, adds=["device"], loss="it"), each(')


def _default(value: str) -> Change:
    def change(parts: Parts) -> None:
        parts.field(2, "title")["default"] = "none"
        parts.field(3, "title")["default"] = value

    return change


def _mode(values: list[str], is_open: bool, operation: str = "") -> Change:
    def change(parts: Parts) -> None:
        for version in (1, 2):
            parts.field(version, "mode")["type"] = {
                "enum": {"values": ["fast", "best"], "open": MODE["enum"]["open"]}
            }
        parts.field(3, "mode")["type"] = {"enum": {"values": values, "open": is_open}}
        parts.edit(3, "each(", f"{operation}each(")
        parts.edit(3, "import add", "import add, convert")

    return change


def _does(tag: str, *cases: str) -> Change:
    def change(parts: Parts) -> None:
        records = {name: DOES["union"]["cases"]["copy"] for name in cases}
        parts.field(3, "does")["type"] = {"union": {"tag": tag, "cases": records}}

    return change


def _released_is_edited(parts: Parts) -> None:
    parts.released = parts.made().released
    parts.schemas[1]["doc"] = "A better sentence."


def _draft_is_edited(parts: Parts) -> None:
    parts.released = parts.made().released
    parts.schemas[3]["doc"] = "A better sentence."


def _without_step(parts: Parts) -> None:
    del parts.steps["v2_to_v3.py"]


def _nothing(parts: Parts) -> None:
    """Change nothing."""


def _step(old_text: str, new_text: str) -> Change:
    return lambda parts: parts.edit(3, old_text, new_text)


def _drop_with(loss: str) -> Change:
    def change(parts: Parts) -> None:
        _dropped_and_reserved(parts)
        parts.edit(3, 'loss="the title"', loss)

    return change


def _head(content: bytes | None) -> Change:
    def change(parts: Parts) -> None:
        parts.head = content

    return change


def _corpus(*versions: int) -> Change:
    def change(parts: Parts) -> None:
        parts.corpus = frozenset(
            each for each in good_corpus(parts) if each[1] in versions
        )

    return change


def _class(change: Any) -> Change:
    def changed(parts: Parts) -> None:
        parts.cls = change

    return changed


@attrs.frozen
class Drifted(Note):
    """A class with a field more than its schema."""

    colour: str = "red"


@attrs.frozen
class Told(Note):
    """A class with a method more than its schema knows of."""

    def says(self) -> str:
        """Return the title."""
        return self.title


CASES = [
    Case(
        "SCHEMA_VALID",
        lambda parts: parts.field(3, "title").update(type="text"),
        lambda parts: parts.field(3, "title").update(doc="Words."),
        ("schema/acme/note/v3.json: fields[1].type", "'text'", "i64", "mend"),
    ),
    Case(
        "FIELD_ID_NO_REUSE",
        _without_class(_id_reused),
        _without_class(lambda parts: parts.field(3, "device").update(id=9)),
        ("acme/note v3.device", "id 3 of median_us, gone since v2", "take an id"),
        frozenset(["RESERVED_NO_DELETE"]),
    ),
    Case(
        "FIELD_NAME_NO_REUSE",
        _without_class(_name_reused),
        _without_class(_other_name),
        ("acme/note v3.name", "was id 2", "now id 8", "choose a name"),
    ),
    Case(
        "FIELD_NO_DELETE_UNLESS_RESERVED",
        _without_class(_dropped),
        _without_class(_dropped_and_reserved),
        ("acme/note v3.title", "id 2", "not reserved", "drop('title', loss=…)"),
    ),
    Case(
        "RESERVED_NO_DELETE",
        _reserved(),
        _reserved(3, 9),
        ("acme/note v3.reserved", "id 3 reserved", "put 3 back into reserved"),
    ),
    Case(
        "FIELD_SAME_TYPE_OR_CONVERT",
        _without_class(_typed("i64")),
        _without_class(_typed("i64", 'convert("title", up=len, loss="words"), ')),
        ("acme/note v3.title", "was str", "now i64", "convert('title', up=…, down=…)"),
        # The step does not lead there, which is the same seen from the other side.
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "FIELD_ADDED_HAS_DEFAULT",
        _without_class(_not_defaulted),
        _without_class(_made_from_others),
        ("acme/note v3.device", "absent", "str without default", "add('device', defau"),
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "FIELD_DEFAULT_FROZEN",
        _without_class(_default("nothing")),
        _without_class(_default("none")),
        ("acme/note v3.title", "'none'", "'nothing'", "keep the default 'none'"),
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED",
        _without_class(_mode(["best"], True)),
        _without_class(
            _mode(
                ["best"],
                True,
                'convert("mode", up=lambda m: "best" if m == "fast" else m, '
                'loss="who was fast"), ',
            )
        ),
        ("acme/note v3.mode", "was fast", "now gone", "convert(…)"),
    ),
    Case(
        "ENUM_NO_CLOSE",
        _without_class(_mode(["fast", "best"], False)),
        _without_class(_mode(["fast", "best", "least"], True)),
        ("acme/note v3.mode", "was open", "now closed", "leave it open"),
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "UNION_TAG_NO_CHANGE",
        _without_class(_does("is", "copy")),
        _without_class(_does("does", "copy", "link")),
        ("acme/note v3.does", "tag does", "tag is", "keep the tag 'does'"),
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "UNION_TAG_NO_CHANGE",
        _without_class(_does("does", "link")),
        _without_class(_does("does", "copy")),
        ("acme/note v3.does", "case copy", "gone", "keep the case 'copy'"),
        frozenset(["MIGRATION_EFFECT_MATCHES"]),
    ),
    Case(
        "RELEASED_FILE_IMMUTABLE",
        _released_is_edited,
        _draft_is_edited,
        ("schema/acme/note/v1.json", "was SHA-256", "now SHA-256", "version control"),
    ),
    Case(
        "MIGRATION_EXISTS",
        _without_step,
        _nothing,
        ("migrations/acme/note/v2_to_v3.py", "no file", "migrate new acme/note"),
        # Nothing converts the records inside the point, either.
        frozenset(["FIELD_SAME_TYPE_OR_CONVERT"]),
    ),
    Case(
        "MIGRATION_EFFECT_MATCHES",
        _step('default="unknown"', 'default="cpu"'),
        _step('add("device"', ' add("device"'),
        ("v2_to_v3.py: device", "= 'unknown'", "= 'cpu'", "add('device', default='unk"),
    ),
    Case(
        "MIGRATION_PURE",
        _step("STEP =", "import os\nSTEP ="),
        _step("STEP =", "import math\nSTEP ="),
        ("v2_to_v3.py", "v2_to_v3.py:3: imports os", "take it out"),
        # What is not run converts nothing.
        frozenset(["FIELD_SAME_TYPE_OR_CONVERT"]),
    ),
    Case(
        "LOSS_DECLARED",
        _without_class(_drop_with("")),
        _without_class(_drop_with('loss="the title"')),
        ("v2_to_v3.py", "nothing in drop('title'", "write loss=…"),
    ),
    Case(
        "LOSS_DECLARED",
        lambda parts: parts.schemas[3].update(cardinality="one"),
        lambda parts: (
            parts.schemas[3].update(cardinality="one"),
            parts.edit(3, '"unknown"),', '"unknown"), loss="all but the best"'),
        ),
        ("v2_to_v3.py", "cardinality many", "cardinality one", "migration(…, loss=…)"),
    ),
    Case(
        "SINGLE_HEAD",
        _head(b"2 " + b"0" * 64 + b"\n"),
        _head(None),
        ("schema/acme/note/HEAD", "was 3 ", "now 2 000", "schema draft --write"),
    ),
    Case(
        "CORPUS_HAS_VERSION",
        _corpus(2),
        _corpus(1, 2),
        ("acme/note 1", "a bundle of it", "now none", "keep the bundle"),
    ),
    Case(
        "CLASS_MATCHES_SCHEMA",
        _class(Drifted),
        _class(Told),
        ("Drifted", "schema", "remove  colour", "schema draft "),
    ),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)


@EACH
def test_what_breaks_a_rule_is_found(case):
    """By its id, and no other rule is said to be broken."""
    parts = good()
    case.bad(parts)
    assert _rules(parts) == {case.rule} | case.others


@EACH
def test_what_is_close_to_it_breaks_none(case):
    """A false alarm teaches people not to listen."""
    parts = good()
    case.good(parts)
    assert _found(parts) == ()


@EACH
def test_what_is_found_is_said(case):
    """Where, what was, what is, and the operation or the line to write."""
    parts = good()
    case.bad(parts)
    texts = [str(each) for each in _found(parts) if each.rule == case.rule]
    assert texts
    for text in texts:
        assert text.startswith(f"{case.rule}: ")
        assert [word for word in case.words if word not in text] == []


def test_every_rule_has_a_case_and_every_case_a_rule():
    """A rule without one might never have been broken."""
    assert {case.rule for case in CASES} == set(RULES)


# --- a chain with a gap -----------------------------------------------------


def test_a_gap_between_schemas_is_refused():
    """The later versions may be right, but nothing says what led to them."""
    parts = good()
    head = parts.made().head
    del parts.schemas[2]
    parts.head, parts.n_released = head, 1
    (found,) = _found(parts)
    assert str(found) == (
        "SCHEMA_VALID: schema/acme/note/v2.json: was v2.json, now a gap; restore it "
        "from version control, or number the later ones anew"
    )


def test_a_gap_between_steps_is_refused():
    """By the file that is not there, and the command that drafts it."""
    parts = good()
    del parts.steps["v1_to_v2.py"]
    parts.n_released = 1
    found = {each.rule: each for each in _found(parts)}
    assert str(found["MIGRATION_EXISTS"]) == (
        "MIGRATION_EXISTS: migrations/acme/note/v1_to_v2.py: was a step from version "
        "1, now no file; run 'overwinter migrate new acme/note --write'"
    )


def test_no_schema_at_all_is_refused():
    """With the command that drafts the first."""
    contract = attrs.evolve(good().made(), schemas={}, steps={}, released=b"")
    (found,) = check(contract).violations
    assert found.rule == "SCHEMA_VALID"
    assert "run 'overwinter schema draft'" in found.remedy


# --- two heads --------------------------------------------------------------


CONFLICT = b"<<<<<<< ours\n3 aa\n=======\n3 bb\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("head", "now"),
    [
        (CONFLICT, "<<<<<<< ours"),
        (b"3 " + b"0" * 64 + b"\n", "3 000"),
        (b"", "an empty file"),
    ],
    ids=["conflict", "fingerprint", "empty"],
)
def test_two_branches_that_each_made_a_version_are_told(head, now):
    """Their changes of HEAD conflict; what is left of it is no head."""
    parts = good()
    parts.head = head
    (found,) = _found(parts)
    assert (found.rule, found.path) == ("SINGLE_HEAD", "schema/acme/note/HEAD")
    assert found.now.startswith(now)
    assert "number one of them anew" in found.remedy


def test_a_head_that_is_not_there_is_told():
    """Else the first conflict would go unnoticed."""
    parts = good()
    contract = attrs.evolve(parts.made(), head=None)
    (found,) = check(contract).violations
    assert (found.rule, found.now) == ("SINGLE_HEAD", "no file")


@pytest.mark.parametrize(
    "name", ["v1_to_v3.py", "v3_to_v4.py", "v2_to_v3 (1).py", "helpers.py"]
)
def test_a_step_beside_the_chain_is_told(name):
    """There is one way from each version to the next, and no other."""
    parts = good()
    parts.steps[name] = parts.steps["v1_to_v2.py"]
    (found,) = _found(parts)
    assert (found.rule, found.path) == ("SINGLE_HEAD", f"migrations/acme/note/{name}")
    assert "delete it" in found.remedy


# --- a released file --------------------------------------------------------


def _edited(parts: Parts, what: str) -> str:
    """Edit one released file; return its name."""
    released = parts.released = parts.made().released
    if what == "schema":
        parts.schemas[2]["doc"] = "A better sentence."
        return "schema/acme/note/v2.json"
    if what == "step":
        parts.edit(2, "1_000", "1000")
        return "migrations/acme/note/v1_to_v2.py"
    if what == "line":
        digest = hashlib.sha256(parts.contents()[1]).hexdigest().encode()
        assert digest in released
        parts.released = released.replace(digest, b"0" * 64)
    if what == "order":
        parts.released = b"".join(reversed(released.splitlines(keepends=True)))
    if what == "bytes":
        parts.released = b"\xff" + released
    return "schema/RELEASED"


@pytest.mark.parametrize("what", ["schema", "step", "line", "order", "bytes"])
def test_a_released_file_that_was_edited_is_told(what):
    """By its name, and that version control has it."""
    parts = good()
    name = _edited(parts, what)
    (found,) = _found(parts)
    assert (found.rule, found.path) == ("RELEASED_FILE_IMMUTABLE", name)
    assert "version control" in found.remedy


@pytest.mark.parametrize("what", ["schema", "step"])
def test_a_released_file_that_is_gone_is_told(what):
    """As one that was edited."""
    parts = good()
    parts.released = parts.made().released
    if what == "schema":
        parts.schemas[1] = b""
        contract = parts.made()
        contract = attrs.evolve(
            contract, schemas={k: v for k, v in contract.schemas.items() if k != 1}
        )
    else:
        del parts.steps["v1_to_v2.py"]
        contract = parts.made()
    found = {each.rule: each for each in check(contract).violations}
    assert found["RELEASED_FILE_IMMUTABLE"].now == "gone"


# --- schemas that say what cannot be ----------------------------------------


WRONG: list[tuple[str, Any, Any, str]] = [
    ("i64", "i64", "3", "'3'"),
    ("true for 1", "i64", True, "True"),
    ("too wide", "i64", 2**63, str(2**63)),
    ("enum", {"enum": {"values": ["a"], "open": False}}, "b", "'b'"),
    ("list", {"list": "i64"}, ["1"], "['1']"),
    ("map", {"map": "str"}, {"a": 1}, "{'a': 1}"),
    ("record", {"record": POINT}, {"x": 1, "z": 2}, "'z'"),
]


@pytest.mark.parametrize(
    ("kind", "default", "shown"),
    [each[1:] for each in WRONG],
    ids=[each[0] for each in WRONG],
)
@pytest.mark.parametrize("is_inside", [False, True], ids=["kind", "record"])
def test_a_default_of_the_wrong_type_is_refused(kind, default, shown, is_inside):
    """Also inside a record: the first old bundle would hold it."""
    parts = good()
    wrong = field(2, "y", kind, default)
    if is_inside:
        parts.field(3, "point")["type"] = {"record": [POINT[0], wrong]}
    else:
        parts.schemas[3]["fields"].append({**wrong, "id": 9})
    (found,) = _found(parts)
    path = "point.y" if is_inside else "y"
    assert found.rule == "SCHEMA_VALID"
    assert found.path == f"schema/acme/note/v3.json: {path}.default"
    assert shown in found.now
    assert found.was.startswith("a value of ")
    assert found.remedy == "mend the schema file"


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff", b"[" * 100_000], ids=ascii
)
def test_a_file_that_is_no_schema_is_refused(content):
    """As bytes, whatever they are."""
    parts = good()
    contract = parts.made()
    contract = attrs.evolve(contract, schemas={**contract.schemas, 3: content})
    (found,) = check(contract).violations
    assert found.rule == "SCHEMA_VALID"
    assert found.path.startswith("schema/acme/note/v3.json")


@attrs.frozen
class Tree:
    """A record that holds itself."""

    name: str
    parts: "list[Tree]"


@attrs.frozen
class Endless(CacheArtifact):
    """A class whose records have no end."""

    schema_package = "schema"
    key: str
    tree: Tree

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return KIND


def test_a_class_that_holds_itself_is_refused():
    """No schema describes it; the message says what to write instead."""
    parts = good()
    parts.cls = Endless
    texts = [str(each) for each in _found(parts)]
    assert texts
    assert {text.partition(":")[0] for text in texts} == {"CLASS_MATCHES_SCHEMA"}
    assert any(
        "Tree holds itself without end; hold its parts in a list" in text
        for text in texts
    )


# --- steps ------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "open({path!r}, 'w').close()",
        "import pathlib; pathlib.Path({path!r}).touch()",
        "__import__('pathlib').Path({path!r}).touch()",
        "().__class__.__base__.__subclasses__(); import os",
        "def f(:",
    ],
)
def test_a_step_that_is_not_pure_is_not_run(line, tmp_path):
    """Checking a contract that somebody proposes must be safe."""
    path = tmp_path / "made"
    parts = good()
    parts.steps["v2_to_v3.py"] += line.format(path=str(path)) + "\n"
    found = _found(parts)
    assert {each.rule for each in found} >= {"MIGRATION_PURE"}
    assert "v2_to_v3.py" in found[0].path
    assert not path.exists()


def test_a_step_that_is_pure_is_run():
    """Else nothing would be known of what it does."""
    assert check(good().made()).steps[2].new == 3


@pytest.mark.parametrize(
    ("text", "now"),
    [
        ("STEP = 1 / 0", "ZeroDivisionError"),
        ("", "KeyError: 'STEP'"),
        ("STEP = 3", "int"),
        (
            "from overwinter.migration import migration\n"
            "STEP = migration('acme/note', 1, 2)",
            "acme/note 1 -> 2",
        ),
        (
            "from overwinter.migration import migration\n"
            "STEP = migration('acme/plan', 2, 3)",
            "acme/plan 2 -> 3",
        ),
        (
            "from overwinter.migration import migration\n"
            "STEP = migration('acme/note', 1, 3)",
            "MigrationError",
        ),
    ],
    ids=["fails", "empty", "no step", "another version", "another kind", "a leap"],
)
def test_a_file_without_the_step_of_its_name_is_told(text, now):
    """By what it says of itself."""
    parts = good()
    parts.steps["v2_to_v3.py"] = text
    found = {each.rule: each for each in _found(parts)}
    assert now in found["MIGRATION_EXISTS"].now
    assert found["MIGRATION_EXISTS"].path == "migrations/acme/note/v2_to_v3.py"


@pytest.mark.parametrize(
    ("old_text", "new_text", "path", "remedy"),
    [
        ('each("point", add("y", default=0)),', "", ": point", "each(…) inside it"),
        ('add("device", default="unknown"),', "", ": device", "add('device', default="),
        ('"device"', '"machine"', "v2_to_v3.py", "mend the operations"),
        ('each("point"', 'each("title"', "v2_to_v3.py", "mend the operations"),
        ('add("y"', 'add("x"', "v2_to_v3.py", "mend the operations"),
    ],
    ids=["record", "field", "unknown field", "no records", "there already"],
)
def test_a_step_that_leads_elsewhere_is_told(old_text, new_text, path, remedy):
    """Without any data: it is proved on the schemas."""
    parts = good()
    parts.edit(3, old_text, new_text)
    found = {each.rule: each for each in _found(parts)}
    told = found["MIGRATION_EFFECT_MATCHES"]
    assert told.path.endswith(path)
    assert remedy in told.remedy


@pytest.mark.parametrize(
    ("default", "text"),
    [(0, "1"), (0, "'0'"), (0, "None"), ("absent", "0")],
    ids=["value", "type", "null", "schema has none"],
)
def test_a_default_inside_a_record_is_that_of_the_schema(default, text):
    """As it is for a field of the kind: old records would hold what does not fit."""
    parts = good()
    parts.cls = None
    inner = field(2, "y", "i64", *([] if default == "absent" else [default]))
    parts.field(3, "point")["type"] = {"record": [*POINT, inner]}
    parts.edit(3, "default=0", f"default={text}")
    (found,) = _found(parts)
    assert found.rule == "MIGRATION_EFFECT_MATCHES"
    assert found.path.endswith("v2_to_v3.py: point.y")
    assert f"= {text}" in found.now


def test_a_field_that_gets_a_default_needs_no_operation():
    """Records of before have a value for it; it is of no matter to them."""
    parts = good()
    parts.cls = None
    parts.field(3, "title")["default"] = ""
    parts.field(3, "point")["type"] = {
        "record": [field(1, "x", "i64", 7), field(2, "y", "i64", 0)]
    }
    assert _found(parts) == ()


def test_what_is_broken_is_told_once():
    """Comparing neighbours and comparing histories find the same thing."""
    parts = good()
    parts.cls = None
    parts.field(3, "title")["id"] = 10
    texts = [str(each) for each in _found(parts)]
    assert len(texts) == len(set(texts))


def test_all_that_is_broken_is_told_at_once():
    """Who mends one rule should not find the next afterwards."""
    parts = good()
    parts.cls = Drifted
    parts.head = CONFLICT
    parts.edit(3, "STEP =", "import os\nSTEP =")
    assert _rules(parts) >= {"CLASS_MATCHES_SCHEMA", "SINGLE_HEAD", "MIGRATION_PURE"}


# --- what the fuzz found ----------------------------------------------------


def _inside(**kinds: Any) -> dict[str, Any]:
    """Return the type of the point, with these fields after its own."""
    more = [field(number, *each) for number, each in enumerate(kinds.items(), 2)]
    return {"record": [*POINT, *more]}


@pytest.mark.parametrize("kind", ["null", "opaque", {"optional": "str"}], ids=str)
@pytest.mark.parametrize("is_inside", [False, True], ids=["kind", "record"])
def test_a_conversion_cannot_lead_from_null_to_no_null(kind, is_inside):
    """Null stays null, whatever the function: old records would not fit."""
    for target, rules in (
        ("i64", {"MIGRATION_EFFECT_MATCHES"}),
        ({"optional": "i64"}, set()),
    ):
        parts = good()
        parts.cls = None
        name = "z" if is_inside else "title"
        operation = f"convert({name!r}, up=len, loss='words')"
        parts.edit(3, "import add", "import add, convert")
        if is_inside:
            for version, each in ((1, kind), (2, kind), (3, target)):
                parts.field(version, "point")["type"] = _inside(z=each)
            parts.edit(3, 'add("y", default=0)', operation)
        else:
            parts.field(1, "name")["type"] = parts.field(2, "title")["type"] = kind
            parts.field(3, "title")["type"] = target
            parts.edit(3, "each(", f"{operation}, each(")
        found = _found(parts)
        assert {each.rule for each in found} == rules
        assert all("null stays null" in each.now for each in found)


def test_an_id_inside_a_record_is_not_taken_again_by_a_second_each():
    """What the first drops and the second adds are two fields, of one id."""
    parts = good()
    parts.cls = None
    for version in (1, 2):
        parts.field(version, "point")["type"] = _inside(z="str")
    parts.field(3, "point")["type"] = {"record": [*POINT, field(2, "y", "i64", 0)]}
    parts.edit(
        3, 'each("point", ', 'each("point", drop("z", loss="it")), each("point",'
    )
    parts.edit(3, "import add", "import add, drop")
    (found,) = _found(parts)
    assert found.rule == "MIGRATION_EFFECT_MATCHES"
    assert "a second each(…) of 'point': write one with them all" in found.now


def test_each_case_of_a_union_has_an_each_of_its_own():
    """They are different records, and the second is no surprise."""
    parts = good()
    parts.cls = None
    before = {"copy": [field(1, "source", "str")], "link": [field(1, "to", "str")]}
    after = {name: [*f, field(2, "n", "i64", 0)] for name, f in before.items()}
    for version, cases in ((1, before), (2, before), (3, after)):
        parts.field(version, "does")["type"] = {
            "union": {"tag": "does", "cases": cases}
        }
    adds = "".join(
        f'each("does", add("n", default=0), where={{"does": "{name}"}}), '
        for name in before
    )
    parts.edit(3, "each(", f"{adds}each(")
    assert _found(parts) == ()


def test_what_is_converted_is_called_as_the_new_version_calls_it():
    """By another name readers would not know that it means something else now."""
    parts = good()
    parts.edit(
        3, "each(",
        'rename("median_ns", "t"), convert("t", up=abs, loss="the sign"), '
        'rename("t", "median_ns"), each(',
    )  # fmt: skip
    parts.edit(3, "import add", "import add, convert, rename")
    checked = check(parts.made(), parts.corpus)
    assert checked.violations == ()
    assert "median_ns" in checked.steps[2].converts
    assert "t" not in checked.steps[2].converts


@pytest.mark.parametrize(
    ("up", "is_mapped"),
    [
        ('lambda m: "best"', True),
        ("lambda m: m", False),
        ('lambda m: {"best": "best"}[m]', False),
    ],
)
def test_each_value_of_an_enum_that_is_gone_is_tried(up, is_mapped):
    """A conversion that leaves it as it is maps nothing."""
    parts = good()
    parts.cls = None
    for version, values in (
        (1, ["fast", "best"]),
        (2, ["fast", "best"]),
        (3, ["best"]),
    ):
        kind = {"enum": {"values": values, "open": False}}
        fields = parts.schemas[version]["fields"]
        parts.schemas[version]["fields"] = [
            {**each, "type": kind} if each["name"] == "mode" else each
            for each in fields
        ]
    parts.edit(3, "each(", f'convert("mode", up={up}, loss="it"), each(')
    parts.edit(3, "import add", "import add, convert")
    found = [each for each in _found(parts) if each.rule.startswith("ENUM_VALUE")]
    assert (found == []) is is_mapped
    if not is_mapped:
        assert "'fast', which version 2 may hold" in found[0].was
        assert "make it one of best" in found[0].remedy
