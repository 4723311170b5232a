"""
A chain of versions, generated: what a kind goes through in many years of releases.

Most steps touch one column, some two: fields are added, renamed, dropped, and
converted from one unit to another and back. A few fields last through all of them.
"""

import random
from collections.abc import Callable
from typing import Any

import attrs
import msgpack

from overwinter.bundle.blocks import read_record_block, write_record_block
from overwinter.migration import (
    Plan,
    Step,
    add,
    convert,
    drop,
    migration,
    rename,
    replace,
)

from .timing import Contestant
from .workloads import schema_of, stored_blocks

__all__ = ["CHAIN_ROWS", "CHAIN_VERSIONS", "Change", "chain_contestants", "changes"]

CHAIN_ROWS, CHAIN_VERSIONS = 10_000, 1_000

_SEED = 20_261_124
_FEWEST, _MOST = 6, 20  # fields of one version
_START = {"launches": "i64", "median_ms": "f64", "device": "str", "taken_us": "i64"}
_DEFAULTS: dict[str, Any] = {"i64": 0, "f64": 1.5, "str": "unknown"}
_CONVERSIONS: dict[str, tuple[str, str]] = {
    "i64": ("{0} * 1_000", "{0} // 1_000"),
    "f64": ("{0} * 1_000.0", "{0} / 1_000.0"),
    "str": ("{0}.upper()", "{0}.lower()"),
}


@attrs.frozen
class Change:
    """One operation, in words that ours and a function on maps are both made from."""

    what: str
    old: str = ""
    new: str = ""
    default: Any = None
    expression: str = ""

    def operation(self) -> Any:
        """Return the operation of the library."""
        if self.what == "add":
            return add(self.new, default=self.default)
        if self.what == "drop":
            return drop(self.old, loss="what nobody reads any more")
        if self.what == "rename":
            return rename(self.old, self.new)
        up = eval("lambda value: " + self.expression.format("value"))
        if self.old == self.new:
            return convert(self.old, up=up)
        return replace(self.old, self.new, up=up)

    def statement(self) -> str:
        """Return the statement that changes the dict ``r``."""
        if self.what == "add":
            return f"r[{self.new!r}] = {self.default!r}"
        if self.what == "drop":
            return f"del r[{self.old!r}]"
        if self.what == "rename":
            return f"r[{self.new!r}] = r.pop({self.old!r})"
        popped = f"r.pop({self.old!r})"
        return f"r[{self.new!r}] = {self.expression.format(popped)}"


def changes(versions: int) -> list[list[Change]]:
    """Return the changes from each of *versions* to the next, one step each."""
    return _Chain().steps(versions - 1)


class _Chain:
    """The fields of the version so far: name to type, and whether it was scaled."""

    def __init__(self) -> None:
        self.chance = random.Random(_SEED)
        self.fields = dict(_START)
        self.scaled: set[str] = set()
        self.named = 0

    def steps(self, count: int) -> list[list[Change]]:
        return [
            [self.change() for _ in range(1 if self.chance.random() < 0.85 else 2)]
            for _ in range(count)
        ]

    def change(self) -> Change:
        (what,) = self.chance.choices(
            ["add", "rename", "drop", "replace", "convert"], [30, 20, 20, 15, 15]
        )
        if what == "add" and len(self.fields) >= _MOST:
            what = "drop"
        if what == "drop" and len(self.fields) <= _FEWEST:
            what = "add"
        if what == "add":
            kind = self.chance.choice(list(_DEFAULTS))
            self.fields[name := self.name()] = kind
            return Change("add", new=name, default=_DEFAULTS[kind])
        old = self.chance.choice(list(self.fields))
        kind, was_scaled = self.fields.pop(old), old in self.scaled
        self.scaled.discard(old)
        if what == "drop":
            return Change("drop", old)
        new = old if what == "convert" else self.name()
        self.fields[new] = kind
        if was_scaled != (what != "rename"):
            self.scaled.add(new)
        if what == "rename":
            return Change("rename", old, new)
        # There and back again, so that no number grows past 64 bits.
        return Change(what, old, new, expression=_CONVERSIONS[kind][was_scaled])

    def name(self) -> str:
        self.named += 1
        return f"field_{self.named}"


def chain_contestants(rows: int, versions: int, *, ours: str) -> list[Contestant]:
    """
    Return ours and a function on maps, bytes to bytes through every version.

    The function has a loop over all records for each step, compiled once: the
    fastest that such a chain can be on maps. Nobody keeps a thousand classes.
    """
    chance = random.Random(_SEED)
    columns: dict[str, list[Any]] = {
        "key": sorted(f"{chance.getrandbits(96):024x}" for _ in range(rows)),
        "launches": [chance.randrange(100_000) for _ in range(rows)],
        "median_ms": [chance.lognormvariate(0, 2) for _ in range(rows)],
        "device": [f"sm_{chance.randrange(70, 100)}" for _ in range(rows)],
        "taken_us": [chance.randrange(10**15) for _ in range(rows)],
    }
    fields = [("key", "str"), *_START.items()]
    schema = schema_of(
        "chain",
        1,
        [
            {"id": number, "name": name, "type": kind}
            for number, (name, kind) in enumerate(fields, 1)
        ],
    )
    blocks = stored_blocks(schema, columns)
    steps = changes(versions)
    plan = Plan(tuple(_step(old, each) for old, each in enumerate(steps, 1)))
    functions = [_function(each) for each in steps]
    maps = msgpack.packb(
        [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
    )

    def ours_to_bytes() -> list[bytes]:
        made = []
        for each in blocks:
            found, table = read_record_block(
                each.data, "bench", "block", each.rows, each.first
            )
            made.append(write_record_block(plan.apply(found), table))
        return made

    def ours_values(made: list[bytes]) -> list[Any]:
        records: list[Any] = []
        for data, each in zip(made, blocks, strict=True):
            found, _ = read_record_block(data, "bench", "block", each.rows, each.first)
            names = list(found)
            rows = zip(*(found[name] for name in names), strict=True)
            records += [dict(zip(names, row, strict=True)) for row in rows]
        return records

    def maps_to_bytes() -> bytes:
        records = msgpack.unpackb(maps)
        for function in functions:
            function(records)
        return msgpack.packb(records)

    return [
        Contestant(ours, ours_to_bytes, ours_values),
        Contestant(
            "function on maps, a thousand versions", maps_to_bytes, msgpack.unpackb
        ),
    ]


def _step(old: int, changes: list[Change]) -> Step:
    return migration("chain", old, old + 1, *(each.operation() for each in changes))


def _function(changes: list[Change]) -> Callable[[list[dict[str, Any]]], None]:
    body = "; ".join(each.statement() for each in changes)
    names: dict[str, Any] = {}
    exec(f"def step(records):\n for r in records: {body}\n", names)
    return names["step"]
