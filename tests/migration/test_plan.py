"""Plans: the chain of steps from a version to the newest, found by their files."""

import sys
from pathlib import Path

import pytest

from overwinter.codec import Columns
from overwinter.errors import MigrationError
from overwinter.migration import Steps, add, drop, migration, rename
from overwinter.migration.plan import _load

ADD = migration("plan", 1, 2, add("a", default=1))
RENAME = migration("plan", 2, 3, rename("a", "b"))
ADD_MORE = migration("plan", 3, 4, add("c", default=2))
DROP = migration("plan", 4, 5, drop("c"))
ALL = {1: ADD, 2: RENAME, 3: ADD_MORE, 4: DROP}


def test_a_plan_is_the_chain_to_the_newest_version():
    """From any version; from the newest it is empty."""
    steps = Steps("plan", 5, ALL)
    assert steps.plan(1).steps == (ADD, RENAME, ADD_MORE, DROP)
    assert steps.plan(3).steps == (ADD_MORE, DROP)
    assert steps.plan(5).steps == ()


def test_a_plan_applies_its_steps_in_order():
    """Each to what the one before it made."""
    columns = Columns(2, {"key": ["a", "b"]})
    found = Steps("plan", 5, ALL).plan(1).apply(columns)
    assert dict(found) == {"key": ["a", "b"], "b": [1, 1]}
    assert Steps("plan", 5, ALL).plan(5).apply(columns) is columns


def test_the_step_that_failed_is_named():
    """Of a chain of many, one is to be mended."""
    steps = Steps("plan", 5, {**ALL, 3: migration("plan", 3, 4, drop("missing"))})
    with pytest.raises(
        MigrationError, match="plan: plan 3 -> 4: found no column 'miss"
    ):
        steps.plan(1).apply(Columns(1, {"key": ["a"]}))


@pytest.mark.parametrize("missing", [1, 2, 4])
def test_a_step_that_is_missing_is_named(missing):
    """When the kind registers, and not when somebody's old bundle comes along."""
    steps = {old: step for old, step in ALL.items() if old != missing}
    words = f"plan: plan {missing} -> {missing + 1}: found no step, expected one"
    with pytest.raises(MigrationError, match=words):
        Steps("plan", 5, steps)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [(RENAME, "plan 2 -> 3"), (migration("other", 1, 2), "other 1 -> 2")],
)
def test_a_step_that_says_it_is_another_is_refused(wrong, found):
    """A copied file whose head was forgotten would run twice."""
    words = f"plan: plan 1 -> 2: found {found}, expected that in its file"
    with pytest.raises(MigrationError, match=words):
        Steps("plan", 2, {1: wrong})


def test_a_kind_of_one_version_needs_no_steps():
    """Nor a folder for them."""
    assert (
        Steps.of_package("overwinter_migrations", "no_such_kind", 1).plan(1).steps == ()
    )


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what writes a step into ``acme/plan`` of a package named ``shelf``."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "shelf"]:
        monkeypatch.delitem(sys.modules, name)
    _load.cache_clear()
    folder = tmp_path / "shelf" / "acme" / "plan"
    folder.mkdir(parents=True)
    for path in (folder, folder.parent, folder.parent.parent):
        (path / "__init__.py").touch()

    def write(name: str, old: int, new: int) -> Path:
        text = "from overwinter.migration import add, migration\n"
        text += (
            f"STEP = migration('acme/plan', {old}, {new}, add('a{old}', default=1))\n"
        )
        (folder / name).write_text(text, encoding="utf-8")
        return folder / name

    yield write
    _load.cache_clear()


def test_steps_are_found_by_their_files(package):
    """One step, one file; ten comes behind nine."""
    for old in range(1, 11):
        package(f"v{old}_to_v{old + 1}.py", old, old + 1)
    package("draft.py", 98, 99)
    package("v1_to_v2.py.orig", 98, 99)
    plan = Steps.of_package("shelf", "acme/plan", 11).plan(9)
    assert [step.name for step in plan.steps] == [
        "acme/plan 9 -> 10",
        "acme/plan 10 -> 11",
    ]


def test_a_file_with_another_step_in_it_is_refused(package):
    """The name of the file and its content say the same."""
    package("v1_to_v2.py", 2, 3)
    with pytest.raises(
        MigrationError, match="found acme/plan 2 -> 3, expected that in"
    ):
        Steps.of_package("shelf", "acme/plan", 2)


def test_a_step_file_that_is_missing_is_named(package):
    """As the step that it would hold."""
    package("v1_to_v2.py", 1, 2)
    package("v3_to_v4.py", 3, 4)
    with pytest.raises(MigrationError, match="acme/plan 2 -> 3: found no step"):
        Steps.of_package("shelf", "acme/plan", 4)
