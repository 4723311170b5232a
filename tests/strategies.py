"""Hypothesis strategies derived from schemas: what their files say, as values."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from overwinter.codec import Columns, pack
from overwinter.schema import Schema
from overwinter.schema.types import (
    EnumOf,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Scalar,
    Type,
    UnionOf,
)

Strategy = st.SearchStrategy[Any]

_TEXT = st.text(max_size=8)
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3)
    ),
    max_leaves=4,
)
_SCALARS: dict[str, Strategy] = {
    "null": st.none(),
    "bool": st.booleans(),
    "i64": st.integers(-(2**63), 2**63 - 1),
    "u64": st.integers(0, 2**64 - 1),
    "f64": st.floats(allow_nan=False),
    "str": _TEXT,
    "bytes": st.binary(max_size=8),
    "payload": st.binary(max_size=8),
    "time_ns": st.integers(-(2**63), 2**63 - 1),
    "opaque": _PLAIN,
}
# What a measurement may be: a conversion of units leaves it within 64 bits.
_MODERATE: dict[str, Strategy] = {
    **_SCALARS,
    "i64": st.integers(-(10**9), 10**9),
    "u64": st.integers(0, 10**9),
    "f64": st.floats(-1e9, 1e9),
}


def values(kind: Type, *, moderate: bool = False) -> Strategy:
    """Give values of a type; numbers far from their bounds if *moderate*."""

    def of(kind: Type) -> Strategy:
        if isinstance(kind, Scalar):
            return (_MODERATE if moderate else _SCALARS)[kind.name]
        if isinstance(kind, ListOf):
            return st.lists(of(kind.item), max_size=3)
        if isinstance(kind, MapOf):
            return st.dictionaries(_TEXT, of(kind.item), max_size=3)
        if isinstance(kind, OptionalOf):
            return st.none() | of(kind.item)
        if isinstance(kind, EnumOf):
            known = st.sampled_from(kind.values)
            # A later version may know others.
            return known | _TEXT if kind.is_open else known
        if isinstance(kind, UnionOf):
            return st.one_of(
                [
                    st.fixed_dictionaries({kind.tag: st.just(name), **fields(record)})
                    for name, record in kind.cases
                ]
            )
        return st.fixed_dictionaries(fields(kind))

    def fields(record: RecordOf) -> dict[str, Strategy]:
        return {field.name: of(field.type) for field in record.fields}

    return of(kind)


def records(schema: Schema, *, moderate: bool = False) -> Strategy:
    """Give records that fit *schema*, as maps."""
    return st.fixed_dictionaries(
        {
            field.name: st.text(min_size=1, max_size=8)
            if field.name == "key"
            else values(field.type, moderate=moderate)
            for field in schema.fields
        }
    )


def columns_of_records(
    schema: Schema, rows: Sequence[dict[str, Any]], *, encoded: bool = False
) -> Columns:
    """Return *rows* as the columns of a block, all encoded but payloads if so."""
    payloads = schema.payload_names
    held: dict[str, Any] = {}
    for field in schema.fields:
        column = [row[field.name] for row in rows]
        held[field.name] = (
            pack(column) if encoded and field.name not in payloads else column
        )
    return Columns(len(rows), held, "test").with_payloads(payloads)


def records_of_columns(columns: Columns) -> list[dict[str, Any]]:
    """Return the rows of *columns* as maps."""
    return [
        {name: columns[name][row] for name in columns} for row in range(columns.rows)
    ]
