r"""
A class against its schema: the same fields, types and defaults, in one order.

Developers write one attrs class, for the newest version. Registering it compares
the two, so that neither can drift without the other.

| in the class | in the schema |
|---|---|
| ``str int float bool bytes None Any`` | ``str i64 f64 bool bytes null opaque`` |
| ``Payload U64 TimeNs`` | ``payload u64 time_ns`` |
| ``list[T]``, ``tuple[T, ...]`` | list of T |
| ``dict[str, T]`` | map of T |
| ``T \| None`` | optional T |
| an attrs class | record |
| an ``enum.Enum`` of texts | closed enum |
| ``Annotated[str, OpenEnum("a", "b")]`` | open enum |
| ``Annotated[A \| B, Tagged("tag", a=A, b=B)]`` | union |
"""

import enum
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs

from ..errors import DriftError
from .model import Schema
from .types import (
    REQUIRED,
    EnumOf,
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Scalar,
    Tagged,
    Type,
    UnionOf,
    same_value,
)

__all__ = [
    "U64",
    "OpenEnum",
    "Payload",
    "Tagged",
    "TimeNs",
    "check_class",
    "class_fields",
]

# The bytes of one field, stored out of line and read lazily.
Payload = Annotated[bytes, Scalar("payload")]
# An unsigned integer of 64 bits; a plain ``int`` is signed.
U64 = Annotated[int, Scalar("u64")]
# Nanoseconds since the epoch.
TimeNs = Annotated[int, Scalar("time_ns")]


def OpenEnum(*values: str) -> EnumOf:  # it stands for a type
    """Return the annotation of a text out of *values*, or of a later version's."""
    return EnumOf(values, is_open=True)


_PYTHON_TYPES: dict[Any, Type] = {
    None: Scalar("null"),
    type(None): Scalar("null"),
    bool: Scalar("bool"),
    int: Scalar("i64"),
    float: Scalar("f64"),
    str: Scalar("str"),
    bytes: Scalar("bytes"),
    Any: Scalar("opaque"),
}


def class_fields(cls: type) -> tuple[Field, ...]:
    """
    Return the fields of an attrs class as a schema would have them, all of id 0.

    Raises:
        DriftError: An annotation has no word in the schema language, or the class
            holds itself without end.
    """
    try:
        return _fields(cls, ())
    except _WordlessError as error:
        name = cls.__qualname__
        raise DriftError(name, name, "the schema language", (error.fault,)) from error


def check_class(cls: type, schema: Schema) -> None:
    """
    Compare the attrs class *cls* with *schema*, field by field.

    Raises:
        DriftError: They differ; it lists every line of the class to change.
    """
    found: dict[str, Field | _WordlessError] = {}
    for attribute, hint in _hints(cls):
        try:
            found[attribute.name] = _field(attribute, hint, (cls,))
        except _WordlessError as error:
            found[attribute.name] = error
    wanted = {field.name: _without_ids(field) for field in schema.fields}

    faults = [f"add     {_line(wanted[name])}" for name in wanted.keys() - found.keys()]
    faults += [f"remove  {name}" for name in found.keys() - wanted.keys()]
    for name in wanted.keys() & found.keys():
        field, now = found[name], _line(wanted[name])
        if isinstance(field, _WordlessError):
            is_own = field.cls is cls
            faults.append(f"change  {field.line}  to  {now}" if is_own else field.fault)
        elif not _same(field, wanted[name]):
            faults.append(f"change  {_line(field)}  to  {now}")
    if not faults and list(found) != list(wanted):
        faults.append(f"reorder the fields to {', '.join(wanted)}")
    if faults:
        raise DriftError(
            schema.kind, cls.__qualname__, schema.source, tuple(sorted(faults))
        )


def _fields(cls: type, inside: tuple[type, ...]) -> tuple[Field, ...]:
    if cls in inside:
        raise DriftError(
            cls.__qualname__,
            cls.__qualname__,
            "the schema language",
            (f"{cls.__qualname__} holds itself without end; hold its parts in a list "
             "of the kind, and refer to them by key",),
        )  # fmt: skip
    return tuple(_field(field, hint, (*inside, cls)) for field, hint in _hints(cls))


