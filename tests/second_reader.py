"""
A second reader of bundles: what ``schema/FORMAT.md`` says, and nothing else.

It shares no code with overwinter, so bundles that both read alike show that the page
is the format. Where the two differed, the page was made exact before this was mended.
Signatures are listed, not verified: Ed25519 is not in the standard library.
"""

import struct
import sys
import zlib
from collections import namedtuple
from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from itertools import accumulate, pairwise
from typing import Any

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PREFIX, FOOT, TRAILER, END = (b"\x89OW%c\r\n\x1a\n" % letter for letter in b"BSTE")
KIB, MIB, GIB = 2**10, 2**20, 2**30
WINDOW = {zstd.DecompressionParameter.window_log_max: 27}
PAYLOAD = "payload", {"optional": "payload"}  # types of fields, in a schema
SCALARS = *"null bool i64 u64 f64 str bytes time_ns".split(), {"enum": (list, dict)}
FLAT = *SCALARS, {"optional": SCALARS}
LOST = object()  # stands for a payload that is damaged
# Shapes for `_fits`.
ANY, FROM_1, ABSENT = range(2**64), range(1, 2**64), ...
HEADER = dict(digest="sha256", requires=[()], write_requires=[str], writer=str)
KIND = dict(kind=str, version=FROM_1, fingerprint=32, oldest_reader=FROM_1)
KIND |= dict(schema=dict, draft=(bool, ABSENT))
STAMP = dict(kind=ANY, environment=(ANY, None, ABSENT), first=str, last=(str, ABSENT))
STAMP |= dict(rows=ANY, size=ANY, digest=32, payload_size=ANY)
SAID = dict(type="overwinter.segment/1", kinds=[KIND], blocks=[STAMP])
SAID |= dict(environments=[{...: (str, [str])}], payload_blocks=ANY)
SIGNATURES = [dict(algorithm=str, key=bytes, signature=bytes)]
SCHEMA = dict(fields=[dict(name=str, type=(str, dict))])
TABLE = dict(blocks=[ANY], sizes=[ANY], digests=bytes)
BLOCK = dict(rows=ANY, columns={...: bytes}, payloads=TABLE)
SPANS = dict(offset=[(ANY, None)], size=[(ANY, None)])

# One record and its stamps; its payloads, in the fields of these names, are bytes.
Artifact = namedtuple("Artifact", "kind version environment record payloads")
# What a segment says, in its order; kept unread: kind, version, first key, rows.
Segment = namedtuple("Segment", "digest signers artifacts kept damage")
# The outcome is "refused", "quarantined" or "tail ignored".
Damage = namedtuple("Damage", "outcome why")


class Invalid(ValueError):
    """The bytes break a rule of the page; of a whole file: it is refused."""


def read_bundle(data: bytes) -> tuple[list[Segment], list[Damage]]:
    """Return what can be read, and what not; raise `Invalid` to refuse the file."""
    _check(data[:8] == PREFIX and len(data) >= 32, "not a bundle")
    oldest, zero, size, crc, zeros, prefix_crc = struct.unpack("<HHIIII", data[12:32])
    _check(zlib.crc32(data[:28]) == prefix_crc, "the prefix is damaged")
    _check(oldest <= 1 and zero == zeros == 0, "for later readers")
    header = data[32 : 32 + size]
    _check(len(header) == size <= 64 * KIB and zlib.crc32(header) == crc, "the header")
    _check(_fits(unpack(header), HEADER), "a header or features beyond version 1")
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


def _fits(value: Any, shape: Any) -> bool:
    """Return whether *value* is this, of this type, range or size, or made of such."""
    if type(shape) is tuple:
        return any(_fits(value, each) for each in shape)
    if type(shape) is list:
        return type(value) is list and all(_fits(each, *shape) for each in value)
    if type(shape) is dict:
        if type(value) is not dict:
            return False
        shape = dict.fromkeys(value, shape[...]) if ... in shape else shape
        return all(_fits(value.get(key, ABSENT), shape[key]) for key in shape)
    if type(shape) is range:
        return type(value) is int and value in shape
    if type(shape) is int:
        return type(value) is bytes and len(value) == shape
    return value is shape or type(value) is shape or value == shape


def _trailer(data: bytes, low: int) -> tuple[list[tuple[int, int, bytes]], list[str]]:
    """Return offset, size and name of each segment, and what else lies about."""
    end = len(data)
    while (last := _copy(data, low, end)) is None:
        end = data.rfind(END, max(low, len(data) - GIB), end - 1) + len(END)
        _check(end >= len(END), "no trailer found")
    begin, end, segments = last
    tails = [] if end == len(data) else ["the file does not end with both copies"]
    position = low
    for offset, size, _ in sorted([*segments, (begin, 0, b"")]):
        old = _copy(data, low, offset)
        if position < offset and (old is None or old[:2] != (position, offset)):
            tails.append(f"dead bytes from {position} to {offset}")
        position = offset + size
    return segments, tails


