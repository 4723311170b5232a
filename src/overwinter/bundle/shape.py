"""
Typed values out of a segment's words, or what is wrong with them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..codec import unpack_flat, walking
from ..errors import DamagedError, SegmentDamagedError
from .blocks import DIGEST_SIZE

__all__ = ["Shape", "shown"]


class Shape:
    """Takes typed values out of plain ones, or names what is wrong."""

    def __init__(self, source: str, part: str) -> None:
        self.source, self.part = source, part

    def fail(self, found: str, expected: str) -> SegmentDamagedError:
        return SegmentDamagedError(self.source, self.part, found, expected)

    def get(self, plain: Mapping[str, Any], name: str, kind: type) -> Any:
        value: Any = plain.get(name)
        negative = isinstance(value, int) and value < 0
        if type(value) is not kind or negative:
            raise self.fail(f"{name} {shown(value)}", f"{name} of type {kind.__name__}")
        return value

    def version(self, plain: Mapping[str, Any], name: str) -> int:
        value: int = self.get(plain, name, int)
        if not value:
            raise self.fail(f"{name} 0", f"{name} from 1")
        return value

    def encoded(self, plain: Mapping[str, Any], name: str) -> bytes:
        if name not in plain:
            raise self.fail(f"no {name}", f"{name} of type list")
        value: bytes = plain[name]
        return value

    def maps(
        self,
        plain: Mapping[str, Any],
        name: str,
        limit: int,
        scalars: Sequence[str],
        encoded: Sequence[str] = (),
    ) -> Iterator[dict[str, Any]]:
        """Give the maps of a list of *limit* at most, each with these keys."""
        part = f"{self.part}, {name}" if name else self.part
        data = self.encoded(plain, name)
        if not encoded and (at_once := self.flat_maps(data, limit)) is not None:
            yield from at_once
            return
        with walking(data, self.source, part, SegmentDamagedError) as walk:
            for _ in walk.items(limit):
                yield walk.map(scalars, encoded)

    def flat_maps(self, data: bytes, limit: int) -> list[dict[str, Any]] | None:
        """
        Return the maps of a list, or ``None`` where they must be walked.

        At once they take half of the time, where there is nothing in them to skip.
        """
        # Each has a digest, or a signature.
        limit = min(limit, len(data) // DIGEST_SIZE)
        try:
            found = unpack_flat(data, self.source, self.part, maps=limit)
        except DamagedError:
            return None
        if type(found) is not list or not set(map(type, found)) <= {dict}:
            return None
        return found

    def digest(self, plain: Mapping[str, Any], name: str) -> bytes:
        value: bytes = self.get(plain, name, bytes)
        if len(value) != 32:
            raise self.fail(f"{name} of {len(value)} bytes", "32 bytes")
        return value


def shown(value: Any) -> str:
    """Return a value as an error shows it."""
    return f"{value!r:.60}"
