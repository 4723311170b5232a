"""
Compatibility: what a new version of a schema may change, and what would break.

Rules have stable ids and compare with *all* earlier versions. Each finding names
the rule, the path, what was and what is, and the operation or line to write.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import attrs

from .model import Schema
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

__all__ = ["RULES", "Violation", "compare", "compare_history", "oldest_reader"]

# Rule to what it protects.
RULES: Mapping[str, str] = {
    "FIELD_ID_NO_REUSE": "an id means one field for ever",
    "FIELD_NAME_NO_REUSE": "a name means one field for ever",
    "FIELD_NO_DELETE_UNLESS_RESERVED": "what is gone stays reserved",
    "RESERVED_NO_DELETE": "a reservation is for ever",
    "FIELD_SAME_TYPE_OR_CONVERT": "values of a field that changes type are converted",
    "FIELD_ADDED_HAS_DEFAULT": "old records have a value for a new field",
    "FIELD_DEFAULT_FROZEN": "a record without the field means what it meant",
    "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED": "old values still mean something",
    "ENUM_NO_CLOSE": "values that somebody may have written stay readable",
    "UNION_TAG_NO_CHANGE": "a record is read as the case that wrote it",
    "RELEASED_FILE_IMMUTABLE": "what a release wrote is described as it was",
    "MIGRATION_EXISTS": "there is a way from every version to the next",
    "MIGRATION_EFFECT_MATCHES": "a step leads to the schema that it claims",
    "MIGRATION_PURE": "the same old bundle always gives the same values",
    "LOSS_DECLARED": "what a step loses is said",
    "SINGLE_HEAD": "two branches cannot both make the next version",
    "CORPUS_HAS_VERSION": "a bundle of every version is kept and read",
    "CLASS_MATCHES_SCHEMA": "the class says what the newest file says",
}


@attrs.frozen
class Violation:
    """One broken rule: where, what was, what is, and what to write instead."""

    rule: str
    path: str
    was: str
    now: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.rule}: {self.path}: was {self.was}, now {self.now}; {self.remedy}"
        )


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
    changed: set[str] = set()
    while oldest > 1:
        changed.update(converted.get(oldest, ()))
        reader = schemas[oldest - 2]
        if any(field.name in changed for field in reader.fields):
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
    for field in reader.fields:
        found = written.field(field.name)
        if found is None or found.id != field.id:
            return False
        if not _accepts(field.type, found.type):
            return False
    return True


def _accepts(reader: Type, written: Type) -> bool:
    """Return whether every value of *written* is one of *reader*."""
    if reader == written:
        return True
    if isinstance(reader, OptionalOf):
        inner = written.item if isinstance(written, OptionalOf) else written
        return _accepts(reader.item, inner)
    if isinstance(reader, ListOf | MapOf) and type(written) is type(reader):
        return _accepts(reader.item, written.item)
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
        known[field.name].id == field.id
        and _accepts(known[field.name].type, field.type)
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
    ids: dict[int, str] = {}
    names: dict[str, int] = {}
    for schema in schemas:
        for field in schema.fields:
            path = f"{schema.kind} v{schema.version}.{field.name}"
            names.setdefault(field.name, field.id)
            if names[field.name] != field.id:
                found.append(
                    Violation(
                        "FIELD_NAME_NO_REUSE",
                        path,
                        f"id {names[field.name]}",
                        f"id {field.id}",
                        "choose a name that no version has used",
                    )
                )
            ids.setdefault(field.id, field.name)
    found += _reused_ids(schemas)
    return list(dict.fromkeys(found))


def _reused_ids(schemas: Sequence[Schema]) -> Iterator[Violation]:
    """Give ids that come back after they were gone: they mean another field."""
    last: dict[int, tuple[int, Field]] = {}
    for schema in schemas:
        for field in schema.fields:
            if field.id in last:
                version, before = last[field.id]
                if version < schema.version - 1:
                    yield Violation(
                        "FIELD_ID_NO_REUSE",
                        f"{schema.kind} v{schema.version}.{field.name}",
                        f"id {field.id} of {before.name}, gone since v{version + 1}",
                        f"id {field.id} of {field.name}",
                        "take an id that no version has used",
                    )
            last[field.id] = schema.version, field


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
                if same_name is None and field.default is REQUIRED:
                    touched = converted or field.name in self.converted
                    if not touched:
                        self.add(
                            "FIELD_ADDED_HAS_DEFAULT",
                            where,
                            "absent",
                            f"{field.type} without default",
                            f"give it a default, and write add({field.name!r}, "
                            "default=…) in the step",
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
        if was == now:
            return
        for wrapper in (ListOf, MapOf, OptionalOf):
            if isinstance(was, wrapper) and isinstance(now, wrapper):
                self.type(was.item, now.item, f"{path}[]", converted)
                return
        if isinstance(was, RecordOf) and isinstance(now, RecordOf):
            self.record(was, now, path, converted)
        elif isinstance(was, UnionOf) and isinstance(now, UnionOf):
            self.union(was, now, path, converted)
        elif isinstance(was, EnumOf) and isinstance(now, EnumOf):
            self.enum(was, now, path, converted)
        elif not converted:
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
        if not converted:
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
            elif case != record:
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
