"""
The peers of W1: each writes keys and payloads to a file, and reads them back.

Nobody syncs. A package is imported where it is used: tests run without torch.
"""

import pickle
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import attrs

from . import raw
from .workloads import Columns

__all__ = ["MSGSPEC", "PICKLE", "RAW", "TORCH", "Peer", "peers", "torch_peer"]

TORCH = "torch's serializer"
PICKLE = "pickle 5"
MSGSPEC = "msgspec arrays"
RAW = "raw"


@attrs.frozen
class Peer:
    """
    One way to keep artifacts.

    Args:
        name: As the report calls it.
        write: Writes what it was made for to a path.
        read: Reads that path back.
        rows: What was read, as pairs of key and payload.
    """

    name: str
    write: Callable[[Path], Any]
    read: Callable[[Path], Any]
    rows: Callable[[Any], Iterable[tuple[str, bytes]]]


def peers(columns: Columns) -> list[Peer]:
    """Return the peers that need no torch, for these artifacts."""
    return [
        _raw(columns),
        _pickle(columns),
        _safetensors(columns),
        _msgspec(columns),
        _protobuf(columns),
        _sqlite(columns),
        _files(columns),
    ]


def torch_peer(columns: Columns) -> Peer:
    """Return torch's own serializer, as its Mega-Cache uses it."""
    from .torch_format import TorchArtifact, deserialize, serialize

    artifacts = list(map(TorchArtifact, columns["key"], columns["payload"]))
    return Peer(
        TORCH,
        lambda path: path.write_bytes(serialize(artifacts)),
        lambda path: deserialize(path.read_bytes()),
        lambda found: ((each.key, each.content) for each in found),
    )


def _pickle(columns: Columns) -> Peer:
    pairs = list(zip(columns["key"], columns["payload"], strict=True))

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            pickle.dump(pairs, file, protocol=5)

    def read(path: Path) -> Any:
        with open(path, "rb") as file:
            return pickle.load(file)

    return Peer(PICKLE, write, read, iter)


def _safetensors(columns: Columns) -> Peer:
    import numpy as np
    from safetensors.numpy import load_file, save_file

    pairs = zip(columns["key"], columns["payload"], strict=True)
    arrays = {key: np.frombuffer(payload, np.uint8) for key, payload in pairs}
    return Peer(
        "safetensors",
        lambda path: save_file(arrays, path),
        load_file,
        lambda found: ((key, array.tobytes()) for key, array in found.items()),
    )


def _msgspec(columns: Columns) -> Peer:
    import msgspec

    class Artifact(msgspec.Struct, array_like=True, gc=False):
        key: str
        payload: bytes

    artifacts = list(map(Artifact, columns["key"], columns["payload"]))
    decoder = msgspec.msgpack.Decoder(list[Artifact])
    return Peer(
        MSGSPEC,
        lambda path: path.write_bytes(msgspec.msgpack.encode(artifacts)),
        lambda path: decoder.decode(path.read_bytes()),
        lambda found: ((each.key, each.payload) for each in found),
    )


def _protobuf(columns: Columns) -> Peer:
    from .protobuf import BYTES, TEXT, message

    artifacts = message("W1Artifact", {"key": TEXT, "payload": BYTES})
    pairs = list(zip(columns["key"], columns["payload"], strict=True))

    def write(path: Path) -> None:
        made = artifacts()
        for key, payload in pairs:
            made.items.add(key=key, payload=payload)
        path.write_bytes(made.SerializeToString())

    def read(path: Path) -> Any:
        found = artifacts.FromString(path.read_bytes())
        # Reading a field is what makes bytes of it.
        return [(each.key, each.payload) for each in found.items]

    return Peer("protobuf", write, read, iter)


def _sqlite(columns: Columns) -> Peer:
    pairs = list(zip(columns["key"], columns["payload"], strict=True))

    def write(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("PRAGMA synchronous = OFF")  # as everybody here
            database.execute("CREATE TABLE artifacts (key TEXT, payload BLOB)")
            database.executemany("INSERT INTO artifacts VALUES (?, ?)", pairs)

    def read(path: Path) -> Any:
        with closing(sqlite3.connect(path)) as database:
            return database.execute("SELECT key, payload FROM artifacts").fetchall()

    return Peer("sqlite, one transaction", write, read, iter)


def _files(columns: Columns) -> Peer:
    pairs = list(zip(columns["key"], columns["payload"], strict=True))

    def write(path: Path) -> None:
        path.mkdir()
        for key, payload in pairs:
            (path / key).write_bytes(payload)

    def read(path: Path) -> Any:
        return [(each.name, each.read_bytes()) for each in path.iterdir()]

    return Peer("files in a directory", write, read, iter)


def _raw(columns: Columns) -> Peer:
    keys, payloads = columns["key"], columns["payload"]
    sizes = list(map(len, payloads))
    return Peer(
        RAW,
        lambda path: raw.write(path, payloads),
        lambda path: raw.read(path, sizes),
        lambda found: zip(keys, found, strict=True),
    )
