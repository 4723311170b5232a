"""What is written is read back exactly, and equal input gives equal bytes."""

import hashlib
import itertools
import subprocess
import sys

import msgpack
import pytest
from bundles import (
    ENVIRONMENT,
    KEY,
    OPTIONAL_PAYLOAD,
    PAYLOAD,
    PLAN,
    built,
    delivered,
    environ_of_child,
    part,
    plans,
    records_of,
    regions,
    sample,
    stamp_of,
    tiles,
)

from overwinter import CacheArtifactFactory, limits
from overwinter.bundle import Bundle, segment_writer, verify, writer
from overwinter.bundle.identity import record_digest
from overwinter.bundle.packing import PIECE
from overwinter.encode import encode
from overwinter.errors import WrongShapeError

BOTH = stamp_of(
    "acme/both", {"one": PAYLOAD, "two": OPTIONAL_PAYLOAD, "notes": {"map": "opaque"}}
)


def placements_of(data):
    """Return where the blocks of the one segment lie."""
    (segment,) = Bundle(data).segments
    return list(map(segment.placement, range(segment.foot.n_blocks)))


def keys_by_block(data):
    """Return the keys of each record block."""
    bundle = Bundle(data)
    return [
        block.read_columns()[0]["key"]
        for segment in bundle.segments
        for block in segment.blocks
    ]


def rows_of(data):
    """Return every record of a bundle that has no fault, as a dict."""
    bundle = Bundle(data)
    assert list(verify(bundle)) == []
    return [(kind, dict(record)) for _, (kind, _, record) in delivered(bundle)]


@pytest.mark.parametrize("level", [0, 3])
def test_records_come_back_exactly(level):
    """Two kinds, two environments, payloads that are empty, null, equal and large."""
    compressible, noise = bytes(100_000), hashlib.shake_256(b"").digest(5_000)
    both = [
        {"key": "k1", "one": b"", "two": None, "notes": {"a": [1, None, 2.5, b"\0"]}},
        {"key": "k2", "one": noise, "two": b"", "notes": {}},
        {"key": "k3", "one": compressible, "two": noise, "notes": {"é": {"": True}}},
    ]
    data = built(
        records_of(BOTH, both),
        plans(("p", compressible), environment=ENVIRONMENT),
        plans(("p", noise), environment={"os": "darwin"}),
        level=level,
    )

    assert rows_of(data) == [
        *(("acme/both", row) for row in both),
        ("acme/plan", {"key": "p", "content": noise, "ratio": 0.5}),
        ("acme/plan", {"key": "p", "content": compressible, "ratio": 0.5}),
    ]
    assert [block.environment for block in Bundle(data).segments[0].blocks] == [
        None,
        {"os": "darwin"},
        ENVIRONMENT,
    ]


def test_artifacts_of_the_real_kinds_come_back_exactly():
    """Through `encode`, as a save does: every registered kind, every field."""
    keys = {
        "aot_autograd": "a" * 52,
        "autotune": "ab/" + "c" * 51 + ".best_config",
        "inductor": "f" + "a" * 51,
        "factors": "inductor/f" + "a" * 51,
        "file": "jax/jit_step-0123-cache",
        "megacache": "inductor_triton/0/abc",
        "native": "torchinductor/2x/c2xx.main.so",
        "pgo": "job:0:tag",
        "precompile": "0" * 64,
        "triton": "triton/" + "A" * 52 + "/k.cubin",
    }
    contents = {"factors": b'{"digests": {"gm": "q"}, "texts": {}}'}
    artifacts = [
        CacheArtifactFactory.create(
            kind, keys[kind], contents.get(kind, b'{"num_warps": 8}')
        )
        for kind in CacheArtifactFactory.kinds()
    ]
    data = built(*encode(artifacts, ENVIRONMENT))

    found = []
    for kind, record in rows_of(data):
        columns = {name: [value] for name, value in record.items()}
        found += CacheArtifactFactory.kind(kind).build(columns)
    assert sorted(found, key=lambda each: each.type()) == artifacts
    assert {each.content for each in found} == {
        b'{"num_warps": 8}',
        *contents.values(),
    }


def test_keys_of_any_script_come_back_in_the_order_of_code_points():
    """Python's order of text is that of its UTF-8 bytes, which other readers use."""
    keys = ["\U0001f9ca", "Ω", "z", "é", "\uffff", "a\0b", "日本", "a"]
    data = built(plans(*((key, key.encode()) for key in keys)))

    (found,) = keys_by_block(data)
    assert found == sorted(keys, key=str.encode)
    assert {row["key"]: row["content"] for _, row in rows_of(data)} == {
        key: key.encode() for key in keys
    }


