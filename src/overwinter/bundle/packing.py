"""
Packing: payloads into blocks, and the references by which records find them.

`unpacking` is the inverse. Layout: ``schema/FORMAT.md``, "Payload block" and
"Record block".
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

import attrs

from ..codec import pack
from .blocks import Buffer, digest_of

__all__ = ["PIECE", "Packed", "PayloadPacker", "pack_size"]

# A large payload is cut into pieces, which are verified one by one.
PIECE = 4 * 2**20
# Small payloads share a block. One that is compressed is as large as a piece, since
# similar artifacts compress together (libraries of real kernels 12.4 times in
# blocks of 4 MiB, 5.3 in blocks of 256 KiB, 3.0 one by one). One that is stored
# gains nothing by its size, and who reads one payload hashes the whole block.
_STORED_TOGETHER = 64 * 2**10

# From this size on payloads are compared by their ends first: hashing every byte of
# 400 MB takes as long as writing it.
_LARGE = 4096
# Of payloads smaller than this so many are remembered: the memory for all of a
# million would be more than storing those again that come back.
_SMALL = 256
_SMALL_KNOWN = 2**14

Payload = bytes | None


def pack_size(level: int) -> int:
    """Return up to how many bytes of payloads share a block, by zstd level."""
    return PIECE if level else _STORED_TOGETHER


@attrs.frozen
class _Spot:
    """Where a payload lies: some whole blocks, or a part of one."""

    blocks: tuple[int, ...]
    offset: int


class _Large:
    """A large payload as a key of a dict: hashed by its ends, compared whole."""

    __slots__ = ("payload",)

    def __init__(self, payload: bytes) -> None:
        self.payload = payload

    def __hash__(self) -> int:
        return hash((len(self.payload), self.payload[:64], self.payload[-64:]))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Large) and self.payload == other.payload

    def __len__(self) -> int:
        return len(self.payload)


_Key = bytes | _Large


@attrs.frozen
class Packed:
    """
    The payloads of one record block.

    Args:
        blocks: The payload blocks that it uses, by number.
        references: Of each payload column the offsets and sizes, encoded.
        payload_size: Bytes of the payloads, each row counted.
    """

    blocks: tuple[int, ...]
    references: dict[str, bytes]
    payload_size: int


class PayloadPacker:
    """
    Packs the payloads of one segment into blocks; equal ones are stored once.

    Args:
        store: Takes the pieces of the next block; blocks are numbered from 0.
        together: Up to how many bytes share a block.
        by_digest: Remember payloads by their digests: for a caller who does not
            hold all of them anyway.
    """

    def __init__(
        self,
        store: Callable[[Sequence[Buffer]], None],
        *,
        together: int,
        by_digest: bool = False,
    ) -> None:
        self._store, self._together, self._by_digest = store, together, by_digest
        self._sizes: list[int] = []
        self._known: dict[_Key, _Spot] = {}
        self._small_known = 0

    def pack(self, columns: Mapping[str, Sequence[Payload]]) -> Packed:
        """Store the payloads of one record block; return how it finds them."""
        keys = {name: _keys(column) for name, column in columns.items()}
        every = chain.from_iterable(keys.values())
        distinct: dict[_Key, None] = dict.fromkeys(filter(None, every))
        known = self._known_of(distinct)
        new = [key for key in distinct if key not in known] if known else [*distinct]
        begin = len(self._sizes)
        offsets = dict(zip(new, self._add(new), strict=True))
        blocks = dict.fromkeys(range(begin, len(self._sizes)))
        # Behind its own blocks those of record blocks before this one.
        end = sum(self._sizes[begin:])
        starts: dict[int, int] = {}
        for key, spot in known.items():
            for number in spot.blocks:
                if number not in starts:
                    starts[number], end = end, end + self._sizes[number]
            offsets[key] = starts[spot.blocks[0]] + spot.offset
        references, payload_size = {}, 0
        for name, column in keys.items():
            places, sizes = _places(column, offsets)
            references[name] = pack({"offset": places, "size": sizes})
            payload_size += sum(filter(None, sizes))
        return Packed((*blocks, *starts), references, payload_size)

    def _known_of(self, payloads: dict[_Key, None]) -> dict[_Key, _Spot]:
        """Return where those of *payloads* lie that record blocks before this have."""
        if self._by_digest:
            names = {self._name(payload): payload for payload in payloads}
            shared = names.keys() & self._known.keys()
            return {names[name]: self._known[name] for name in names if name in shared}
        shared = payloads.keys() & self._known.keys()
        return {each: self._known[each] for each in payloads if each in shared}

    def _add(self, payloads: Sequence[_Key]) -> Iterable[int]:
        """Store *payloads*; return where each begins in their concatenation."""
        ends = list(accumulate(map(len, payloads)))
        begin = base = 0
        while begin < len(payloads):
            end = bisect_right(ends, base + self._together, begin)
            if end > begin:
                self._close(payloads[begin:end])
            else:
                # It lies alone, so that who reads it reads nothing else.
                self._cut(payloads[begin])
                end += 1
            begin, base = end, ends[end - 1]
        return chain([0], ends[:-1]) if ends else ()

    def _close(self, payloads: Sequence[_Key]) -> None:
        """Store *payloads* as one block."""
        number, sizes = len(self._sizes), list(map(len, payloads))
        if self._small_known < _SMALL_KNOWN or max(sizes) >= _SMALL:
            starts = accumulate(sizes, initial=0)
            for payload, offset in zip(payloads, starts, strict=False):
                self._remember(payload, (number,), offset)
        self._sizes.append(sum(sizes))
        # A call of `_bytes` for each would take 30 ms of 200,000, and few are large.
        pieces: list[Any] = list(payloads)
        if _Large in set(map(type, pieces)):
            pieces = list(map(_bytes, pieces))
        self._store(pieces)

    def _cut(self, payload: _Key) -> None:
        """Store one large payload, in pieces."""
        whole, first = memoryview(_bytes(payload)), len(self._sizes)
        for at in range(0, len(whole), PIECE):
            piece = whole[at : at + PIECE]
            self._sizes.append(len(piece))
            self._store([piece])
        self._remember(payload, tuple(range(first, len(self._sizes))), 0)

    def _remember(self, payload: _Key, blocks: tuple[int, ...], offset: int) -> None:
        if len(payload) < _SMALL:
            if self._small_known == _SMALL_KNOWN:
                return
            self._small_known += 1
        self._known[self._name(payload)] = _Spot(blocks, offset)

    def _name(self, payload: _Key) -> _Key:
        return digest_of(_bytes(payload)) if self._by_digest else payload


def _places(
    column: Sequence[_Key | None], offsets: Mapping[_Key, int]
) -> tuple[list[int | None], list[int | None]]:
    """Return offset and size of each payload; null where there is none."""
    if all(column):
        present: Sequence[Any] = column
        return list(map(offsets.__getitem__, present)), list(map(len, present))
    return (
        [offsets[key] if key else None if key is None else 0 for key in column],
        [None if key is None else len(key) for key in column],
    )


def _keys(column: Sequence[Payload]) -> Sequence[_Key | None]:
    """Return what tells the payloads of a column apart, row by row."""
    if max(map(len, filter(None, column)), default=0) < _LARGE:
        return column
    return [_Large(each) if each and len(each) >= _LARGE else each for each in column]


def _bytes(key: _Key) -> bytes:
    return key.payload if isinstance(key, _Large) else key
