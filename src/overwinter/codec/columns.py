"""
Columns: one list of values for each field, decoded when somebody asks.

What nobody touches is carried unread. Layout: ``schema/FORMAT.md``, "Record block".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from ..errors import DamagedError
from ..limits import MAX_NODES_SEEN
from ..schema import Decoded
from .strict import holds_few, prove
from .wire import (
    has_wide,
    pack,
    unpack,
    unpack_each,
    unpack_flat,
    unpack_item,
    unpacked_numbers,
)

__all__ = ["Column", "Columns", "Payloads", "Reference", "UnreadPayloadError"]

Column = list[Any]


class Payloads(list[Any]):
    """
    A column of payloads: bytes, or references where they are not read; or null.

    No step that sees whole records sees it.
    """


@attrs.frozen
class Reference:
    """Where a payload lies that is carried unread: in the blocks of its table."""

    offset: int
    size: int


class UnreadPayloadError(Exception):
    """A step asks for payloads that are carried unread; it is never let out."""


class Columns(Mapping[str, Column]):
    """
    The columns of one block of records: name to list of values, lazily decoded.

    A mapping whose values are lists of ``rows`` plain values. Columns that were
    read from a bundle stay encoded until they are looked up; ``encoded`` gives
    their bytes back without a look.

    Args:
        rows: How many.
        columns: Name to column, encoded or not.
        source: Name of the bundle, for errors.
        is_flat: Whether an encoded column may hold no lists and no maps, by its name.

    Attributes:
        facts: What is known of those that were decoded when they were looked up.
    """

    def __init__(
        self,
        rows: int,
        columns: Mapping[str, Column | bytes],
        source: str = "<memory>",
        is_flat: Callable[[str], bool] | None = None,
    ) -> None:
        self.rows, self.source = rows, source
        self._is_flat = is_flat
        self._columns = dict(columns)
        self.facts: dict[str, Decoded] = {}

    def __getitem__(self, name: str) -> Column:
        column = self._columns[name]
        if isinstance(column, bytes):
            column, self.facts[name] = self._decoded(name, column)
            self._columns[name] = column
        return column

    def decoded(self, name: str, column: Column | bytes) -> Column:
        """
        Return the values of a column of these rows, encoded or not.

        Raises:
            DamagedError: It is no list of as many values as there are rows.
            UnreadPayloadError: It is one of payloads that are not read.
        """
        if type(column) is Payloads and any(type(v) is Reference for v in column):
            raise UnreadPayloadError(name)
        if isinstance(column, bytes):
            return self._decoded(name, column)[0]
        return column

    def prove(self, name: str, *, is_list: bool = True) -> None:
        """
        Prove that a column is a list of as many values as there are rows.

        Nothing of it is kept, and lists and maps inside not even until its end.

        Args:
            name: Name of the column.
            is_list: Otherwise it may be any value that is whole.

        Raises:
            DamagedError: It is none.
        """
        column = self._columns[name]
        if not isinstance(column, bytes):
            return
        if self._asks_flat(name):
            self._decoded(name, column)
        elif not holds_few(column, MAX_NODES_SEEN):
            rows = self.rows if is_list else None
            prove(column, self.source, f"column {name!r}", rows)
        elif is_list:
            self._decoded(name, column)
        else:
            unpack(column, self.source, f"column {name!r}")

    def each(self, name: str) -> Iterator[Any]:
        """
        Give the values of a column, of which one at a time is built where it is large.

        For one of more lists and maps than ``MAX_NODES_SEEN`` there is `TOO_NESTED`.

        Raises:
            DamagedError: It is no list of as many values as there are rows.
        """
        column = self._columns[name]
        if not isinstance(column, bytes):
            return iter(column)
        if self._asks_flat(name) or holds_few(column, MAX_NODES_SEEN):
            return iter(self._decoded(name, column)[0])
        return unpack_each(column, self.rows, self.source, f"column {name!r}")

    def value(self, name: str, row: int) -> Any:
        """
        Return one value of a column, without decoding the others.

        Raises:
            DamagedError: It is no list of as many values as there are rows.
        """
        column = self._columns[name]
        if isinstance(column, bytes):
            part = f"column {name!r}"
            return unpack_item(column, self.rows, row, self.source, part)
        return column[row]

    def _decoded(self, name: str, data: bytes) -> tuple[Column, Decoded]:
        if (numbers := unpacked_numbers(data, self.rows)) is not None:
            values, is_wide = numbers
            return values, Decoded(type(values[0]), is_wide)
        part = f"column {name!r}"
        decode = unpack_flat if self._asks_flat(name) else unpack
        values = decode(data, self.source, part)
        if type(values) is not list or len(values) != self.rows:
            raise DamagedError(
                self.source, part, _shape(values), f"a list of {self.rows} values"
            )
        return values, Decoded(None, has_wide(data))

    def _asks_flat(self, name: str) -> bool:
        return name == "key" or (self._is_flat is not None and self._is_flat(name))

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
        return Columns(self.rows, columns, self.source, self._is_flat)

    def items_unread(self) -> dict[str, Column | bytes]:
        """Return name to column, decoded or not, as it is held."""
        return dict(self._columns)

    def take(self, rows: Sequence[int]) -> "Columns":
        """Return the rows with these indexes, in this order."""
        picked = {}
        for name in self:
            column = self[name]
            values = [column[row] for row in rows]
            picked[name] = Payloads(values) if type(column) is Payloads else values
        return Columns(len(rows), picked, self.source)

    def with_payloads(self, names: Iterable[str]) -> "Columns":
        """Return these rows, the columns of these *names* marked as payloads."""
        marked = {
            name: Payloads(self[name])
            for name in names
            if name in self and type(self._columns[name]) is not Payloads
        }
        return self.replaced({**self._columns, **marked}) if marked else self


def _shape(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"a {type(value).__name__}"
