"""Random schemas, and random records of them; the same again from the same seed."""

import random
from typing import Any

from overwinter.schema import Schema, read_schema
from overwinter.schema.types import (
    EnumOf,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Type,
    UnionOf,
)

__all__ = [
    "KIND",
    "NAMES",
    "N_ROWS",
    "SCALARS",
    "Plain",
    "Rng",
    "give_default_to",
    "random_columns",
    "random_fields",
    "random_schema",
    "random_type",
]

KIND = "acme/fuzz"
N_ROWS = 5

Plain = dict[str, Any]
Rng = random.Random

# --- schemas ----------------------------------------------------------------

SCALARS = ["i64", "u64", "f64", "str", "bool", "bytes", "time_ns", "null", "opaque"]
NAMES = ["alpha", "beta", "gamma", "delta", "kappa", "omega", "sigma"]
VALUES = ["red", "green", "blue", "black"]


def random_type(rng: Rng, depth: int) -> Any:
    """Return a type as a schema file has it."""
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
        return {"record": random_fields(rng, depth + 1, rng.randint(1, 3))}
    if kind == "union":
        names = rng.sample(["copy", "link", "run"], rng.randint(1, 3))
        cases = {
            name: random_fields(rng, depth + 1, rng.randint(0, 2)) for name in names
        }
        return {"union": {"tag": "does", "cases": cases}}
    item = random_type(rng, depth + 1)
    if kind == "optional" and "optional" in item:
        return item
    return {kind: item}


def random_fields(rng: Rng, depth: int, n_fields: int, first: int = 1) -> list[Plain]:
    """Return fields whose ids begin with *first*."""
    names = rng.sample(NAMES, n_fields)
    fields = []
    for number, name in enumerate(names, first):
        plain = {"id": number, "name": name, "type": random_type(rng, depth)}
        if rng.random() < 0.4:
            give_default_to(rng, plain)
        fields.append(plain)
    return fields


def give_default_to(rng: Rng, plain: Plain) -> None:
    """Give a field a default of its type, if JSON has such a value."""
    value = random_value(rng, _as_type(plain["type"]), 1)
    if not _has_bytes(value):  # there are none in JSON
        plain["default"] = value


def _as_type(plain: Any) -> Type:
    key = {"id": 1, "name": "key", "type": "str"}
    field = {"id": 2, "name": "x", "type": plain}
    return read_schema(schema_file(1, [key, field])).fields[1].type


def schema_file(version: int, fields: list[Plain]) -> Plain:
    return {
        "kind": KIND, "version": version, "cardinality": "many", "fields": fields,
    }  # fmt: skip


def random_schema(rng: Rng) -> Plain:
    """Return version 1 of a schema."""
    key = {"id": 1, "name": "key", "type": "str"}
    plain = schema_file(1, [key, *random_fields(rng, 0, rng.randint(1, 4), 2)])
    if rng.random() < 0.3:
        plain["reserved"] = {"ids": [90], "names": ["gone"]}
    return plain


# --- values -----------------------------------------------------------------

INTEGERS = [0, 1, -1, 7, 2**31, -(2**63), 2**63 - 1]
TEXTS = ["", "a", "größe", "0", "red", "two words"]


def random_value(rng: Rng, kind: Type, depth: int) -> Any:
    if isinstance(kind, OptionalOf):
        return None if rng.random() < 0.4 else random_value(rng, kind.item, depth)
    if isinstance(kind, ListOf):
        return [
            random_value(rng, kind.item, depth + 1) for _ in range(rng.randint(0, 2))
        ]
    if isinstance(kind, MapOf):
        keys = rng.sample(TEXTS, rng.randint(0, 2))
        return {key: random_value(rng, kind.item, depth + 1) for key in keys}
    if isinstance(kind, EnumOf):
        values = [*kind.values, "of later"] if kind.is_open else kind.values
        return rng.choice(values)
    if isinstance(kind, RecordOf):
        return {f.name: random_value(rng, f.type, depth + 1) for f in kind.fields}
    if isinstance(kind, UnionOf):
        name, record = rng.choice(kind.cases)
        return {kind.tag: name, **random_value(rng, record, depth)}
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


def random_columns(rng: Rng, schema: Schema) -> dict[str, list[Any]]:
    """Return records that fit *schema*."""
    columns = {
        field.name: [random_value(rng, field.type, 0) for _ in range(N_ROWS)]
        for field in schema.fields
    }
    columns["key"] = [f"key {row}" for row in range(N_ROWS)]
    return columns
