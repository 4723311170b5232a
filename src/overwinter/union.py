"""
Uniting bundles: what several machines or ranks saved, in one file.

A segment is copied with its signatures, so nobody signs for others, and nothing of
it need be known or trusted here. The order of the parts, a part named twice, or a
union made in several steps change no byte.
"""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import attrs

from . import files
from .bundle import Bundle
from .bundle.union import Listed, write_union
from .errors import ChangedError, ConflictError, FormatError, StoreError
from .files import Buffer, PathLike
from .limits import MAX_SEGMENTS
from .progress import Progress
from .sources import FileSource, Source, source_of
from .version import WRITER

__all__ = ["UnionPart", "UnionReport", "union"]

_REPORT_VERSION = 1

_MAX_OPEN = 64  # files at once; a process may often have 256 or 1,024

Target = PathLike | Buffer | Source


@attrs.frozen
class UnionPart:
    """
    One of the bundles that were united.

    Args:
        file: Its path, or what stands for it.
        segments: How many segments its trailer lists.
        problems: What is damaged or of a later version; it is carried all the same.
    """

    file: str
    segments: int
    problems: tuple[str, ...] = ()


@attrs.frozen
class UnionReport:
    """
    What a union did.

    Args:
        file: The new bundle.
        segments: How many segments it has.
        parts: The bundles that were united, as they were given.
    """

    file: str
    segments: int
    parts: tuple[UnionPart, ...]

    @property
    def duplicates(self) -> int:
        """How many segments of the parts were there already, byte for byte."""
        return sum(part.segments for part in self.parts) - self.segments

    @property
    def problems(self) -> tuple[str, ...]:
        """What is damaged or of a later version, in any part."""
        return tuple(problem for part in self.parts for problem in part.problems)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values; the layout is versioned."""
        plain = {"version": _REPORT_VERSION, **attrs.asdict(self)}
        return {**plain, "duplicates": self.duplicates}


def union(
    targets: Sequence[Target], out: PathLike, *, progress: Progress | None = None
) -> UnionReport:
    """
    Write a bundle with every segment of *targets*, each copied as it is.

    Args:
        targets: The bundles: paths, bytes, or anything that reads ranges.
        out: The new bundle; nothing may be there yet. It appears whole or not at all.
        progress: Told of bytes done and in all.

    Returns:
        What was done.

    Raises:
        ValueError: There are no *targets*.
        ConflictError: Something is at *out*.
        NotFoundError: There is no such file.
        FormatError: A bundle cannot be opened.
        VersionError: One was written for later readers or writers.
        ChangedError: A file changed while it was read.
        StoreError: The file cannot be written; nothing is left of it.

    Source:
        ``schema/FORMAT.md``, "Trailer".
    """
    if isinstance(targets, str | os.PathLike | bytes | bytearray | memoryview):
        raise TypeError(f"expected several bundles, got {type(targets).__name__}")
    if not targets:
        raise ValueError("expected at least one bundle to unite, got none")
    with _Parts(targets) as parts:
        described, segments = parts.look()
        if len(segments) > MAX_SEGMENTS:
            reason = f"its parts have {len(segments):,} segments, over {MAX_SEGMENTS:,}"
            raise StoreError(os.fspath(out), "write it", reason)
        try:
            with files.creating(out) as file:
                try:
                    entries = write_union(
                        file, segments, parts.source, writer=WRITER, progress=progress
                    )
                except FormatError:
                    parts.check_unchanged()  # the better reason, if it is one
                    raise
                # What was copied is only what was looked at if nobody wrote since.
                parts.check_unchanged()
        except FileExistsError as error:
            raise ConflictError(str(out)) from error
    return UnionReport(os.fspath(out), len(entries), tuple(described))


class _Parts:
    """The bundles to unite, of which only so many are open at once."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.states = [_state(target) for target in targets]
        self.open = OrderedDict[int, FileSource]()

    def look(self) -> tuple[list[UnionPart], list[Listed]]:
        """Return what the parts are, and the segments that they list."""
        described, segments = [], []
        for number in range(len(self.targets)):
            with Bundle(self.source(number)) as bundle:
                bundle.header.check_writable(bundle.name)
                problems = [str(error) for _, error in bundle.refused]
                if bundle.recovery:
                    problems.insert(0, f"{bundle.name}: {bundle.recovery}")
                listed = bundle.trailer.segments
                part = UnionPart(bundle.name, len(listed), tuple(problems))
            described.append(part)
            segments += [Listed(number, entry) for entry in listed]
        return described, segments

    def source(self, number: int) -> Source:
        """Return a part, opened if need be; what was open before may be closed."""
        target = self.targets[number]
        if not isinstance(target, str | os.PathLike):
            return source_of(target)
        if number not in self.open:
            if len(self.open) == _MAX_OPEN:
                self.open.popitem(last=False)[1].close()
            self.open[number] = FileSource(target)
        self.open.move_to_end(number)
        return self.open[number]

    def check_unchanged(self) -> None:
        """Raise `ChangedError` where a file is not what it was at the start."""
        for target, state in zip(self.targets, self.states, strict=True):
            if isinstance(target, str | os.PathLike) and _state(target) != state:
                raise ChangedError(os.fspath(target))

    def __enter__(self) -> "_Parts":
        return self

    def __exit__(self, *_: object) -> None:
        for source in self.open.values():
            source.close()


def _state(target: Target) -> tuple[int, ...] | None:
    """Return what changes when a file is written to or replaced."""
    if not isinstance(target, str | os.PathLike):
        return None
    try:
        found = os.stat(target)
    except (OSError, ValueError):
        return None  # opening it says why, or says that it is gone
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
