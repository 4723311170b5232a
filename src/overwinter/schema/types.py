"""
The types of the schema language, and the fields that are made of them.

Field ids exist only here: they make a rename visible and forbid reuse.
"""

from typing import Any

import attrs

__all__ = [
    "REQUIRED",
    "SCALARS",
    "EnumOf",
    "Field",
    "ListOf",
    "MapOf",
    "OptionalOf",
    "RecordOf",
    "Scalar",
    "Tagged",
    "Type",
    "UnionOf",
    "same_value",
]

SCALARS = (
    "null bool i64 u64 f64 str bytes payload time_ns opaque".split()
)  # opaque: any plain value, carried and never interpreted

# The default of a field that has none.
REQUIRED: Any = attrs.NOTHING


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


@attrs.frozen
class RecordOf:
    """A record inside a record: a map with these fields and no others."""

    fields: tuple["Field", ...]

    def __str__(self) -> str:
        return "record{" + ", ".join(f"{f.name}: {f.type}" for f in self.fields) + "}"


@attrs.frozen
class UnionOf:
    """
    One of several records; the field *tag*, among the record's own, says which.
    """

    tag: str
    cases: tuple[tuple[str, RecordOf], ...]

    def __str__(self) -> str:
        return f"union<{self.tag}: {' | '.join(name for name, _ in self.cases)}>"

    def case(self, name: object) -> RecordOf | None:
        """Return the record of one case, or ``None``."""
        return next((record for each, record in self.cases if each == name), None)


@attrs.frozen
class EnumOf:
    """A text out of a list; where it is open, later versions may know others."""

    values: tuple[str, ...]
    is_open: bool

    def __str__(self) -> str:
        return f"enum<{' | '.join([*self.values, *(['…'] if self.is_open else [])])}>"


Type = Scalar | ListOf | MapOf | OptionalOf | RecordOf | UnionOf | EnumOf


@attrs.frozen
class Field:
    """One field of a record."""

    id: int
    name: str
    type: Type
    # A default that attrs would take for the lack of one.
    default: Any = attrs.field(factory=lambda: REQUIRED)
    doc: str = attrs.field(default="", eq=False)

    @property
    def has_default(self) -> bool:
        """Whether a record may come without it."""
        return self.default is not REQUIRED

    @property
    def is_payload(self) -> bool:
        """Whether its bytes are stored out of line."""
        kind = self.type.item if isinstance(self.type, OptionalOf) else self.type
        return kind == Scalar("payload")


class Tagged:
    """
    The annotation of a union: which class stands for which case.

    Args:
        tag: Name of the field that says which.
        cases: Case to attrs class; the names are what is written, so that a
            class can be renamed and still reads what it wrote.
    """

    def __init__(self, tag: str, /, **cases: type) -> None:
        self.tag, self.cases = tag, cases


def same_value(found: Any, wanted: Any) -> bool:
    """Return whether two plain values are one, as a schema file tells them apart."""
    # 1 == True == 1.0 in Python; in a schema they are three defaults.
    if type(found) is not type(wanted):
        return False
    if isinstance(found, list | tuple):
        return len(found) == len(wanted) and all(map(same_value, found, wanted))
    if isinstance(found, dict):
        return found.keys() == wanted.keys() and all(
            same_value(found[name], wanted[name]) for name in found
        )
    # No number is itself, as a default it is.
    return bool(found == wanted or (found != found and wanted != wanted))
