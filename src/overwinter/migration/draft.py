"""
Drafting: the file of a step, from the difference of two schemas.

What the schemas say for certain is written. Where values would have to be made up,
drafting refuses, and says which operation to write.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from ..errors import UndecidedError
from ..schema import Field, Schema
from ..schema.compatibility import accepts
from ..schema.types import ListOf, MapOf, OptionalOf, RecordOf, Type, UnionOf

__all__ = ["draft_step"]


def draft_step(old: Schema, new: Schema, *, drop: Collection[str] = ()) -> str:
    """
    Return the text of the file that brings records of *old* to *new*.

    Args:
        old: A version.
        new: The version after it.
        drop: Fields of *old* that are gone for good, and not replaced by one of
            those that are new.

    Raises:
        UndecidedError: The difference does not say what becomes of some values; it
            lists the operations to write.
    """
    draft = _Draft(frozenset(drop))
    operations = draft.operations(old.fields, new.fields)
    if old.cardinality != new.cardinality == "one":
        operations.append('loss="all but one variant of each key"')
    draft.unsaid += [
        f"--drop {name}, which version {new.version} has or version {old.version} "
        "has not"
        for name in sorted(draft.drop - draft.dropped)
    ]
    if draft.unsaid:
        certain = f", with {', '.join(operations)} beside it" if operations else ""
        raise UndecidedError(
            new.kind,
            f"{new.kind} {old.version} -> {new.version}",
            "; ".join(draft.unsaid),
            f"write v{old.version}_to_v{new.version}.py by hand{certain}",
        )
    names = ["migration", *draft.used]
    body = "".join(f"    {each},\n" for each in operations)
    return (
        f'"""\n{new.kind} {old.version} -> {new.version}: what changed.\n\n'
        f'Why it changed.\n"""\n\n'
        f"from overwinter.migration import {', '.join(sorted(names))}\n\n"
        f"STEP = migration(\n"
        f'    "{new.kind}",\n    {old.version},\n    {new.version},\n{body})\n'
    )


class _Draft:
    """Operations as text; ``unsaid`` is what the schemas leave open."""

    def __init__(self, drop: frozenset[str]) -> None:
        self.drop = drop
        self.dropped: set[str] = set()
        self.used: dict[str, None] = {}
        self.unsaid: list[str] = []

    def call(self, name: str, *arguments: str) -> str:
        self.used[name] = None
        return f"{name}({', '.join(arguments)})"

    def operations(self, old: Sequence[Field], new: Sequence[Field]) -> list[str]:
        before = {field.id: field for field in old}
        after = {field.id: field for field in new}
        gone = [field for field in old if field.id not in after]
        # What has no default must be made from something: it is the likelier heir.
        added = sorted(
            (field for field in new if field.id not in before),
            key=lambda field: field.has_default,
        )
        return [
            *self._gone(gone, added),
            *self._kept(before, new),
            *self._added(added, gone),
        ]

    def _gone(self, gone: list[Field], added: list[Field]) -> Iterator[str]:
        for field in gone:
            if field.name in self.drop:
                self.dropped.add(field.name)
            if added and field.name not in self.drop:
                names = " or ".join(each.name for each in added)
                self.unsaid.append(
                    f"{field.name} is gone and {names} is new: write replace("
                    f"{_text(field.name)}, {_text(added[0].name)}, up=…, down=…), or "
                    f"say --drop {field.name}"
                )
            else:
                loss = _text(f"{field.name}, which later versions have no place for")
                yield self.call("drop", _text(field.name), f"loss={loss}")

    def _kept(self, before: dict[int, Field], new: Sequence[Field]) -> Iterator[str]:
        for field in new:
            was = before.get(field.id)
            if was is None:
                continue
            if was.name != field.name:
                yield self.call("rename", _text(was.name), _text(field.name))
            yield from self._changed(field.name, was.type, field.type)

    def _added(self, added: list[Field], gone: list[Field]) -> Iterator[str]:
        is_heir = any(field.name not in self.drop for field in gone)
        for number, field in enumerate(added):
            if field.has_default:
                default = f"default={_text(field.default)}"
                yield self.call("add", _text(field.name), default)
            elif number or not is_heir:
                self.unsaid.append(
                    f"{field.name} is new and has no default: give it one in the "
                    f"schema, or make it from other fields with custom(…, adds=["
                    f"{_text(field.name)}])"
                )

    def _changed(self, name: str, was: Type, now: Type) -> Iterator[str]:
        if was == now or accepts(now, was):
            return
        arguments: list[str] = []
        found, keyed = _within(was, now)
        if found is None:
            self.unsaid.append(
                f"{name} was {was} and is {now}: write convert({_text(name)}, up=…, "
                f"down=…)"
            )
            return
        if keyed:
            arguments.append("keyed=True")
        for where, old_record, new_record in found:
            inner = self.operations(old_record.fields, new_record.fields)
            if inner:
                self.used["each"] = None
                yield self.call("each", _text(name), *inner, *arguments, *where)


_Pairs = list[tuple[list[str], RecordOf, RecordOf]]


def _within(was: Type, now: Type) -> tuple[_Pairs | None, bool]:
    """Return the records in both types that differ, and whether a map is around."""
    keyed = False
    while type(was) is type(now) and isinstance(was, ListOf | MapOf | OptionalOf):
        if isinstance(was, MapOf) and keyed:
            return None, keyed
        keyed = keyed or isinstance(was, MapOf)
        assert isinstance(now, ListOf | MapOf | OptionalOf)
        was, now = was.item, now.item
    if isinstance(was, RecordOf) and isinstance(now, RecordOf):
        return [([], was, now)], keyed
    if isinstance(was, UnionOf) and isinstance(now, UnionOf) and was.tag == now.tag:
        pairs: _Pairs = []
        for name, record in was.cases:
            case = now.case(name)
            if case is None:
                return None, keyed
            if case != record:
                where = f"where={{{_text(was.tag)}: {_text(name)}}}"
                pairs.append(([where], record, case))
        return pairs, keyed
    return None, keyed


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, dict):
        items = (f"{_text(key)}: {_text(each)}" for key, each in value.items())
        return f"{{{', '.join(items)}}}"
    text = repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{text}")'  # no name of Python's
    # As the formatters of Python code write text.
    if isinstance(value, str) and '"' not in value and "\\" not in text:
        return f'"{value}"'
    return text
