"""Error amplification: little that is wrong, and much to be said of it."""

from functools import partial
from hashlib import sha256
from typing import Any

import msgpack
from forging import Forgery, file_listing, file_of, prefix_of

from attacks.attack import (
    KEYS_REFUSED,
    OPAQUE,
    QUARANTINED,
    REFUSED,
    SEGMENT_REFUSED,
    SKIPPED,
    SOUND,
    UNTRUSTED,
    Attack,
)
from attacks.graphs import INDUCTOR, STRANGER, graphs
from attacks.nesting import statement_of
from overwinter.bundle.trailer import SegmentEntry
from overwinter.trust import SigningKey

BIDI = "\u202e\u2066\x1b[2J\x07\x00\r\n\u2028\ud7ff"


def _strangers(count: int) -> list[SigningKey]:
    return [SigningKey(sha256(b"%d" % number).digest()) for number in range(count)]


def _rows(count: int, **lies: Any) -> Forgery:
    """Return graphs of *count* rows without any payload."""
    keys = lies.pop("keys", None) or [f"{number:07d}" for number in range(count)]
    content = lies.pop("content", {"offset": [0] * count, "size": [1] * count})
    return graphs(
        b"x", b"",
        keys=(keys[0], keys[0]),
        columns={"key": keys, "content": content},
        block={"rows": count, **lies.pop("block", {})},
        stamp={"rows": count, "payload_size": count},
        **lies,
    )  # fmt: skip


def _empty_segments(count: int) -> bytes:
    body = prefix_of()
    return file_listing(
        body, *(SegmentEntry(len(body), 0, bytes(32)) for _ in range(count))
    )


def _named(text: str) -> Forgery:
    """Return a kind, a key and an environment that are called so."""
    return graphs(
        keys=(text, text + "2"),
        kind={"kind": "acme/plan", "fingerprint": bytes(32), "schema": {"kind": text}},
        statement={"environments": [{"os": text, text: text}]},
    )


def _kinds(count: int) -> Forgery:
    plain = msgpack.unpackb(statement_of(graphs().segment()))
    (kind,) = plain["kinds"]
    more = [
        {**kind, "kind": f"acme/k{number}", "schema": {}} for number in range(count)
    ]
    return graphs(statement={"kinds": [kind, *more]})


def _schema(schema: Any) -> Forgery:
    return graphs(
        kind={"version": 99, "oldest_reader": 99, "schema": schema,
              "fingerprint": bytes(32)}
    )  # fmt: skip


def _refused_often(count: int) -> bytes:
    """Return many segments, each a stranger's with another statement."""
    return file_of(
        *(
            graphs(statement={"n": number}, signers=[STRANGER]).segment()
            for number in range(count)
        )
    )


ATTACKS = [
    Attack("signers_400_rows_9000", "A block of 9,000 rows that 400 strangers signed.",
           lambda: _rows(9000, signers=_strangers(400)), SEGMENT_REFUSED),
    Attack("signature_400_times", "One stranger's signature, 400 times.",
           lambda: graphs(signers=[STRANGER] * 400), SEGMENT_REFUSED),
    Attack("signers_16_rows_9000", "As many strangers as are looked at.",
           lambda: _rows(9000, signers=_strangers(16)), UNTRUSTED),
    Attack("unknown_kinds_4000", "As many kinds as a statement may have, nearly.",
           partial(_kinds, 4000), SOUND),
    Attack("segments_5000", "A trailer of 5,000 segments of no bytes.",
           partial(_empty_segments, 5000), REFUSED),
    Attack("refused_200", "200 segments of one stranger.",
           partial(_refused_often, 200), UNTRUSTED),
    Attack("rows_all_wrong", "5,000 rows, each with a key that is none.",
           lambda: _rows(5000), KEYS_REFUSED, declares=32),
    Attack("references_all_wrong", "50,000 texts where references belong.",
           lambda: _rows(50_000, content=["x"] * 50_000), QUARANTINED,
           declares=32),
    Attack("keys_2000_long", "2,000 keys of 4,096 letters.",
           lambda: _rows(2000, keys=[f"{n:04d}" + "k" * 4092 for n in range(2000)]),
           KEYS_REFUSED),
    Attack("key_1m", "One key of a mebibyte.",
           lambda: graphs(keys=("k" * 2**20, "l")), KEYS_REFUSED),
    Attack("unicode_names", "Names that turn, clear and end what a terminal shows.",
           partial(_named, BIDI), OPAQUE),
    Attack("unicode_keys", "Keys of the same letters.",
           lambda: graphs(keys=(BIDI, BIDI + "2")), KEYS_REFUSED),
    Attack("schema_huge_repr", "A schema that is a mebibyte of nothing.",
           lambda: _schema({"kind": ["x"] * 2**18}), OPAQUE),
    Attack("schema_of_10000_fields", "A schema of 10,000 fields of unknown types.",
           lambda: _schema({**INDUCTOR.schema, "version": 99, "fields": [
               {"id": n, "name": f"f{n}", "type": f"t{n}"} for n in range(1, 10_000)]}),
           OPAQUE),
    Attack("unknown_kinds_5000", "5,000 kinds that nobody knows, beside one of ours.",
           partial(_kinds, 5000), SEGMENT_REFUSED),
    Attack("fault_text_1m", "A value of a mebibyte where a number belongs.",
           lambda: graphs(table={"sizes": ["x" * 2**20]}), QUARANTINED),
    Attack("kind_name_1m", "A kind whose name has a mebibyte.",
           lambda: graphs(kind={"kind": "k" * 2**20}), OPAQUE),
    Attack("environment_1m", "An environment of a mebibyte that is not this one.",
           lambda: graphs(environment={"torch_version": "v" * 2**20}),
           SKIPPED, declares=32),
]  # fmt: skip
