"""
Schemas: what the records of one version of one kind hold.

A schema is a JSON file, ``schema/<kind>/v<N>.json``, frozen once released. It is
the contract; the attrs class of today is only compared with it.
"""

import hashlib
import json
import re
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from ..errors import SchemaError
from ..limits import MAX_DEPTH

__all__ = [
    "SCALARS",
    "Field",
    "InvalidSchemaError",
    "ListOf",
    "MapOf",
    "OptionalOf",
    "Scalar",
    "Schema",
    "Type",
    "read_schema",
]

SCALARS = (
    "null bool i64 u64 f64 str bytes payload time_ns opaque".split()
)  # opaque: any plain value, carried and never interpreted

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


@attrs.frozen
class Scalar:
    """A value without parts; *name* is one of ``SCALARS``."""

    name: str

    def __str__(self) -> str:
        return self.name


@attrs.frozen
class ListOf:
    """A list of values of one type."""

    item: "Type"

    def __str__(self) -> str:
        return f"list<{self.item}>"


@attrs.frozen
class MapOf:
    """A map from text to values of one type; its order means nothing."""

    item: "Type"

    def __str__(self) -> str:
        return f"map<str, {self.item}>"


@attrs.frozen
class OptionalOf:
    """Null, or a value of the type."""

    item: "Type"

    def __str__(self) -> str:
        return f"optional<{self.item}>"


T = TypeVar("T")

Type = Scalar | ListOf | MapOf | OptionalOf

_COMPOSITES: dict[str, type[ListOf] | type[MapOf] | type[OptionalOf]] = {
    "list": ListOf,
    "map": MapOf,
    "optional": OptionalOf,
}

REQUIRED: Any = attrs.NOTHING


@attrs.frozen
class Field:
    """One field: its id exists only in schemas, where it makes a rename visible."""

    id: int
    name: str
    type: Type
    default: Any = REQUIRED
    doc: str = attrs.field(default="", eq=False)

    @property
    def is_payload(self) -> bool:
        """Whether its bytes are stored out of line."""
        kind = self.type.item if isinstance(self.type, OptionalOf) else self.type
        return kind == Scalar("payload")


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

    if type(plain["fields"]) is not list:
        reader.refuse("fields", _shown(plain["fields"]), "a list of fields")
    fields = tuple(
        reader.field(each, f"fields[{index}]")
        for index, each in enumerate(plain["fields"])
    )
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

    def expect_unique(self, schema: Schema) -> None:
        seen_ids, seen_names = set(schema.reserved_ids), set(schema.reserved_names)
        for index, field in enumerate(schema.fields):
            if field.id in seen_ids:
                self.refuse(f"fields[{index}].id", str(field.id), "an unused id")
            if field.name in seen_names:
                self.refuse(f"fields[{index}].name", field.name, "an unused name")
            seen_ids.add(field.id)
            seen_names.add(field.name)
        key = schema.field("key")
        if key is None or key.type != Scalar("str"):
            self.refuse("fields", f"key: {key and key.type}", "a field 'key' of str")

    def field(self, plain: Any, path: str) -> Field:
        self.expect_keys(plain, path, {"id", "name", "type"}, {"default", "doc"})
        number, name = plain["id"], plain["name"]
        if type(number) is not int or number < 1:
            self.refuse(f"{path}.id", _shown(number), "an integer from 1")
        if type(name) is not str or not _NAME.fullmatch(name):
            self.refuse(f"{path}.name", _shown(name), "a lower-case name")
        return Field(
            id=number,
            name=name,
            type=self.type(plain["type"], f"{path}.type", 0),
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
            if name in _COMPOSITES:
                return _COMPOSITES[name](self.type(item, f"{path}.{name}", depth + 1))
        expected = f"one of {', '.join([*SCALARS, *_COMPOSITES])}"
        self.refuse(path, _shown(plain), expected)
        raise AssertionError("unreachable")


# What a bundle brings may be of any size and depth; an error shows its beginning.
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_shown = _short.repr


def _field_as_plain(field: Field, docs: bool) -> dict[str, Any]:
    plain = {"id": field.id, "name": field.name, "type": _type_as_plain(field.type)}
    if field.default is not REQUIRED:
        plain["default"] = field.default
    if docs and field.doc:
        plain["doc"] = field.doc
    return plain


def _type_as_plain(kind: Type) -> Any:
    if isinstance(kind, Scalar):
        return kind.name
    name = next(name for name, cls in _COMPOSITES.items() if isinstance(kind, cls))
    return {name: _type_as_plain(kind.item)}
