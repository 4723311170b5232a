"""
The statement: what a segment says of its kinds, environments and blocks.

Layout: ``schema/FORMAT.md``, "Statement".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from ..codec import Encoded, pack, walking
from ..environment import Environment
from ..errors import SegmentDamagedError, TooNewError
from ..limits import MAX_ENVIRONMENTS, MAX_FIELDS, MAX_KINDS
from .blocks import digest_of
from .foot import Foot
from .shape import Shape, shown

__all__ = ["STATEMENT", "BlockStamp", "KindStamp", "Statement", "read_statement"]

STATEMENT = "overwinter.segment/1"
_LATER_STATEMENT = re.compile(r"overwinter\.segment/([1-9][0-9]{0,8})")


@attrs.frozen
class KindStamp:
    """Kind and schema version of records, as the segment's writer knew them."""

    kind: str
    version: int
    fingerprint: bytes
    oldest_reader: int
    schema: Mapping[str, Any] = attrs.field(eq=False, repr=False)
    # Written before the schema was released: another may become this version.
    draft: bool = False

    @property
    def plain_schema(self) -> dict[str, Any]:
        """The schema, decoded where it was read from a statement."""
        schema = self.schema
        return schema.decoded() if isinstance(schema, Encoded) else dict(schema)

    def as_plain(self) -> dict[str, Any]:
        """Return the map that the statement holds."""
        plain = {**attrs.asdict(self, recurse=False), "schema": self.plain_schema}
        if not plain.pop("draft"):
            return plain
        return {**plain, "draft": True}


@attrs.frozen
class BlockStamp:
    """What the statement says of one record block."""

    kind: int
    environment: int | None
    first: str
    rows: int
    size: int
    digest: bytes
    payload_size: int
    # Key of the last record, where blocks overlap: else their order says enough.
    last: str | None = None

    def as_plain(self) -> dict[str, Any]:
        """Return the map that the statement holds."""
        plain = attrs.asdict(self, recurse=False)
        if plain["last"] is None:
            del plain["last"]
        return plain


@attrs.frozen
class Statement:
    """What a segment says; its digest is the segment's name."""

    kinds: tuple[KindStamp, ...]
    environments: tuple[Environment, ...]
    blocks: tuple[BlockStamp, ...]
    payload_blocks: int

    def pack(self) -> bytes:
        """Return the bytes that are signed; `read_statement` is the inverse."""
        return pack(
            {
                "type": STATEMENT,
                "kinds": [kind.as_plain() for kind in self.kinds],
                "environments": [dict(each) for each in self.environments],
                "blocks": [block.as_plain() for block in self.blocks],
                "payload_blocks": self.payload_blocks,
            }
        )


def read_statement(data: bytes, foot: Foot, source: str, part: str) -> Statement:
    """
    Return the statement, whose digest is checked before it is decoded.

    Raises:
        SegmentDamagedError: It is changed, or not laid out as a statement.
        TooNewError: It is of a later type.
    """
    part = f"{part}, statement"
    found = digest_of(data)
    if found != foot.digest:
        raise SegmentDamagedError(
            source, part, f"SHA-256 {found.hex()[:16]}…", f"{foot.digest.hex()[:16]}…"
        )
    shape = _Words(source, part)
    with walking(data, source, part, SegmentDamagedError) as walk:
        plain = walk.map(
            ("type", "payload_blocks"), ("kinds", "environments", "blocks")
        )
    kind = plain.get("type")
    if kind != STATEMENT:
        later = _LATER_STATEMENT.fullmatch(kind) if isinstance(kind, str) else None
        if later is not None:
            raise TooNewError(source, "statement version", int(later[1]), 1)
        raise SegmentDamagedError(source, part, f"type {shown(kind)}", repr(STATEMENT))

    kinds = tuple(shape.kinds(plain))
    environments = tuple(shape.environments(plain))
    blocks = tuple(
        shape.block(each, len(kinds), len(environments))
        for each in shape.maps(plain, "blocks", foot.n_blocks, _STAMP_KEYS)
    )
    payload_blocks = shape.get(plain, "payload_blocks", int)
    if len(blocks) + payload_blocks != foot.n_blocks:
        raise SegmentDamagedError(
            source,
            part,
            f"{len(blocks)} record and {payload_blocks} payload blocks",
            f"{foot.n_blocks} in all, as the layout has",
        )
    return Statement(kinds, environments, blocks, payload_blocks)


_BLOCK_KEYS = ("kind", "rows", "size", "payload_size", "first", "digest")
_BLOCK_TYPES = (int, int, int, int, str, bytes)
_STAMP_KEYS = (*_BLOCK_KEYS, "environment", "last")
_KIND_KEYS = ("kind", "version", "fingerprint", "oldest_reader", "draft")


class _Words(Shape):
    """Takes stamps and environments out of a plain statement."""

    def kinds(self, plain: Mapping[str, Any]) -> Iterator[KindStamp]:
        for each in self.maps(plain, "kinds", MAX_KINDS, _KIND_KEYS, ("schema",)):
            # What it says is asked when a block of the kind is opened.
            schema = Encoded(
                self.encoded(each, "schema"), self.source, f"{self.part}, schema"
            )
            yield KindStamp(
                self.get(each, "kind", str),
                self.version(each, "version"),
                self.digest(each, "fingerprint"),
                self.version(each, "oldest_reader"),
                schema,
                self.get(each, "draft", bool) if "draft" in each else False,
            )

    def environments(self, plain: Mapping[str, Any]) -> Iterator[Environment]:
        data = self.encoded(plain, "environments")
        part = f"{self.part}, environments"
        with walking(data, self.source, part, SegmentDamagedError) as walk:
            for _ in walk.items(MAX_ENVIRONMENTS):
                yield self.environment(walk.flat_map(MAX_FIELDS))

    def environment(self, plain: Mapping[str, Any]) -> Environment:
        for field, value in plain.items():
            texts = value if type(value) is list else [value]
            if not set(map(type, texts)) <= {str}:
                raise self.fail(f"environment field {field!r}", "text, or a list of it")
        return plain

    def block(
        self, plain: Mapping[str, Any], n_kinds: int, n_environments: int
    ) -> BlockStamp:
        environment = plain.get("environment")
        values: tuple[Any, ...] = tuple(map(plain.get, _BLOCK_KEYS))
        # All at once: asking each takes four times as long, and opening a bundle
        # of 200,000 records asks for a hundred blocks.
        if tuple(map(type, values)) != _BLOCK_TYPES or min(values[:4]) < 0:
            for name, kind in zip(_BLOCK_KEYS, _BLOCK_TYPES, strict=True):
                self.get(plain, name, kind)
        if environment is not None:
            self.get(plain, "environment", int)
        number, rows, size, payload_size, first, digest = values
        if len(digest) != 32:
            self.digest(plain, "digest")
        last = self.get(plain, "last", str) if "last" in plain else None
        stamp = BlockStamp(
            number, environment, first, rows, size, digest, payload_size, last
        )
        known = stamp.environment is None or stamp.environment < n_environments
        if stamp.kind >= n_kinds or not known:
            raise self.fail("a block of no such kind or environment", "one listed")
        return stamp
