"""Operations on columns, each with what it does to a schema, proved without data."""

from typing import Any

import pytest
from acme.plans import Plan, registered

from overwinter import CacheArtifactFactory
from overwinter.codec import Columns, pack
from overwinter.errors import DamagedError, MigrationError
from overwinter.kinds import PACK
from overwinter.migration import add, convert, drop, migration, rename, replace
from overwinter.schema import read_schema


def _columns(**columns: Any) -> Columns:
    """Return two rows; bytes are columns that nobody has decoded."""
    return Columns(2, {"key": ["a", "b"], **columns}, "here")


def _apply(columns: Columns, *operations: Any) -> dict[str, Any]:
    return migration("plan", 1, 2, *operations).apply(columns).items_unread()


def _thousandfold(value: int) -> int:
    return value * 1_000


def _thousandth(value: int) -> float:
    return value / 1_000


US_TO_NS = replace("us", "ns", up=_thousandfold, down=_thousandth)
DAMAGED = b"\xc1"  # the one byte that msgpack never uses


# --- apply ------------------------------------------------------------------


def test_a_column_that_no_operation_names_is_carried_unread():
    """It costs nothing, and damage in it is found when somebody asks for it."""
    columns = _columns(us=[1, 2], other=DAMAGED)
    found = _apply(columns, US_TO_NS, add("device", default="cpu"), drop("key"))
    assert found["other"] is DAMAGED


def test_a_rename_is_a_new_name_for_a_column():
    """The values are not looked at."""
    found = _apply(_columns(old=DAMAGED), rename("old", "new"))
    assert found == {"key": ["a", "b"], "new": DAMAGED}


def test_an_addition_is_a_constant():
    """One value for every record of before."""
    found = _apply(_columns(), add("device", default="cpu"))
    assert found == {"key": ["a", "b"], "device": ["cpu", "cpu"]}
    empty = Columns(0, {"key": []})
    assert _apply(empty, add("device", default="cpu"))["device"] == []


def test_a_drop_is_an_omission():
    """The values are not looked at."""
    assert _apply(_columns(old=DAMAGED), drop("old")) == {"key": ["a", "b"]}


def test_a_replacement_converts_each_value_and_keeps_null():
    """What nobody measured stays unmeasured, in whatever unit."""
    assert _apply(_columns(us=[3, None]), US_TO_NS) == {
        "key": ["a", "b"],
        "ns": [3_000, None],
    }


def test_a_replacement_reads_a_column_that_nobody_has_decoded():
    """It is the one operation that needs the values."""
    assert _apply(_columns(us=pack([3, None])), US_TO_NS)["ns"] == [3_000, None]


def test_a_conversion_keeps_the_name():
    """The same field, said in another way."""
    found = _apply(_columns(mode=["644", None]), convert("mode", up=int, down=str))
    assert found["mode"] == [644, None]


def test_operations_follow_each_other():
    """Each sees what the one before it left."""
    found = _apply(
        _columns(a=[1, 2], b=DAMAGED),
        rename("a", "c"),
        rename("b", "a"),
        replace("c", "d", up=_thousandfold, down=_thousandth),
        add("c", default=0),
        drop("a"),
    )
    assert found == {"key": ["a", "b"], "d": [1_000, 2_000], "c": [0, 0]}


def test_the_old_columns_stay_what_they_were():
    """A failing step is tried again record by record, from the beginning."""
    columns = _columns(us=[3, 4], old=[5, 6])
    _apply(columns, US_TO_NS, drop("old"), add("new", default=1))
    assert columns.items_unread() == {"key": ["a", "b"], "us": [3, 4], "old": [5, 6]}


@pytest.mark.parametrize(
    "operation",
    [rename("us", "ns"), drop("us"), US_TO_NS, convert("us", up=int, down=int)],
    ids=["rename", "drop", "replace", "convert"],
)
def test_a_column_that_is_missing_is_named_with_the_step(operation):
    """Old bundles hold it, so the step has a wrong name for it."""
    words = (
        "plan: plan 1 -> 2: found no column 'us', expected one in every block; mend "
        "the step"
    )
    with pytest.raises(MigrationError, match=words):
        _apply(_columns(), operation)


@pytest.mark.parametrize(
    "error",
    [ValueError, TypeError, KeyError, IndexError, AttributeError, ZeroDivisionError],
)
def test_whatever_a_conversion_raises_is_an_error_of_the_step(error):
    """A step is a program of people's; its mistakes are told as such."""

    def up(value: Any) -> Any:
        raise error("unexpected")

    words = (
        rf"plan 1 -> 2: found {error.__name__}\('unexpected'\) in replace\('us', 'ns'"
    )
    with pytest.raises(MigrationError, match=words) as caught:
        _apply(_columns(us=[1, 2]), replace("us", "ns", up=up, down=_thousandth))
    assert "0x" not in str(caught.value)


