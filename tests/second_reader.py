"""
A second reader of bundles, written from ``schema/FORMAT.md`` alone.

It imports nothing of overwinter, so that the page is the format and not the code.
Signatures are *not* verified: Ed25519 is not in the standard library.
"""

import struct
import sys
import zlib
from collections import namedtuple
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from itertools import accumulate, chain, pairwise, zip_longest
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PREFIX, FOOT, TRAILER, END = (b"\x89OW%c\r\n\x1a\n" % letter for letter in b"BSTE")
KIB, MIB, GIB = 2**10, 2**20, 2**30
WINDOW = {zstd.DecompressionParameter.window_log_max: 27}
HEADER = dict(digest=str, requires=list, write_requires=list, writer=str)
SAYS = dict(type=str, kinds=list, environments=list, blocks=list, payload_blocks=int)
ENTRY = dict(kind=int, first=str, rows=int, size=int, digest=bytes, payload_size=int)
KIND = dict(kind=str, version=int, schema=dict)
PAYLOADS = dict(blocks=list, sizes=list, digests=bytes)
SIGNATURE = dict(algorithm=str, key=bytes, signature=bytes)
PAYLOAD = "payload", {"optional": "payload"}  # types of fields, in a schema


class Invalid(ValueError):
    """The bytes break a rule of the page; of a whole file: it is refused."""


# One record and its stamps; its payloads are bytes.
Artifact = namedtuple("Artifact", "kind version environment record digest")
# What a segment says, in its order; kept unread: kind, version, first key, rows.
Segment = namedtuple("Segment", "digest signers environments artifacts kept damage")
# A segment "refused", artifacts "quarantined" (from *key* on), or "tail ignored".
Damage = namedtuple("Damage", "outcome why kind key rows", defaults=["", "", 0])


def read_bundle(data: bytes) -> tuple[list[Segment], list[Damage]]:
    """Return what can be read, and what not; raise `Invalid` to refuse the file."""
    _check(data[:8] == PREFIX and len(data) >= 32, "not a bundle")
    oldest, zero, size, crc, zeros, prefix_crc = struct.unpack("<HHIIII", data[12:32])
    _check(zlib.crc32(data[:28]) == prefix_crc, "the prefix is damaged")
    _check(oldest <= 1 and not zero + zeros, f"needs readers of version {oldest}")
    header = data[32 : 32 + size]
    _check(len(header) == size <= 64 * KIB and zlib.crc32(header) == crc, "the header")
    digest, requires, *_ = _get(unpack(header), HEADER)
    _check(digest == "sha256" and not requires, "a feature beyond version 1")
    listed, tails = _trailer(data, 32 + size)
    segments, damage = [], [Damage("tail ignored", why) for why in tails]
    for offset, size, name in listed:
        try:
            segments.append(_segment(data[offset : offset + size], name))
        except Invalid as error:
            damage.append(Damage("refused", f"segment {name.hex()}: {error}"))
    return segments, damage


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Invalid(otherwise)


def _get(value: Any, types: dict[str, type]) -> list[Any]:
    for key, kind in types.items():
        whole = type(value) is dict and type(value.get(key)) is kind
        _check(whole and (kind is not int or value[key] >= 0), f"a map without `{key}`")
    return [value[key] for key in types]


def _trailer(data: bytes, low: int) -> tuple[list[tuple[int, int, bytes]], list[str]]:
    """Return offset, size and name of each segment, and what else lies about."""
    end = len(data)
    while (last := _copy(data, low, end)) is None:
        at = data.rfind(END, max(low, len(data) - GIB), max(end - 1, 0))
        _check(at >= 0, "no trailer found")
        end = at + len(END)
    first, end, segments = last
    tails, at = [] if end else ["one copy of the trailer is damaged"], low
    ends = (first, 2 * (40 + 48 * len(segments)), b""), (len(data), 0, b"")
    for offset, size, _ in sorted([*segments, *ends]):
        end = offset  # of what is dead, less the pairs of old trailers that end it
        while (old := _copy(data, low, end)) and at <= old[0] < old[1] == end:
            end = old[0]
        if end > at:
            tails.append(f"{end - at} dead bytes at {at}")
        at = offset + size
    return segments, tails


def _copy(data: bytes, start: int, end: int) -> tuple[int, int, list] | None:
    """Of the copy ending at *end*: where its pair begins, ends if whole; its list."""
    if end - 40 < start or data[end - 8 : end] != END:
        return None
    size, crc = struct.unpack_from("<II", data, end - 16)
    copy = data[max(start, end - max(size, 40)) : end]
    magic, offset, count, zero = struct.unpack_from("<8sQII", copy)
    sound = TRAILER, 0, 40 + 48 * count
    if (magic, zero, size) != sound or len(copy) != size or count > MIB:
        return None
    if end - offset not in (size, 2 * size) or zlib.crc32(copy[:-12]) != crc:
        return None
    segments = list(struct.iter_unpack("<QQ32s", copy[24:-16]))
    spans = sorted(segment[:2] for segment in segments)
    if any(a + n > b for (a, n), (b, _) in pairwise([(start, 0), *spans, (offset, 0)])):
        return None
    whole = data[offset : offset + 2 * size] == 2 * copy
    return offset, whole * (offset + 2 * size), segments


