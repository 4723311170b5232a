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
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from typing import Any

import attrs

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
    EnumOf,
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

KIND = "acme/fuzz"
N_ROWS = 5

SAFE = "safe"
UNKNOWN = "unknown"

Plain = dict[str, Any]
Rng = random.Random


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


# --- schemas ----------------------------------------------------------------

SCALARS = ["i64", "u64", "f64", "str", "bool", "bytes", "time_ns", "null", "opaque"]
NAMES = ["alpha", "beta", "gamma", "delta", "kappa", "omega", "sigma"]
VALUES = ["red", "green", "blue", "black"]


def _type(rng: Rng, depth: int) -> Any:
    kinds = ["scalar"] * 3 + ["enum"]
    if depth < 3:
        kinds += ["list", "map", "optional", "record", "record", "union"]
    kind = rng.choice(kinds)
    if kind == "scalar":
        return rng.choice(SCALARS)
    if kind == "enum":
        values = rng.sample(VALUES, rng.randint(1, 3))
        return {"enum": {"values": values, "open": rng.random() < 0.5}}
    if kind == "record":
        return {"record": _fields(rng, depth + 1, rng.randint(1, 3))}
    if kind == "union":
        names = rng.sample(["copy", "link", "run"], rng.randint(1, 3))
        cases = {name: _fields(rng, depth + 1, rng.randint(0, 2)) for name in names}
        return {"union": {"tag": "does", "cases": cases}}
    item = _type(rng, depth + 1)
    if kind == "optional" and "optional" in item:
        return item
    return {kind: item}


def _fields(rng: Rng, depth: int, n_fields: int, first: int = 1) -> list[Plain]:
    names = rng.sample(NAMES, n_fields)
    fields = []
    for number, name in enumerate(names, first):
        plain = {"id": number, "name": name, "type": _type(rng, depth)}
        if rng.random() < 0.4:
            _give_default(rng, plain)
        fields.append(plain)
    return fields


def _give_default(rng: Rng, plain: Plain) -> None:
    value = _value(rng, _as_type(plain["type"]), 1)
    if not _has_bytes(value):  # there are none in JSON
        plain["default"] = value


def _as_type(plain: Any) -> Type:
    key = {"id": 1, "name": "key", "type": "str"}
    field = {"id": 2, "name": "x", "type": plain}
    return read_schema(_file(1, [key, field])).fields[1].type


def _file(version: int, fields: list[Plain]) -> Plain:
    return {
        "kind": KIND, "version": version, "cardinality": "many", "fields": fields,
    }  # fmt: skip


def _schema(rng: Rng) -> Plain:
    key = {"id": 1, "name": "key", "type": "str"}
    plain = _file(1, [key, *_fields(rng, 0, rng.randint(1, 4), 2)])
    if rng.random() < 0.3:
        plain["reserved"] = {"ids": [90], "names": ["gone"]}
    return plain


# --- values -----------------------------------------------------------------

INTEGERS = [0, 1, -1, 7, 2**31, -(2**63), 2**63 - 1]
TEXTS = ["", "a", "größe", "0", "red", "two words"]


def _value(rng: Rng, kind: Type, depth: int) -> Any:
    if isinstance(kind, OptionalOf):
        return None if rng.random() < 0.4 else _value(rng, kind.item, depth)
    if isinstance(kind, ListOf):
        return [_value(rng, kind.item, depth + 1) for _ in range(rng.randint(0, 2))]
    if isinstance(kind, MapOf):
        keys = rng.sample(TEXTS, rng.randint(0, 2))
        return {key: _value(rng, kind.item, depth + 1) for key in keys}
    if isinstance(kind, EnumOf):
        values = [*kind.values, "of later"] if kind.is_open else kind.values
        return rng.choice(values)
    if isinstance(kind, RecordOf):
        return {f.name: _value(rng, f.type, depth + 1) for f in kind.fields}
    if isinstance(kind, UnionOf):
        name, record = rng.choice(kind.cases)
        return {kind.tag: name, **_value(rng, record, depth)}
    return _scalar(rng, kind.name)


