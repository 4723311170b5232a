"""
Columns of plain values against their schema, before anything is built.

cattrs coerces: ``"3"`` becomes 3 and ``None`` becomes ``"None"``. So values are
checked first, a whole column at a time: ``set(map(type, column))`` is one pass
at the speed of C, and only a column that fails it is looked at value by value.
What was just decoded is asked less: no decoder gives text that is no Unicode, a map
key that is no text, or an integer of more than 64 bits.
"""

import math
from array import array
from collections.abc import Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any

import attrs

from ..limits import MAX_DEPTH, MAX_FAULTS, MAX_KEY
from .model import Schema
from .types import EnumOf, ListOf, MapOf, OptionalOf, RecordOf, Scalar, Type, UnionOf

__all__ = ["Decoded", "find_faults", "fits"]

_TYPES: dict[str, frozenset[type]] = {
    "null": frozenset([type(None)]),
    "bool": frozenset([bool]),
    "i64": frozenset([int]),
    "u64": frozenset([int]),
    "time_ns": frozenset([int]),
    "f64": frozenset([float]),
    "str": frozenset([str]),
    "bytes": frozenset([bytes]),
    "payload": frozenset([bytes]),
}
_RANGES = {
    "i64": (-(2**63), 2**63 - 1),
    "time_ns": (-(2**63), 2**63 - 1),
    "u64": (0, 2**64 - 1),
}
_ARRAYS = {"i64": "q", "time_ns": "q", "u64": "Q"}  # arrays of the same ranges
_PLAIN = frozenset([type(None), bool, int, float, str, bytes])


@attrs.frozen
class Decoded:
    """
    What is known of a column that was decoded, and that nobody touched since.

    Args:
        value_type: The type of every value, where decoding showed it.
        is_wide: An integer in it may exceed 63 bits.
    """

    value_type: type | None = None
    is_wide: bool = True


def find_faults(
    schema: Schema,
    columns: Mapping[str, list[Any]],
    *,
    limit: int = MAX_FAULTS,
    decoded: Mapping[str, Decoded] = MappingProxyType({}),
) -> dict[int, list[str]]:
    """
    Return what does not fit, by row: ``{3: ["autotune[3].grid: expected …"]}``.

    Args:
        schema: The schema to hold the columns against.
        columns: Field to values, one for each row. Columns that the schema
            does not name are left alone: they were added by a later version.
        limit: Rows to list; what is behind them is not looked at.
        decoded: What is known of columns, as soon as they were looked up.

    Raises:
        KeyError: A column of the schema is missing.
    """
    faults: dict[int, list[str]] = {}
    for field in schema.fields:
        column = columns[field.name]
        known = decoded.get(field.name)
        if _fits(field.type, column, known) and (
            field.name != "key" or _keys_fit(column)
        ):
            continue
        for row, value in enumerate(column):
            path = f"{schema.kind}[{row}].{field.name}"
            fault = _fault(field.type, value, path, 0)
            if fault is None and field.name == "key":
                fault = _key_fault(value, path)
            if fault is not None:
                faults.setdefault(row, []).append(fault)
                if len(faults) >= limit:
                    return faults
    return faults


def fits(kind: Type, value: Any) -> bool:
    """Return whether one plain *value* is of the type *kind*."""
    return _fault(kind, value, "", 0) is None


def _fits(kind: Type, column: Iterable[Any], known: Decoded | None = None) -> bool:
    """
    Return whether a whole column fits; ``False`` may also mean: look closer.

    An iterator is a column, too: of values inside those of another, which are
    mostly asked for their types alone.
    """
    if isinstance(kind, Scalar):
        return _scalars_fit(kind, column, known)
    if isinstance(kind, OptionalOf):
        return _fits(kind.item, [each for each in column if each is not None], known)
    column = column if type(column) is list else list(column)
    if isinstance(kind, EnumOf):
        if not set(map(type, column)) <= {str}:
            return False
        if kind.is_open:
            return known is not None or _is_unicode(column)
        return set(column) <= set(kind.values)
    if isinstance(kind, ListOf):
        return set(map(type, column)) <= {list} and _fits(
            kind.item, chain.from_iterable(column), known
        )
    if not set(map(type, column)) <= {dict}:
        return False
    if isinstance(kind, MapOf):
        return (known is not None or _map_keys_fit(column)) and _fits(
            kind.item, chain.from_iterable(map(dict.values, column)), known
        )
    if isinstance(kind, RecordOf):
        return _records_fit(kind, column, known)
    return _unions_fit(kind, column, known)


def _scalars_fit(kind: Scalar, column: Iterable[Any], known: Decoded | None) -> bool:
    if known is not None:
        if kind.name == "opaque":
            return set(map(type, column)) <= _PLAIN
        if kind.name == "str":
            # Joining asks for text in two thirds of the time of a look at each type.
            return _are_texts(column)
        if kind.name in ("i64", "time_ns") and not known.is_wide:
            return known.value_type is int or set(map(type, column)) <= {int}
        if kind.name == "f64" and known.value_type is float:
            return True
    column = column if type(column) is list else list(column)
    types = set(map(type, column))
    if kind.name == "opaque":
        return (
            types <= _PLAIN
            and _no_wide_integer(column)
            and _is_unicode([each for each in column if type(each) is str])
        )
    if not types <= _TYPES[kind.name]:
        return False
    if kind.name in _ARRAYS:
        try:
            # Faster than to ask for the least and the greatest.
            array(_ARRAYS[kind.name], column)
        except OverflowError:
            return False
    return kind.name != "str" or _is_unicode(column)


def _are_texts(column: Iterable[Any]) -> bool:
    try:
        "".join(column)
    except TypeError:
        return False
    return True


