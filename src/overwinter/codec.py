"""
attrs objects, plain values, columns, msgpack: the only door to msgpack.

Records travel as columns: one list of values for each field. A column keeps its
encoded bytes until somebody asks for its values, so that what nobody touches is
carried unread. Layout: ``schema/FORMAT.md``, "Record block".
"""

import gc
import sys
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import starmap
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs
import msgpack

from .errors import DamagedError
from .limits import MAX_DEPTH
from .schema.types import Tagged

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "Columns",
    "Repeated",
    "are_like",
    "columns_of",
    "objects_of",
    "pack",
    "unpack",
]

Column = list[Any]
T = TypeVar("T")


def pack(value: Any) -> bytes:
    """
    Return *value* as canonical msgpack: equal values give equal bytes.

    Raises:
        TypeError: A value is not plain, or a map has a key that is no text.
        ValueError: An integer exceeds 64 bits, or text is no valid Unicode.
    """
    # strict_types: a subclass of a plain type would be written as its base
    # and come back as another value.
    try:
        if type(value) is Repeated:
            # Behind the one byte that begins a list of one.
            return _array_head(len(value)) + len(value) * pack(value[:1])[1:]
        if (floats := _packed_floats(value)) is not None:
            return floats
        packed: bytes = msgpack.packb(_sorted(value, 0), strict_types=True)
    except OverflowError as error:
        raise ValueError(f"an integer of more than 64 bits: {error}") from error
    return packed


