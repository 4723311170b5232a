"""
A fuzz of the checker: random schemas, random edits, and data that is really read.

Each case edits a random schema. For most edits it is known what the checker must
say; for others, of up to four edits at once, it is not. Whatever was expected: where
the checker calls two versions safe, random records of the old one go through the
step and must fit the new one, with all that was kept; and where it says that the old
version reads what the new one writes, random new records must fit the old one and
mean there what they mean here.

The idea is Cap'n Proto's: its compatibility checker is held against the codec.

Run: ``python tests/contract/fuzz.py --edits 100000 --seed 1``.
"""

import argparse
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any

import attrs
from edits import (
    EDITS,
    SAFE,
    NothingError,
    Path,
    World,
    added,
    dropped,
    scopes_in,
)
from randoms import KIND, N_ROWS, Plain, Rng, random_columns, random_schema

from overwinter.codec import Columns, pack
from overwinter.contract import Contract, check
from overwinter.contract.contract import head_line
from overwinter.errors import MigrationError
from overwinter.migration.draft import draft_step
from overwinter.schema import (
    InvalidSchemaError,
    Schema,
    find_faults,
    oldest_reader,
    read_schema,
)
from overwinter.schema.types import (
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Type,
    UnionOf,
    same_value,
)

__all__ = ["Result", "WrongVerdictError", "run", "run_one"]

UNKNOWN = "unknown"


class WrongVerdictError(AssertionError):
    """The checker said of two versions what is not so."""


@attrs.define
class Result:
    """What a run did: cases by what was expected, and how many were called safe."""

    seed: int
    n_edits: int = 0
    n_safe: int = 0
    n_read_back: int = 0
    by_expected: Counter[str] = attrs.field(factory=Counter)
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [
            f"fuzz of the checker: seed {self.seed}, {self.n_edits:,} edits in "
            f"{self.seconds:.1f} s; {self.n_safe:,} were called safe and read, "
            f"{self.n_read_back:,} of them by the old version too"
        ]
        lines += [
            f"  {count:>7,}  {name}" for name, count in sorted(self.by_expected.items())
        ]
        return "\n".join(lines)


def run(n_edits: int, seed: int, seconds: float | None = None) -> Result:
    """
    Fuzz the checker.

    Args:
        n_edits: How many pairs of versions to try.
        seed: Of the random numbers; case *i* is ``run_one(seed, i)``.
        seconds: End earlier after so long.

    Raises:
        WrongVerdictError: The checker was wrong about one of them.
    """
    result = Result(seed)
    began = time.perf_counter()
    for index in range(n_edits):
        run_one(seed, index, result)
        result.seconds = time.perf_counter() - began
        if seconds is not None and result.seconds > seconds:
            break
    return result


def run_one(seed: int, index: int, result: Result) -> None:
    """Try one pair of versions."""
    rng = Rng(f"{seed}:{index}")
    for _ in range(100):
        case = _case(rng)
        if case is not None and _verdict(case, rng, result, f"{seed}:{index}"):
            return
    raise RuntimeError(f"case {seed}:{index}: nothing can be edited")


# --- cases ------------------------------------------------------------------


@attrs.define
class Case:
    """Versions and steps, and what the checker must say of them."""

    expected: str
    names: list[str]
    plains: list[Plain]
    steps: list[str]
    converted: list[set[Path]]

    def __str__(self) -> str:
        texts = [f"{', '.join(self.names)}: expected {self.expected}"]
        texts += [json.dumps(each) for each in self.plains]
        return "\n".join([*texts, *self.steps])


def _case(rng: Rng) -> Case | None:
    old = random_schema(rng)
    kind = rng.random()
    if kind < 0.05:
        return _id_of_long_ago(rng, old)
    if kind < 0.7:
        return _known(rng, old)
    case = Case(UNKNOWN, [], [old], [], [])
    for _ in range(1 if rng.random() < 0.8 else 2):
        if not _compose(rng, case):
            return None
    return case