def _map_keys_fit(column: list[dict[Any, Any]]) -> bool:
    # The same few keys as a rule: as a set they are joined once, not for each row.
    return set(map(type, chain.from_iterable(column))) <= {str} and _is_unicode(
        set().union(*column)
    )


def _records_fit(
    kind: RecordOf, column: list[dict[str, Any]], known: Decoded | None
) -> bool:
    """Look at the records field by field, as at the columns of a block."""
    names = {field.name for field in kind.fields}
    if any(each.keys() != names for each in column):
        return False
    return all(
        _fits(field.type, [each[field.name] for each in column], known)
        for field in kind.fields
    )


def _unions_fit(
    kind: UnionOf, column: list[dict[str, Any]], known: Decoded | None
) -> bool:
    by_case: dict[Any, list[Any]] = {}
    for each in column:
        case = each.get(kind.tag)
        if type(case) is not str:
            return False
        untagged = {name: each[name] for name in each if name != kind.tag}
        by_case.setdefault(case, []).append(untagged)
    for name, group in by_case.items():
        record = kind.case(name)
        if record is None or not _records_fit(record, group, known):
            return False
    return True


def _is_unicode(column: Iterable[str]) -> bool:
    # A lone surrogate is a str in Python and no text anywhere else.
    text = "".join(column)
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_wide_integer(column: list[Any]) -> bool:
    return all(-(2**63) <= each < 2**64 for each in column if type(each) is int)


def _keys_fit(column: list[str]) -> bool:
    return all(column) and max(map(len, column), default=0) * 4 <= MAX_KEY


def _key_fault(value: str, path: str) -> str | None:
    if not value:
        return f"{path}: expected a key, got an empty string"
    size = len(value.encode())
    if size > MAX_KEY:
        return f"{path}: expected at most {MAX_KEY:,} bytes, got {size:,}"
    return None


def _fault(kind: Type, value: Any, path: str, depth: int) -> str | None:
    """Return the first thing in *value* that does not fit, or ``None``."""
    # A list or map must leave a level for what is in it, as `codec.pack` counts.
    if depth + (type(value) in (list, dict)) > MAX_DEPTH:
        return f"{path}: expected at most {MAX_DEPTH} levels, got more"
    if isinstance(kind, OptionalOf):
        return None if value is None else _fault(kind.item, value, path, depth)
    if isinstance(kind, ListOf):
        if type(value) is not list:
            return _unexpected(path, kind, value)
        inner = (
            _fault(kind.item, each, f"{path}[{index}]", depth + 1)
            for index, each in enumerate(value)
        )
        return next((fault for fault in inner if fault), None)
    if isinstance(kind, MapOf):
        if type(value) is not dict:
            return _unexpected(path, kind, value)
        for key, each in value.items():
            if type(key) is not str or not _is_unicode([key]):
                return f"{path}: expected keys of str, got {key!r}"
            if fault := _fault(kind.item, each, f"{path}.{key}", depth + 1):
                return fault
        return None
    if isinstance(kind, EnumOf):
        if type(value) is not str:
            return _unexpected(path, kind, value)
        if not kind.is_open and value not in kind.values:
            return _unexpected(path, kind, value)
        return _scalar_fault(Scalar("str"), value, path, depth)
    if isinstance(kind, RecordOf):
        return _record_fault(kind, value, path, depth)
    if isinstance(kind, UnionOf):
        if type(value) is not dict:
            return _unexpected(path, kind, value)
        record = kind.case(value.get(kind.tag))
        if record is None:
            names = " or ".join(name for name, _ in kind.cases)
            return _unexpected(f"{path}.{kind.tag}", names, value.get(kind.tag))
        untagged = {name: value[name] for name in value if name != kind.tag}
        return _record_fault(record, untagged, path, depth)
    return _scalar_fault(kind, value, path, depth)


def _record_fault(kind: RecordOf, value: Any, path: str, depth: int) -> str | None:
    if type(value) is not dict:
        return _unexpected(path, kind, value)
    for field in kind.fields:
        if field.name not in value:
            return f"{path}.{field.name}: expected {field.type}, got nothing"
    for name in value:
        if all(field.name != name for field in kind.fields):
            return f"{path}: expected no field {name!r:.60}"
    inner = (
        _fault(field.type, value[field.name], f"{path}.{field.name}", depth + 1)
        for field in kind.fields
    )
    return next((fault for fault in inner if fault), None)


def _scalar_fault(kind: Scalar, value: Any, path: str, depth: int) -> str | None:
    if kind.name == "opaque":
        if type(value) is list:
            return _fault(ListOf(kind), value, path, depth)
        if type(value) is dict:
            return _fault(MapOf(kind), value, path, depth)
        if type(value) not in _PLAIN:
            return _unexpected(path, "a plain value", value)
        if type(value) is str:
            return _scalar_fault(Scalar("str"), value, path, depth)
        if type(value) is int and not _no_wide_integer([value]):
            return f"{path}: expected an integer of 64 bits, got {value}"
        return None
    if type(value) not in _TYPES[kind.name]:
        return _unexpected(path, kind, value)
    if kind.name in _RANGES:
        low, high = _RANGES[kind.name]
        if not low <= value <= high:
            return f"{path}: expected {kind} from {low} to {high}, got {value}"
    if kind.name == "str" and not _is_unicode([value]):
        return f"{path}: expected text, got a lone surrogate in {ascii(value)[:60]}"
    return None


def _unexpected(path: str, expected: object, value: Any) -> str:
    shown = "null" if value is None else f"{type(value).__name__} {_shown(value)}"
    return f"{path}: expected {expected}, got {shown}"


def _shown(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    text = ascii(value) if not isinstance(value, bytes) else f"of {len(value)} bytes"
    return text if len(text) <= 60 else f"{text[:60]}…"
