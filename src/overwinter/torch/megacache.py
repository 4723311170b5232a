"""
Mega-Cache containers: what ``torch.compiler.save_cache_artifacts()`` returns.

Old caches must stay readable beside any torch or none, and torch's own loader
drops every group of a kind but the last: so this reads them, unpickling nothing.

Layouts, in big-endian numbers, where *sized* is ``u64 length · bytes``::

    torch 2.7    u64 1 · (u64 kind · sized key · sized content)*
    torch 2.8+   u32 CRC-32 of the rest · u64 1 · group*
    group        sized base64(kind) · u64 n · n entries
    entry        sized base64(key) · sized content
"""

import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator

from attrs import define, field, frozen

from ..errors import FormatError, WrongShapeError
from ..limits import MAX_KEY

__all__ = [
    "MegaCacheBlob",
    "MegaCacheEntry",
    "MegaCacheError",
    "is_megacache",
    "read_megacache",
    "write_megacache",
]

LAYOUT_WITHOUT_CHECKSUM = "2.7"  # each named by the first torch that wrote it
LAYOUT_WITH_CHECKSUM = "2.8"

_U64 = struct.Struct(">Q")
_CHECKSUM = struct.Struct(">I")  # CRC-32 of all bytes behind it
_VERSION = _U64.pack(1)
_LATER = slice(_CHECKSUM.size, _CHECKSUM.size + _U64.size)  # its version's place
_NUMBERED_KINDS = ("inductor", "autotune", "aot_autograd", "pgo")  # torch 2.7's enum
_MAX_STORED_BASE64 = -(-MAX_KEY // 3) * 4  # bytes of the longest key, encoded
_SHOWN = 24  # bytes of foreign text that an error repeats


class MegaCacheError(FormatError):
    """The bytes are not a Mega-Cache container, or a damaged one."""

    def __init__(self, source: str, offset: int, found: str, expected: str) -> None:
        super().__init__(source, offset, found, expected)
        self.source, self.offset = source, offset
        self.found, self.expected = found, expected

    def __str__(self) -> str:
        return (
            f"{self.source}: byte {self.offset}: found {self.found}, expected "
            f"{self.expected}; fetch the file again, or save it again with torch"
        )


@frozen
class MegaCacheEntry:
    """One artifact as torch recorded it; its key is foreign and unchecked."""

    kind: str
    key: str
    content: bytes = field(repr=lambda content: f"<{len(content):,} bytes>")


@frozen
class MegaCacheBlob:
    """
    One container: its layout, and the entries of all its saves in file order.

    Args:
        layout: ``"2.7"`` or ``"2.8"``.
        entries: All of them.
        groups: Kind and number of entries of each group, in that order; in the first
            layout each entry is one.
    """

    layout: str
    entries: tuple[MegaCacheEntry, ...]
    groups: tuple[tuple[str, int], ...] = field(default=(), eq=False)

    @property
    def dropped(self) -> tuple[MegaCacheEntry, ...]:
        """What torch's own loader leaves out: of a kind it keeps the last group."""
        if self.layout == LAYOUT_WITHOUT_CHECKSUM:
            return ()
        last = {kind: number for number, (kind, _) in enumerate(self.groups)}
        dropped: list[MegaCacheEntry] = []
        start = 0
        for number, (kind, count) in enumerate(self.groups):
            if last[kind] != number:
                dropped += self.entries[start : start + count]
            start += count
        return tuple(dropped)


def is_megacache(data: bytes | memoryview) -> bool:
    """Return whether *data* begins as a container, and its checksum if any holds."""
    try:
        _open(data, "<bytes>")
    except MegaCacheError:
        return False
    return True


def _open(data: bytes | memoryview, source: str) -> "_Reader":
    """Return a reader behind the version, whose place alone tells the layouts apart."""
    view = memoryview(data).cast("B")
    if view[: _U64.size] == _VERSION:
        reader = _Reader(view, source, _U64.size, encoded=False)
    elif view[_LATER] == _VERSION:
        reader = _Reader(view, source, _LATER.stop, encoded=True)
        (stored,), due = _CHECKSUM.unpack_from(view), zlib.crc32(view[_CHECKSUM.size :])
        if stored != due:
            raise reader.error(0, f"checksum {stored:08x}", f"{due:08x}")
    else:
        found = bytes(view[: _LATER.stop]).hex(" ") or "nothing"
        wanted = f"{_VERSION.hex(' ')} here (torch 2.7) or at byte 4 (torch 2.8 on)"
        raise MegaCacheError(source, 0, found, wanted)

    if reader.n_left == 0:
        # Torch saves nothing rather than an empty container: the rest was cut off.
        raise reader.error(reader.offset, "the end", "at least one artifact")
    return reader


def read_megacache(
    data: bytes | memoryview, *, source: str = "<bytes>"
) -> MegaCacheBlob:
    """
    Return every artifact in *data*, unmerged, also those that torch's loader drops.

    Args:
        data: The whole container, from torch 2.7 or later.
        source: Its path or address, for errors.

    Raises:
        MegaCacheError: *data* is foreign, cut or changed, or ends before its first
            artifact. Torch 2.7 wrote no checksum: there, changed contents and a cut
            between two artifacts pass unnoticed.

    Source:
        ``torch/compiler/_cache.py`` of torch 2.7 and 2.8, and the serializer it uses.
    """
    reader = _open(data, source)
    layout = LAYOUT_WITH_CHECKSUM if reader.encoded else LAYOUT_WITHOUT_CHECKSUM
    groups: list[tuple[str, int]] = []
    entries = tuple(_read_entries(reader, groups))
    return MegaCacheBlob(layout, entries, tuple(groups))


def _read_entries(
    reader: "_Reader", groups: list[tuple[str, int]]
) -> Iterator[MegaCacheEntry]:
    """Yield all entries; a kind of the first layout heads a group of one."""
    while reader.n_left:
        start = reader.offset
        if reader.encoded:
            kind, n_entries = reader.text("kind"), reader.u64("count")
        else:
            number, n_entries = reader.u64("kind"), 1
            if number >= len(_NUMBERED_KINDS):
                raise reader.error(start, f"kind {number}", "a kind from 0 to 3")
            kind = _NUMBERED_KINDS[number]

        groups.append((kind, n_entries))
        # A false count runs out of bytes, as every entry takes at least 16.
        for _ in range(n_entries):
            key = reader.text("key")
            yield MegaCacheEntry(kind, key, reader.sized("content", reader.n_left))


@define
class _Reader:
    """A place in the bytes: each read moves it on or raises, so every loop ends."""

    view: memoryview
    source: str
    offset: int
    encoded: bool  # whether kinds and keys are base64

    @property
    def n_left(self) -> int:
        return len(self.view) - self.offset

    def error(self, offset: int, found: str, expected: str) -> MegaCacheError:
        return MegaCacheError(self.source, offset, found, expected)

    def u64(self, name: str) -> int:
        word = self.view[self.offset : self.offset + _U64.size]
        if len(word) < _U64.size:
            raise self.error(self.offset, f"{len(word)} bytes", f"the 8 of a {name}")
        self.offset += _U64.size
        return int.from_bytes(word, "big")

    def text(self, name: str) -> str:
        start = self.offset
        stored = self.sized(name, _MAX_STORED_BASE64 if self.encoded else MAX_KEY)
        try:
            plain = b64decode(stored) if self.encoded else stored
            # Decoders forgive foreign letters and loose bits; torch writes neither.
            if self.encoded and b64encode(plain) != stored:
                raise ValueError("decodes, but not as encoded")
            return plain.decode("utf-8")
        except ValueError as error:
            found = f"{name} {stored[:_SHOWN]!r} ({error})"
            wanted = "base64 of UTF-8" if self.encoded else "UTF-8"
            raise self.error(start, found, wanted) from error

    def sized(self, name: str, limit: int) -> bytes:
        start = self.offset
        n_bytes = self.u64(f"{name} length")
        # Slices clip silently: compare the length before using it.
        limit = min(limit, self.n_left)
        if n_bytes > limit:
            raise self.error(start, f"{n_bytes} bytes of {name}", f"at most {limit}")
        self.offset += n_bytes
        return bytes(self.view[self.offset - n_bytes : self.offset])


def write_megacache(
    entries: Iterable[MegaCacheEntry], *, layout: str = LAYOUT_WITH_CHECKSUM
) -> bytes:
    """
    Return *entries* as one container that torch loads whole.

    Args:
        entries: At least one. The later layout gets one group for each kind, in
            order of first appearance: torch keeps only the last group of a kind.
        layout: ``"2.8"`` for that torch and all later ones, or ``"2.7"``.

    Raises:
        WrongShapeError: *layout* cannot hold *entries*.
        UnicodeEncodeError: A kind or key is no valid Unicode.
    """
    groups: dict[str, list[MegaCacheEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.kind, []).append(entry)
    if not groups:
        raise _misfit("entries: expected at least one, got none")
    if layout not in (LAYOUT_WITHOUT_CHECKSUM, LAYOUT_WITH_CHECKSUM):
        raise _misfit(f"layout: expected '2.7' or '2.8', got {layout!r}")

    encoded = layout == LAYOUT_WITH_CHECKSUM
    parts = [_VERSION]
    for kind, group in groups.items():
        if encoded:
            parts += [*_sized_text(kind, encoded), _U64.pack(len(group))]
        elif kind not in _NUMBERED_KINDS:
            raise _misfit(f"kind {kind!r}: torch 2.7 has {', '.join(_NUMBERED_KINDS)}")
        for entry in group:
            if not encoded:
                parts.append(_U64.pack(_NUMBERED_KINDS.index(kind)))
            parts += _sized_text(entry.key, encoded)
            parts += [_U64.pack(len(entry.content)), entry.content]

    # Checksummed part by part: joining first would hold every content twice.
    checksum = 0
    for part in parts if encoded else ():
        checksum = zlib.crc32(part, checksum)
    return b"".join([_CHECKSUM.pack(checksum), *parts] if encoded else parts)


def _sized_text(text: str, encoded: bool) -> tuple[bytes, bytes]:
    plain = text.encode("utf-8")
    if len(plain) > MAX_KEY:
        raise _misfit(f"{text[:_SHOWN]!r}: expected at most {MAX_KEY} bytes of UTF-8")
    stored = b64encode(plain) if encoded else plain
    return _U64.pack(len(stored)), stored


def _misfit(fault: str) -> WrongShapeError:
    return WrongShapeError("Mega-Cache container", (fault,))