def _next(rng: Rng, plain: Plain) -> World:
    new = deepcopy(plain)
    new["version"] += 1
    return World(rng, new)


def _known(rng: Rng, old: Plain) -> Case | None:
    world, change = _next(rng, old), rng.choice(EDITS)
    try:
        expected = change(world)
    except (NothingError, KeyError):
        return None
    case = Case(expected, [change.__name__], [old], [], [])
    step = None
    if world.is_drafted and rng.random() < 0.5:
        case.names.append("drafted")
        try:
            step = _drafted(old, world.plain)
        except InvalidSchemaError:
            return None
        except MigrationError as error:
            if expected == SAFE:
                raise WrongVerdictError(f"no draft: {error}\n{case}") from error
    _close(case, world, step)
    return case


def _compose(rng: Rng, case: Case) -> bool:
    old = case.plains[-1]
    world = _next(rng, old)
    for _ in range(rng.randint(1, 4)):
        change, n_before = rng.choice(EDITS), len(world.operations)
        before, converted = deepcopy(world.plain), set(world.converted)
        try:
            change(world)
        except (NothingError, KeyError, IndexError, InvalidSchemaError):
            world.plain, world.converted = before, converted
            del world.operations[n_before:]
            continue
        case.names.append(change.__name__)
        is_told = any("up=" in each for each in world.operations[n_before:])
        if rng.random() < 0.05 and not is_told:
            del world.operations[n_before:]
            world.converted = converted
    step = None
    if rng.random() < 0.4:
        try:
            step = _drafted(old, world.plain)
            world.converted = set()
        except (InvalidSchemaError, MigrationError):
            pass
    elif rng.random() < 0.2 and _are_apart(world.operations):
        rng.shuffle(world.operations)
    _close(case, world, step)
    return world.is_true


def _are_apart(operations: Iterable[str]) -> bool:
    """Return whether no two operations are about one field: their order is free."""
    names = [each.split("'")[1] for each in operations if "'" in each]
    return len(set(names)) == len(names)


def _drafted(old: Plain, new: Plain) -> str:
    """Return the drafted step of an author for whom all that is gone is gone."""
    before, after = read_schema(old), read_schema(new)
    gone = set(_gone(before.fields, after.fields))
    return draft_step(before, after, drop=gone)


def _gone(old: Iterable[Field], new: Iterable[Field]) -> Iterator[str]:
    """Give the fields whose ids are gone, those of records inside included."""
    after = {field.id: field for field in new}
    for field in old:
        now = after.get(field.id)
        if now is None:
            yield field.name
            continue
        was, kind = _bare(field.type), _bare(now.type)
        if isinstance(was, RecordOf) and isinstance(kind, RecordOf):
            yield from _gone(was.fields, kind.fields)
        elif isinstance(was, UnionOf) and isinstance(kind, UnionOf):
            for name, record in was.cases:
                case = kind.case(name)
                yield from _gone(record.fields, case.fields) if case else ()


def _bare(kind: Type) -> Type:
    while isinstance(kind, ListOf | MapOf | OptionalOf):
        kind = kind.item
    return kind


def _close(case: Case, world: World, step: str | None) -> None:
    """Add the version that was made, and its step."""
    if step is None:
        version = world.plain["version"]
        loss = ", loss='all but one'" if world.loss else ""
        body = "".join(f"    {each},\n" for each in world.operations)
        step = (
            "from overwinter.migration import migration, add, convert, custom, drop\n"
            "from overwinter.migration import each, rename, replace\n\n"
            f"STEP = migration(\n    {KIND!r}, {version - 1}, {version},\n{body}"
            f"    {loss.removeprefix(', ')}\n)\n"
        )
    case.plains.append(world.plain)
    case.steps.append(step)
    case.converted.append(world.converted)


