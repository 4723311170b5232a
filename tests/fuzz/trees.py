"""
Changing msgpack where it matters: values of the tree, and not its bytes.

Of bytes that are changed blindly most are no msgpack, and go no further.
"""

import copy
import random
from typing import Any

import msgpack

__all__ = ["mutated"]

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 255, 2**31, 2**32, 2**53, 2**63 - 1, 2**63),
    *(2**64 - 1, -(2**63), 0.0, -0.0, 1e308, float("nan"), float("inf")),
    *("", "a", "key", "é" * 50, "\0", "../x", "/x", "a//b", ".", "x" * 300, "\u202e"),
    *(b"", b"\xff", b"x" * 32, b"x" * 33, [], [[]], [None] * 3, {}, {"": None}),
    *({"a": 1}, {"kind": "inductor"}, msgpack.Timestamp(1, 2), msgpack.ExtType(4, b"")),
]


def mutated(data: bytes, seed: int) -> bytes:
    """Return the msgpack *data* with a few values changed; as it is, if it is none."""
    chance = random.Random(seed)
    try:
        tree = msgpack.unpackb(data, strict_map_key=False, max_str_len=2**20)
        for _ in range(chance.randint(1, 3)):
            tree = _changed(tree, chance)
        packed: bytes = msgpack.packb(tree)
    except (
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
        msgpack.UnpackException,
    ):
        return data
    return packed


def _changed(tree: Any, chance: random.Random) -> Any:
    places = list(_places(tree))
    if not places:
        return chance.choice(ODD)
    holder, name = chance.choice(places)
    what = chance.randrange(9)
    old = holder[name]
    if what == 0 and isinstance(holder, dict):
        del holder[name]
    elif what == 0:
        holder.pop(name)
    elif what == 1 and isinstance(holder, list):
        holder.insert(name, copy.deepcopy(old))
    elif what == 1:
        holder[str(chance.choice(ODD))[:20]] = chance.choice(ODD)
    elif what == 2:
        # A value from elsewhere, of a shape that is right somewhere.
        other, at = chance.choice(places)
        if len(str(other[at])) < 4096:
            holder[name] = copy.deepcopy(other[at])
    elif what == 3:
        for _ in range(chance.choice([1, 9, 31, 32, 33, 100])):
            old = [old] if chance.random() < 0.5 else {"a": old}
        holder[name] = old
    elif what == 4 and type(old) is int:
        holder[name] = old + chance.choice([-1, 1, 7, 256])
    elif what == 4 and type(old) is str:
        holder[name] = old[:-1] + chance.choice(["", "\0", "z", "/", "é", ".."])
    elif what == 4 and type(old) is bytes and old:
        at = chance.randrange(len(old))
        holder[name] = old[:at] + bytes([chance.randrange(256)]) + old[at + 1 :]
    elif what == 5 and type(old) is list:
        holder[name] = old * chance.choice([0, 2, 3])
    else:
        holder[name] = chance.choice(ODD)
    return tree


def _places(tree: Any) -> Any:
    if isinstance(tree, dict):
        for name in list(tree):
            yield tree, name
            yield from _places(tree[name])
    elif isinstance(tree, list):
        for at, value in enumerate(tree[:64]):
            yield tree, at
            yield from _places(value)
