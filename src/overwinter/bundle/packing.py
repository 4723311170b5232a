"""
Packing: payloads into blocks, and the references by which records find them.

Layout: ``schema/FORMAT.md``, "Payload block" and "Record block".
"""

from collections.abc import Callable, Mapping

import attrs

from ..codec import pack
from .blocks import PayloadTable, Placement, digest_of

__all__ = ["PAYLOAD_BLOCK", "PayloadPacker"]

# One block of payloads: large enough that similar artifacts compress together
# (21 times, against 7 one by one), small enough to read for the sake of one.
PAYLOAD_BLOCK = 4 * 2**20


@attrs.frozen
class _Spot:
    """Where a payload lies: some whole blocks, or a part of one."""

    blocks: tuple[int, ...]
    offset: int


class PayloadPacker:
    """
    Packs the payloads of one segment into blocks; equal ones are stored once.

    Args:
        store: Takes the bytes of a block and says where it put them.

    Attributes:
        placements: Where the blocks lie, by number.
    """

    def __init__(self, store: Callable[[bytes], Placement]) -> None:
        self._store = store
        self.placements: list[Placement] = []
        self._sizes: list[int] = []
        self._digests: list[bytes] = []
        # Equal payloads meet in one bucket; only there are they compared whole.
        self._known: dict[tuple[int, bytes, bytes], list[tuple[bytes, _Spot]]] = {}
        self._open: list[bytes] = []
        self._open_size = 0

    def write(
        self, columns: Mapping[str, list[bytes | None]]
    ) -> tuple[PayloadTable, dict[str, bytes], int]:
        """Return table, reference columns and size of one record block's payloads."""
        spots: dict[str, list[_Spot | None]] = {}
        for name, column in columns.items():
            spots[name] = [
                None if each is None else self._place(each) for each in column
            ]
        self._close()

        numbers = list(
            dict.fromkeys(
                number
                for column in spots.values()
                for spot in column
                if spot is not None
                for number in spot.blocks
            )
        )
        starts, total = {}, 0
        for number in numbers:
            starts[number] = total
            total += self._sizes[number]
        references, payload_size = {}, 0
        for name, column in columns.items():
            sizes = [None if each is None else len(each) for each in column]
            offsets = [
                None
                if spot is None
                else starts[spot.blocks[0]] + spot.offset
                if spot.blocks
                else 0
                for spot in spots[name]
            ]
            references[name] = pack({"offset": offsets, "size": sizes})
            payload_size += sum(size for size in sizes if size)
        table = PayloadTable(
            tuple(numbers),
            tuple(self._sizes[number] for number in numbers),
            tuple(self._digests[number] for number in numbers),
        )
        return table, references, payload_size

    def _place(self, payload: bytes) -> _Spot:
        if not payload:
            return _Spot((), 0)
        bucket = self._known.setdefault((len(payload), payload[:32], payload[-32:]), [])
        for other, spot in bucket:
            if other == payload:
                return spot
        spot = self._add(payload)
        bucket.append((payload, spot))
        return spot

    def _add(self, payload: bytes) -> _Spot:
        if len(payload) > PAYLOAD_BLOCK:
            # A large payload lies alone, in pieces that are verified one by one.
            self._close()
            pieces = [
                payload[at : at + PAYLOAD_BLOCK]
                for at in range(0, len(payload), PAYLOAD_BLOCK)
            ]
            return _Spot(tuple(self._write_block(piece) for piece in pieces), 0)
        if self._open_size + len(payload) > PAYLOAD_BLOCK:
            self._close()
        spot = _Spot((len(self.placements),), self._open_size)
        self._open.append(payload)
        self._open_size += len(payload)
        return spot

    def _close(self) -> None:
        if self._open:
            self._write_block(b"".join(self._open))
        self._open, self._open_size = [], 0

    def _write_block(self, data: bytes) -> int:
        self._sizes.append(len(data))
        self._digests.append(digest_of(data))
        self.placements.append(self._store(data))
        return len(self.placements) - 1