def _id_of_long_ago(rng: Rng, old: Plain) -> Case | None:
    """A field is dropped, and the version after that takes its id, or its name."""
    case = Case("", ["drop", "add with what it had"], [old], [], [])
    world = _next(rng, old)
    scope, field = dropped(world)
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    _close(case, world, None)
    world = _next(rng, world.plain)
    place = next(s for s in scopes_in(world.top) if s.path == scope.path)
    new = added(world, place, field["name"])
    if rng.random() < 0.5:
        new["id"], case.expected = field["id"], "FIELD_ID_NO_REUSE"
    else:
        new["name"], case.expected = field["name"], "FIELD_NAME_NO_REUSE"
    if scope.is_top:
        world.plain["reserved"]["ids"].remove(field["id"])
        world.plain["reserved"]["names"].remove(field["name"])
    world.write(place, f"add({new['name']!r}, default={new['default']!r})")
    _close(case, world, None)
    return case


# --- verdicts ---------------------------------------------------------------


def _verdict(case: Case, rng: Rng, result: Result, label: str) -> bool:
    """Hold the checker against the case; ``False`` where the case is none."""
    try:
        head = read_schema(case.plains[-1])
    except InvalidSchemaError:
        return False
    version = len(case.plains)
    contract = Contract(
        kind=KIND,
        schemas={n: json.dumps(p).encode() for n, p in enumerate(case.plains, 1)},
        steps={
            f"v{n}_to_v{n + 1}.py": text.encode()
            for n, text in enumerate(case.steps, 1)
        },
        head=head_line(version, head.fingerprint),
    )
    checked = check(contract)
    rules = {each.rule for each in checked.violations}
    if "SCHEMA_VALID" in rules:
        return False  # such as a default that no longer fits: another edit
    told = "\n".join(map(str, checked.violations)) or "called safe"
    try:
        if case.expected == SAFE:
            _expect(not rules, "what is safe is said to break a rule")
        elif case.expected != UNKNOWN:
            _expect(case.expected in rules, "the rule is not said to be broken")
        result.n_edits += 1
        result.by_expected[case.expected] += 1
        if not rules:
            result.n_safe += 1
            for index, step in sorted(checked.steps.items()):
                old, new = checked.schemas[index - 1 : index + 1]
                _read(old, new, step, case.converted[index - 1], rng)
            converted = {step.new: step.converts for step in checked.steps.values()}
            oldest = oldest_reader(checked.schemas, converted)
            for reader in checked.schemas[oldest - 1 : -1]:
                result.n_read_back += 1
                _read_back(reader, checked.schemas[-1], case.converted, rng)
    except WrongVerdictError as error:
        raise WrongVerdictError(f"case {label}: {error}\n{told}\n{case}") from error
    return True


def _expect(truth: bool, otherwise: str) -> None:
    if not truth:
        raise WrongVerdictError(otherwise)


def _read(old: Schema, new: Schema, step: Any, converted: set[Path], rng: Rng) -> None:
    """Old records fit the new version, with all that was kept."""
    columns = random_columns(rng, old)
    encoded = {name: pack(column) for name, column in columns.items()}
    try:
        found = step.apply(Columns(N_ROWS, encoded))
    except MigrationError as error:
        raise WrongVerdictError(f"the step fails: {error}") from error
    names = {field.name for field in new.fields}
    _expect(set(found) == names, f"the step makes {sorted(found)}")
    faults = find_faults(new, found)
    _expect(not faults, f"old records do not fit: {faults}")
    for row in range(N_ROWS):
        was = {name: column[row] for name, column in columns.items()}
        now = {name: found[name][row] for name in found}
        _expect_kept(old.fields, new.fields, was, now, (), converted)


def _expect_kept(
    old: tuple[Field, ...], new: tuple[Field, ...], was: Any, now: Any, path: Path,
    converted: set[Path],
) -> None:  # fmt: skip
    after = {field.id: field for field in new}
    for field in old:
        place = (*path, field.id)
        if field.id in after and place not in converted:
            kind = after[field.id]
            mine, theirs = was[field.name], now[kind.name]
            _expect_same(field.type, kind.type, mine, theirs, place, converted)


