"""
Edits of a schema, each with the operations of its step and what must be said of it.

An edit changes a `World` at random, and returns ``safe`` or the rule that it breaks.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import attrs
from randoms import (
    NAMES,
    SCALARS,
    Plain,
    Rng,
    give_default_to,
    random_fields,
    random_type,
)

from overwinter.schema.types import same_value

__all__ = [
    "EDITS",
    "SAFE",
    "NothingError",
    "Path",
    "Scope",
    "World",
    "added",
    "dropped",
    "scopes_in",
]

SAFE = "safe"

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


def scopes_in(scope: Scope) -> Iterator[Scope]:
    """Give a scope, and those of all records in it."""
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
            yield from scopes_in(Scope(kind["record"], path, around, reached))
        elif "union" in kind:
            tag = kind["union"]["tag"]
            for case, fields in kind["union"]["cases"].items():
                where = f"{rest}, where={{{tag!r}: {case!r}}}"
                around = (*scope.around, (field["name"], where))
                yield from scopes_in(Scope(fields, (*path, case), around, reached))


def slots_in(scope: Scope) -> Iterator[tuple[Plain, str]]:
    """Give every place of a type: what holds it, and by which key."""
    for each in scopes_in(scope):
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
        for scope in scopes_in(Scope(deepcopy(self.plain["fields"]))):
            for field in scope.fields:
                self.before[*scope.path, field["id"]] = field["type"]

    @property
    def top(self) -> Scope:
        return Scope(self.plain["fields"])

    def scope(self, *, needs_fields: bool = True) -> Scope:
        """Return a scope at random that a step can reach."""
        scopes = [each for each in scopes_in(self.top) if each.is_reached]
        return self.pick([s for s in scopes if s.editable or not needs_fields])

    def field(self, wanted: Callable[[Plain], bool] | None = None) -> Any:
        """Return a scope and a field in it."""
        found = [
            (scope, field)
            for scope in scopes_in(self.top)
            if scope.is_reached
            for field in scope.editable
            if wanted is None or wanted(field)
        ]
        return self.pick(found)

    def slot(self, wanted: Callable[[Any], bool]) -> Any:
        """Return what holds a type, and by which key."""
        slots = slots_in(self.top)
        return self.pick([each for each in slots if wanted(each[0][each[1]])])

    def pick(self, found: list[Any]) -> Any:
        if not found:
            raise NothingError
        return self.rng.choice(found)

    def field_as_it_was(self, wanted: Callable[[Plain], bool]) -> Any:
        """Return a scope and a field whose values no edit has touched."""
        scope, field = self.field(wanted)
        if self.before.get((*scope.path, field["id"])) != field["type"]:
            raise NothingError
        return scope, field

    def promise(self, scope: Scope, field: Plain) -> None:
        """Remember that a function makes this field, of the type that it has now."""
        self.promised[*scope.path, field["id"]] = deepcopy(field["type"])

    @property
    def is_true(self) -> bool:
        """Whether no edit has changed what a function was written to make."""
        now = {
            (*scope.path, field["id"]): field["type"]
            for scope in scopes_in(self.top)
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


class NothingError(Exception):
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
    field = added(world, scope)
    world.write(scope, f"add({field['name']!r}, default={field['default']!r})")
    return SAFE


def added(world: World, scope: Scope, gone: str = "") -> Plain:
    """Add a field with a default that is called neither as another nor as *gone*."""
    field = {"id": scope.free_id(), "name": scope.free_name(world.rng, gone)}
    field["type"] = random_type(world.rng, 2)
    give_default_to(world.rng, field)
    if "default" not in field:
        field.update(type="i64", default=7)
    scope.fields.insert(world.rng.randint(0, len(scope.fields)), field)
    return field


@edit
def add_with_a_lie(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = added(world, scope)
    other = world.rng.choice(["another", None, 3, True, [], 2.5])
    if same_value(other, field["default"]):
        raise NothingError
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
    field = added(world, scope)
    default = field.pop("default")
    world.is_drafted = False
    if world.rng.random() < 0.5:
        return "FIELD_ADDED_HAS_DEFAULT"
    world.write(scope, f"add({field['name']!r}, default={default!r})")
    return "MIGRATION_EFFECT_MATCHES"


@edit
def make_from_others(world: World) -> str:
    scope = world.scope(needs_fields=False)
    field = added(world, scope)
    default = field.pop("default")
    made = f"lambda r: {{**r, {field['name']!r}: {default!r}}}"
    world.promise(scope, field)
    world.write(scope, f"custom({made}, adds=[{field['name']!r}], loss='it')")
    world.is_drafted = False
    return SAFE


@edit
def drop(world: World) -> str:
    scope, field = dropped(world)
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    return SAFE


def dropped(world: World, what: str = "ids names") -> tuple[Scope, Plain]:
    """Drop a field, and reserve of it *what* is said."""
    scope, field = world.field()
    scope.fields.remove(field)
    world.reserve(scope, field, what=what)
    return scope, field


@edit
def drop_without_reserving(world: World) -> str:
    scope, field = dropped(world, world.rng.choice(["ids", "names", ""]))
    if scope.is_top:
        world.write(scope, f"drop({field['name']!r}, loss='it')")
    else:  # there is nothing to reserve in a record, but the step must say it
        world.is_drafted = False
    return "FIELD_NO_DELETE_UNLESS_RESERVED"


@edit
def drop_without_loss(world: World) -> str:
    scope, field = dropped(world)
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
        raise NothingError
    world.plain["reserved"][world.rng.choice(["ids", "names"])].pop()
    return "RESERVED_NO_DELETE"


@edit
def drop_and_add_with_the_same_id(world: World) -> str:
    scope, field = dropped(world, "names")
    new = added(world, scope, field["name"])
    new["id"] = field["id"]
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    world.write(scope, f"add({new['name']!r}, default={new['default']!r})")
    world.is_drafted = False
    return "MIGRATION_EFFECT_MATCHES"


@edit
def drop_and_add_with_the_same_name(world: World) -> str:
    scope, field = dropped(world, "ids")
    new = added(world, scope)
    new["name"] = field["name"]
    world.write(scope, f"drop({field['name']!r}, loss='it')")
    world.write(scope, f"add({new['name']!r}, default={new['default']!r})")
    return "FIELD_NAME_NO_REUSE"


@edit
def replace(world: World) -> str:
    scope, field = world.field_as_it_was(lambda _: True)
    scope.fields.remove(field)
    world.reserve(scope, field)
    new = added(world, scope, field["name"])
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
        raise NothingError
    holder[key] = {"optional": holder[key]}
    return SAFE


def _is_not_optional(kind: Any) -> bool:
    return not (isinstance(kind, dict) and "optional" in kind)


@edit
def narrow(world: World) -> str:
    holder, key = world.slot(lambda kind: not _is_not_optional(kind))
    if holder[key]["optional"] in ("null", "opaque"):
        raise NothingError
    holder[key] = holder[key]["optional"]
    world.is_drafted = False
    return "FIELD_SAME_TYPE_OR_CONVERT"


@edit
def give_a_default(world: World) -> str:
    _, field = world.field(lambda each: "default" not in each)
    give_default_to(world.rng, field)
    if "default" not in field:
        raise NothingError
    return SAFE


@edit
def change_a_default(world: World) -> str:
    _, field = world.field(lambda each: "default" in each)
    was = field.pop("default")
    if field["type"] == "opaque" and was in (0, 1) and type(was) is int:
        field["default"] = bool(was)  # 1 == True in Python, and not in a schema
    elif world.rng.random() < 0.7:
        give_default_to(world.rng, field)
        if same_value(field["default"], was):
            raise NothingError
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
    """The step converts under a name that neither version knows, and it shows."""
    scope, field, target, up, _ = _converted(world)
    if isinstance(field["type"], dict) or field["type"] != target or not scope.is_top:
        raise NothingError
    name = field["name"]
    world.promise(scope, field)
    world.write(scope, f"rename({name!r}, 'passing')")
    world.write(scope, f"convert('passing', up={up}, loss='it')")
    world.write(scope, f"rename('passing', {name!r})")
    return SAFE


@edit
def convert_and_forget_null(world: World) -> str:
    scope, field, target, up, _ = _converted(world)
    if not isinstance(field["type"], dict) or target == "opaque":
        raise NothingError
    field["type"] = target
    world.promise(scope, field)
    world.write(scope, f"convert({field['name']!r}, up={up}, loss='it')")
    return "MIGRATION_EFFECT_MATCHES"


@edit
def convert_without_loss(world: World) -> str:
    scope, field, target, up, _ = _converted(world)
    if isinstance(field["type"], dict):
        raise NothingError
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
    if "white" in holder[key]["enum"]["values"]:
        raise NothingError
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
    fields = random_fields(world.rng, 2, world.rng.randint(0, 2))
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
