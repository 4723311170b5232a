"""
What attacks are made of: graphs of Inductor that would do harm if they were run.

Their kind is known everywhere and their signer is trusted, so that nothing but the
lie itself keeps them out of the cache.
"""

import hashlib
from typing import Any

import attrs
import msgpack
from bundles import KEY
from forging import Forgery

from overwinter import CacheArtifactFactory
from overwinter.environment import Environment
from overwinter.trust import Policy, SigningKey

__all__ = [
    "BLOCK",
    "CANARIES",
    "GRAPHS",
    "INDUCTOR",
    "LARGE",
    "MACHINE",
    "NOBODY",
    "STRANGER",
    "TRUSTING",
    "contents",
    "graphs",
    "maps_after",
    "references",
]

INDUCTOR = CacheArtifactFactory.kind("inductor").stamp
GRAPHS = ("f" + "a" * 51, "f" + "b" * 51)
# Whoever unpickles one says so.
CANARIES = tuple(
    b"cposix\nsystem\n(S'touch unpickled-%d'\ntR." % number for number in range(2)
)
BLOCK = b"".join(CANARIES)
# The same behind so much that a file is not read at once.
LARGE = tuple(each + hashlib.shake_256(each).digest(40_000) for each in CANARIES)
STRANGER = SigningKey(bytes(32))
TRUSTING, NOBODY = Policy([KEY.public]), Policy([])
MACHINE: Environment = {
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx", "sse"],
    "libc": "glibc 2.36",
    "os": "linux",
    "python_tag": "cpython-311",
    "torch_key": "6b6579",
    "vector_isa": "avx2",
    "torch_version": "2.13.0",
}


def references(offsets: list[Any], sizes: list[Any]) -> dict[str, Any]:
    """Return the column ``content`` with these references."""
    return {"content": {"offset": offsets, "size": sizes}}


def graphs(*payloads: bytes, **lies: Any) -> Forgery:
    """
    Return a segment of two graphs.

    Args:
        payloads: Their contents; canaries if not given.
        lies: As a `Forgery` takes them.
    """
    first, second = payloads or CANARIES
    sound = references([0, len(first)], [len(first), len(second)])
    lies["columns"] = {**sound, **lies.get("columns", {})}
    lies["stamp"] = {"payload_size": len(first + second), **lies.get("stamp", {})}
    return attrs.evolve(
        Forgery(
            of=INDUCTOR,
            keys=GRAPHS,
            environment=MACHINE,
            payloads=[first + second],
        ),
        **lies,
    )


def contents(forgery: Forgery) -> dict[str, bytes]:
    """Return the encoded values of the record block of *forgery*, by their names."""
    plain = msgpack.unpackb(forgery.record_block())
    return {name: msgpack.packb(value) for name, value in plain.items()}


def maps_after(plain: dict[str, Any], **encoded: bytes) -> bytes:
    """Return *plain* as msgpack, with members that are encoded already behind it."""
    members = {name: msgpack.packb(value) for name, value in plain.items()}
    members.update(encoded)
    body = b"".join(msgpack.packb(name) + value for name, value in members.items())
    return msgpack.Packer().pack_map_header(len(members)) + body
