"""
Forged checksums and layouts: every digest holds but one, and every part lies.

Those of `test_bad_bundles` are told there by their words; here each of them is of a
kind that would be populated, and is tried at every entry point.
"""

import struct

import attrs
from forging import (
    Forgery,
    checked,
    entries_of,
    file_listing,
    file_of,
    forged_copy,
    prefix_of,
)
from test_bad_bundles import LIES

from attacks.attack import (
    MISNAMED,
    ODD_COLUMN,
    QUARANTINED,
    REFUSED,
    SEGMENT_REFUSED,
    SOUND,
    TAIL_IGNORED,
    TORN,
    Attack,
    Outcome,
)
from attacks.graphs import GRAPHS, INDUCTOR, MACHINE, graphs
from overwinter.bundle import verifying
from overwinter.bundle.trailer import END, SegmentEntry, write_trailer

SEGMENT = graphs().segment()
BODY = prefix_of() + SEGMENT
(ENTRY,) = entries_of([SEGMENT], len(prefix_of()))


def _of_graphs(lie: Forgery) -> Forgery:
    """Return a lie told of plans, told of graphs."""
    columns = dict(lie.columns)
    if columns.get("key") is not None:
        named = dict(zip(["a", "b"], GRAPHS, strict=True))
        columns["key"] = [
            named.get(key, key) if isinstance(key, str) else key
            for key in columns["key"]
        ]
    return attrs.evolve(
        lie, of=INDUCTOR, keys=GRAPHS, environment=MACHINE, columns=columns
    )


# What a record block of 64 MiB, and 200,000 names in a map, may take.
LARGE = {
    "bomb for a record block that is let in": 192,
    "key twice at the end of many": 32,
}
OUTCOMES = {
    verifying.REFUSED: SEGMENT_REFUSED,
    verifying.QUARANTINED: QUARANTINED,
    verifying.TAIL_IGNORED: TAIL_IGNORED,
}


def _outcome(lie: Forgery, outcome: str) -> Outcome:
    """Return what becomes of a lie: graphs have no ratio, and know their schema."""
    if "ratio" in lie.columns:
        return ODD_COLUMN
    return MISNAMED if "schema" in lie.kind else OUTCOMES[outcome]


def _flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _foot(**changes: int) -> bytes:
    """Return the segment with other bytes in its foot, and a CRC that holds."""
    foot = bytearray(SEGMENT[-96:-4])
    for place, value in changes.items():
        foot[int(place[1:])] = value
    return file_of(SEGMENT[:-96] + checked(bytes(foot)))


def _ends(count: int) -> bytes:
    """Return a bundle with ends of trailers behind it, each with a size."""
    ends = struct.pack("<II8s", 40, 0, END) * count
    return BODY + write_trailer([ENTRY], len(BODY)) + ends


def _copies_differ() -> bytes:
    one = forged_copy(len(BODY), [ENTRY])
    other = forged_copy(len(BODY), [SegmentEntry(ENTRY.offset, ENTRY.size, bytes(32))])
    return BODY + one + other


def _swapped_prefix(**changes: int) -> bytes:
    return file_of(SEGMENT, prefix=prefix_of(**changes))


ATTACKS = [
    *(
        Attack(
            f"lie: {name}", f"Graphs of which the lie is: {name}.",
            lambda lie=lie: _of_graphs(lie), _outcome(lie, outcome),
            declares=LARGE.get(name, 0),
        )
        for name, (lie, outcome, _) in LIES.items()
    ),
    Attack("digest_of_other", "A record block under the digest of another.",
           lambda: graphs(stamp={"digest": bytes(32)}), QUARANTINED),
    Attack("name_differs", "A trailer that calls the segment by another name.",
           lambda: file_listing(BODY, attrs.evolve(ENTRY, digest=bytes(32))),
           SEGMENT_REFUSED),
    Attack("entry_0", "A trailer whose segment has no byte.",
           lambda: file_listing(BODY, attrs.evolve(ENTRY, size=0)), REFUSED),
    Attack("entry_95", "A trailer whose segment has a byte less than a foot.",
           lambda: file_listing(BODY, attrs.evolve(ENTRY, size=95)), REFUSED),
    Attack("entries_overlap", "A trailer whose segments lie over each other.",
           lambda: file_listing(BODY, ENTRY, attrs.evolve(
               ENTRY, offset=ENTRY.offset + 8, size=ENTRY.size - 8)), REFUSED),
    Attack("entry_in_prefix", "A trailer whose segment begins in the prefix.",
           lambda: file_listing(BODY, attrs.evolve(ENTRY, offset=0)), REFUSED),
    Attack("hidden_bytes", "Bytes between segments that belong to none.",
           lambda: file_listing(BODY + b"hidden", ENTRY),
           attrs.evolve(SOUND, found=verifying.TAIL_IGNORED)),
    Attack("copies_differ", "Two copies of a trailer that say different things.",
           _copies_differ, TORN),
    Attack("ends_5000", "5,000 ends of trailers behind the true one.",
           lambda: _ends(5000), TORN),
    Attack("trailer_cut", "A trailer whose last byte is missing.",
           lambda: file_of(SEGMENT)[:-1], TORN),
    Attack("magic_text_mode", "A magic as a transfer in text mode leaves it.",
           lambda: file_of(SEGMENT).replace(b"\r\n", b"\n", 1), REFUSED),
    Attack("crc_right_magic_wrong", "A foot of another magic, its CRC right.",
           lambda: _foot(b0=0), SEGMENT_REFUSED),
    Attack("foot_reserved", "A foot with a reserved bit.",
           lambda: _foot(b10=1), SEGMENT_REFUSED),
    Attack("foot_flipped", "A foot with a bit flipped.",
           lambda: file_of(_flipped(SEGMENT, len(SEGMENT) - 50)), SEGMENT_REFUSED),
    Attack("block_flipped", "A record block with a bit flipped.",
           lambda: file_of(_flipped(SEGMENT, 20)), QUARANTINED),
    Attack("major_2", "A container of the next major version.",
           lambda: _swapped_prefix(major=2, oldest_reader=2), REFUSED),
    Attack("oldest_reader_9", "A container that only later readers read.",
           lambda: _swapped_prefix(oldest_reader=9), REFUSED),
    Attack("prefix_reserved", "A prefix with a reserved bit.",
           lambda: file_of(SEGMENT, prefix=prefix_of(zeros=(1, 0))), REFUSED),
    Attack("codec_2", "A block by a codec that nobody has.",
           lambda: graphs(layout={1: (len(graphs().record_block()), 78, 2, bytes(7))}),
           QUARANTINED),
]  # fmt: skip