def _scalar(rng: Rng, name: str) -> Any:
    if name == "opaque":
        name = rng.choice(["i64", "f64", "str", "bool", "null", "list"])
    if name == "list":
        return [1, "a", None]
    if name == "u64":
        return rng.choice([0, 1, 2**63, 2**64 - 1])
    if name == "f64":
        return rng.choice([0.0, -1.5, 1e300, 0.1])
    if name == "str":
        return rng.choice(TEXTS)
    if name == "bool":
        return rng.random() < 0.5
    if name == "bytes":
        return rng.choice([b"", b"a", b"\xff\x00"])
    return None if name == "null" else rng.choice(INTEGERS)


def _has_bytes(value: Any) -> bool:
    if isinstance(value, list | dict):
        return any(map(_has_bytes, value.values() if type(value) is dict else value))
    return isinstance(value, bytes)


def _columns(rng: Rng, schema: Schema) -> dict[str, list[Any]]:
    columns = {
        field.name: [_value(rng, field.type, 0) for _ in range(N_ROWS)]
        for field in schema.fields
    }
    columns["key"] = [f"key {row}" for row in range(N_ROWS)]
    return columns


# --- where edits go ---------------------------------------------------------

# Ids of the fields around a field and its own, and the names of cases.
Path = tuple[int | str, ...]


@attrs.frozen
class Scope:
    """
    The fields of the kind, or of a record in it, and how a step gets there.

    Args:
        fields: The fields, to be changed.
        path: Where they are, by ids.
        around: For each field around them: name, and the other arguments of `each`.
        is_reached: Whether `each` gets there; not through two maps.
    """

    fields: list[Plain]
    path: Path = ()
    around: tuple[tuple[str, str], ...] = ()
    is_reached: bool = True

    @property
    def is_top(self) -> bool:
        return not self.path

    def operation(self, text: str) -> str:
        """Return the operation *text* as a step for the kind writes it."""
        for name, rest in reversed(self.around):
            text = f"each({name!r}, {text}{rest})"
        return text

    @property
    def editable(self) -> list[Plain]:
        return [field for field in self.fields if not (self.is_top and _is_key(field))]

    def free_id(self) -> int:
        return max((field["id"] for field in self.fields), default=0) + 100

    def free_name(self, rng: Rng, gone: str = "") -> str:
        names = {field["name"] for field in self.fields} | {"does", "gone", gone}
        return rng.choice([n for n in [*NAMES, "fresh", "new"] if n not in names])


def _is_key(field: Plain) -> bool:
    return bool(field["name"] == "key")


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for field in scope.fields:
        kind, n_maps = field["type"], 0
        while isinstance(kind, dict) and (name := next(iter(kind))) in (
            "list", "map", "optional",
        ):  # fmt: skip
            n_maps += name == "map"
            kind = kind[name]
        if not isinstance(kind, dict):
            continue
        path = (*scope.path, field["id"])
        rest = ", keyed=True" if n_maps else ""
        reached = scope.is_reached and n_maps < 2
        if "record" in kind:
            around = (*scope.around, (field["name"], rest))
            yield from _scopes(Scope(kind["record"], path, around, reached))
        elif "union" in kind:
            tag = kind["union"]["tag"]
            for case, fields in kind["union"]["cases"].items():
                where = f"{rest}, where={{{tag!r}: {case!r}}}"
                around = (*scope.around, (field["name"], where))
                yield from _scopes(Scope(fields, (*path, case), around, reached))


def _slots(scope: Scope) -> Iterator[tuple[Plain, str]]:
    """Give every place of a type: what holds it, and by which key."""
    for each in _scopes(scope):
        for field in each.editable:
            holder, key = field, "type"
            yield holder, key
            while isinstance(holder[key], dict) and (
                name := next(iter(holder[key]))
            ) in ("list", "map", "optional"):
                holder, key = holder[key], name
                yield holder, key