def test_an_interrupt_is_no_error_of_the_step():
    """Who presses Ctrl-C wants out."""

    def up(value: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _apply(_columns(us=[1, 2]), replace("us", "ns", up=up, down=_thousandth))


def test_a_column_that_is_damaged_is_not_the_steps_fault():
    """The block is quarantined; nobody has to mend the step."""
    with pytest.raises(DamagedError, match="here: column 'us': found a byte that"):
        _apply(_columns(us=DAMAGED), US_TO_NS)
    with pytest.raises(DamagedError, match="column 'us': found a list of 3, expected"):
        _apply(_columns(us=pack([1, 2, 3])), US_TO_NS)


# --- steps ----------------------------------------------------------------


def test_a_step_goes_to_the_next_version():
    """A leap would leave a version that nothing leads out of."""
    for new in (1, 3, 0):
        words = f"plan: 1 -> {new}: found a leap, expected 1 -> 2"
        with pytest.raises(MigrationError, match=words):
            migration("plan", 1, new)


# --- effect -----------------------------------------------------------------


def _schema(version: int, *fields: tuple[int, str, Any, Any]) -> Any:
    listed = [{"id": 1, "name": "key", "type": "str"}]
    for number, name, type_, default in fields:
        plain = {"id": number, "name": name, "type": type_}
        listed.append(plain if default is ... else {**plain, "default": default})
    return read_schema(
        {"kind": "plan", "version": version, "cardinality": "one", "fields": listed}
    )


BEFORE = _schema(1, (2, "us", "f64", 0.5), (3, "old", "str", ...))
STEP = migration(
    "plan",
    1,
    2,
    replace("us", "ns", up=_thousandfold, down=_thousandth),
    rename("old", "new"),
    add("device", default="cpu"),
)
AFTER = [(4, "ns", "i64", 0), (3, "new", "str", ...), (5, "device", "str", "cpu")]


def _proves(step: Any, before: Any, after: Any) -> bool:
    wanted = {field.name: field for field in after.fields}
    found: dict[str, Any] = step.effect(before, after)
    return found == wanted


def test_a_step_that_leads_to_the_next_schema_is_proved():
    """Without any data: what it does to the schema gives the next one."""
    assert _proves(STEP, BEFORE, _schema(2, *AFTER))


@pytest.mark.parametrize(
    "after",
    [
        [(4, "ns", "i64", 0), (9, "new", "str", ...), AFTER[2]],
        [(4, "ns", "i64", 0), (3, "new", "bytes", ...), AFTER[2]],
        [(4, "ns", "i64", 0), (3, "new", "str", ""), AFTER[2]],
        [*AFTER[:2], (5, "device", "str", "gpu")],
        [*AFTER[:2], (5, "device", "str", ...)],
        [*AFTER, (6, "more", "str", "")],
    ],
    ids=["id", "type", "default", "other default", "no default", "more"],
)
def test_a_step_that_leads_elsewhere_is_not(after):
    """A rename keeps id, type and default; an addition has the default it says."""
    assert not _proves(STEP, BEFORE, _schema(2, *after))


def test_a_conversion_keeps_the_id_of_its_field():
    """With another id it would be another field, which is a replacement."""
    step = migration("plan", 1, 2, convert("us", up=int, down=float))
    before = _schema(1, (2, "us", "f64", ...))
    assert _proves(step, before, _schema(2, (2, "us", "i64", ...)))
    assert not _proves(step, before, _schema(2, (3, "us", "i64", ...)))


def test_a_drop_leaves_no_field():
    """And nothing else changes."""
    step = migration("plan", 1, 2, drop("us"))
    before = _schema(1, (2, "us", "f64", ...))
    assert _proves(step, before, _schema(2))
    assert not _proves(step, before, before)


def _every_step() -> list[Any]:
    found = []
    with registered(Plan):
        for cls in [*PACK.classes, Plan]:
            kind = CacheArtifactFactory.kind(cls.type())
            for old in range(1, len(kind.schemas)):
                step = kind.steps.plan(old).steps[0]
                before, after = kind.schemas[old], kind.schemas[old + 1]
                found.append(pytest.param(step, before, after, id=step.name))
    return found


@pytest.mark.parametrize(("step", "before", "after"), _every_step())
def test_every_step_leads_to_the_next_schema(step, before, after):
    """Those of the built-in kinds, and of the kind that these tests made."""
    assert _proves(step, before, after)


@pytest.mark.parametrize(("step", "before", "after"), _every_step())
def test_every_field_that_a_step_removes_is_reserved(step, before, after):
    """Its id and name must never come back with another meaning."""
    ids = {field.id for field in after.fields}
    names = {field.name for field in after.fields}
    gone = [field for field in before.fields if field.id not in ids]
    assert {field.id for field in gone} <= set(after.reserved_ids)
    assert {field.name for field in gone if field.name not in names} <= set(
        after.reserved_names
    )
    assert set(before.reserved_ids) <= set(after.reserved_ids)
    assert set(before.reserved_names) <= set(after.reserved_names)
