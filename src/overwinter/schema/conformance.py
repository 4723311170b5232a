"""
A class against its schema: the same fields, types and defaults, in one order.

Developers write one attrs class, for the newest version. Registering it compares
the two, so that neither can drift without the other.
"""

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import attrs

from ..errors import DriftError
from .model import REQUIRED, ListOf, MapOf, OptionalOf, Scalar, Schema, Type

__all__ = ["U64", "Payload", "TimeNs", "check_class"]

# The bytes of one field, stored out of line and read lazily.
Payload = Annotated[bytes, Scalar("payload")]
# An unsigned integer of 64 bits; a plain ``int`` is signed.
U64 = Annotated[int, Scalar("u64")]
# Nanoseconds since the epoch.
TimeNs = Annotated[int, Scalar("time_ns")]

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


def check_class(cls: type, schema: Schema) -> None:
    """
    Compare the attrs class *cls* with *schema*, field by field.

    Raises:
        DriftError: They differ; it lists every line of the class to change.
    """
    hints = get_type_hints(cls, include_extras=True)
    found = {
        field.name: (_schema_type(hints[field.name]), _default(field))
        for field in attrs.fields(cls)
    }
    wanted = {field.name: (field.type, field.default) for field in schema.fields}

    faults = [
        f"add     {_line(name, *wanted[name])}" for name in wanted.keys() - found.keys()
    ]
    faults += [f"remove  {name}" for name in sorted(found.keys() - wanted.keys())]
    for name in wanted.keys() & found.keys():
        if not _same(found[name], wanted[name]):
            was, now = _line(name, *found[name]), _line(name, *wanted[name])
            faults.append(f"change  {was}  to  {now}")
    if not faults and list(found) != list(wanted):
        faults.append(f"reorder the fields to {', '.join(wanted)}")
    if faults:
        raise DriftError(
            schema.kind, cls.__qualname__, schema.source, tuple(sorted(faults))
        )


def _schema_type(hint: Any) -> Type | str:
    """Return the schema type of an annotation, or its text where it has none."""
    if isinstance(hint, type | None) and hint in _PYTHON_TYPES:
        return _PYTHON_TYPES[hint]
    if hint is Any:
        return Scalar("opaque")
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        named = [each for each in args[1:] if isinstance(each, Scalar)]
        return named[0] if named else _schema_type(args[0])
    if origin in (list, tuple):
        if origin is tuple and (len(args) != 2 or args[1] is not Ellipsis):
            return str(hint)
        return _composite(ListOf, args[0], hint)
    if isinstance(origin, type) and issubclass(origin, Mapping) and args[0] is str:
        return _composite(MapOf, args[1], hint)
    if origin in (Union, types.UnionType) and len(args) == 2 and type(None) in args:
        item = next(each for each in args if each is not type(None))
        return _composite(OptionalOf, item, hint)
    return str(hint)


def _composite(
    cls: type[ListOf] | type[MapOf] | type[OptionalOf], item: Any, hint: Any
) -> Type | str:
    inner = _schema_type(item)
    return str(hint) if isinstance(inner, str) else cls(inner)


def _default(field: "attrs.Attribute[Any]") -> Any:
    default: Any = field.default
    if hasattr(default, "factory"):  # attrs.Factory is a function to type checkers
        default = default.factory()
    return list(default) if isinstance(default, tuple) else default


def _same(found: Any, wanted: Any) -> bool:
    # 1 == True == 1.0 in Python; in a schema they are three defaults.
    if type(found) is not type(wanted):
        return False
    if isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(
            _same(found[name], wanted[name]) for name in found
        )
    return bool(found == wanted)


def _line(name: str, kind: Type | str, default: Any) -> str:
    line = f"{name}: {kind}"
    return line if default is REQUIRED else f"{line} = {default!r}"