# --- edits ------------------------------------------------------------------


@attrs.define
class World:
    """A version that becomes the next: its file, and the operations so far."""

    rng: Rng
    plain: Plain
    operations: list[str] = attrs.field(factory=list)
    converted: set[Path] = attrs.field(factory=set)
    loss: bool = False
    # Whether the drafted step should do as well.
    is_drafted: bool = True
    before: dict[Path, Any] = attrs.field(factory=dict)

    # What functions make, by the place: nobody can prove what a function returns.
    promised: dict[Path, Any] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        """Remember the types, for functions are written for those."""
        for scope in _scopes(Scope(deepcopy(self.plain["fields"]))):
            for field in scope.fields:
                self.before[*scope.path, field["id"]] = field["type"]

    @property
    def top(self) -> Scope:
        return Scope(self.plain["fields"])

    def scope(self, *, needs_fields: bool = True) -> Scope:
        """Return a scope at random that a step can reach."""
        scopes = [each for each in _scopes(self.top) if each.is_reached]
        return self.pick([s for s in scopes if s.editable or not needs_fields])

    def field(self, wanted: Callable[[Plain], bool] | None = None) -> Any:
        """Return a scope and a field in it."""
        found = [
            (scope, field)
            for scope in _scopes(self.top)
            if scope.is_reached
            for field in scope.editable
            if wanted is None or wanted(field)
        ]
        return self.pick(found)

    def slot(self, wanted: Callable[[Any], bool]) -> Any:
        """Return what holds a type, and by which key."""
        slots = _slots(self.top)
        return self.pick([each for each in slots if wanted(each[0][each[1]])])

    def pick(self, found: list[Any]) -> Any:
        if not found:
            raise _NothingError
        return self.rng.choice(found)

    def field_as_it_was(self, wanted: Callable[[Plain], bool]) -> Any:
        """Return a scope and a field whose values no edit has touched."""
        scope, field = self.field(wanted)
        if self.before.get((*scope.path, field["id"])) != field["type"]:
            raise _NothingError
        return scope, field

    def promise(self, scope: Scope, field: Plain) -> None:
        """Remember that a function makes this field, of the type that it has now."""
        self.promised[*scope.path, field["id"]] = deepcopy(field["type"])

    @property
    def is_true(self) -> bool:
        """Whether no edit has changed what a function was written to make."""
        now = {
            (*scope.path, field["id"]): field["type"]
            for scope in _scopes(self.top)
            for field in scope.fields
        }
        return all(now.get(path, kind) == kind for path, kind in self.promised.items())

    def write(self, scope: Scope, text: str) -> None:
        self.operations.append(scope.operation(text))

    def reserve(self, scope: Scope, field: Plain, *, what: str = "ids names") -> None:
        if not scope.is_top:
            return
        reserved = self.plain.setdefault("reserved", {"ids": [], "names": []})
        if "ids" in what:
            reserved["ids"].append(field["id"])
        if "names" in what:
            reserved["names"].append(field["name"])


class _NothingError(Exception):
    """There is nothing in this schema for this edit."""


Edit = Callable[[World], str]
EDITS: list[Edit] = []


def edit(function: Edit) -> Edit:
    """Add an edit to those that are tried; it returns what the checker must say."""
    EDITS.append(function)
    return function


@edit
def rename(world: World) -> str:
    scope, field = world.field()
    name = scope.free_name(world.rng)
    world.write(scope, f"rename({field['name']!r}, {name!r})")
    field["name"] = name
    return SAFE