def _segment(data: bytes, name: bytes) -> Segment:
    """Return the segment called *name*, with what of it is quarantined."""
    foot = struct.unpack("<8sH6sQQQII32s12sI", data[-96:].rjust(96, b"\0"))
    magic, version, zeros, size, *sizes, crc, digest, more_zeros, foot_crc = foot
    _check(magic == FOOT and zlib.crc32(data[-96:-4]) == foot_crc, "a damaged foot")
    _check((version, size, digest) == (1, len(data), name), "not what is listed")
    _check(sizes[1] <= 64 * MIB and sizes[2] <= 64 * KIB, "a part is too large")
    _check((rest := size - 96 - sum(sizes)) >= 0 == sum(zeros + more_zeros), "the foot")
    spans = pairwise(accumulate([rest, *sizes], initial=0))
    blocks, places, packed, signed = (data[start:end] for start, end in spans)
    _check(sha256(packed).digest() == name, "the statement is damaged")
    _check(zlib.crc32(signed) == crc, "the signatures are damaged")
    form, kinds, environments, entries, more = _get(unpack(packed), SAYS)
    good = "overwinter.segment/1", 24 * (len(entries) + more)
    _check((form, len(places)) == good, "another statement, or layout")
    layout = list(struct.iter_unpack("<QQB7s", places))
    ends = [(0, 0), *sorted(place[:2] for place in layout), (rest, 0)]
    tiled = all(a + n == b for (a, n), (b, _) in pairwise(ends))
    damage = [] if tiled else [Damage("quarantined", "the blocks do not tile")]
    signers = [s["key"] for s in unpack(signed) if _get(s, SIGNATURE)[0] == "ed25519"]
    segment = Segment(name, signers, environments, [], [], damage)
    payloads = blocks, layout[len(entries) :]
    for place, entry in zip(layout, entries, strict=False):
        number, first, rows, size, digest, _ = _get(entry, ENTRY)
        where = entry.get("environment", -1)
        _check(where in (None, *range(len(environments))), "an index of an environment")
        _check(1 <= rows <= MIB and size <= 64 * MIB and number < len(kinds), "bounds")
        kind, version, schema = _get(kinds[number], KIND)
        stamps = kind, version, None if where is None else environments[where]
        fields = None
        with suppress(KeyError, TypeError):  # of what is no schema as the page has it
            fields = {f["name"] for f in schema["fields"] if f["type"] in PAYLOAD}
        try:
            block = unpack(_load(blocks, [place], 0, size, digest))
            records = _records(block, entry, fields, payloads)
            if fields is None:
                segment.kept.append((kind, version, first, rows))
            for record in records:
                if any(value is Invalid for value in record.values()):
                    damage.append(Damage("quarantined", "lost", kind, record["key"], 1))
                    continue
                some = [f for f in fields if record.get(f) is not None]
                stood_for = {field: sha256(record[field]).digest() for field in some}
                digest = sha256(pack(record | stood_for)).digest()
                segment.artifacts.append(Artifact(*stamps, record, digest))
        except Invalid as error:
            damage.append(Damage("quarantined", str(error), kind, first, rows))
    return segment


def _load(blocks: bytes, layout: list, number: int, size: int, digest: bytes) -> bytes:
    """Return one stored block as it was before compression."""
    _check(0 <= number < len(layout), "no such block")
    offset, stored_size, codec, zeros = layout[number]
    block = blocks[offset : offset + stored_size]
    _check(len(block) == stored_size and codec < 2 and not any(zeros), "the layout")
    if codec == 1:
        frame = zstd.ZstdDecompressor(options=WINDOW)
        with suppress(zstd.ZstdError):
            block = frame.decompress(block, size + 1)
        _check(frame.eof and not frame.unused_data, "not one frame of zstd")
    _check(len(block) == size and sha256(block).digest() == digest, "a damaged block")
    return block


