"""The second reader and the first give the same answers, on every kind of bundle."""

import ast
import hashlib
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import second_reader
from bundles import (
    ENVIRONMENT,
    OPTIONAL_PAYLOAD,
    PAYLOAD,
    appended,
    built,
    plans,
    records_of,
    sample,
    sample_of_two,
    stamp_of,
    tiles,
)
from forging import file_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import records

from overwinter.bundle import Bundle, KindStamp, verify
from overwinter.bundle.identity import record_digest
from overwinter.errors import FormatError, OverwinterError
from overwinter.schema import read_schema
from overwinter.trust import SigningKey

GOLDEN = sorted((Path(__file__).parent / "golden").rglob("*.owb"))
WIDE = stamp_of(
    "acme/wide",
    {
        "one": PAYLOAD,
        "two": OPTIONAL_PAYLOAD,
        "notes": {"map": "opaque"},
        "count": "u64",
        "ratio": {"optional": "f64"},
    },
)
NOISE = hashlib.shake_256(b"").digest(5 * 2**20)


def wide(*rows, environment=None):
    """Return records of every sort of column, from key and both payloads."""
    notes = {"é": {"": True}, "a": [1, -1, None, 2.5, b"\0", 2**63]}
    return records_of(
        WIDE,
        [
            {
                "key": key,
                "one": one,
                "two": two,
                "notes": notes,
                "count": 2**64 - 1,
                "ratio": None,
            }
            for key, one, two in rows
        ],
        environment,
    )


def opaque():
    """Return records of a kind whose schema is in a language of later readers."""
    known = plans(("k", b"kept as it is"))
    schema = {**known.stamp.schema, "fields": "in a later language"}
    stamp = KindStamp("acme/later", 1, hashlib.sha256(b"later").digest(), 1, schema)
    return type(known)(stamp, known.columns, known.payload_names, None)


BUNDLES = {
    "nothing": file_of,
    "one segment": sample,
    "two segments": sample_of_two,
    "unsigned": lambda: built(plans(("a", b"1")), key=None),
    "another signer": lambda: appended(
        sample(), plans(("e", b"5")), key=SigningKey(bytes(32))
    ),
    "zstd 3": lambda: built(plans(("a", bytes(9000)), ("b", NOISE[:9000])), level=3),
    "zstd 19": lambda: built(plans(("a", bytes(9000)), ("b", b"x" * 9000)), level=19),
    "mixed levels": lambda: appended(sample(), wide(("a", b"1", b"2")), level=3),
    "nulls, empty and equal": lambda: built(
        wide(("a", b"", None), ("b", b"same", b"same"), ("c", b"same", b"")),
        tiles(("n", None)),
        level=3,
    ),
    "environments": lambda: built(
        plans(("p", b"here"), environment=ENVIRONMENT),
        plans(("p", b"there"), environment={"os": "darwin"}),
        plans(("p", b"anywhere"), ("p", b"twice")),
    ),
    "a payload of several blocks": lambda: built(
        plans(("large", NOISE), ("small", b"small")), level=3
    ),
    "many records": lambda: built(
        plans(*((f"{n:05}", b"%d" % n) for n in range(5000))), level=3
    ),
    "opaque": lambda: built(opaque(), plans(("a", b"1")), level=3),
}


def first_answer(data):
    """Return segments, damage by outcome and what is kept, by overwinter's reader."""
    try:
        bundle = Bundle(data)
    except OverwinterError:
        return None
    segments = []
    for segment in bundle.segments:
        artifacts, kept = [], []
        for block in segment.blocks:
            stamp = block.kind
            with suppress(FormatError):
                rows = block.read()
                if block.schema is None:
                    kept.append((stamp.kind, stamp.version, block.stamp.first))
                    continue
                plain = dict(rows.columns)
                for row in set(range(rows.columns.rows)) - rows.faults.keys():
                    record = {name: plain[name][row] for name in plain}
                    environment = (
                        None if block.environment is None else dict(block.environment)
                    )
                    digest = record_digest(record, block.payload_names)
                    artifacts.append(
                        (stamp.kind, stamp.version, environment, record, digest)
                    )
        signers = [signature.key for signature in segment.signatures]
        segments.append((segment.entry.digest, signers, artifacts, kept))
    return segments, {finding.outcome for finding in verify(bundle)}


def second_answer(data):
    """Return the same, by the second reader."""
    try:
        segments, damage = second_reader.read_bundle(data)
    except second_reader.Invalid:
        return None
    found = [
        (
            segment.digest,
            segment.signers,
            list(map(tuple, segment.artifacts)),
            [kept[:3] for kept in segment.kept],
        )
        for segment in segments
    ]
    damage = sum((segment.damage for segment in segments), damage)
    return found, {each.outcome for each in damage}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_both_read_a_golden_bundle_alike(path):
    """What a release wrote is what the page says, not only what our code reads."""
    answer = second_answer(path.read_bytes())

    assert answer == first_answer(path.read_bytes())
    assert any(artifacts for _, _, artifacts, _ in answer[0])
    assert answer[1] == set()


@pytest.mark.parametrize("name", BUNDLES)
def test_both_read_a_bundle_alike(name):
    """Each way of writing a bundle is one that the page describes."""
    data = BUNDLES[name]()

    assert second_answer(data) == first_answer(data)
    assert second_answer(data)[1] == set()


@given(
    st.lists(records(read_schema(WIDE.schema)), min_size=1, max_size=6),
    st.sampled_from([0, 3]),
)
def test_both_read_any_record_alike(rows, level):
    """Whatever a schema allows survives both readers, digests of artifacts too."""
    data = built(records_of(WIDE, rows), level=level)

    assert second_answer(data) == first_answer(data)


@pytest.mark.parametrize("level", [0, 3])
def test_both_judge_every_flipped_byte_alike(level):
    """The same artifacts survive, and what is lost has the same outcome."""
    data = appended(sample(), plans(("e", b"appended" * 9)), level=level)

    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        damaged = bytes(damaged)
        assert second_answer(damaged) == first_answer(damaged), position


def test_both_judge_every_cut_alike():
    """A cut file is refused by both, or both say what they ignored."""
    data = sample_of_two()

    for size in range(len(data)):
        assert second_answer(data[:size]) == first_answer(data[:size]), size


def test_the_second_reader_stands_alone():
    """Were it to import ours, it would prove nothing of the page."""
    text = Path(second_reader.__file__).read_text(encoding="utf-8")
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module)
    foreign = {
        name for name in names if name.split(".")[0] not in sys.stdlib_module_names
    }

    assert foreign <= {"backports", "compression"}
    assert len(text.splitlines()) <= 300