def test_many_records_are_cut_into_blocks_that_are_sorted(monkeypatch):
    """A block holds 2,048 records; the statement tells where each of them begins."""
    keys = [f"{number:05d}" for number in range(5000)]
    data = built(tiles(*((key, None) for key in reversed(keys))))

    blocks = keys_by_block(data)
    assert [len(block) for block in blocks] == [2048, 2048, 904]
    assert list(itertools.chain(*blocks)) == keys
    assert [stamp.first for stamp in Bundle(data).segments[0].statement.blocks] == [
        block[0] for block in blocks
    ]


def test_records_with_large_payloads_are_cut_into_blocks(monkeypatch):
    """Who reads by block holds a bounded part of the bundle."""
    monkeypatch.setattr(writer, "BLOCK_PAYLOADS", 100)
    sizes = {"a": 60, "b": 40, "c": 1, "d": 500, "e": 99}
    data = built(plans(*((key, bytes(size)) for key, size in sizes.items())))

    assert keys_by_block(data) == [["a", "b"], ["c"], ["d"], ["e"]]
    blocks = Bundle(data).segments[0].statement.blocks
    assert [stamp.payload_size for stamp in blocks] == [100, 1, 500, 99]
    assert {row["key"]: len(row["content"]) for _, row in rows_of(data)} == sizes


def test_records_with_large_fields_are_cut_into_blocks(monkeypatch):
    """A record block never grows past what readers accept."""
    monkeypatch.setattr(writer, "RECORD_FIELDS", 1000)
    rows = [
        {"key": f"k{number}", "one": b"", "two": None, "notes": {"n": "x" * 300}}
        for number in range(8)
    ]
    data = built(records_of(BOTH, rows))

    assert [len(block) for block in keys_by_block(data)] == [2, 2, 2, 2]
    assert rows_of(data) == [("acme/both", row) for row in rows]


def test_record_blocks_are_written_in_runs(monkeypatch):
    """They gather behind the payloads; wherever a run ends, each is found again."""
    monkeypatch.setattr(writer, "BLOCK_ROWS", 3)
    rows = [(f"{number:02d}", b"%d" % number) for number in range(20)]
    whole = built(plans(*rows))
    monkeypatch.setattr(segment_writer, "RECORD_RUN", 300)
    data = built(plans(*rows))
    places = [
        [each.offset for each in placements_of(each_data)]
        for each_data in (whole, data)
    ]

    # Seven record blocks, then as many of payloads, which lie before them or between.
    assert max(places[0][7:]) < min(places[0][:7])
    assert max(places[1][7:]) > min(places[1][:7])
    assert rows_of(data) == rows_of(whole)


def test_what_is_written_is_within_what_is_read():
    """A reader's limits leave room for every block that a writer may fill."""
    room_for_references = writer.BLOCK_ROWS * 100
    assert writer.RECORD_FIELDS + room_for_references < limits.MAX_RECORD_BLOCK
    assert writer.BLOCK_ROWS <= limits.MAX_BLOCK_ROWS
    assert writer.BLOCK_PAYLOADS <= limits.MAX_PAYLOADS
    assert PIECE <= limits.MAX_BLOCK


@pytest.mark.parametrize("limit", ["RECORD_FIELDS", "MAX_PAYLOADS"])
def test_a_record_that_no_reader_would_accept_is_not_written(limit, monkeypatch):
    """What a release writes it also reads, so it refuses at the save."""
    monkeypatch.setattr(writer, limit, 1000)
    row = {
        "key": "large",
        "one": bytes(600 if limit == "MAX_PAYLOADS" else 0),
        "two": bytes(600 if limit == "MAX_PAYLOADS" else 0),
        "notes": {"n": "x" * (2000 if limit == "RECORD_FIELDS" else 0)},
    }

    with pytest.raises(WrongShapeError, match=r"acme/both: 'large': expected at most"):
        built(records_of(BOTH, [row]))


def test_variants_of_one_key_are_sorted_by_their_digests():
    """The order of equal keys follows from what the records say, not from the input."""
    contents = [b"one", b"two", b"three", b"four", b"five"]
    data = built(plans(*(("same", content) for content in contents), ("a", b"")))

    records = [row for _, row in rows_of(data)]
    assert [row["key"] for row in records] == ["a", *["same"] * 5]
    digests = [record_digest(row, {"content"}) for row in records[1:]]
    assert digests == sorted(digests)
    assert {row["content"] for row in records[1:]} == set(contents)


def test_equal_records_are_written_once():
    """An artifact that was recorded twice does not take two places."""
    data = built(plans(("k", b"same"), ("k", b"other"), ("k", b"same")))

    assert sorted(row["content"] for _, row in rows_of(data)) == [b"other", b"same"]


