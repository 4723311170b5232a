"""
Comparing records that are to be written with records that a bundle holds.

Payloads are read only where they are of equal size, and each block once.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..errors import FormatError
from .content import Content
from .identity import are_equal
from .merging import Row, read_payloads_of
from .writer import Records

__all__ = ["equal_rows", "payload_sizes"]

# Bytes of payloads that are read at once to be compared.
_AT_ONCE = 32 * 2**20

# Records of one block that are picked out of columns which stay encoded.
_FEW = 8


def equal_rows(group: Records, there: Mapping[str, Sequence[Row]]) -> set[int]:
    """
    Return the rows of *group* that are there already, whole.

    Args:
        group: What is to be written.
        there: By key, what they may be equal to.
    """
    pairs: defaultdict[Content, list[tuple[int, Row]]] = defaultdict(list)
    for row, key in enumerate(group.columns["key"]):
        if rows := there.get(key):
            sizes = payload_sizes(group, row)
            for held in rows:
                if _sizes(held) == sizes:
                    pairs[held.content].append((row, held))
    equal: set[int] = set()
    for content, of_content in pairs.items():
        for part in _parts(of_content):
            unknown = [(row, held) for row, held in part if row not in equal]
            numbers = [held.number for _, held in unknown]
            read = read_payloads_of(content, numbers)
            for row, held in unknown:
                record = _record(held, read, len(unknown))
                new = {name: each[row] for name, each in group.columns.items()}
                if record is not None and are_equal(record, new, group.payload_names):
                    equal.add(row)
    return equal


def _record(held: Row, read: Mapping[Any, Any], of: int) -> dict[str, Any] | None:
    """
    Return a record with its payloads, or ``None`` where one is damaged.

    Args:
        held: The record.
        read: Its payloads by where they lie, or their errors.
        of: How many records of its block are asked for.
    """
    columns, spans = held.content.columns, held.content.spans
    record: dict[str, Any] = {}
    for name in columns:
        if name not in spans:
            # To pick one out is a walk up to it.
            record[name] = (
                columns.value(name, held.number)
                if of <= _FEW
                else columns[name][held.number]
            )
            continue
        span = spans[name][held.number]
        record[name] = None if span is None else read[span]
        if isinstance(record[name], FormatError):
            return None
    return record


def _parts(
    pairs: Sequence[tuple[int, Row]],
) -> Iterator[Sequence[tuple[int, Row]]]:
    """Cut what is compared into parts of about ``_AT_ONCE`` bytes, in stored order."""
    ordered = sorted(pairs, key=lambda pair: pair[1].number)
    begin = size = 0
    for at, (_, held) in enumerate(ordered):
        size += held.payload_size
        if size >= _AT_ONCE:
            yield ordered[begin : at + 1]
            begin, size = at + 1, 0
    if begin < len(ordered):
        yield ordered[begin:]


def _sizes(held: Row) -> dict[str, int]:
    spans = held.content.spans.items()
    return {name: span[1] for name, rows in spans if (span := rows[held.number])}


def payload_sizes(group: Records, row: int) -> dict[str, int]:
    """Return the bytes of the payloads of one row, by field; of null there is none."""
    return {
        name: len(payload)
        for name in group.payload_names
        if (payload := group.columns[name][row]) is not None
    }
