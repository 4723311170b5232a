"""What holds for every step: there and back, and as one record at a time."""

from typing import Any

import attrs
import pytest
from acme.graphs import Graph
from acme.plans import Plan as AcmePlan
from example import example_class
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import interpret
from strategies import columns_of_records, records, records_of_columns, values

from overwinter.errors import MigrationError
from overwinter.kind import Kind
from overwinter.kinds import PACK
from overwinter.migration import (
    Plan,
    Step,
    add,
    convert,
    custom,
    drop,
    each,
    migration,
    rename,
    replace,
)
from overwinter.schema import Field, Schema, find_faults
from overwinter.schema.types import (
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Scalar,
    UnionOf,
)

KINDS = [Kind(cls) for cls in [*PACK.classes, AcmePlan, Graph, example_class()]]
STEPS = [
    (kind, version)
    for kind in KINDS
    for version in range(1, kind.schema.version)
]  # fmt: skip
EVERY_STEP = pytest.mark.parametrize(
    ("kind", "version"),
    STEPS,
    ids=[f"{kind.schemas.name} {old}" for kind, old in STEPS],
)


def test_there_are_steps_to_hold_to_this():
    """The tests below run over what is there, so something must be."""
    assert {kind.name for kind, _ in STEPS} >= {"autotune", "acme/plan"}


def named(operation: Any) -> set[str]:
    """Return every field that an operation names."""
    words = attrs.asdict(operation, recurse=False)
    names = {words[word] for word in ("name", "old", "new") if word in words}
    return names.union(
        *(words.get(word, ()) for word in ("adds", "removes", "changes"))
    )


def lost(*steps: Step) -> set[str]:
    """Return the fields of which steps declare a loss."""
    operations = [operation for step in steps for operation in step.operations]
    return set().union(*(named(each) for each in operations if each.loss))


