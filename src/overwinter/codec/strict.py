"""
How msgpack is decoded: what it may hold, and what becomes of what it may not.

Layout: ``schema/FORMAT.md``, at its head.
"""

from types import TracebackType
from typing import Any, NoReturn

import msgpack

from ..errors import DamagedError, TooLargeError
from ..memory import within_memory

__all__ = [
    "LISTS",
    "MAPS",
    "STRICTLY",
    "check_nodes",
    "damaging",
    "holds_few",
    "prove",
    "prove_whole",
    "refuse_nested",
    "unique",
]


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"the extension type {code}")


STRICTLY: dict[str, Any] = {
    "strict_map_key": True,
    "ext_hook": _no_extension,
    "max_ext_len": 0,
}

_REASONS: dict[type[BaseException], str] = {
    msgpack.FormatError: "a byte that begins no value",
    msgpack.StackError: "more than 1,023 nested levels",
    msgpack.OutOfData: "an end before the value's",
    StopIteration: "an end before the value's",
}
_NESTED = "a list or a map where none may be"
_DECODING = (
    ValueError,
    TypeError,
    RecursionError,
    StopIteration,
    msgpack.UnpackException,
)


class damaging(within_memory):
    """
    Tell what decoding raises as damage to a part of a bundle.

    Args:
        source: Name of the bundle.
        part: Name of the part within it.
        error: What to raise.
    """

    __slots__ = ("_error",)

    def __init__(
        self, source: str, part: str, error: type[DamagedError] = DamagedError
    ) -> None:
        super().__init__(source, part)
        self._error = error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error of ours."""
        super().__exit__(kind, error, traceback)
        if isinstance(error, _DECODING):
            found = str(error) or _REASONS.get(type(error), type(error).__name__)
            if found.endswith((" exceeds max_array_len(0)", " exceeds max_map_len(0)")):
                found = _NESTED
            expected = "canonical msgpack"
            raise self._error(self._source, self._part, found, expected) from error


def unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """Return the map of *pairs*, whose keys are text, and none stands twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[Any] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r:.60} stands twice in one map")
            seen.add(key)
    try:
        # Joining is the fastest question whether all of them are text: a fifth of
        # decoding a map of three, where a look at each type takes a third.
        "".join(value)
    except TypeError:
        raise ValueError("a map key that is no text") from None
    return value


def refuse_nested(value: Any) -> NoReturn:
    """Refuse a list or a map where none may be, as soon as it is whole."""
    raise ValueError(_NESTED)


def prove_whole(data: bytes) -> None:
    """
    Walk *data* once without building anything.

    An array header may claim more elements than there are bytes, and nested
    headers multiply that: 64 KiB of them took 67 MB. After this walk every
    claimed element is known to exist, so what decoding allocates is in
    proportion to the input. It costs a seventh of the decoding.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    unpacker.skip()
    if unpacker.tell() != len(data):
        raise ValueError(f"{len(data) - unpacker.tell():,} bytes after the value")


def prove(data: bytes, source: str, part: str, rows: int | None = None) -> None:
    """
    Prove that *data* is canonical msgpack, and keep nothing of it.

    A list or map that is whole gives way to one word: 4 MiB of empty maps take 32 MiB
    instead of 300.

    Args:
        data: The whole value, in bytes.
        source: Name of the bundle, for the error.
        part: Name of the part within it, for the error.
        rows: Where it must be a list of as many.

    Raises:
        DamagedError: It is none.
    """
    with damaging(source, part):
        prove_whole(data)
        if rows is not None:
            unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
            # The longest that a list begins with.
            unpacker.feed(data[:5])
            if data[:1] not in LISTS or unpacker.read_array_header() != rows:
                raise ValueError(f"what is no list of {rows} values")
        msgpack.unpackb(data, object_pairs_hook=_forgotten, list_hook=bool, **STRICTLY)


def _forgotten(pairs: list[tuple[Any, Any]]) -> None:
    if pairs:
        unique(pairs)


def holds_few(data: bytes, limit: int) -> bool:
    """
    Return whether *data* holds at most *limit* lists and maps.

    ``False`` may also mean: count. What may begin one also stands in numbers and in
    bytes, though never in a text of ASCII. A look at 1 MiB takes 1 ms.
    """
    return len(data) <= limit or len(data) - len(data.translate(None, _HEADS)) <= limit


def check_nodes(data: bytes, limit: int, source: str, part: str) -> None:
    """
    Refuse *data* where it holds more than *limit* lists and maps.

    Raises:
        TooLargeError: It does.
        DamagedError: It is no canonical msgpack.
    """
    if holds_few(data, limit):
        return
    found = 0

    def count(value: Any) -> None:
        nonlocal found
        found += 1
        if found > limit:
            raise TooLargeError(source, part, found, limit, "lists and maps")

    with damaging(source, part):
        prove_whole(data)
        msgpack.unpackb(data, object_pairs_hook=count, list_hook=count, **STRICTLY)


# First bytes of lists and of maps.
LISTS = frozenset(bytes([head]) for head in [*range(0x90, 0xA0), 0xDC, 0xDD])
MAPS = frozenset(bytes([head]) for head in [*range(0x80, 0x90), 0xDE, 0xDF])
_HEADS = b"".join(LISTS | MAPS)