def _copy(data: bytes, low: int, end: int) -> tuple[int, int, list] | None:
    """Of the copy ending at *end*: where its pair begins, ends if whole; its list."""
    if end - 40 < low or data[end - 8 : end] != END:
        return None
    size, crc = struct.unpack_from("<II", data, end - 16)
    copy = data[max(low, end - max(size, 40)) : end]
    magic, begin, count, zero = struct.unpack_from("<8sQII", copy)
    sound = (magic, zero, size) == (TRAILER, 0, 40 + 48 * count) and len(copy) == size
    if not sound or begin not in (end - size, end - 2 * size):
        return None
    _check(count <= MIB, "a trailer of too many segments")
    segments = list(struct.iter_unpack("<QQ32s", copy[24:-16]))
    spans = [(low, 0), *sorted(each[:2] for each in segments), (begin, 0)]
    apart = all(at + size <= after for (at, size), (after, _) in pairwise(spans))
    apart = apart and all(size >= 96 for _, size, _ in segments)
    if zlib.crc32(copy[:-12]) != crc or not apart:
        return None
    is_whole = data[begin : begin + 2 * size] == copy + copy
    return begin, begin + 2 * size if is_whole else 0, segments


def _segment(data: bytes, name: bytes) -> Segment:
    """Return the segment called *name*, with what of it is quarantined."""
    foot = struct.unpack("<8sH6sQQQII32s12sI", data[-96:].rjust(96, b"\0"))
    magic, version, zeros, size, *sizes, crc, digest, more_zeros, foot_crc = foot
    _check(magic == FOOT and zlib.crc32(data[-96:-4]) == foot_crc, "a damaged foot")
    _check((version, size, digest) == (1, len(data), name), "not what is listed")
    _check(sizes[1] <= 64 * MIB and sizes[2] <= 64 * KIB, "a part is too large")
    rest = size - 96 - sum(sizes)
    _check(rest >= 0 and not any(zeros + more_zeros), "what the foot says")
    bounds = pairwise(accumulate([rest, *sizes], initial=0))
    blocks, places, packed, signed = (data[begin:end] for begin, end in bounds)
    _check(sha256(packed).digest() == name, "the statement is damaged")
    _check(zlib.crc32(signed) == crc, "the signatures are damaged")
    said, signatures = unpack(packed), unpack(signed)
    _check(_fits(said, SAID) and _fits(signatures, SIGNATURES), "other words")
    _check(len(signatures) <= 16, "too many signatures")
    stamps, count = said["blocks"], said["payload_blocks"]
    _check(len(places) == 24 * (len(stamps) + count), "another number of blocks")
    layout = list(struct.iter_unpack("<QQB7s", places))
    payloads = [(blocks, place) for place in layout[len(stamps) :]]
    environments = {None: None, **dict(enumerate(said["environments"]))}
    signers = [s["key"] for s in signatures if s["algorithm"] == "ed25519"]
    segment, used = Segment(name, signers, [], [], []), set()
    for place, stamp in zip(layout, stamps, strict=False):
        number, where = stamp["kind"], stamp.get("environment")
        _check(number < len(said["kinds"]) and where in environments, "not listed")
        kind, first = said["kinds"][number], stamp["first"]
        says = kind["kind"], kind["version"], environments[where]
        fields, flat = None, set()
        if _fits(kind["schema"], SCHEMA):
            listed = kind["schema"]["fields"]
            fields = {each["name"] for each in listed if each["type"] in PAYLOAD}
            flat = {each["name"] for each in listed if _fits(each["type"], FLAT)}
        try:
            size, digest = stamp["size"], stamp["digest"]
            block = unpack(_load(blocks, place, size, digest, 64 * MIB))
            records = _records(block, stamp, fields, flat, payloads)
        except Invalid as error:
            segment.damage.append(Damage("quarantined", f"from {first!r} on: {error}"))
            continue
        used.update(block["payloads"]["blocks"])
        if fields is None:
            segment.kept.append((*says[:2], first, stamp["rows"]))
        for record in records:
            if LOST in record.values():
                segment.damage.append(Damage("quarantined", record["key"]))
                continue
            segment.artifacts.append(Artifact(*says, record, fields))
    if not segment.damage and len(used) != count:
        segment.damage.append(Damage("quarantined", "payload blocks nobody lists"))
    ends = [(0, 0), *sorted(place[:2] for place in layout), (len(blocks), 0)]
    if any(at + size != after for (at, size), (after, _) in pairwise(ends)):
        segment.damage.append(Damage("quarantined", "the blocks do not tile"))
    return segment