def test_the_statement_names_kinds_and_environments_in_order():
    """Kinds by name and version, environments by their encoding, blocks by both."""
    newer = stamp_of("acme/plan", {"content": PAYLOAD, "ratio": "f64"}, version=2)
    groups = [
        tiles(("t", None)),
        records_of(newer, [{"key": "n", "content": b"", "ratio": 1.0}]),
        plans(("z", b""), environment=ENVIRONMENT),
        plans(("y", b""), environment={"os": "darwin"}),
        plans(("x", b"")),
    ]
    statement = msgpack.unpackb(part(built(*groups), "statement 0"))

    assert [(each["kind"], each["version"]) for each in statement["kinds"]] == [
        ("acme/plan", 1),
        ("acme/plan", 2),
        ("acme/tile", 1),
    ]
    assert statement["environments"] == [{"os": "darwin"}, ENVIRONMENT]
    assert [
        (each["kind"], each["environment"], each["first"])
        for each in statement["blocks"]
    ] == [(0, None, "x"), (0, 0, "y"), (0, 1, "z"), (1, None, "n"), (2, None, "t")]


def test_a_segment_without_a_record_is_not_written():
    """An empty segment would say nothing, and be appended at every empty save."""
    with pytest.raises(ValueError, match="one record at least"):
        built(plans())


def test_compression_is_used_where_it_pays():
    """Noise is stored as it is; what shrinks is a zstd frame."""
    noise = hashlib.shake_256(b"noise").digest(10_000)
    codecs = [
        [each.codec for each in placements_of(data)]
        for data in (
            built(plans(("k", bytes(10_000))), level=3),
            built(plans(("k", noise)), level=3),
            built(plans(("k", bytes(10_000))), level=0),
        )
    ]

    assert [each[1] for each in codecs] == [1, 0, 0]


# --- equal bytes ------------------------------------------------------------


def test_the_order_of_the_input_does_not_show():
    """Groups and rows in any order, fields in any order: the same bytes."""
    rows = [("a", b"1"), ("b", b"2"), ("b", b"3")]
    groups = [
        lambda rows: plans(*rows),
        lambda rows: plans(*rows, environment=ENVIRONMENT),
        lambda rows: tiles(*rows),
    ]
    found = {
        built(*(group(order) for group in shuffled))
        for order in itertools.permutations(rows)
        for shuffled in itertools.permutations(groups)
    }
    reversed_fields = writer.Records(
        PLAN,
        dict(reversed(plans(*rows).columns.items())),
        frozenset(["content"]),
        dict(reversed(ENVIRONMENT.items())),
    )

    assert len(found) == 1
    assert built(reversed_fields) == built(groups[1](rows))


@pytest.mark.parametrize("level", [1, 3, 19])
def test_compressed_bundles_are_equal_too(level):
    """One version of libzstd gives one result; nothing else is asked."""
    rows = [(f"k{number}", b"abc" * number) for number in range(100)]

    assert built(plans(*rows), level=level) == built(plans(*rows), level=level)


def test_a_bundle_is_exactly_these_bytes():
    """A literal, so that no release, Python or hash seed changes them unnoticed."""
    assert hashlib.sha256(sample()).hexdigest() == SAMPLE_SHA256


SAMPLE_SHA256 = "0717712e43a4db348259e3b3fc5316e69ad310fe72522daa757a7ce54d25727a"

MANY = """
import hashlib
from bundles import *

FIELDS = {"p%d" % number: PAYLOAD for number in range(5)}
STAMP = stamp_of("acme/many", {**FIELDS, "notes": {"map": "opaque"}})
NAMES = {"alpha", "beta", "gamma", "delta"}
records = records_of(
    STAMP,
    [
        {
            "key": key,
            "notes": dict.fromkeys(NAMES, key),
            **{name: (name + key).encode() for name in FIELDS},
        }
        for key in NAMES
    ],
    {name: sorted(NAMES) for name in NAMES},
)
print(hashlib.sha256(built(records) + sample()).hexdigest())
"""


def test_the_hash_seed_does_not_show():
    """Sets and maps are walked in another order under each seed."""
    found = {
        subprocess.run(
            [sys.executable, "-c", MANY],
            env=environ_of_child(PYTHONHASHSEED=seed),
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2", "3")
    }

    assert len(found) == 1


def test_a_segment_does_not_depend_on_where_it_lies():
    """Copied byte for byte into another file, it is the same segment."""
    data, long_header = (
        sample(),
        built(
            plans(("a", b"first payload"), ("b", b"second"), environment=ENVIRONMENT),
            tiles(("c", b"third payload!"), ("d", None)),
            writer="another program with a longer name",
        ),
    )
    one, other = (
        each[regions(each)["blocks 0"].start : regions(each)["foot 0"].stop]
        for each in (data, long_header)
    )

    assert one == other
    assert KEY.public in one
