"""
The peers of W2: each writes attrs objects to a file, and reads objects back.

msgspec and pydantic hold classes of their own, from beginning to end; who has none
makes attrs objects, as ours does. A package is imported where it is used: tests run
without torch.
"""

import pickle
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgpack

from .ours import Record
from .w1_peers import MSGSPEC, PICKLE, TORCH, Peer

__all__ = ["CATTRS", "FIELDS", "MSGSPEC", "TORCH", "as_row", "peers", "torch_peer"]

CATTRS = "cattrs + msgpack"

FIELDS = "key launches median_ms config tags taken_ns payload".split()
as_row = attrgetter(*FIELDS)


def peers(records: Sequence[Record]) -> list[Peer]:
    """Return the peers that need no torch, for these records."""
    return [
        _msgspec(records),
        _cattrs(records),
        _pickle(records),
        _pydantic(records),
        _protobuf(records),
        _fastavro(records),
    ]


def torch_peer(records: Sequence[Record]) -> Peer:
    """Return torch's own serializer; the content is the record, pickled as a tuple."""
    from .torch_format import TorchArtifact, deserialize, serialize

    def write(path: Path) -> None:
        artifacts = [
            TorchArtifact(each.key, pickle.dumps(as_row(each), protocol=5))
            for each in records
        ]
        path.write_bytes(serialize(artifacts))

    def read(path: Path) -> list[Record]:
        artifacts = deserialize(path.read_bytes())
        return [Record(*pickle.loads(each.content)) for each in artifacts]

    return _peer(TORCH, write, read)


def _peer(
    name: str,
    write: Callable[[Path], Any],
    read: Callable[[Path], Iterable[Any]],
) -> Peer:
    return Peer(name, write, read, lambda found: map(as_row, found))


def _msgspec(records: Sequence[Record]) -> Peer:
    import msgspec

    class Struct(msgspec.Struct, array_like=True, gc=False):
        key: str
        launches: int
        median_ms: float
        config: dict[str, int]
        tags: list[str]
        taken_ns: int
        payload: bytes

    structs = [Struct(*as_row(each)) for each in records]
    decoder = msgspec.msgpack.Decoder(list[Struct])
    return _peer(
        MSGSPEC,
        lambda path: path.write_bytes(msgspec.msgpack.encode(structs)),
        lambda path: decoder.decode(path.read_bytes()),
    )


def _cattrs(records: Sequence[Record]) -> Peer:
    from cattrs import Converter

    converter = Converter()
    return _peer(
        CATTRS,
        lambda path: path.write_bytes(msgpack.packb(converter.unstructure(records))),
        lambda path: converter.structure(
            msgpack.unpackb(path.read_bytes()), list[Record]
        ),
    )


def _pickle(records: Sequence[Record]) -> Peer:
    def write(path: Path) -> None:
        with open(path, "wb") as file:
            pickle.dump(records, file, protocol=5)

    def read(path: Path) -> Any:
        with open(path, "rb") as file:
            return pickle.load(file)

    return _peer(PICKLE, write, read)


def _pydantic(records: Sequence[Record]) -> Peer:
    from pydantic import BaseModel, ConfigDict, TypeAdapter

    class Model(BaseModel):
        model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

        key: str
        launches: int
        median_ms: float
        config: dict[str, int]
        tags: list[str]
        taken_ns: int
        payload: bytes

    models = [Model(**dict(zip(FIELDS, as_row(each), strict=True))) for each in records]
    adapter = TypeAdapter(list[Model])
    return _peer(
        "pydantic 2 JSON",
        lambda path: path.write_bytes(adapter.dump_json(models)),
        lambda path: adapter.validate_json(path.read_bytes()),
    )


def _protobuf(records: Sequence[Record]) -> Peer:
    from .protobuf import BYTES, FLOAT, INTEGER, MAP, TEXT, TEXTS, message

    kinds = [TEXT, INTEGER, FLOAT, MAP, TEXTS, INTEGER, BYTES]
    messages = message("W2Record", dict(zip(FIELDS, kinds, strict=True)))

    def write(path: Path) -> None:
        made = messages()
        add = made.items.add
        for each in records:
            add(
                key=each.key,
                launches=each.launches,
                median_ms=each.median_ms,
                config=each.config,
                tags=each.tags,
                taken_ns=each.taken_ns,
                payload=each.payload,
            )
        path.write_bytes(made.SerializeToString())

    def read(path: Path) -> list[Record]:
        return [
            Record(
                each.key,
                each.launches,
                each.median_ms,
                dict(each.config),
                list(each.tags),
                each.taken_ns,
                each.payload,
            )
            for each in messages.FromString(path.read_bytes()).items
        ]

    return _peer("protobuf, to attrs", write, read)


def _fastavro(records: Sequence[Record]) -> Peer:
    from fastavro import parse_schema, reader, writer

    types: list[Any] = [
        "string",
        "long",
        "double",
        {"type": "map", "values": "long"},
        {"type": "array", "items": "string"},
        "long",
        "bytes",
    ]
    schema = parse_schema(
        {
            "type": "record",
            "name": "W2Record",
            "fields": [
                {"name": name, "type": kind}
                for name, kind in zip(FIELDS, types, strict=True)
            ],
        }
    )

    def write(path: Path) -> None:
        maps = (dict(zip(FIELDS, as_row(each), strict=True)) for each in records)
        with open(path, "wb") as file:
            writer(file, schema, maps)

    def read(path: Path) -> list[Record]:
        with open(path, "rb") as file:
            return [Record(**each) for each in reader(file)]

    return _peer("fastavro, to attrs", write, read)
