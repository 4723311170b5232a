"""
Msgpack walked a level at a time: what nobody asks for is skipped, never built.

A map takes 64 bytes of memory and one of its encoding, so a value is built only where
it was asked for, and a list or map only where the layout has one: the first that is
elsewhere ends the walk. Layout: ``schema/FORMAT.md``, "What a reader may refuse".
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from types import MappingProxyType, TracebackType
from typing import Any

import msgpack

from ..errors import DamagedError, TooLargeError
from ..limits import MAX_MAP_KEYS, MAX_SCHEMA_NODES
from .strict import (
    LISTS,
    MAPS,
    STRICTLY,
    check_nodes,
    damaging,
    refuse_nested,
)
from .wire import unpack

__all__ = ["Encoded", "Walk", "walking"]


class Walk:
    """
    One value of msgpack, read from its first byte on; see `walking`.

    Every method takes what stands next, and leaves what is behind it.
    """

    def __init__(self, data: bytes, source: str, part: str) -> None:
        self._data, self._source, self._part = data, source, part
        self._unpacker = msgpack.Unpacker(
            max_buffer_size=max(len(data), 1),
            # What its header claims is built before what is in it was seen; one of
            # nothing is not asked for its length.
            max_array_len=0,
            max_map_len=0,
            object_pairs_hook=refuse_nested,
            list_hook=refuse_nested,
            **STRICTLY,
        )
        self._unpacker.feed(data)

    def items(self, limit: int) -> range:
        """
        Return a range over the items of a list, each of which must then be taken.

        Raises:
            TooLargeError: It has more than *limit*.
        """
        return range(self._checked("items of one list", self._list_size(), limit))

    def map(
        self,
        scalars: Collection[str],
        encoded: Collection[str] = (),
        inside: Mapping[str, Callable[[], Any]] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """
        Return what a map says: a value for each of these keys that it has.

        Args:
            scalars: Keys whose values are no list and no map.
            encoded: Keys whose values are returned as they are encoded.
            inside: Keys whose values are walked, and what does it. The others are
                skipped: of them nothing is asked but that they end.

        Raises:
            TooLargeError: It has more keys than ``MAX_MAP_KEYS``.
        """
        found: dict[str, Any] = {}
        skipped: set[str] = set()
        unpack_next = self._unpacker.unpack
        for _ in range(self._map_size(MAX_MAP_KEYS)):
            key = unpack_next()
            if key in found or key in skipped:
                raise ValueError(f"the key {key!r:.60} stands twice in one map")
            if key in scalars:
                found[key] = unpack_next()
            elif key in encoded:
                found[key] = self.encoded()
            elif key in inside:
                found[key] = inside[key]()
            else:
                skipped.add(_text(key))
                self._unpacker.skip()
        return found

    def flat_map(self, limit: int) -> dict[str, Any]:
        """
        Return a map of scalars and of lists of scalars, each with its key.

        Raises:
            TooLargeError: It has more keys than *limit*.
        """

        found: dict[str, Any] = {}
        for _ in range(self._map_size(limit)):
            key = self._new_key(found)
            at = self._unpacker.tell()
            is_list = self._data[at : at + 1] in LISTS
            found[key] = self.scalars() if is_list else self._unpacker.unpack()
        return found

    def bytes_map(self, limit: int) -> dict[str, bytes]:
        """
        Return a map of bytes, each with its key.

        Raises:
            TooLargeError: It has more keys than *limit*.
        """

        found: dict[str, bytes] = {}
        for _ in range(self._map_size(limit)):
            key = self._new_key(found)
            begin = self._unpacker.tell()
            self._unpacker.skip()
            if (head := _BYTES.get(self._data[begin])) is None:
                raise ValueError("a value that is no bytes")
            found[key] = self._data[begin + head : self._unpacker.tell()]
        return found

    def encoded(self) -> bytes:
        """Return a value of any kind as it is encoded."""
        begin = self._unpacker.tell()
        self._unpacker.skip()
        return self._data[begin : self._unpacker.tell()]

    def scalars(self) -> list[Any]:
        """Return a list of values that are no lists and no maps."""
        size = self._list_size()
        values = list(islice(self._unpacker, size))
        if len(values) != size:
            raise msgpack.OutOfData
        return values

    def rest(self) -> int:
        """Return how many bytes are left."""
        at: int = self._unpacker.tell()
        return len(self._data) - at

    def _new_key(self, found: Collection[str]) -> str:
        key = _text(self._unpacker.unpack())
        if key in found:
            raise ValueError(f"the key {key!r:.60} stands twice in one map")
        return key

    def _list_size(self) -> int:
        try:
            size: int = self._unpacker.read_array_header()
        except ValueError:
            raise ValueError("a value that is no list") from None
        return size

    def _map_size(self, limit: int) -> int:
        try:
            size: int = self._unpacker.read_map_header()
        except ValueError:
            raise ValueError("a value that is no map") from None
        return self._checked("keys of one map", size, limit)

    def _checked(self, what: str, found: int, limit: int) -> int:
        if found > limit:
            raise TooLargeError(self._source, self._part, found, limit, what)
        return found


_BYTES = {0xC4: 2, 0xC5: 3, 0xC6: 5}  # sizes of what begins them


def _text(key: Any) -> str:
    if type(key) is not str:
        raise ValueError("a map key that is no text")
    return key


class walking(damaging):
    """
    Walk one value of msgpack: ``with walking(data, source, part) as walk``.

    Args:
        data: The whole value, in bytes.
        source: Name of the bundle, for errors.
        part: Name of the part within it, for errors.
        error: What to raise where it is damaged.

    Raises:
        DamagedError: It is no msgpack, or another value than was asked for.
        TooLargeError: A map or list has more than was allowed.
    """

    __slots__ = ("_data", "_walk")

    def __init__(
        self,
        data: bytes,
        source: str,
        part: str,
        error: type[DamagedError] = DamagedError,
    ) -> None:
        super().__init__(source, part, error)
        self._data = data

    def __enter__(self) -> Walk:
        """Return what walks."""
        self._walk = Walk(self._data, self._source, self._part)
        return self._walk

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error of ours; the value must end where the data does."""
        super().__exit__(kind, error, traceback)
        if error is None and (rest := self._walk.rest()):
            found = f"{rest:,} bytes after the value"
            expected = "canonical msgpack"
            raise self._error(self._source, self._part, found, expected)


class Encoded(Mapping[str, Any]):
    """
    A map that is decoded whenever somebody looks into it, and not kept.

    To look often, take `decoded`.

    Raises:
        DamagedError: It is no map; or, when looked into, no canonical msgpack.
        TooLargeError: It holds more lists and maps than ``MAX_SCHEMA_NODES``.
    """

    def __init__(self, data: bytes, source: str, part: str) -> None:
        if data[:1] not in MAPS:
            raise DamagedError(source, part, "a value that is no map", "a map")
        self._data, self._source, self._part = data, source, part

    def decoded(self) -> dict[str, Any]:
        """Return the map as a plain value."""
        check_nodes(self._data, MAX_SCHEMA_NODES, self._source, self._part)
        plain: dict[str, Any] = unpack(self._data, self._source, self._part)
        return plain

    def __getitem__(self, key: str) -> Any:
        return self.decoded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.decoded())

    def __len__(self) -> int:
        return len(self.decoded())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Encoded):
            return self._data == other._data or self.decoded() == other.decoded()
        return self.decoded() == other

    __hash__ = None  # type: ignore[assignment]