def there_and_back(
    there: Step, back: Step, schema: Schema, other: Schema, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return *rows* after two steps that lead away and home, each result checked."""
    away = there.apply(columns_of_records(schema, rows))
    assert find_faults(other, away) == {}
    home = back.apply(away)
    assert find_faults(schema, home) == {}
    return records_of_columns(home)


def check_round_trip(
    there: Step, back: Step, schema: Schema, other: Schema, rows: list[dict[str, Any]]
) -> None:
    """
    Hold two steps that lead away and home to what they declare.

    A field without a declared loss comes back as it was. One with a loss has lost
    all that there is to lose the first time: going again changes nothing.
    """
    once = there_and_back(there, back, schema, other, rows)
    same = [
        field.name for field in schema.fields if field.name not in lost(there, back)
    ]
    for before, after in zip(rows, once, strict=True):
        assert {name: after[name] for name in same} == {n: before[n] for n in same}
    assert there_and_back(there, back, schema, other, once) == once


@EVERY_STEP
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_down_after_up_is_the_identity(kind, version, data):
    """Apart from a loss that the step declares."""
    old, new = kind.schemas[version], kind.schemas[version + 1]
    (up,) = kind.steps.plan(version).steps[:1]
    rows = data.draw(st.lists(records(old, moderate=True), min_size=1, max_size=3))
    check_round_trip(up, up.inverse(old), old, new, rows)


@EVERY_STEP
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_up_after_down_is_the_identity(kind, version, data):
    """Apart from a loss that the step declares."""
    old, new = kind.schemas[version], kind.schemas[version + 1]
    (up,) = kind.steps.plan(version).steps[:1]
    rows = data.draw(st.lists(records(new, moderate=True), min_size=1, max_size=3))
    check_round_trip(up.inverse(old), up, new, old, rows)


@EVERY_STEP
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_every_chain_does_what_its_steps_do_record_by_record(kind, version, data):
    """From each version to the newest."""
    schema = kind.schemas[version]
    rows = data.draw(st.lists(records(schema, moderate=True), min_size=1, max_size=3))
    plan = kind.steps.plan(version)
    found = plan.apply(columns_of_records(schema, rows, encoded=True))
    assert records_of_columns(found) == [interpret(plan.steps, row) for row in rows]


# --- chains that nobody has written -----------------------------------------

STR, I64 = Scalar("str"), Scalar("i64")
# From a type to another: up, down, and whether anything is lost.
CONVERSIONS: dict[str, list[tuple[Any, Any, Any]]] = {
    "i64": [(I64, lambda v: ~v, lambda v: ~v), (STR, str, int)],
    "str": [(STR, lambda v: v[::-1], lambda v: v[::-1])],
    "bool": [(Scalar("bool"), lambda v: not v, lambda v: not v)],
}
SCALARS = st.sampled_from([I64, STR, Scalar("bool"), Scalar("f64")])


def _record(field_types: list[Any]) -> RecordOf:
    return RecordOf(
        tuple(Field(n, f"in_{n}", kind) for n, kind in enumerate(field_types, 1))
    )


RECORDS = st.lists(SCALARS, min_size=1, max_size=3).map(_record)
TYPES = st.one_of(
    SCALARS,
    SCALARS.map(OptionalOf),
    SCALARS.map(ListOf),
    RECORDS,
    RECORDS.map(ListOf),
    RECORDS.map(OptionalOf),
    RECORDS.map(lambda kind: MapOf(ListOf(kind))),
    st.tuples(RECORDS, RECORDS).map(
        lambda pair: ListOf(UnionOf("tag", (("a", pair[0]), ("b", pair[1]))))
    ),
)


class Chain:
    """A random chain, and the schemas that it must lead through."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.ids = 100  # beyond those that records begin with
        first = [Field(1, "key", STR)]
        first += [self.field(draw(TYPES)) for _ in range(draw(st.integers(1, 4)))]
        self.schemas = [self.schema(1, first)]
        self.steps: list[Step] = []
        self.touched: set[int] = set()
        for _ in range(draw(st.integers(1, 4))):
            self.add_step()

    def field(self, kind: Any) -> Field:
        self.ids += 1
        return Field(self.ids, f"f_{self.ids}", kind)

    def name(self) -> str:
        self.ids += 1
        return f"n_{self.ids}"

    def schema(self, version: int, fields: list[Field]) -> Schema:
        return Schema("plan", version, "many", tuple(fields))

    def add_step(self) -> None:
        old = self.schemas[-1]
        fields = {field.name: field for field in old.fields}
        operations: list[Any] = []
        names = [name for name in fields if name != "key"]
        count = self.draw(st.integers(0, 3))
        for name in self.draw(st.permutations(names))[:count]:
            operations.append(self.change(fields, name))
            if type(operations[-1]).__name__ == "_Rename" and self.draw(st.booleans()):
                # Under its new name, so that the order of the two matters.
                operations += self.changed_again(fields, operations[-1].new)
        if self.draw(st.booleans()):
            operations.append(self.added(fields))
        if self.draw(st.integers(0, 4)) == 0:
            operations.append(self.customized(fields))
        version = old.version + 1
        self.steps.append(migration("plan", version - 1, version, *operations))
        self.schemas.append(self.schema(version, list(fields.values())))

    def added(self, fields: dict[str, Field]) -> Any:
        field = self.field(self.draw(TYPES))
        default = self.draw(values(field.type))
        fields[field.name] = attrs.evolve(field, default=default)
        return add(field.name, default=default)

    def customized(self, fields: dict[str, Field]) -> Any:
        field = attrs.evolve(self.field(I64))
        fields[field.name] = field
        self.touched.update(each.id for each in fields.values())

        def up(record: dict[str, Any]) -> dict[str, Any]:
            return {**record, field.name: len(record["key"])}

        def down(record: dict[str, Any]) -> dict[str, Any]:
            return record

        return custom(up, down=down, adds=[field.name])

    def changed_again(self, fields: dict[str, Field], name: str) -> list[Any]:
        field = fields[name]
        if not isinstance(field.type, Scalar) or field.type.name not in CONVERSIONS:
            return []
        self.touched.add(field.id)
        kind, up, down = self.draw(st.sampled_from(CONVERSIONS[field.type.name]))
        fields[name] = attrs.evolve(field, type=kind)
        return [convert(name, up=up, down=down)]

    def change(self, fields: dict[str, Field], name: str) -> Any:
        field = fields.pop(name)
        choices = ["rename", "drop"]
        inner = field.type.item if isinstance(field.type, OptionalOf) else field.type
        if isinstance(inner, Scalar) and inner.name in CONVERSIONS:
            choices += ["convert", "replace"]
        if self.record_in(field.type) is not None:
            choices += ["each"] * 3
        choice = self.draw(st.sampled_from(choices))
        if choice == "drop":
            return drop(name, loss="the values")
        if choice == "rename":
            new = self.name()
            fields[new] = attrs.evolve(field, name=new)
            return rename(name, new)
        self.touched.add(field.id)
        if choice == "each":
            return self.nested(fields, field)
        target, up, down = self.draw(st.sampled_from(CONVERSIONS[inner.name]))
        kind = OptionalOf(target) if isinstance(field.type, OptionalOf) else target
        if choice == "convert":
            fields[name] = attrs.evolve(field, type=kind)
            return convert(name, up=up, down=down)
        made = self.field(kind)
        fields[made.name] = made
        return replace(name, made.name, up=up, down=down)

    def record_in(self, kind: Any) -> Any:
        while isinstance(kind, ListOf | OptionalOf | MapOf):
            kind = kind.item
        return kind if isinstance(kind, RecordOf | UnionOf) else None

    def nested(self, fields: dict[str, Field], field: Field) -> Any:
        inside = self.record_in(field.type)
        where = {"tag": "a"} if isinstance(inside, UnionOf) else None
        record = inside.cases[0][1] if isinstance(inside, UnionOf) else inside
        inner = {each.name: each for each in record.fields}
        names = sorted(inner)
        operations = [
            self.change(inner, name) for name in self.draw(st.permutations(names))[:1]
        ]
        if operations and type(operations[0]).__name__ == "_Rename":
            operations += self.changed_again(inner, operations[0].new)
        if not operations or self.draw(st.booleans()):
            operations.append(self.added(inner))
        made = RecordOf(tuple(inner.values()))
        keyed = isinstance(field.type, MapOf)
        fields[field.name] = attrs.evolve(field, type=_with(field.type, made))
        return each(field.name, *operations, keyed=keyed, where=where)


def _with(kind: Any, record: RecordOf) -> Any:
    if isinstance(kind, ListOf | OptionalOf | MapOf):
        return attrs.evolve(kind, item=_with(kind.item, record))
    if isinstance(kind, UnionOf):
        return UnionOf(kind.tag, (("a", record), kind.cases[1]))
    return record


def _sorted_fields(kind: Any) -> Any:
    """Return a type with the fields of its records by id: their order means nothing."""
    if isinstance(kind, ListOf | OptionalOf | MapOf):
        return attrs.evolve(kind, item=_sorted_fields(kind.item))
    if isinstance(kind, UnionOf):
        cases = ((name, _sorted_fields(record)) for name, record in kind.cases)
        return UnionOf(kind.tag, tuple(cases))
    if isinstance(kind, RecordOf):
        return RecordOf(tuple(sorted(kind.fields, key=lambda field: field.id)))
    return kind


chains = st.composite(Chain)
SETTINGS = settings(deadline=None, max_examples=200)


@given(chain=chains())
@SETTINGS
def test_the_effect_of_a_step_is_the_schema_that_it_leads_to(chain):
    """Found without data, and built beside it."""
    for step, old, new in zip(
        chain.steps, chain.schemas, chain.schemas[1:], strict=False
    ):
        effect = step.effect(old, new)
        found = {
            n: attrs.evolve(f, type=_sorted_fields(f.type)) for n, f in effect.items()
        }
        assert found == {
            field.name: attrs.evolve(field, type=_sorted_fields(field.type))
            for field in new.fields
        }


@given(chain=chains(), data=st.data(), encoded=st.booleans())
@SETTINGS
def test_a_plan_over_columns_does_what_its_steps_do_record_by_record(
    chain, data, encoded
):
    """And what comes out fits the schema of its version."""
    first, last = chain.schemas[0], chain.schemas[-1]
    rows = data.draw(st.lists(records(first), min_size=1, max_size=3))
    steps = tuple(chain.steps)
    found = Plan(steps).apply(columns_of_records(first, rows, encoded=encoded))
    assert find_faults(last, found) == {}
    assert records_of_columns(found) == [interpret(steps, row) for row in rows]


@given(chain=chains(), data=st.data())
@SETTINGS
def test_columns_that_no_step_touches_are_the_very_same_bytes(chain, data):
    """Carried unread, also under another name."""
    first, last = chain.schemas[0], chain.schemas[-1]
    rows = data.draw(st.lists(records(first), min_size=1, max_size=3))
    columns = columns_of_records(first, rows, encoded=True)
    before = {field.id: columns.items_unread()[field.name] for field in first.fields}
    found = Plan(tuple(chain.steps)).apply(columns).items_unread()
    carried = [
        field
        for field in last.fields
        if field.id in before and field.id not in chain.touched
    ]
    for field in carried:
        assert found[field.name] is before[field.id]


@given(chain=chains(), data=st.data())
@SETTINGS
def test_the_way_back_is_the_identity_where_nothing_is_lost(chain, data):
    """Each step undone, the last one first."""
    first = chain.schemas[0]
    rows = data.draw(st.lists(records(first), min_size=1, max_size=3))
    try:
        back = [
            step.inverse(schema)
            for step, schema in zip(chain.steps, chain.schemas, strict=False)
        ]
    except MigrationError:
        return  # of a field that was dropped and has no default
    there = Plan(tuple(chain.steps)).apply(columns_of_records(first, rows))
    home = records_of_columns(Plan(tuple(reversed(back))).apply(there))
    gone = any("the values" in loss for step in chain.steps for loss in step.losses)
    if not gone:
        assert home == rows


@given(chain=chains(), data=st.data())
@SETTINGS
def test_records_do_not_know_of_each_other(chain, data):
    """A block cut in two gives the same records."""
    first = chain.schemas[0]
    rows = data.draw(st.lists(records(first), min_size=2, max_size=4))
    plan = Plan(tuple(chain.steps))

    def migrated(part: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return records_of_columns(plan.apply(columns_of_records(first, part)))

    cut = data.draw(st.integers(1, len(rows) - 1))
    assert migrated(rows) == migrated(rows[:cut]) + migrated(rows[cut:])