def _hints(cls: type) -> "Iterator[tuple[attrs.Attribute[Any], Any]]":
    hints = get_type_hints(cls, include_extras=True)
    for attribute in attrs.fields(cls):
        if not attribute.init:
            fault = f"change  {attribute.name} to a field that is given: init=False"
            name = cls.__qualname__
            raise DriftError(name, name, "the schema language", (fault,))
        yield attribute, hints[attribute.name]


def _field(
    attribute: "attrs.Attribute[Any]", hint: Any, inside: tuple[type, ...]
) -> Field:
    name = attribute.name
    try:
        kind = _schema_type(hint, inside)
    except (TypeError, IndexError) as error:  # IndexError: typing.List without item
        raise _WordlessError(inside[-1], name, hint) from error
    return Field(id=0, name=name, type=kind, default=_default(attribute))


class _WordlessError(Exception):
    """The schema language has no word for the annotation of a field."""

    def __init__(self, cls: type, name: str, hint: Any) -> None:
        super().__init__(cls, name, hint)
        self.cls, self.line = cls, f"{name}: {hint}"

    @property
    def fault(self) -> str:
        return (
            f"change  {self.cls.__qualname__}.{self.line}  to one of the types that "
            "overwinter.schema.conformance lists"
        )


def _schema_type(hint: Any, inside: tuple[type, ...]) -> Type:
    """Return the schema type of an annotation; a TypeError where there is none."""

    def of(item: Any) -> Type:
        return _schema_type(item, inside)

    if hint is Any or (isinstance(hint, type | None) and hint in _PYTHON_TYPES):
        return _PYTHON_TYPES[hint]
    if isinstance(hint, type) and attrs.has(hint):
        return RecordOf(_fields(hint, inside))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        values = tuple(each.value for each in hint)
        if set(map(type, values)) != {str}:
            raise TypeError(hint)
        return EnumOf(values, is_open=False)
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        for each in args[1:]:
            if isinstance(each, Scalar | EnumOf):
                return each
            if isinstance(each, Tagged):
                members = get_args(args[0]) or args[:1]
                if sorted(map(id, each.cases.values())) != sorted(map(id, members)):
                    raise TypeError(hint)
                cases = sorted(each.cases.items())
                records = tuple((n, RecordOf(_fields(c, inside))) for n, c in cases)
                return UnionOf(each.tag, records)
        return of(args[0])
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is ...):
        return ListOf(of(args[0]))
    if isinstance(origin, type) and issubclass(origin, Mapping) and args[0] is str:
        return MapOf(of(args[1]))
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        return OptionalOf(of(next(each for each in args if each is not type(None))))
    raise TypeError(hint)


def _default(field: "attrs.Attribute[Any]") -> Any:
    default: Any = field.default
    if hasattr(default, "factory"):  # attrs.Factory is a function to type checkers
        default = default.factory()
    if default is not REQUIRED and isinstance(default, enum.Enum):
        default = default.value
    return list(default) if isinstance(default, tuple) else default


def _without_ids(field: Field) -> Field:
    return attrs.evolve(field, id=0, type=_type_without_ids(field.type))


def _type_without_ids(kind: Type) -> Type:
    if isinstance(kind, ListOf | MapOf | OptionalOf):
        return attrs.evolve(kind, item=_type_without_ids(kind.item))
    if isinstance(kind, RecordOf):
        return RecordOf(tuple(map(_without_ids, kind.fields)))
    if isinstance(kind, UnionOf):
        cases = (
            (name, RecordOf(tuple(map(_without_ids, record.fields))))
            for name, record in kind.cases
        )
        return UnionOf(kind.tag, tuple(cases))
    return kind


def _same(found: Field, wanted: Field) -> bool:
    return found == wanted and same_value(found.default, wanted.default)


def _line(field: Field) -> str:
    line = f"{field.name}: {field.type}"
    return line if not field.has_default else f"{line} = {field.default!r}"
