"""Duplicates and coercion: what is said twice, and values of a type almost right."""

import struct
from typing import Any

import msgpack
from forging import HEADER, Forgery, file_of, prefix_of

from attacks.attack import (
    OPAQUE,
    QUARANTINED,
    REFUSED,
    SEGMENT_REFUSED,
    SOUND,
    Attack,
)
from attacks.graphs import GRAPHS, INDUCTOR, graphs, references
from attacks.nesting import statement_of

NAN, TRUE_KEYS = float("nan"), list(GRAPHS)


def _twice(plain: dict[str, Any], name: str) -> bytes:
    """Return *plain* as msgpack, with one member again behind the others."""
    members = [*plain.items(), (name, plain[name])]
    body = b"".join(msgpack.packb(key) + msgpack.packb(each) for key, each in members)
    return b"\xdf" + struct.pack(">I", len(members)) + body


def _statement(name: str) -> Forgery:
    plain = msgpack.unpackb(statement_of(graphs().segment()))
    return graphs(whole={"statement": _twice(plain, name)})


def _block(name: str) -> Forgery:
    plain = msgpack.unpackb(graphs().record_block())
    return graphs(whole={"block": _twice(plain, name)})


def _inside(name: str, again: str) -> Forgery:
    """Return graphs with a member twice in a map of the record block."""
    plain = msgpack.unpackb(graphs().record_block())
    inner = _twice(plain.pop(name), again)
    body = b"".join(msgpack.packb(k) + msgpack.packb(v) for k, v in plain.items())
    head = msgpack.Packer().pack_map_header(len(plain) + 1)
    return graphs(whole={"block": head + body + msgpack.packb(name) + inner})


def _header(**changes: Any) -> bytes:
    return file_of(graphs().segment(), prefix=prefix_of({**HEADER, **changes}))


def _kinds(**changes: Any) -> Forgery:
    return graphs(kind=changes)


ATTACKS = [
    Attack("key_twice_header", "A header with a member twice.",
           lambda: file_of(prefix=prefix_of(_twice(dict(HEADER), "writer"))), REFUSED),
    Attack("key_twice_statement", "A statement with its type twice.",
           lambda: _statement("type"), SEGMENT_REFUSED),
    Attack("blocks_twice_statement", "A statement with two lists of blocks.",
           lambda: _statement("blocks"), SEGMENT_REFUSED),
    Attack("key_twice_block", "A record block with its rows twice.",
           lambda: _block("rows"), QUARANTINED),
    Attack("column_twice", "A record block with two columns of keys.",
           lambda: _inside("columns", "key"), QUARANTINED),
    Attack("table_twice", "A table with two lists of digests.",
           lambda: _inside("payloads", "digests"), QUARANTINED),
    Attack("bytes_key", "A member whose name is bytes.",
           lambda: graphs(statement={b"type": "overwinter.segment/1"}),
           SEGMENT_REFUSED),
    Attack("int_key", "A member whose name is a number.",
           lambda: graphs(statement={7: 7}), SEGMENT_REFUSED),
    Attack("ext_type", "An extension type in a member that nobody reads.",
           lambda: graphs(statement={"zzz": msgpack.ExtType(5, b"x")}),
           SOUND),
    Attack("timestamp", "A timestamp in such a member, which is one too.",
           lambda: graphs(statement={"zzz": msgpack.Timestamp(1)}), SOUND),
    Attack("ext_in_column", "A column with an extension type.",
           lambda: graphs(columns={"key": [GRAPHS[0], msgpack.ExtType(1, b"x")]}),
           QUARANTINED),
    Attack("bool_for_rows", "True where a number of rows belongs.",
           lambda: graphs(stamp={"rows": True}), SEGMENT_REFUSED),
    Attack("bool_for_rows_block", "And in the record block.",
           lambda: graphs(block={"rows": True}), QUARANTINED),
    Attack("bool_for_offset", "True where an offset belongs.",
           lambda: graphs(columns=references([False, True], [39, 39])), QUARANTINED),
    Attack("float_for_rows", "2.0 where 2 belongs.",
           lambda: graphs(stamp={"rows": 2.0}), SEGMENT_REFUSED),
    Attack("float_for_version", "A version that is no number.",
           lambda: _kinds(version=NAN), SEGMENT_REFUSED),
    Attack("text_for_digest", "A digest as text.",
           lambda: graphs(stamp={"digest": "0" * 32}), SEGMENT_REFUSED),
    Attack("text_for_version", "'1' where 1 belongs.",
           lambda: _kinds(version="1"), SEGMENT_REFUSED),
    Attack("text_for_size", "'39' where 39 belongs.",
           lambda: graphs(columns=references([0, 39], ["39", "39"])), QUARANTINED),
    Attack("none_for_text", "Nothing where the key belongs.",
           lambda: graphs(columns={"key": [GRAPHS[0], None]}), QUARANTINED),
    Attack("bytes_for_text", "Bytes where the key belongs.",
           lambda: graphs(columns={"key": [GRAPHS[0], GRAPHS[1].encode()]}),
           QUARANTINED),
    Attack("list_for_key", "A list where the key belongs.",
           lambda: graphs(columns={"key": [GRAPHS[0], [GRAPHS[1]]]}), QUARANTINED),
    Attack("inline_payload", "The payload itself where its reference belongs.",
           lambda: graphs(columns={"content": [b"x", b"y"]}), QUARANTINED),
    Attack("kind_other_case", "Inductor with a capital letter.",
           lambda: _kinds(kind="Inductor"), OPAQUE),
    Attack("kind_blank", "Inductor with a blank behind it.",
           lambda: _kinds(kind="inductor "), OPAQUE),
    Attack("kind_confusable", "Inductor with a letter of another script.",
           lambda: _kinds(kind="induct\u043er"), OPAQUE),
    Attack("kind_nul", "Inductor with a NUL behind it.",
           lambda: _kinds(kind="inductor\0"), OPAQUE),
    Attack("requires_text", "A text where a list of features belongs.",
           lambda: _header(requires="x"), REFUSED),
    Attack("requires_unknown", "A feature that nobody has.",
           lambda: _header(requires=["unheard-of"]), REFUSED),
    Attack("other_digest", "A header that names another digest.",
           lambda: _header(digest="md5"), REFUSED),
    Attack("segment_twice", "A segment that lies there twice.",
           lambda: file_of(graphs().segment(), graphs().segment()), SOUND),
    Attack("same_key_twice", "Two records of one key.",
           lambda: graphs(keys=(GRAPHS[0], GRAPHS[0])), SOUND),
    Attack("draft_says_1", "A draft that says 1 where True belongs.",
           lambda: _kinds(draft=1), SEGMENT_REFUSED),
    Attack("kind_twice", "A statement that lists a kind twice.",
           lambda: graphs(statement={"kinds": [
               msgpack.unpackb(statement_of(graphs().segment()))["kinds"][0]] * 2}),
           SOUND),
    Attack("oldest_reader_later", "A version that its own readers cannot read.",
           lambda: _kinds(oldest_reader=INDUCTOR.version + 1), SOUND),
]  # fmt: skip
