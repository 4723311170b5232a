"""A contract of three versions in memory, good as it stands: each test breaks it."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import attrs

from overwinter.artifact import CacheArtifact
from overwinter.contract import Contract
from overwinter.contract.contract import Corpus, head_line, step_name
from overwinter.schema import OpenEnum, Tagged, read_schema
from overwinter.schema.released import parse_released, version_line

__all__ = ["Note", "Parts", "field", "good"]

KIND = "acme/note"


@attrs.frozen
class Point:
    """A record inside the note."""

    x: int
    y: int = 0


@attrs.frozen
class Copy:
    """One case of what the note does."""

    source: str


@attrs.frozen
class Note(CacheArtifact):
    """The class of version 3."""

    schema_package = "schema"
    migrations_package = "migrations"

    key: str
    title: str
    median_ns: int
    mode: Annotated[str, OpenEnum("fast", "best")]
    point: Point
    does: Annotated[Copy, Tagged("does", copy=Copy)]
    device: str = "unknown"

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return KIND


def field(number: int, name: str, kind: Any, *default: Any) -> dict[str, Any]:
    """Return a field as a schema file has it."""
    plain = {"id": number, "name": name, "type": kind}
    return {**plain, "default": default[0]} if default else plain


POINT = [field(1, "x", "i64")]
WIDER = [*POINT, field(2, "y", "i64", 0)]
DOES = {"union": {"tag": "does", "cases": {"copy": [field(1, "source", "str")]}}}
MODE = {"enum": {"values": ["fast", "best"], "open": True}}

V1 = {
    "fields": [
        field(1, "key", "str"),
        field(2, "name", "str"),
        field(3, "median_us", "f64"),
        field(4, "mode", MODE),
        field(5, "point", {"record": POINT}),
        field(6, "does", DOES),
    ]
}
V2 = {
    "fields": [
        field(1, "key", "str"),
        field(2, "title", "str"),
        field(7, "median_ns", "i64"),
        field(4, "mode", MODE),
        field(5, "point", {"record": POINT}),
        field(6, "does", DOES),
    ],
    "reserved": {"ids": [3], "names": ["median_us"]},
}
V3 = {
    "fields": [
        *V2["fields"][:4],
        field(5, "point", {"record": WIDER}),
        field(6, "does", DOES),
        field(8, "device", "str", "unknown"),
    ],
    "reserved": V2["reserved"],
}
TO_V2 = """\
from overwinter.migration import migration, rename, replace

STEP = migration(
    "acme/note", 1, 2,
    rename("name", "title"),
    replace(
        "median_us", "median_ns",
        up=lambda us: round(us * 1_000), down=lambda ns: ns / 1_000,
    ),
)
"""
TO_V3 = """\
from overwinter.migration import add, each, migration

STEP = migration(
    "acme/note", 2, 3,
    each("point", add("y", default=0)),
    add("device", default="unknown"),
)
"""


@attrs.define
class Parts:
    """
    What a contract is made of, to be changed before it is made.

    ``RELEASED`` and ``HEAD`` follow what the files say, unless they are given: the
    first two versions are released as `good` has them.
    """

    schemas: dict[int, Any]
    steps: dict[str, str]
    cls: type[CacheArtifact] | None = Note
    released: bytes | None = None
    head: bytes | None = None
    corpus: Corpus | None = None
    n_released: int = 2

    def plain(self, version: int) -> dict[str, Any]:
        """Return one schema as its file has it."""
        return {
            "kind": KIND, "version": version, "cardinality": "many",
            **self.schemas[version],
        }  # fmt: skip

    def field(self, version: int, name: str) -> dict[str, Any]:
        """Return one field of one schema, to be changed."""
        fields: list[dict[str, Any]] = self.schemas[version]["fields"]
        return next(each for each in fields if each["name"] == name)

    def drop(self, version: int, name: str) -> None:
        """Take one field out of one schema."""
        self.schemas[version]["fields"].remove(self.field(version, name))

    def edit(self, new: int, old_text: str, new_text: str) -> None:
        """Change the step to version *new*."""
        name = step_name(new)
        assert old_text in self.steps[name]
        self.steps[name] = self.steps[name].replace(old_text, new_text)

    def contents(self) -> dict[int, bytes]:
        """Return the schema files."""
        return {
            version: each
            if isinstance(each, bytes)
            else json.dumps(self.plain(version)).encode()
            for version, each in self.schemas.items()
        }

    def made(self) -> Contract:
        """Return the contract."""
        schemas = self.contents()
        steps = {name: text.encode() for name, text in self.steps.items()}
        head = self.head
        if head is None:
            newest = max(schemas)
            try:
                head = head_line(newest, read_schema(self.plain(newest)).fingerprint)
            except Exception:  # a schema that is none has no fingerprint
                head = b"?"
        released = self.released
        if released is None:
            released = _released(schemas, steps, self.n_released)
        return Contract(
            kind=KIND, schemas=schemas, steps=steps, released=released, head=head,
            cls=self.cls,
        )  # fmt: skip


def good() -> Parts:
    """Return a contract that breaks no rule."""
    schemas: Mapping[int, Any] = json.loads(
        json.dumps({1: V1, 2: V2, 3: V3}), object_hook=_with_numbers
    )
    return Parts(dict(schemas), {"v1_to_v2.py": TO_V2, "v2_to_v3.py": TO_V3})


def good_corpus(parts: Parts) -> Corpus:
    """Return bundles of every version that is released."""
    return frozenset(
        (KIND, version, read_schema(parts.plain(version)).fingerprint)
        for version in range(1, parts.n_released + 1)
    )


def _with_numbers(plain: dict[str, Any]) -> dict[Any, Any]:
    return {int(k) if k.isdigit() else k: value for k, value in plain.items()}


def _released(
    schemas: Mapping[int, bytes], steps: Mapping[str, bytes], newest: int
) -> bytes:
    text = ""
    for version in range(1, newest + 1):
        before = parse_released(text, "RELEASED")
        step = steps.get(step_name(version))
        text += version_line(before, KIND, version, schemas.get(version, b""), step)
    return text.encode()


Change = Callable[[Parts], None]