def unpack(data: bytes, source: str, part: str) -> Any:
    """
    Return the plain value of canonical msgpack.

    Args:
        data: The whole value, in bytes.
        source: Name of the bundle, for the error.
        part: Name of the part within it, for the error.

    Raises:
        DamagedError: Not msgpack, bytes left over, an extension type, a map
            with a key twice or one that is no text, or nested beyond all reason.
    """
    try:
        _prove_whole(data)
        # strict_map_key keeps map keys to text and bytes; the pairs hook refuses
        # bytes, and sees a key that stands twice, which a dict would swallow.
        return msgpack.unpackb(
            data,
            strict_map_key=True,
            object_pairs_hook=_unique,
            ext_hook=_no_extension,
            max_ext_len=0,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or _REASONS.get(type(error), type(error).__name__)
        raise DamagedError(source, part, reason, "canonical msgpack") from error


def are_like(column: bytes, first: str, rows: int) -> bool:
    """
    Return whether *column* encodes *rows* texts of ASCII, each as long as *first*.

    The first of them is *first*. ``False`` may also mean: look closer.

    Source:
        Most keys are hashes, all of one length. Looking at every byte of 200,000
        takes 1 ms, decoding them and asking for their types 13.
    """
    if not first.isascii():
        return False
    text = pack(first)
    head = text[: len(text) - len(first)]
    array, stride = _array_head(rows), len(text)
    if len(column) != len(array) + rows * stride or not column.startswith(array + text):
        return False
    rest = bytearray(column)
    del rest[: len(array)]
    # What says that a text of this length follows stands before each of them.
    for byte in head:
        if rest[::stride].count(byte) != rows:
            return False
        del rest[::stride]
        stride -= 1
    return rest.isascii()


_REASONS = {
    msgpack.FormatError: "a byte that begins no value",
    msgpack.StackError: "more than 1,023 nested levels",
    msgpack.OutOfData: "an end before the value's",
}


class Repeated(list[Any]):
    """
    A column of one value for all rows, never changed in place: encoded only once.

    What 200,000 records are given by an addition is packed in 0.4 ms instead of 6.
    """

    def __init__(self, value: Any, rows: int) -> None:
        super().__init__([value] * rows)


class Columns(Mapping[str, Column]):
    """
    The columns of one block of records: name to list of values, lazily decoded.

    A mapping whose values are lists of ``rows`` plain values. Columns that were
    read from a bundle stay encoded until they are looked up; ``encoded`` gives
    their bytes back without a look.
    """

    def __init__(
        self,
        rows: int,
        columns: Mapping[str, Column | bytes],
        source: str = "<memory>",
        *,
        unseen: frozenset[str] = frozenset(),
    ) -> None:
        self.rows, self.source, self.unseen = rows, source, unseen
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> Column:
        column = self._columns[name]
        if isinstance(column, bytes):
            column = self._columns[name] = self.decoded(name, column)
        return column

    def decoded(self, name: str, column: Column | bytes) -> Column:
        """
        Return the values of a column of these rows, encoded or not.

        Raises:
            DamagedError: It is no list of as many values as there are rows.
        """
        if isinstance(column, bytes):
            if (floats := _unpacked_floats(column, self.rows)) is not None:
                return floats
            part = f"column {name!r}"
            values = unpack(column, self.source, part)
            if type(values) is not list or len(values) != self.rows:
                raise DamagedError(
                    self.source, part, _shape(values), f"a list of {self.rows} values"
                )
            return values
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def encoded(self, name: str) -> bytes:
        """Return the canonical msgpack of one column."""
        column = self._columns[name]
        return column if isinstance(column, bytes) else pack(column)

    def replaced(self, columns: Mapping[str, Column | bytes]) -> "Columns":
        """Return these rows with *columns* instead."""
        return Columns(self.rows, columns, self.source, unseen=self.unseen)

    def items_unread(self) -> dict[str, Column | bytes]:
        """Return name to column, decoded or not, as it is held."""
        return dict(self._columns)

    def take(self, rows: Sequence[int]) -> "Columns":
        """Return the rows with these indexes, in this order."""
        picked = {name: [self[name][row] for row in rows] for name in self}
        return Columns(len(rows), picked, self.source, unseen=self.unseen)


def columns_of(cls: type, objects: Sequence[Any]) -> dict[str, Column]:
    """Return the fields of *objects*, all of the attrs class *cls*, as columns."""
    columns: dict[str, Column] = {}
    for name, hint in _annotations(cls).items():
        column = [getattr(each, name) for each in objects]
        unstructure = _hooks(hint)[0]
        columns[name] = (
            column if unstructure is None else list(map(unstructure, column))
        )
    return columns


def objects_of(cls: type[T], columns: Mapping[str, Column]) -> list[T]:
    """
    Return one *cls* for each row; the columns were checked against the schema.

    Source:
        The collector visits every young object again and again while a large
        list of objects grows (3-5 times slower), so it pauses for the loop.
    """
    structured = []
    for name, hint in _annotations(cls).items():  # type: ignore[arg-type]
        column = columns[name]
        structure = _hooks(hint)[1]
        structured.append(column if structure is None else list(map(structure, column)))
    rows = zip(*structured, strict=True)
    fields = attrs.fields(cls)  # type: ignore[arg-type]
    with _collector_paused():
        if any(field.kw_only for field in fields):
            names = [field.alias for field in fields]
            return [cls(**dict(zip(names, row, strict=True))) for row in rows]
        return list(starmap(cls, rows))


Hook = Callable[[Any], Any]


@cache
def _annotations(cls: type) -> dict[str, Any]:
    """Return field to annotation, also where the module keeps them as text."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in attrs.fields(cls)}


@cache
def _hooks(annotation: Any) -> tuple[Hook | None, Hook | None]:
    """Return how to take values of *annotation* apart and to build them."""
    if _is_plain(annotation):
        return None, None
    converter = _converter()
    unstructure = converter.get_unstructure_hook(annotation)
    structure = converter.get_structure_hook(annotation)

    def take_apart(value: Any) -> Any:
        try:
            return unstructure(value)
        except Exception:
            # Of another class than annotated: validation names it, with its path.
            return value

    return take_apart, lambda value: structure(value, annotation)


def _is_plain(annotation: Any) -> bool:
    """Return whether values are plain already: no hook, no call."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _tagged(annotation) is None and _is_plain(args[0])
    if origin in (list, dict, Union, UnionType):
        return all(map(_is_plain, args))
    return annotation in _PLAIN


_PLAIN = frozenset([str, int, float, bool, bytes, None, type(None), Any])


def _tagged(annotation: Any) -> Tagged | None:
    """Return what says which class stands for which case, of a union."""
    if get_origin(annotation) is not Annotated:
        return None
    words = annotation.__metadata__
    return next((each for each in words if isinstance(each, Tagged)), None)


@cache
def _converter() -> "Converter":
    # cattrs takes 66 ms to import; most processes never need a hook.
    # Values were validated against the schema, and detailed validation costs
    # 1.3 GB on 2 MB of bad integers.
    from cattrs import Converter

    converter = Converter(detailed_validation=False, forbid_extra_keys=True)

    @converter.register_unstructure_hook_factory(_is_union)
    def _untag(annotation: Any) -> Hook:
        tag, cases = _cases(annotation)
        names = {cls: name for name, cls in cases.items()}
        hooks = {cls: converter.get_unstructure_hook(cls) for cls in names}

        def unstructure(value: Any) -> Any:
            cls = type(value)
            return {tag: names[cls], **hooks[cls](value)}

        return unstructure

    @converter.register_structure_hook_factory(_is_union)
    def _tag(annotation: Any) -> Callable[[Any, Any], Any]:
        tag, cases = _cases(annotation)
        hooks = {name: converter.get_structure_hook(cls) for name, cls in cases.items()}

        def structure(value: Any, _: Any) -> Any:
            record = dict(value)
            name = record.pop(tag)
            if name not in hooks:
                raise ValueError(f"no case {name!r:.60} of {tag!r}")
            return hooks[name](record, cases[name])

        return structure

    return converter


def _is_union(annotation: Any) -> bool:
    return _tagged(annotation) is not None


def _cases(annotation: Any) -> tuple[str, dict[str, type]]:
    tagged = _tagged(annotation)
    assert tagged is not None
    return tagged.tag, tagged.cases


def _packed_floats(value: Any) -> bytes | None:
    """
    Return the encoding of a list of floats, or ``None`` where it may be no such list.

    What was written tells their types in a tenth of the time of asking each: it
    is all floats where every ninth byte begins one.
    """
    if type(value) is not list or not value or type(value[-1]) is not float:
        return None
    try:
        packed: bytes = msgpack.packb(value, strict_types=True)
    except (TypeError, ValueError, OverflowError):
        return None  # whoever looks closer says why
    return packed if _are_floats(packed, len(value)) else None


def _unpacked_floats(data: bytes, rows: int) -> list[float] | None:
    """
    Return the floats in *data*, or ``None`` where it may be no list of *rows*.

    An array converts all of them at once, in half the time of a walk and decoding.
    """
    if not _are_floats(data, rows):
        return None
    plain = bytearray(data[-_FLOAT_SIZE * rows :])
    del plain[::_FLOAT_SIZE]
    floats = array("d", plain)
    if sys.byteorder == "little":
        floats.byteswap()
    return floats.tolist()


def _are_floats(data: bytes, rows: int) -> bool:
    """Return whether *data* encodes a list of *rows* floats, one at least."""
    # Sizes first: a damaged count of rows may be more than any list has.
    if rows < 1 or len(data) <= _FLOAT_SIZE * rows:
        return False
    head = _array_head(rows)
    if len(data) != len(head) + _FLOAT_SIZE * rows or not data.startswith(head):
        return False
    return data[len(head) :: _FLOAT_SIZE].count(_FLOAT) == rows


_FLOAT, _FLOAT_SIZE = 0xCB, 9  # first byte and size of an encoded float


def _array_head(rows: int) -> bytes:
    head: bytes = msgpack.Packer().pack_array_header(rows)
    return head


def _sorted(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind in _NESTED and depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if kind is dict:
        for key in value:
            if type(key) is not str:
                raise TypeError(f"a map key must be str, got {key!r}")
        return {key: _sorted(value[key], depth + 1) for key in sorted(value)}
    if kind is list or kind is tuple:
        # A long list of scalars is the common case, and needs no copy.
        if kind is list and set(map(type, value)) <= _SCALARS:
            return value
        return [_sorted(each, depth + 1) for each in value]
    if kind not in _SCALARS:
        # msgpack would write its own types, and buffers that come back as bytes.
        raise TypeError(f"{value!r:.60} of type {kind.__name__} is no plain value")
    return value


_NESTED = {dict, list, tuple}
_SCALARS = {type(None), bool, int, float, str, bytes}


def _unique(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
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


def _no_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"the extension type {code}")


def _prove_whole(data: bytes) -> None:
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


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"


@contextmanager
def _collector_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