def _load(blocks: bytes, place: tuple, size: int, digest: bytes, limit: int) -> bytes:
    """Return one stored block as it was before compression."""
    offset, stored_size, codec, zeros = place
    block = blocks[offset : offset + stored_size]
    _check(size <= limit and codec < 2 and not any(zeros), "beyond version 1")
    _check(len(block) == stored_size <= size + size // 128 + KIB, "a stored size")
    if codec == 1:
        frame = zstd.ZstdDecompressor(options=WINDOW)
        with suppress(zstd.ZstdError):
            block = frame.decompress(block, size + 1)
        _check(frame.eof and not frame.unused_data, "not one frame of zstd")
    _check(len(block) == size and sha256(block).digest() == digest, "a damaged block")
    return block


def _records(
    block: Any, stamp: dict, fields: set | None, flat: set, payloads: list
) -> list:
    """Return each record, of an opaque kind none; `LOST` in a payload's place."""
    _check(_fits(block, BLOCK), "another record block")
    rows, table = block["rows"], block["payloads"]
    numbers, sizes, digests = table["blocks"], table["sizes"], table["digests"]
    _check(len({*numbers}) == len(numbers) == len(sizes), "a payload block twice")
    _check(len(digests) == 32 * len(sizes), "another number of digests")
    columns = {name: unpack(column) for name, column in block["columns"].items()}
    keys = columns.get("key")
    _check(_fits(keys, [str]) and keys[:1] == [stamp["first"]], "other keys")
    _check(1 <= rows == stamp["rows"] == len(keys) <= MIB, "another number of rows")
    stored = {}
    for n, (number, size) in enumerate(zip(numbers, sizes, strict=True)):
        with suppress(Invalid):
            _check(number < len(payloads), "no such block")
            digest = digests[32 * n : 32 * n + 32]
            stored[n] = _load(*payloads[number], size, digest, GIB)
    if fields is None:
        _check(len(stored) == len(sizes), "a damaged payload block")
        return []
    edge = list(accumulate(sizes, initial=0))
    used, different, total = set(), 0, 0
    for field in fields & columns.keys():
        _check(_fits(columns[field], SPANS) and len(columns[field]) == 2, "references")
        offsets, lengths = columns[field]["offset"], columns[field]["size"]
        _check(len(offsets) == len(lengths) == rows, "another number of references")
        spans = list(zip(offsets, lengths, strict=True))
        _check(all((a is None) == (b is None) for a, b in spans), "half a reference")
        found: dict[tuple, Any] = {(None, None): None}
        end = 0
        for at, size in sorted({span for span in spans if span[1]}):
            _check(end <= at and at + size <= edge[-1], "overlaps, or out of bounds")
            end = at + size
            parts = [n for n in range(len(sizes)) if edge[n] < end and at < edge[n + 1]]
            begin = at - edge[parts[0]]
            payload = b"".join(stored.get(n, b"") for n in parts)[begin : begin + size]
            found[at, size] = payload if stored.keys() >= {*parts} else LOST
            used.update(parts)
            different += size
        total += sum(size or 0 for size in lengths)
        columns[field] = [found.get(span, b"") for span in spans]
    _check(len(used) == len(sizes), "a payload block that no record uses")
    _check(different <= 4 * GIB and total == stamp["payload_size"], "another size")
    good = all(type(each) is list and len(each) == rows for each in columns.values())
    _check(good, "a column of another number of values")
    nested = (each for name in flat & columns.keys() for each in columns[name])
    _check(not any(type(each) in (list, dict) for each in nested), "a nested value")
    records = zip(*columns.values(), strict=True)
    return [dict(zip(columns, record, strict=True)) for record in records]


BINS, TEXTS, LISTS, MAPS = b"\xc4\xc5\xc6", b"\xd9\xda\xdb", b"\xdc\xdd", b"\xde\xdf"
NUMBERS = bytes(range(0xCA, 0xD4))
TAGS = NUMBERS + BINS + TEXTS + LISTS + MAPS
FORMS = dict(zip(TAGS, "fdBHIQbhiqBHIBHIHIHI", strict=True))


def unpack(data: bytes) -> Any:
    """Return the one value that *data* holds."""
    stream = BytesIO(data)
    try:
        value = _unpack(stream, 33)
    except UnicodeDecodeError as error:
        raise Invalid(f"text that is none: {error}") from error
    _check(not stream.read(1), "bytes behind msgpack")
    return value


def _take(stream: BytesIO, size: int) -> bytes:
    data = stream.read(size)
    _check(len(data) == size, "msgpack that ends too early")
    return data


def _unpack(stream: BytesIO, depth: int) -> Any:
    (tag,) = _take(stream, 1)
    if tag < 0x80 or tag >= 0xE0:
        return tag if tag < 0x80 else tag - 0x100
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
    size = tag & (0x0F if tag < 0xA0 else 0x1F)
    if tag in FORMS:
        form = ">" + FORMS[tag]
        (size,) = struct.unpack(form, _take(stream, struct.calcsize(form)))
    if tag in NUMBERS:
        return size
    if tag in BINS:
        return _take(stream, size)
    if tag in TEXTS or 0xA0 <= tag < 0xC0:
        return _take(stream, size).decode()
    _check(depth > 0, "nested deeper than anybody writes")
    if tag in LISTS or 0x90 <= tag < 0xA0:
        return [_unpack(stream, depth - 1) for _ in range(size)]
    _check(tag in MAPS or tag < 0x90, f"tag {tag:#x} of msgpack")
    found = {}
    for _ in range(size):
        key = _unpack(stream, depth - 1)
        _check(type(key) is str and key not in found, "a key twice, or no text")
        found[key] = _unpack(stream, depth - 1)
    return found
