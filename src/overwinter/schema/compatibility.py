"""
Compatibility: what a new version of a schema may change, and what would break.

Rules have stable ids and compare with *all* earlier versions. Each finding names
the rule, the path, what was and what is, and the operation or line to write.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from .model import Schema
from .rules import Violation
from .types import (
    REQUIRED,
    EnumOf,
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Type,
    UnionOf,
    same_value,
)

__all__ = ["Place", "accepts", "compare", "compare_history", "oldest_reader", "walk"]


def oldest_reader(
    schemas: Sequence[Schema], converted: Mapping[int, Iterable[str]]
) -> int:
    """
    Return the oldest version whose readers can read records of the newest.

    Computed, never typed: a reader leaves out fields of the kind that it does not
    know, and needs each of its own with values that it accepts and that still mean
    what they meant. To tell payloads from fields it must know the types of all.

    Args:
        schemas: Versions 1, 2, 3 … of one kind.
        converted: For each version but the first the fields that its step
            converts: another unit may well have the same type.
    """
    newest = schemas[-1]
    oldest = newest.version
    # By id: a later step may give a converted field back the name that it had.
    changed: set[int] = set()
    while oldest > 1:
        names = frozenset(converted.get(oldest, ()))
        changed.update(f.id for f in schemas[oldest - 1].fields if f.name in names)
        reader = schemas[oldest - 2]
        if any(field.id in changed for field in reader.fields):
            break
        if not _reads(reader, newest):
            break
        # What a release cannot take for a schema tells it of no payload either.
        if newest.payload_names and _is_wide(newest) and not _is_wide(reader):
            break
        oldest -= 1
    return oldest


def _is_wide(schema: Schema) -> bool:
    """
    Return whether *schema* has types that release 0.1.0 lacks.

    They came together, so a release with a version that has one knows them all.
    """
    return any(map(_is_wide_type, (field.type for field in schema.fields)))


def _is_wide_type(kind: Type) -> bool:
    while isinstance(kind, ListOf | MapOf | OptionalOf):
        kind = kind.item
    return isinstance(kind, RecordOf | UnionOf | EnumOf)


def _reads(reader: Schema, written: Schema) -> bool:
    if reader.cardinality != written.cardinality == "many":
        return False  # it has one place for a key
    for field in reader.fields:
        found = written.field(field.name)
        if found is None or found.id != field.id:
            return False
        if not accepts(field.type, found.type):
            return False
    return True


def accepts(reader: Type, written: Type) -> bool:
    """Return whether every value of *written* is one of *reader*."""
    if reader == written:
        return True
    if isinstance(reader, OptionalOf):
        inner = written.item if isinstance(written, OptionalOf) else written
        return accepts(reader.item, inner)
    if isinstance(reader, ListOf | MapOf) and type(written) is type(reader):
        return accepts(reader.item, written.item)
    if isinstance(reader, EnumOf) and isinstance(written, EnumOf):
        known = not written.is_open and set(written.values) <= set(reader.values)
        return reader.is_open or known
    if isinstance(reader, RecordOf) and isinstance(written, RecordOf):
        return _accepts_record(reader, written)
    if isinstance(reader, UnionOf) and isinstance(written, UnionOf):
        return reader.tag == written.tag and all(
            (case := reader.case(name)) is not None and _accepts_record(case, record)
            for name, record in written.cases
        )
    return False


def _accepts_record(reader: RecordOf, written: RecordOf) -> bool:
    # Inside a record nothing may be left out or added: it is read as a whole.
    known = {field.name: field for field in reader.fields}
    return known.keys() == {field.name for field in written.fields} and all(
        known[field.name].id == field.id and accepts(known[field.name].type, field.type)
        for field in written.fields
    )


def compare_history(
    schemas: Sequence[Schema], converted: Mapping[int, Iterable[str]]
) -> list[Violation]:
    """
    Return every broken rule between consecutive versions, and against all before.

    Args:
        schemas: Versions 1, 2, 3 … of one kind.
        converted: For each version but the first the fields that its step
            converts, whole or in parts.
    """
    found: list[Violation] = []
    for old, new in pairwise(schemas):
        found += compare(old, new, converted.get(new.version, ()))
    ids: dict[Place, dict[int, tuple[int, str]]] = {}
    names: dict[Place, dict[str, int]] = {}
    for schema in schemas:
        for place, path, field in walk(schema):
            # An id that comes back after it was gone means another field.
            seen = ids.setdefault(place, {})
            version, name = seen.get(field.id, (schema.version, field.name))
            if version < schema.version - 1:
                found.append(
                    Violation(
                        "FIELD_ID_NO_REUSE",
                        path,
                        f"id {field.id} of {name}, gone since v{version + 1}",
                        f"id {field.id} of {field.name}",
                        "take an id that no version has used",
                    )
                )
            seen[field.id] = schema.version, field.name
            number = names.setdefault(place, {}).setdefault(field.name, field.id)
            if number != field.id:
                found.append(
                    Violation(
                        "FIELD_NAME_NO_REUSE",
                        path,
                        f"id {number}",
                        f"id {field.id}",
                        "choose a name that no version has used",
                    )
                )
    return list(dict.fromkeys(found))


# Where a record is: ids of the fields around it, and names of cases of unions.
Place = tuple[int | str, ...]


def walk(schema: Schema) -> Iterator[tuple[Place, str, Field]]:
    """
    Give the fields of *schema*, and those of the records inside them.

    Each with its place, which ids count within, and its path, for people.
    """
    path = f"{schema.kind} v{schema.version}"
    return _walk_fields(schema.fields, (), path)


def _walk_fields(
    fields: Iterable[Field], place: Place, path: str
) -> Iterator[tuple[Place, str, Field]]:
    for field in fields:
        where = f"{path}.{field.name}"
        yield place, where, field
        kind = field.type
        while isinstance(kind, ListOf | MapOf | OptionalOf):
            kind, where = kind.item, f"{where}[]"
        inside = (*place, field.id)
        if isinstance(kind, RecordOf):
            yield from _walk_fields(kind.fields, inside, where)
        elif isinstance(kind, UnionOf):
            for name, record in kind.cases:
                yield from _walk_fields(
                    record.fields, (*inside, name), f"{where}.{name}"
                )


def compare(old: Schema, new: Schema, converted: Iterable[str] = ()) -> list[Violation]:
    """
    Return the rules that *new* breaks as the version after *old*.

    Args:
        old: A version.
        new: The version after it.
        converted: Fields of *new* whose values the step converts.
    """
    comparison = _Comparison(frozenset(converted))
    path = f"{new.kind} v{new.version}"
    comparison.fields(
        old.fields,
        new.fields,
        path,
        set(new.reserved_ids),
        set(new.reserved_names),
        top=True,
    )
    for what, was, now in (
        ("id", old.reserved_ids, new.reserved_ids),
        ("name", old.reserved_names, new.reserved_names),
    ):
        for gone in sorted(set(was) - set(now), key=str):
            comparison.add(
                "RESERVED_NO_DELETE",
                f"{path}.reserved",
                f"{what} {gone} reserved",
                "not",
                f"put {gone} back into reserved",
            )
    return comparison.found


class _Comparison:
    def __init__(self, converted: frozenset[str]) -> None:
        self.converted = converted
        self.found: list[Violation] = []

    def add(self, rule: str, path: str, was: str, now: str, remedy: str) -> None:
        self.found.append(Violation(rule, path, was, now, remedy))

    def fields(
        self,
        old: Sequence[Field],
        new: Sequence[Field],
        path: str,
        reserved_ids: set[int],
        reserved_names: set[str],
        *,
        top: bool = False,
        converted: bool = False,
    ) -> None:
        before = {field.id: field for field in old}
        after = {field.id: field for field in new}
        names = {field.name: field for field in old}
        for field in new:
            where = f"{path}.{field.name}"
            same_name = names.get(field.name)
            if same_name is not None and same_name.id != field.id:
                self.add(
                    "FIELD_NAME_NO_REUSE",
                    where,
                    f"id {same_name.id}",
                    f"id {field.id}",
                    f"keep id {same_name.id}, or choose another name",
                )
            if field.id not in before:
                given = field.name in self.converted if top else converted
                if same_name is None and field.default is REQUIRED and not given:
                    self.add(
                        "FIELD_ADDED_HAS_DEFAULT",
                        where,
                        "absent",
                        f"{field.type} without default",
                        f"give it a default, and write add({field.name!r}, "
                        "default=…) in the step; or make it from other fields with "
                        "replace(…) or custom(…)",
                    )
                continue
            was = before[field.id]
            # Inside a record there are no steps of its own: the operation on the
            # field of the kind covers what lies below.
            covered = field.name in self.converted if top else converted
            self.field(was, field, where, covered)
        for number, was in before.items():
            if number not in after:
                missing = number not in reserved_ids or was.name not in reserved_names
                if missing and top:
                    self.add(
                        "FIELD_NO_DELETE_UNLESS_RESERVED",
                        f"{path}.{was.name}",
                        f"id {number}",
                        "gone and not reserved",
                        f"add id {number} and name {was.name!r} to reserved, and "
                        f"write drop({was.name!r}, loss=…) in the step",
                    )
                elif not top and not converted:
                    self.add(
                        "FIELD_NO_DELETE_UNLESS_RESERVED",
                        f"{path}.{was.name}",
                        f"id {number}",
                        "gone",
                        "write each(…, drop(…, loss=…)) in the step",
                    )

    def field(self, was: Field, now: Field, path: str, converted: bool) -> None:
        if was.default is not REQUIRED or now.default is not REQUIRED:
            frozen = was.default is REQUIRED or same_value(was.default, now.default)
            if not frozen:
                shown = "none" if now.default is REQUIRED else repr(now.default)
                self.add(
                    "FIELD_DEFAULT_FROZEN",
                    path,
                    repr(was.default),
                    shown,
                    f"keep the default {was.default!r}, or make a new field",
                )
        self.type(was.type, now.type, path, converted)

    def type(self, was: Type, now: Type, path: str, converted: bool) -> None:
        # Equal types may still differ in a default inside: 1 == True in Python.
        for wrapper in (ListOf, MapOf, OptionalOf):
            if isinstance(was, wrapper) and isinstance(now, wrapper):
                self.type(was.item, now.item, f"{path}[]", converted)
                return
        if isinstance(now, OptionalOf) and not isinstance(was, OptionalOf):
            # What is inside it is compared as if it had been optional before.
            self.type(was, now.item, path, converted)
            return
        if isinstance(was, RecordOf) and isinstance(now, RecordOf):
            self.record(was, now, path, converted)
        elif isinstance(was, UnionOf) and isinstance(now, UnionOf):
            self.union(was, now, path, converted)
        elif isinstance(was, EnumOf) and isinstance(now, EnumOf):
            self.enum(was, now, path, converted)
        elif not converted and not accepts(now, was):
            name = path.rpartition(".")[2].rstrip("[]")
            self.add(
                "FIELD_SAME_TYPE_OR_CONVERT",
                path,
                str(was),
                str(now),
                f"write convert({name!r}, up=…, down=…) in the step, or replace it by "
                "a field with another id",
            )

    def record(self, was: RecordOf, now: RecordOf, path: str, converted: bool) -> None:
        # What takes every old value as it is needs no operation.
        if not converted and not accepts(now, was):
            self.add(
                "FIELD_SAME_TYPE_OR_CONVERT",
                path,
                str(was),
                str(now),
                "write each(…) with the operations on its fields in the step",
            )
        self.fields(was.fields, now.fields, path, set(), set(), converted=converted)

    def union(self, was: UnionOf, now: UnionOf, path: str, converted: bool) -> None:
        if was.tag != now.tag:
            self.add(
                "UNION_TAG_NO_CHANGE", path, f"tag {was.tag}", f"tag {now.tag}",
                f"keep the tag {was.tag!r}",
            )  # fmt: skip
        for name, record in was.cases:
            case = now.case(name)
            if case is None:
                self.add(
                    "UNION_TAG_NO_CHANGE", path, f"case {name}", "gone",
                    f"keep the case {name!r}, also where nobody writes it any more",
                )  # fmt: skip
            else:
                self.record(record, case, f"{path}.{name}", converted)

    def enum(self, was: EnumOf, now: EnumOf, path: str, converted: bool) -> None:
        if was.is_open and not now.is_open:
            self.add("ENUM_NO_CLOSE", path, "open", "closed", "leave it open")
        gone = [value for value in was.values if value not in now.values]
        if gone and not converted:
            self.add(
                "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED",
                path,
                ", ".join(gone),
                "gone",
                "keep them, or map them with convert(…) in the step",
            )