def _expect_same(
    old: Type, new: Type, was: Any, now: Any, path: Path, converted: set[Path]
) -> None:
    if isinstance(new, OptionalOf) and not isinstance(old, OptionalOf):
        new = new.item
    if isinstance(old, ListOf | MapOf | OptionalOf) and type(new) is type(old):
        pairs = [(was, now)]
        if isinstance(old, ListOf):
            _expect(len(was) == len(now), f"{path}: {was} became {now}")
            pairs = list(zip(was, now, strict=True))
        elif isinstance(old, MapOf):
            _expect(was.keys() == now.keys(), f"{path}: {was} became {now}")
            pairs = [(was[key], now[key]) for key in was]
        for mine, theirs in pairs:
            if isinstance(old, OptionalOf) and mine is None:
                _expect(theirs is None, f"{path}: null became {theirs}")
            else:
                _expect_same(old.item, new.item, mine, theirs, path, converted)
    elif isinstance(old, RecordOf) and isinstance(new, RecordOf):
        _expect_kept(old.fields, new.fields, was, now, path, converted)
    elif isinstance(old, UnionOf) and isinstance(new, UnionOf):
        case = was[old.tag]
        _expect(now.get(new.tag) == case, f"{path}: {was} became {now}")
        mine, theirs = old.case(case), new.case(case)
        _expect(mine is not None and theirs is not None, f"{path}: no case {case}")
        if mine and theirs:
            inside = (*path, case)
            _expect_kept(mine.fields, theirs.fields, was, now, inside, converted)
    else:
        _expect(same_value(was, now), f"{path}: {was!r} became {now!r}")


def _read_back(
    reader: Schema, writer: Schema, converted: list[set[Path]], rng: Rng
) -> None:
    """New records fit the old version, and mean there what they mean here."""
    columns = random_columns(rng, writer)
    try:
        faults = find_faults(reader, columns)
    except KeyError as error:
        raise WrongVerdictError(f"the old version misses {error}") from error
    _expect(not faults, f"new records do not fit the old version: {faults}")
    known = {field.name: field for field in writer.fields}
    changed = {path[0] for each in converted[reader.version - 1 :] for path in each}
    for field in reader.fields:
        _expect(
            field.id not in changed,
            f"{field.name} was converted, and is read as before",
        )
        for value in columns[field.name]:
            mine, theirs = known[field.name], value
            same = mine.id == field.id and same_value(
                _meaning(field.type, value), _meaning(mine.type, theirs)
            )
            _expect(same, f"{field.name}: {value!r} means something else")


def _meaning(kind: Type, value: Any) -> Any:
    """Return a value with the ids of fields in the place of their names."""
    if isinstance(kind, OptionalOf):
        return None if value is None else _meaning(kind.item, value)
    if isinstance(kind, ListOf):
        return [_meaning(kind.item, each) for each in value]
    if isinstance(kind, MapOf):
        return {name: _meaning(kind.item, each) for name, each in value.items()}
    if isinstance(kind, RecordOf):
        return {f.id: _meaning(f.type, value[f.name]) for f in kind.fields}
    if isinstance(kind, UnionOf):
        record = kind.case(value[kind.tag])
        assert record is not None
        return {"case": value[kind.tag], "record": _meaning(record, value)}
    return value


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where the checker was wrong."""
    parser = argparse.ArgumentParser(description="Fuzz the checker of contracts.")
    parser.add_argument("--edits", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--case", type=int, help="this case alone")
    options = parser.parse_args(arguments)
    try:
        if options.case is not None:
            result = Result(options.seed)
            run_one(options.seed, options.case, result)
        else:
            result = run(options.edits, options.seed)
    except WrongVerdictError as error:
        print(error)
        return 1
    print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