def _records(block: Any, entry: dict, fields: set | None, where: tuple) -> list[dict]:
    """Return each record; in the place of a payload that is damaged, `Invalid`."""
    rows, packed, payloads = _get(block, dict(rows=int, columns=dict, payloads=dict))
    numbers, sizes, digests = _get(payloads, PAYLOADS)
    _check(all(type(n) is int and 0 <= n <= GIB for n in numbers + sizes), "a size")
    _check(len({*numbers}) == len(numbers) == len(sizes) == len(digests) / 32, "blocks")
    stored = {}
    for n, (number, size) in enumerate(zip(numbers, sizes, strict=True)):
        with suppress(Invalid):
            stored[n] = _load(*where, number, size, digests[32 * n : 32 * n + 32])
    columns = {name: unpack(column) for name, column in packed.items()}
    edge = list(accumulate(sizes, initial=0))
    used, different, total = set(), 0, 0
    if fields is None:
        _check(len(stored) == len(sizes), "a payload block is damaged")
        return []
    for name in fields & columns.keys():
        bounds = _get(columns[name], dict(offset=list, size=list))
        ranges = list(zip_longest(*bounds))
        given = [pair for pair in ranges if pair != (None, None)]
        _check(all(type(n) is int and n >= 0 for n in chain(*given)), "a range")
        found: Any = {pair: b"" for pair in given if not pair[1]} | {(None, None): None}
        end = 0
        for at, size in sorted(set(given) - found.keys()):
            _check(end <= at and at + size <= sum(sizes), "a payload out of bounds")
            end = at + size
            parts = [n for n in range(len(sizes)) if edge[n] < end and at < edge[n + 1]]
            cuts = ((n, at - edge[n], end - edge[n]) for n in parts)
            found[at, size] = Invalid
            with suppress(KeyError):  # of a block that is damaged
                found[at, size] = b"".join(stored[n][max(a, 0) : b] for n, a, b in cuts)
            used.update(parts)
            different += size
        total += sum(size for _, size in given)
        columns[name] = [found[pair] for pair in ranges]
    _check(len(used) == len(sizes) and different <= 4 * GIB, "payload blocks")
    _check(total == entry["payload_size"] and rows == entry["rows"], "the statement")
    _check(all(type(c) is list and len(c) == rows for c in columns.values()), "columns")
    _check(all(type(key) is str for key in columns.get("key", [None])), "a key")
    _check(columns["key"][0] == entry["first"], "the first key")
    records = zip(*columns.values(), strict=True)
    return [dict(zip(columns, record, strict=True)) for record in records]


TAGS = bytes(range(0xCA, 0xD4)) + b"\xc4\xc5\xc6\xd9\xda\xdb\xdc\xdd\xde\xdf"
FORMS = dict(zip(TAGS, "fdBHIQbhiqBHIBHIHIHI", strict=True))


def unpack(data: bytes) -> Any:
    """Return the one value that *data* holds."""
    stream = BytesIO(data)
    try:
        value = _unpack(stream)
    except (IndexError, TypeError, struct.error, UnicodeError, RecursionError) as error:
        raise Invalid(f"no msgpack: {error}") from error
    _check(not stream.read(1), "bytes behind msgpack")
    return value


def _unpack(stream: BytesIO) -> Any:
    tag = stream.read(1)[0]
    if tag < 0x80 or tag >= 0xE0:
        return tag - 2 * (tag & 0x80)
    if tag in (0xC0, 0xC2, 0xC3):
        return None if tag == 0xC0 else tag == 0xC3
    size = tag & (0x0F if tag < 0xA0 else 0x1F)
    if form := FORMS.get(tag):
        (size,) = struct.unpack(">" + form, stream.read(struct.calcsize(form)))
    if 0xCA <= tag <= 0xD3:
        return size
    if 0xA0 <= tag < 0xC0 or tag in TAGS[10:16]:
        (raw,) = struct.unpack(f"{size}s", stream.read(size))
        return raw if tag in TAGS[10:13] else raw.decode()
    if 0x90 <= tag < 0xA0 or tag in b"\xdc\xdd":
        return [_unpack(stream) for _ in range(size)]
    _check(tag < 0x90 or tag in b"\xde\xdf", f"tag {tag:#x} of msgpack")
    found = dict((_unpack(stream), _unpack(stream)) for _ in range(size))
    _check(len(found) == size and all(type(k) is str for k in found), "keys of a map")
    return found


def pack(value: Any) -> bytes:
    """Return *value* as canonical msgpack."""
    if value is None or type(value) is bool:
        return bytes([0xC0 if value is None else 0xC2 + value])
    if type(value) is float:
        return struct.pack(">Bd", 0xCB, value)
    if type(value) is int:
        tags = b"\xcc\xcd\xce\xcf" if value >= 0 else b"\xd0\xd1\xd2\xd3"
        return bytes([value % 256]) if -32 <= value < 128 else _head(tags, value)
    if type(value) is str:
        return _head(b"\xd9\xda\xdb", len(text := value.encode()), 0xA0, 32) + text
    if type(value) is bytes:
        return _head(b"\xc4\xc5\xc6", len(value)) + value
    if type(value) is list:
        return _head(b"\xdc\xdd", len(value), 0x90, 16) + b"".join(map(pack, value))
    items = b"".join(pack(part) for item in sorted(value.items()) for part in item)
    return _head(b"\xde\xdf", len(value), 0x80, 16) + items


def _head(tags: bytes, number: int, fixed: int = 0, few: int = 0) -> bytes:
    if 0 <= number < few:
        return bytes([fixed + number])
    for tag in tags:
        with suppress(struct.error):
            return struct.pack(">B" + FORMS[tag], tag, number)
    raise Invalid(f"{number} is beyond msgpack")


if __name__ == "__main__":
    found, damage = read_bundle(Path(sys.argv[1]).read_bytes())
    for segment in found:
        for artifact in segment.artifacts:
            print(*artifact[:2], artifact.record["key"], artifact.digest.hex())
        damage.extend(segment.damage)
    print(*damage, sep="\n")
