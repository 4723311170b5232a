"""The second reader and the first give the same answers, on every kind of bundle."""

import ast
import hashlib
import sys
from pathlib import Path

import attrs
import canonical
import pytest
import second_reader
from both_readers import difference, second_answer
from bundles import (
    ENVIRONMENT,
    OPTIONAL_PAYLOAD,
    PAYLOAD,
    PLAN,
    appended,
    built,
    plans,
    records_of,
    sample,
    sample_of_two,
    stamp_of,
    tiles,
)
from forging import HEADER, Forgery, file_of, prefix_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import records
from test_bad_bundles import LIES

from overwinter.bundle import KindStamp
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
KIND = attrs.asdict(PLAN, recurse=False)
NOISE = hashlib.shake_256(b"").digest(5 * 2**20)


def nested(depth):
    """Return as many lists, each in the next."""
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


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


# The second reader verifies no signature, and reads what is nested as deep as writers
# nest and no deeper.
ALLOWED = {
    "signature of another": "damage: {'refused'} and set()",
    "signature of another length": "damage: {'refused'} and set()",
    "nested schema": "damage: {'quarantined'} and {'refused'}",
}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_both_read_a_golden_bundle_alike(path):
    """What a release wrote is what the page says, not only what our code reads."""
    answer = second_answer(path.read_bytes())

    assert difference(path.read_bytes()) == ""
    assert any(segment.artifacts for segment in answer.segments)
    assert answer.outcomes == set()


@pytest.mark.parametrize("name", BUNDLES)
def test_both_read_a_bundle_alike(name):
    """Each way of writing a bundle is one that the page describes."""
    data = BUNDLES[name]()

    assert difference(data) == ""
    assert second_answer(data).outcomes == set()


@given(
    st.lists(records(read_schema(WIDE.schema)), min_size=1, max_size=6),
    st.sampled_from([0, 3]),
)
def test_both_read_any_record_alike(rows, level):
    """Whatever a schema allows survives both readers, digests of artifacts too."""
    data = built(records_of(WIDE, rows), level=level)

    assert difference(data) == ""


@pytest.mark.parametrize("level", [0, 3])
def test_both_judge_every_flipped_byte_alike(level):
    """The same artifacts survive, and what is lost has the same outcome."""
    data = appended(sample(), plans(("e", b"appended" * 9)), level=level)

    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        assert difference(bytes(damaged)) == "", position


def test_both_judge_every_cut_alike():
    """A cut file is refused by both, or both say what they ignored."""
    data = sample_of_two()

    for size in range(len(data)):
        assert difference(data[:size]) == "", size


@pytest.mark.parametrize("name", LIES)
def test_both_judge_a_lie_alike(name):
    """What is signed and false has the outcome of the page, whoever reads it."""
    found = difference(LIES[name][0].file())

    assert found == ALLOWED.get(name, "")


def pieces(*payloads, sizes=(5, 6)):
    """Return two plans whose payloads lie in these blocks."""
    spans = {"offset": [0, sizes[0]], "size": list(sizes)}
    return Forgery(columns={"content": spans}, payloads=list(payloads))


FLOAT_32 = b"\x92\xca\x3f\0\0\0\xcb\x3f\xe0\0\0\0\0\0\0"


def padded(count):
    """Return a frame of zstd for one payload, with so many empty blocks in it."""
    head = b"\x28\xb5\x2f\xfd\x20\x0b" + b"\x58\0\0firstsecond"
    return head + 3 * count * b"\0" + b"\1\0\0"


