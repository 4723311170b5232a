"""
Schemas: what the records of one version of one kind hold.

A schema is a JSON file, ``schema/<kind>/v<N>.json``, frozen once released. It is
the contract; the attrs class of today is only compared with it.
"""

import hashlib
import json
import re
import reprlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, TypeVar

import attrs

from ..errors import SchemaError
from ..limits import MAX_DEPTH
from .types import (
    REQUIRED,
    SCALARS,
    EnumOf,
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Scalar,
    Type,
    UnionOf,
)

__all__ = ["InvalidSchemaError", "Schema", "read_schema"]

MANY, ONE = "many", "one"

# Types nest no deeper, so that values which fit them can be written.
_MAX_TYPE_DEPTH = MAX_DEPTH // 2

_KIND = re.compile(r"[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)?")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class InvalidSchemaError(SchemaError):
    """A schema file says something that the schema language has no words for."""

    def __init__(self, source: str, path: str, found: str, expected: str) -> None:
        super().__init__(source, path, found, expected)
        self.source, self.path = source, path
        self.found, self.expected = found, expected

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.path}: found {self.found}, expected "
            f"{self.expected}; mend the schema file"
        )


T = TypeVar("T")

_COMPOSITES: dict[str, type[ListOf] | type[MapOf] | type[OptionalOf]] = {
    "list": ListOf,
    "map": MapOf,
    "optional": OptionalOf,
}
_OTHERS = ("record", "union", "enum")


