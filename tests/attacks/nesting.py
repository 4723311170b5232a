"""Deep nesting: values whose reading, comparing or printing would recurse."""

import struct
from typing import Any

import msgpack
from forging import Forgery, prefix_of

from attacks.attack import (
    OPAQUE,
    QUARANTINED,
    REFUSED,
    SEGMENT_REFUSED,
    SOUND,
    Attack,
)
from attacks.graphs import INDUCTOR, graphs, maps_after
from overwinter.bundle.foot import FOOT

FIELDS = [
    {"id": 1, "name": "key", "type": "str"},
    {"id": 2, "name": "content", "type": "payload"},
]


def _lists(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


def _maps(depth: int) -> bytes:
    return b"\x81\xa1a" * depth + b"\xc0"


def _mixed(depth: int) -> bytes:
    return b"\x91\x81\xa1a" * (depth // 2) + b"\xc0"


def _statement(value: bytes, name: str = "zzz") -> Forgery:
    """Return graphs with one more member, or another, in the statement."""
    plain = msgpack.unpackb(statement_of(graphs().segment()))
    plain.pop(name, None)
    return graphs(whole={"statement": maps_after(plain, **{name: value})})


def statement_of(segment: bytes) -> bytes:
    """Return the bytes of the statement of *segment*."""
    foot = FOOT.unpack(segment[-FOOT.size :])
    statement_size, signatures_size = foot[5], foot[6]
    end = len(segment) - FOOT.size - signatures_size
    return segment[end - statement_size : end]


def _block(name: str, value: bytes) -> Forgery:
    plain = msgpack.unpackb(graphs().record_block())
    plain["columns"][name] = value
    return graphs(whole={"block": msgpack.packb(plain)})


def _schema(**changes: Any) -> Forgery:
    """Return graphs of a version that nobody knows, whose schema is this."""
    schema = {**INDUCTOR.schema, "version": 99, "fields": FIELDS, **changes}
    return graphs(
        kind={"version": 99, "oldest_reader": 99, "schema": schema,
              "fingerprint": bytes(32)}
    )  # fmt: skip


def _type(depth: int, *words: str) -> Any:
    value: Any = "i64"
    for number in range(depth):
        value = {words[number % len(words)]: value}
    return value


def _records(depth: int) -> Any:
    value: Any = "i64"
    for _ in range(depth):
        value = {"record": [{"id": 1, "name": "x", "type": value}]}
    return value


def _field(type_: Any) -> Forgery:
    return _schema(fields=[*FIELDS, {"id": 3, "name": "odd", "type": type_}])


def _header(value: bytes) -> bytes:
    return prefix_of(maps_after({"writer": "x"}, zzz=value)) + graphs().file()


ATTACKS = [
    Attack("header_60000", "A header of 60,000 lists, one in another.",
           lambda: prefix_of(_lists(60_000)), REFUSED),
    Attack("header_member_30000", "The same below a member that nobody knows.",
           lambda: _header(_lists(30_000)), REFUSED),
    Attack("header_member_maps", "Maps in maps below such a member.",
           lambda: _header(_maps(20_000)), REFUSED),
    Attack("statement_60000", "A statement of 60,000 lists.",
           lambda: graphs(whole={"statement": _lists(60_000)}), SEGMENT_REFUSED),
    Attack("statement_million", "A statement of a million lists.",
           lambda: graphs(whole={"statement": _lists(2**20)}), SEGMENT_REFUSED),
    Attack("statement_1025", "Just more than msgpack's own reader takes.",
           lambda: _statement(_lists(1025)), SEGMENT_REFUSED),
    Attack("statement_maps_2000", "Maps instead of lists.",
           lambda: _statement(_maps(2000)), SEGMENT_REFUSED),
    Attack("statement_mixed_2000", "Lists of maps of lists.",
           lambda: _statement(_mixed(4000)), SEGMENT_REFUSED),
    Attack("environments_nested", "Environments that are lists in lists.",
           lambda: graphs(statement={"environments": [msgpack.unpackb(_lists(900))]}),
           SEGMENT_REFUSED),
    Attack("environment_value_nested", "A field of an environment that is nested.",
           lambda: graphs(
               statement={"environments": [{"os": msgpack.unpackb(_lists(900))}]}),
           SEGMENT_REFUSED),
    Attack("signatures_nested", "Signatures that are lists in lists.",
           lambda: graphs(signatures=_lists(60_000)), SEGMENT_REFUSED),
    Attack("signature_member_nested", "A member of a signature that is nested.",
           lambda: graphs(signatures=b"\x91\x81\xa3key" + _maps(18_000)),
           SEGMENT_REFUSED),
    Attack("block_nested", "A record block of a million lists.",
           lambda: graphs(whole={"block": _lists(2**20)}), QUARANTINED),
    Attack("column_key_nested", "Keys that are lists in lists.",
           lambda: _block("key", b"\x92" + _lists(60_000) + b"\xc0"), QUARANTINED),
    Attack("column_content_nested", "References that are lists in lists.",
           lambda: _block("content", _lists(60_000)), QUARANTINED),
    Attack("table_nested", "A table of payload blocks that is nested.",
           lambda: graphs(table={"sizes": msgpack.unpackb(_lists(900))}), QUARANTINED),
    Attack("schema_default_900", "A schema whose default is nested.",
           lambda: _schema(fields=[*FIELDS, {
               "id": 3, "name": "odd", "type": "opaque",
               "default": msgpack.unpackb(_lists(900))}]), OPAQUE),
    Attack("schema_list_300", "A type that is a list of lists of lists.",
           lambda: _field(_type(300, "list")), OPAQUE),
    Attack("schema_map_300", "A type that is a map of lists of maps.",
           lambda: _field(_type(300, "map", "list")), OPAQUE),
    Attack("schema_optional_300", "A type that is optional, optionally.",
           lambda: _field(_type(300, "optional")), OPAQUE),
    Attack("schema_record_200", "A record of a record of a record.",
           lambda: _field(_records(200)), OPAQUE),
    Attack("schema_fields_nested", "Fields of a schema that are lists in lists.",
           lambda: _schema(fields=msgpack.unpackb(_lists(900))), OPAQUE),
    Attack("schema_unknown_word", "A type that no release knows, and it is nested.",
           lambda: _field(_type(300, "tensor")), OPAQUE),
    Attack("wide_and_deep", "250 members, each 900 lists deep.",
           lambda: _statement(
               b"\xdc" + struct.pack(">H", 250) + _lists(900) * 250),
           SOUND, traced=True),
]  # fmt: skip
