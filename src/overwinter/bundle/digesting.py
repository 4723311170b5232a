"""
Digests of payloads, which are hashed as they are read and never held.

Layout: ``schema/FORMAT.md``, "Artifact digest".
"""

from collections import deque
from collections.abc import Iterable
from hashlib import sha256

from ..errors import FormatError
from .blocks import PayloadTable, digest_of
from .segment_reader import Segment
from .streaming import forget_frames
from .unpacking import Span

__all__ = ["payload_digests"]


def payload_digests(
    segment: Segment, table: PayloadTable, spans: Iterable[Span]
) -> dict[Span, bytes | FormatError]:
    """
    Return the digest of the payload at each span, or the error of a damaged one.

    Each block is read once, at most 1 MiB of it at a time.

    Args:
        segment: Where the payload blocks are.
        table: The payload blocks that the record block lists.
        spans: Where the payloads lie, none of them behind the last block.
    """
    distinct = set(spans)
    found: dict[Span, bytes | FormatError] = {
        span: digest_of(b"") for span in distinct if not span[1]
    }
    waiting = deque(sorted(distinct - found.keys()))
    begun: list[_Payload] = []
    behind = 0
    for at, size in enumerate(table.sizes):
        position, behind = behind, behind + size
        ended: list[_Payload] = []
        fault: FormatError | None = None
        try:
            for piece in segment.payload_pieces(table, at):
                end = min(position + len(piece), behind)
                while waiting and waiting[0][0] < end:
                    begun.append(_Payload(waiting.popleft()))
                for each in begun:
                    each.take(memoryview(piece), position)
                ended += [each for each in begun if each.end <= end]
                begun = [each for each in begun if each.end > end]
                position = end
        except FormatError as error:
            forget_frames(error)
            fault = error
            while waiting and waiting[0][0] < behind:
                begun.append(_Payload(waiting.popleft()))
            ended += [each for each in begun if each.end <= behind]
            begun = [each for each in begun if each.end > behind]
        for each in (*ended, *begun):
            each.fault = each.fault or fault
        for each in ended:
            found[each.span] = each.fault or each.hash.digest()
    return found


class _Payload:
    """A payload that is hashed piece by piece."""

    __slots__ = ("begin", "end", "fault", "hash")

    def __init__(self, span: Span) -> None:
        self.begin, self.end = span[0], sum(span)
        self.hash = sha256()
        self.fault: FormatError | None = None

    @property
    def span(self) -> Span:
        return self.begin, self.end - self.begin

    def take(self, piece: memoryview, position: int) -> None:
        """Hash what *piece*, which begins at *position*, has of it."""
        self.hash.update(piece[max(0, self.begin - position) : self.end - position])