@attrs.frozen
class Schema:
    """The contract of one version of one kind."""

    kind: str
    version: int
    cardinality: str
    fields: tuple[Field, ...]
    reserved_ids: tuple[int, ...] = ()
    reserved_names: tuple[str, ...] = ()
    doc: str = attrs.field(default="", eq=False)
    source: str = attrs.field(default="<memory>", eq=False)

    @property
    def payload_names(self) -> frozenset[str]:
        """Names of the fields whose bytes are stored out of line."""
        return frozenset(field.name for field in self.fields if field.is_payload)

    @cached_property
    def flat_names(self) -> frozenset[str]:
        """Names of the fields whose values hold no lists and no maps."""
        return frozenset(field.name for field in self.fields if _is_flat(field.type))

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the canonical JSON without any ``doc``, 32 bytes."""
        text = json.dumps(
            self.as_plain(docs=False), sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(text.encode()).digest()

    def field(self, name: str) -> Field | None:
        """Return the field with this name, or ``None``."""
        return next((field for field in self.fields if field.name == name), None)

    def as_plain(self, *, docs: bool = True) -> dict[str, Any]:
        """Return the schema as in its JSON file; `read_schema` is the inverse."""
        plain: dict[str, Any] = {
            "kind": self.kind,
            "version": self.version,
            "cardinality": self.cardinality,
            "fields": [_field_as_plain(field, docs) for field in self.fields],
        }
        if docs and self.doc:
            plain["doc"] = self.doc
        if self.reserved_ids or self.reserved_names:
            plain["reserved"] = {
                "ids": list(self.reserved_ids),
                "names": list(self.reserved_names),
            }
        return plain


def _is_flat(kind: Type) -> bool:
    if isinstance(kind, OptionalOf):
        return _is_flat(kind.item)
    scalar = isinstance(kind, Scalar) and kind.name not in ("opaque", "payload")
    return scalar or isinstance(kind, EnumOf)


def read_schema(plain: Any, source: str = "<memory>") -> Schema:
    """
    Return the schema that the plain value of a schema file says.

    Args:
        plain: What JSON or msgpack decoded.
        source: The file's name, for errors.

    Raises:
        InvalidSchemaError: A key, a value or a type that has no place in a schema.
    """
    reader = _Reader(source)
    reader.expect_keys(
        plain,
        "schema",
        {"kind", "version", "cardinality", "fields"},
        {"doc", "reserved"},
    )
    kind, version = plain["kind"], plain["version"]
    if type(kind) is not str or not _KIND.fullmatch(kind):
        reader.refuse("kind", _shown(kind), "a lower-case name, or org/name")
    if type(version) is not int or version < 1:
        reader.refuse("version", _shown(version), "an integer from 1")
    if plain["cardinality"] not in (MANY, ONE):
        reader.refuse("cardinality", _shown(plain["cardinality"]), "'many' or 'one'")

    fields = reader.fields(plain["fields"], "fields", 0)
    reserved = plain.get("reserved", {})
    reader.expect_keys(reserved, "reserved", set(), {"ids", "names"})
    schema = Schema(
        kind=kind,
        version=version,
        cardinality=plain["cardinality"],
        fields=fields,
        reserved_ids=reader.list_of(reserved, "ids", int),
        reserved_names=reader.list_of(reserved, "names", str),
        doc=reader.doc(plain, "doc"),
        source=source,
    )
    reader.expect_unique(schema)
    return schema


class _Reader:
    """Reads the parts of one schema; errors name its source and the path."""

    def __init__(self, source: str) -> None:
        self.source = source

    def refuse(self, path: str, found: str, expected: str) -> None:
        raise InvalidSchemaError(self.source, path, found, expected)

    def expect_keys(
        self, value: Any, path: str, required: set[str], optional: set[str]
    ) -> None:
        if not isinstance(value, Mapping):
            self.refuse(path, _shown(value), "a map")
        if missing := required - value.keys():
            self.refuse(path, f"no {min(missing)!r}", "it to be there")
        if extra := value.keys() - required - optional:
            shown = min(map(_shown, extra))
            self.refuse(path, shown, f"only {sorted(required | optional)}")

    def doc(self, plain: Mapping[str, Any], path: str) -> str:
        doc = plain.get("doc", "")
        if type(doc) is not str:
            self.refuse(path, _shown(doc), "text")
        return str(doc)

    def list_of(
        self, reserved: Mapping[str, Any], name: str, kind: type[T]
    ) -> tuple[T, ...]:
        values = reserved.get(name, [])
        if type(values) is not list or not set(map(type, values)) <= {kind}:
            self.refuse(
                f"reserved.{name}", _shown(values), f"a list of {kind.__name__}"
            )
        return tuple(values)

    def expect_distinct(
        self, fields: Sequence[Field], path: str, ids: set[int], names: set[str]
    ) -> None:
        """Refuse an id or a name that stands twice, or is taken already."""
        for index, field in enumerate(fields):
            if field.id in ids:
                self.refuse(f"{path}[{index}].id", str(field.id), "an unused id")
            if field.name in names:
                self.refuse(f"{path}[{index}].name", field.name, "an unused name")
            ids.add(field.id)
            names.add(field.name)

    def expect_unique(self, schema: Schema) -> None:
        ids, names = set(schema.reserved_ids), set(schema.reserved_names)
        self.expect_distinct(schema.fields, "fields", ids, names)
        key = schema.field("key")
        if key is None or key.type != Scalar("str"):
            self.refuse("fields", f"key: {key and key.type}", "a field 'key' of str")

    def field(self, plain: Any, path: str, depth: int) -> Field:
        self.expect_keys(plain, path, {"id", "name", "type"}, {"default", "doc"})
        number, name = plain["id"], plain["name"]
        if type(number) is not int or number < 1:
            self.refuse(f"{path}.id", _shown(number), "an integer from 1")
        if type(name) is not str or not _NAME.fullmatch(name):
            self.refuse(f"{path}.name", _shown(name), "a lower-case name")
        return Field(
            id=number,
            name=name,
            type=self.type(plain["type"], f"{path}.type", depth),
            default=plain.get("default", REQUIRED),
            doc=self.doc(plain, f"{path}.doc"),
        )

    def type(self, plain: Any, path: str, depth: int) -> Type:
        if depth > _MAX_TYPE_DEPTH:
            self.refuse(path, "more levels", f"at most {_MAX_TYPE_DEPTH}")
        if isinstance(plain, str) and plain in SCALARS:
            return Scalar(plain)
        if isinstance(plain, Mapping) and len(plain) == 1:
            ((name, item),) = plain.items()
            inner, depth = f"{path}.{name}", depth + 1
            if name in _COMPOSITES:
                return _COMPOSITES[name](self.type(item, inner, depth))
            if name == "record":
                return self.record(item, inner, depth)
            if name == "union":
                return self.union(item, inner, depth)
            if name == "enum":
                return self.enum(item, inner)
        expected = f"one of {', '.join([*SCALARS, *_COMPOSITES, *_OTHERS])}"
        self.refuse(path, _shown(plain), expected)
        raise AssertionError("unreachable")

    def fields(self, plain: Any, path: str, depth: int) -> tuple[Field, ...]:
        if type(plain) is not list:
            self.refuse(path, _shown(plain), "a list of fields")
        return tuple(
            self.field(each, f"{path}[{index}]", depth)
            for index, each in enumerate(plain)
        )

    def record(self, plain: Any, path: str, depth: int) -> RecordOf:
        fields = self.fields(plain, path, depth)
        self.expect_distinct(fields, path, set(), set())
        for index, field in enumerate(fields):
            if field.is_payload:
                expected = "a field of the kind itself: only those are stored apart"
                self.refuse(f"{path}[{index}]", "a payload", expected)
        return RecordOf(fields)

    def union(self, plain: Any, path: str, depth: int) -> UnionOf:
        self.expect_keys(plain, path, {"tag", "cases"}, set())
        tag, cases = plain["tag"], plain["cases"]
        if type(tag) is not str or not _NAME.fullmatch(tag):
            self.refuse(f"{path}.tag", _shown(tag), "a lower-case name")
        named = isinstance(cases, Mapping) and set(map(type, cases)) == {str}
        if not named:
            self.refuse(f"{path}.cases", _shown(cases), "a map from name to fields")
        records = []
        for name in sorted(cases):
            where = f"{path}.cases.{name}"
            record = self.record(cases[name], where, depth)
            if any(field.name == tag for field in record.fields):
                self.refuse(where, f"a field {tag!r}", "a name that is not the tag's")
            records.append((name, record))
        return UnionOf(tag, tuple(records))

    def enum(self, plain: Any, path: str) -> EnumOf:
        self.expect_keys(plain, path, {"values", "open"}, set())
        values, is_open = plain["values"], plain["open"]
        texts = type(values) is list and set(map(type, values)) == {str}
        if not texts or len(set(values)) != len(values):
            self.refuse(f"{path}.values", _shown(values), "a list of different texts")
        if type(is_open) is not bool:
            self.refuse(f"{path}.open", _shown(is_open), "true or false")
        return EnumOf(tuple(values), is_open)


# What a bundle brings may be of any size and depth; an error shows its beginning.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_shown = _short.repr


def _field_as_plain(field: Field, docs: bool) -> dict[str, Any]:
    plain = {
        "id": field.id,
        "name": field.name,
        "type": _type_as_plain(field.type, docs),
    }
    if field.has_default:
        plain["default"] = field.default
    if docs and field.doc:
        plain["doc"] = field.doc
    return plain


def _type_as_plain(kind: Type, docs: bool) -> Any:
    if isinstance(kind, Scalar):
        return kind.name
    if isinstance(kind, RecordOf):
        return {"record": _record_as_plain(kind, docs)}
    if isinstance(kind, UnionOf):
        cases = {name: _record_as_plain(record, docs) for name, record in kind.cases}
        return {"union": {"tag": kind.tag, "cases": cases}}
    if isinstance(kind, EnumOf):
        return {"enum": {"values": list(kind.values), "open": kind.is_open}}
    name = next(name for name, cls in _COMPOSITES.items() if isinstance(kind, cls))
    return {name: _type_as_plain(kind.item, docs)}


def _record_as_plain(record: RecordOf, docs: bool) -> list[dict[str, Any]]:
    return [_field_as_plain(field, docs) for field in record.fields]