@edit
def rename_silently(world: World) -> str:
    rename(world)
    world.operations.pop()
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def add(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = _added(world, scope)
    world.write(scope, f"add({field['name']!r}, default={field['default']!r})")
    return SAFE


def _added(world: World, scope: Scope, gone: str = "") -> Plain:
    field = {"id": scope.free_id(), "name": scope.free_name(world.rng, gone)}
    field["type"] = _type(world.rng, 2)
    _give_default(world.rng, field)
    if "default" not in field:
        field.update(type="i64", default=7)
    scope.fields.insert(world.rng.randint(0, len(scope.fields)), field)
    return field


@edit
def add_with_a_lie(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = _added(world, scope)
    other = world.rng.choice(["another", None, 3, True, [], 2.5])
    if same_value(other, field["default"]):
        raise _NothingError
    world.write(scope, f"add({field['name']!r}, default={other!r})")
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def add_silently(world: World) -> str:
    add(world)
    world.operations.pop()
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def add_without_default(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = _added(world, scope)
    default = field.pop("default")
    world.is_drafted = False
    if world.rng.random() < 0.5:
        return "FIELD_ADDED_HAS_DEFAULT"
    world.write(scope, f"add({field['name']!r}, default={default!r})")
    return "MIGRATION_EFFECT_MATCHES"


@edit
def make_from_others(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = _added(world, scope)
    default = field.pop("default")
    made = f"lambda r: {{**r, {field['name']!r}: {default!r}}}"
    world.promise(scope, field)
    world.write(scope, f"custom({made}, adds=[{field['name']!r}], loss='it')")
    world.is_drafted = False
    return SAFE


@edit
def drop(world: World) -> str:
    scope, field = _dropped(world)
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    return SAFE


def _dropped(world: World, what: str = "ids names") -> tuple[Scope, Plain]:
    scope, field = world.field()
    scope.fields.remove(field)
    world.reserve(scope, field, what=what)
    return scope, field


@edit
def drop_without_reserving(world: World) -> str:
    scope, field = _dropped(world, world.rng.choice(["ids", "names", ""]))
    if scope.is_top:
        world.write(scope, f"drop({field['name']!r}, loss='it')")
    else:  # there is nothing to reserve in a record, but the step must say it
        world.is_drafted = False
    return "FIELD_NO_DELETE_UNLESS_RESERVED"


@edit
def drop_without_loss(world: World) -> str:
    scope, field = _dropped(world)
    world.write(scope, f"drop({field['name']!r})")
    world.is_drafted = False
    return "LOSS_DECLARED"


@edit
def drop_silently(world: World) -> str:
    drop(world)
    world.operations.pop()
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def lift_a_reservation(world: World) -> str:
    if "reserved" not in world.plain:
        raise _NothingError
    world.plain["reserved"][world.rng.choice(["ids", "names"])].pop()
    return "RESERVED_NO_DELETE"


@edit
def drop_and_add_with_the_same_id(world: World) -> str:
    scope, field = _dropped(world, "names")
    new = _added(world, scope, field["name"])
    new["id"] = field["id"]
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    world.write(scope, f"add({new['name']!r}, default={new['default']!r})")
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def drop_and_add_with_the_same_name(world: World) -> str:
    scope, field = _dropped(world, "ids")
    new = _added(world, scope)
    new["name"] = field["name"]
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    world.write(scope, f"add({new['name']!r}, default={new['default']!r})")
    return "FIELD_NAME_NO_REUSE"


@edit
def replace(world: World) -> str:
    scope, field = world.field_as_it_was(lambda _: True)
    scope.fields.remove(field)
    world.reserve(scope, field)
    new = _added(world, scope, field["name"])
    new["type"], names = field["type"], (field["name"], new["name"])
    del new["default"]
    world.promise(scope, new)
    world.write(scope, f"replace{names!r}"[:-1] + ", up=lambda v: v, down=lambda v: v)")
    world.is_drafted = False
    return SAFE


@edit
def widen(world: World) -> str:
    holder, key = world.slot(_is_not_optional)
    if key == "optional":
        raise _NothingError
    holder[key] = {"optional": holder[key]}
    return SAFE


def _is_not_optional(kind: Any) -> bool:
    return not (isinstance(kind, dict) and "optional" in kind)


@edit
def narrow(world: World) -> str:
    holder, key = world.slot(lambda kind: not _is_not_optional(kind))
    if holder[key]["optional"] in ("null", "opaque"):
        raise _NothingError
    holder[key] = holder[key]["optional"]
    world.is_drafted = False
    return "FIELD_SAME_TYPE_OR_CONVERT"


@edit
def give_a_default(world: World) -> str:
    _, field = world.field(lambda each: "default" not in each)
    _give_default(world.rng, field)
    if "default" not in field:
        raise _NothingError
    return SAFE


@edit
def change_a_default(world: World) -> str:
    _, field = world.field(lambda each: "default" in each)
    was = field.pop("default")
    if field["type"] == "opaque" and was in (0, 1) and type(was) is int:
        field["default"] = bool(was)  # 1 == True in Python, and not in a schema
    elif world.rng.random() < 0.7:
        _give_default(world.rng, field)
        if same_value(field["default"], was):
            raise _NothingError
    return "FIELD_DEFAULT_FROZEN"


# From, to, up, down.
CONVERSIONS = [
    ("i64", "str", "str", "int"),
    ("i64", "f64", "float", ""),
    ("i64", "i64", "lambda v: v // 1_000", ""),
    ("i64", "time_ns", "lambda v: v", "lambda v: v"),
    ("u64", "f64", "float", ""),
    ("str", "i64", "len", ""),
    ("str", "bytes", "lambda v: v.encode()", "lambda v: v.decode()"),
    ("bytes", "i64", "len", ""),
    ("bool", "i64", "int", "bool"),
    ("f64", "str", "repr", "float"),
    ("f64", "opaque", "lambda v: v", "lambda v: v"),
    ("f64", "f64", "lambda v: v / 2", "lambda v: v * 2"),
    ("time_ns", {"list": "time_ns"}, "lambda v: [v]", "lambda v: v[0]"),
]


def _converted(world: World) -> tuple[Scope, Plain, Any, str, str]:
    """Pick a field and a conversion of what it holds; null stays null."""

    def is_convertible(field: Plain) -> bool:
        return "default" not in field and any(
            field["type"] in (c[0], {"optional": c[0]}) for c in CONVERSIONS
        )

    scope, field = world.field_as_it_was(is_convertible)
    kind = field["type"]
    held = kind["optional"] if isinstance(kind, dict) else kind
    found = [each for each in CONVERSIONS if each[0] == held]
    _, target, up, down = deepcopy(world.rng.choice(found))
    world.converted.add((*scope.path, field["id"]))
    world.is_drafted = False
    return scope, field, target, up, down


@edit
def convert(world: World) -> str:
    scope, field, target, up, down = _converted(world)
    optional = isinstance(field["type"], dict) or world.rng.random() < 0.2
    field["type"] = {"optional": target} if optional else target
    rest = f", down={down}" if down else ", loss='it'"
    world.promise(scope, field)
    world.write(scope, f"convert({field['name']!r}, up={up}{rest})")
    return SAFE


@edit
def convert_under_another_name(world: World) -> str:
    """The step converts under a name that neither version knows."""
    scope, field, target, up, _ = _converted(world)
    if isinstance(field["type"], dict) or field["type"] != target or not scope.is_top:
        raise _NothingError
    name = field["name"]
    world.promise(scope, field)
    world.write(scope, f"rename({name!r}, 'passing')")
    world.write(scope, f"convert('passing', up={up}, loss='it')")
    world.write(scope, f"rename('passing', {name!r})")
    return "MIGRATION_EFFECT_MATCHES"


@edit
def convert_and_forget_null(world: World) -> str:
    scope, field, target, up, _ = _converted(world)
    if not isinstance(field["type"], dict) or target == "opaque":
        raise _NothingError
    field["type"] = target
    world.promise(scope, field)
    world.write(scope, f"convert({field['name']!r}, up={up}, loss='it')")
    return "MIGRATION_EFFECT_MATCHES"


@edit
def convert_without_loss(world: World) -> str:
    scope, field, target, up, _ = _converted(world)
    if isinstance(field["type"], dict):
        raise _NothingError
    field["type"] = target
    world.promise(scope, field)
    world.write(scope, f"convert({field['name']!r}, up={up})")
    return "LOSS_DECLARED"


@edit
def change_a_type(world: World) -> str:
    holder, key = world.slot(lambda kind: isinstance(kind, str))
    kinds = [each for each in SCALARS if each != holder[key]]
    holder[key] = world.rng.choice(kinds)
    world.is_drafted = False
    return "FIELD_SAME_TYPE_OR_CONVERT"


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, dict) and "enum" in kind


def _is_union(kind: Any) -> bool:
    return isinstance(kind, dict) and "union" in kind


@edit
def add_an_enum_value(world: World) -> str:
    holder, key = world.slot(_is_enum)
    holder[key]["enum"]["values"].append("white")
    return SAFE


@edit
def open_an_enum(world: World) -> str:
    holder, key = world.slot(lambda k: _is_enum(k) and not k["enum"]["open"])
    holder[key]["enum"]["open"] = True
    return SAFE


@edit
def close_an_enum(world: World) -> str:
    holder, key = world.slot(lambda k: _is_enum(k) and k["enum"]["open"])
    holder[key]["enum"]["open"] = False
    world.is_drafted = False
    return "ENUM_NO_CLOSE"


@edit
def remove_an_enum_value(world: World) -> str:
    holder, key = world.slot(lambda k: _is_enum(k) and len(k["enum"]["values"]) > 1)
    holder[key]["enum"]["values"].pop()
    world.is_drafted = False
    return "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED"


@edit
def map_an_enum_value(world: World) -> str:
    scope, field = world.field_as_it_was(
        lambda each: _is_enum(each["type"]) and len(each["type"]["enum"]["values"]) > 1
    )
    values = field["type"]["enum"]["values"]
    gone, kept = values.pop(), values[0]
    up = f"lambda v: {kept!r} if v == {gone!r} else v"
    world.promise(scope, field)
    world.write(scope, f"convert({field['name']!r}, up={up}, loss='it')")
    world.converted.add((*scope.path, field["id"]))
    world.is_drafted = False
    return SAFE


@edit
def add_a_case(world: World) -> str:
    holder, key = world.slot(_is_union)
    fields = _fields(world.rng, 2, world.rng.randint(0, 2))
    holder[key]["union"]["cases"]["later"] = fields
    return SAFE


@edit
def remove_a_case(world: World) -> str:
    holder, key = world.slot(lambda k: _is_union(k) and len(k["union"]["cases"]) > 1)
    holder[key]["union"]["cases"].popitem()
    world.is_drafted = False
    return "UNION_TAG_NO_CHANGE"


@edit
def change_a_tag(world: World) -> str:
    holder, key = world.slot(_is_union)
    holder[key]["union"]["tag"] = "is_to"
    world.is_drafted = False
    return "UNION_TAG_NO_CHANGE"


@edit
def keep_one(world: World) -> str:
    world.plain["cardinality"] = "one"
    world.loss = True
    return SAFE


@edit
def keep_one_silently(world: World) -> str:
    world.plain["cardinality"] = "one"
    world.is_drafted = False
    return "LOSS_DECLARED"


@edit
def change_nothing(world: World) -> str:
    return SAFE


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
    old = _schema(rng)
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
    except (_NothingError, KeyError):
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
        except (_NothingError, KeyError, IndexError):
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
    elif rng.random() < 0.2:
        rng.shuffle(world.operations)
    _close(case, world, step)
    return world.is_true


def _drafted(old: Plain, new: Plain) -> str:
    """Return the drafted step of an author who says that all that is gone is gone."""
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
    scope, field = _dropped(world)
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    _close(case, world, None)
    world = _next(rng, world.plain)
    place = next(s for s in _scopes(world.top) if s.path == scope.path)
    new = _added(world, place, field["name"])
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
    columns = _columns(rng, old)
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
    columns = _columns(rng, writer)
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
