"""
Reading, in strict order of distrust: nothing is used before it was verified.

Opening reads both ends of the file, never a block: prefix, header and trailer. What
a segment says is read when it is asked for. A damaged segment is refused and a
damaged block quarantined, by name; what is sound beside them is read.
Layout: ``schema/FORMAT.md``.
"""

from functools import cached_property
from itertools import islice
from operator import ge

import attrs

from ..closing import Closing
from ..errors import DamagedError, FormatError, TooNewError
from ..files import Buffer, PathLike
from ..limits import MAX_FAULTS
from ..memory import within_memory
from ..sources import FileSource, Source, source_of
from ..workers import Workers
from .content import Rows
from .ends import Ends
from .prefix import PREFIX, read_prefix
from .record_block import Record, RecordBlock
from .segment_reader import Segment
from .streaming import forget_frames, read_ahead
from .trailer import Trailer, read_trailer

__all__ = ["Bundle", "Record", "RecordBlock", "Rows", "Segment"]


class Bundle(Closing):
    """
    An open bundle. Safe on hostile bytes: nothing of it is run or written.

    Args:
        target: A path, the URL of an object, the bytes of a bundle, or anything that
            reads ranges: see `overwinter.sources.Source`. Opening asks such a source
            twice.

    Attributes:
        header: What the file requires, and who wrote it.
        trailer: Where the segments lie.
        segments: The sound segments.
        refused: For each other segment its number and the error that names why; from
            the twenty-first on it is one and the same.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be read.
        FormatError: Prefix, header or trailer are damaged: nothing can be used.
        VersionError: It was written for later readers.
    """

    def __init__(self, target: PathLike | Buffer | Source) -> None:
        self.source = source_of(target)
        self._owned = self.source is not target
        try:
            with within_memory(self.name, "both ends of the file"):
                self._ends = Ends(self.source)
                self.header = read_prefix(self._ends)
                self.trailer = read_trailer(self._ends, self.start)
                if self.trailer.is_torn and isinstance(self.source, FileSource):
                    self.trailer = self._settled(self.source)
        except BaseException:
            self.close()
            raise

    def _settled(self, source: FileSource) -> Trailer:
        """Tell an append that goes on at this moment from one that was torn."""
        if source.is_being_appended():
            # What it appends belongs to the next reader.
            return attrs.evolve(self.trailer, recovery="", is_torn=False)
        source.look_again()
        self._ends = Ends(source)
        return read_trailer(self._ends, self.start)

    @cached_property
    def _read_segments(
        self,
    ) -> tuple[tuple[Segment, ...], list[tuple[int, Exception]]]:
        segments, refused = [], list[tuple[int, Exception]]()
        # Who forges thousands needs a few bytes for each.
        other = DamagedError(
            self.name, "a segment", "damage", "none, as with those told before"
        )
        for number, entry in enumerate(self.trailer.segments):
            try:
                with within_memory(self.name, f"segment {number}"):
                    segments.append(Segment(self._ends, entry, number))
            except (FormatError, TooNewError) as error:
                forget_frames(error)
                refused.append((number, other if len(refused) >= MAX_FAULTS else error))
        return tuple(segments), refused

    @property
    def segments(self) -> tuple[Segment, ...]:
        """The segments whose words are sound; read when they are first asked for."""
        return self._read_segments[0]

    @property
    def refused(self) -> list[tuple[int, Exception]]:
        """The others: number of the segment, and why."""
        return self._read_segments[1]

    @property
    def name(self) -> str:
        """Path of the file, or what stands for it."""
        return self.source.name

    @property
    def start(self) -> int:
        """End of the header: the first segment may begin here."""
        return PREFIX.size + self.header.size

    @property
    def recovery(self) -> str:
        """Empty, or what was wrong at the end of the file."""
        return self.trailer.recovery

    def keys(self) -> dict[str, list[str]]:
        """
        Return the keys of the artifacts: kind to keys, sorted, each once.

        No object is built, and nothing is decoded but the keys.

        Raises:
            FormatError: A record block is damaged.
        """
        found: dict[str, list[str]] = {}
        blocks = (block for segment in self.segments for block in segment.blocks)
        with within_memory(self.name, "its keys"), Workers() as workers:
            for block, job in read_ahead(blocks, workers):
                columns, _ = block.read_columns(job.result())
                found.setdefault(block.kind.kind, []).extend(columns["key"])
        return {kind: _ascending(keys) for kind, keys in sorted(found.items())}

    def fetch(self, kind: str, key: str) -> list[Record]:
        """
        Return the records of one key, as they were written: verified, not trusted.

        Reads one or two blocks, whatever the size of the bundle.

        Args:
            kind: Their kind.
            key: Their key.

        Returns:
            All variants, the earliest segment's first; none where there is none.

        Raises:
            FormatError: A block that may hold them is damaged.
            InvalidSchemaError: Their schema is in a later language.
        """
        return self._found(kind, key, view=False)

    def view(self, kind: str, key: str) -> list[Record]:
        """
        Return the records of one key with **unverified** views of their payloads.

        A payload that is stored uncompressed is not copied, nor is its digest
        asked: it may change while it is looked at, and a file that is cut short
        ends the process. Everything else is as in `fetch`. Populating never uses it.

        Args:
            kind: Their kind.
            key: Their key.

        Raises:
            FormatError: A block that may hold them is damaged.
            InvalidSchemaError: Their schema is in a later language.
        """
        return self._found(kind, key, view=True)

    def _found(self, kind: str, key: str, *, view: bool) -> list[Record]:
        with within_memory(self.name, f"{kind} {key!a:.80}"):
            return [
                record
                for segment in self.segments
                for block in segment.blocks_of(kind, key)
                for record in block.fetch(key, view=view)
            ]

    def close(self) -> None:
        """Close what this bundle opened itself."""
        if self._owned and isinstance(self.source, FileSource):
            self.source.close()


def _ascending(keys: list[str]) -> list[str]:
    # Of one segment they are sorted already, which is seen in a tenth of the time.
    if any(map(ge, keys, islice(keys, 1, None))):
        return sorted(set(keys))
    return keys