# What no writer of ours makes, and what is found in it.
UNUSUAL = {
    "no order": (Forgery(columns={"key": ["a", "A"]}), set()),
    "two kinds in no order": (
        Forgery(statement={"kinds": [KIND, {**KIND, "kind": "acme/a"}]}),
        set(),
    ),
    "float 32, long integers, and keys of a map in no order": (
        Forgery(
            block={
                "columns": {
                    "content": b"\x82\xa4size\x92\5\xd1\0\6\xa6offset\x92\0\xcc\5",
                    "key": b"\x92\xd9\1a\xa1b",
                    "ratio": FLOAT_32,
                }
            }
        ),
        set(),
    ),
    "nested 33 deep": (Forgery(columns={"more": [nested(32), 0.5]}), set()),
    "a list where the schema has none": (
        Forgery(columns={"ratio": [[0.5], 0.5]}),
        {"quarantined"},
    ),
    "a map where the schema has none": (
        Forgery(columns={"key": ["a", {"b": 1}]}),
        {"quarantined"},
    ),
    "nothing within a payload": (
        pieces(b"fir", b"", b"stsecond"),
        set(),
    ),
    "nothing between payloads": (pieces(b"first", b"", b"second"), {"quarantined"}),
    "nothing behind payloads": (pieces(b"firstsecond", b""), {"quarantined"}),
    "a column in two lengths": (
        Forgery(columns={"content": {"offset": [0], "size": [11, None]}}),
        {"quarantined"},
    ),
    "a key beside offset and size": (
        Forgery(columns={"content": {"offset": [0, 5], "size": [5, 6], "to": []}}),
        {"quarantined"},
    ),
    "a frame of 1,034 bytes for 11": (Forgery(stored={1: (padded(337), 1)}), set()),
    "a frame of 1,037 bytes for 11": (
        Forgery(stored={1: (padded(338), 1)}),
        {"quarantined"},
    ),
    "one payload block of two lost": (
        attrs.evolve(pieces(b"first", b"second"), stored={1: (b"First", 0)}),
        {"quarantined"},
    ),
    "a payload block beyond its limit, and unused": (
        Forgery(table={"sizes": [2**30 + 1]}),
        {"quarantined"},
    ),
    "a lost payload block of an opaque kind": (
        Forgery(kind={"schema": {"language": 2}}, stored={1: (b"firstsEcond", 0)}),
        {"quarantined"},
    ),
    "a last key": (Forgery(stamp={"last": "b"}), set()),
    "a last key that is none": (Forgery(stamp={"last": None}), {"refused"}),
    "an opaque kind": (Forgery(kind={"schema": {"language": 2}}), set()),
    "an environment that is a truth": (
        Forgery(statement={"environments": [{}, {}]}, stamp={"environment": True}),
        {"refused"},
    ),
    "an environment of a map": (
        Forgery(statement={"environments": [{"os": {}}]}),
        {"refused"},
    ),
    "another algorithm": (
        Forgery(
            signatures=b"\x91\x83\xa9algorithm\xa1x\xa3key\xc4\0\xa9signature\xc4\0"
        ),
        set(),
    ),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_both_judge_what_is_unusual_alike(name):
    """What the page lets others write is read, and the rest has its outcome."""
    forgery, outcomes = UNUSUAL[name]

    assert difference(forgery.file()) == ""
    assert second_answer(forgery.file()).outcomes == outcomes


def test_a_segment_listed_twice_is_read_twice():
    """At two places; at one place it would overlap itself."""
    segment = Forgery().segment()
    twice = file_of(segment, segment)

    assert difference(twice) == ""
    first, second = second_answer(twice).segments
    assert first == second


@pytest.mark.parametrize(
    "header",
    [
        {"requires": [None]},
        {"write_requires": [1]},
        {"digest": "x"},
        {"requires": ["x"]},
    ],
)
def test_both_refuse_a_header_alike(header):
    """The whole file goes by it."""
    data = file_of(Forgery().segment(), prefix=prefix_of({**HEADER, **header}))

    assert difference(data) == ""
    assert second_answer(data) is None


@pytest.mark.parametrize("module", [second_reader, canonical])
def test_the_second_reader_stands_alone(module):
    """Were it to import ours, it would prove nothing of the page."""
    text = Path(module.__file__).read_text(encoding="utf-8")
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
    assert len(text.splitlines()) <= 310
