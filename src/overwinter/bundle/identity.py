"""
The identity of an artifact: what makes two of them equal, however stored.

Definition: ``schema/FORMAT.md``, "Artifact digest".
"""

from collections.abc import Collection, Mapping
from types import NoneType
from typing import Any

from ..codec import pack
from .blocks import digest_of

__all__ = ["are_equal", "record_digest"]


def record_digest(record: Mapping[str, Any], payload_names: Collection[str]) -> bytes:
    """
    Return the digest of one record, 32 bytes.

    Args:
        record: Field to plain value; payloads are bytes or ``None``.
        payload_names: The fields that are payloads.
    """
    return digest_of(
        pack(
            {
                name: digest_of(value)
                if name in payload_names and value is not None
                else value
                for name, value in record.items()
            }
        )
    )


def are_equal(
    one: Mapping[str, Any], other: Mapping[str, Any], payload_names: Collection[str]
) -> bool:
    """
    Return whether two records have one digest; no payload is hashed for it.

    Args:
        one: Field to plain value; payloads are bytes or ``None``.
        other: Another record, of a schema with the same payloads.
        payload_names: The fields that are payloads.
    """
    return one.keys() == other.keys() and all(
        value == other[name]
        if name in payload_names or type(value) is type(other[name]) in _AS_PACKED
        else pack(value) == pack(other[name])
        for name, value in one.items()
    )


# Of one of these types, what is equal is packed alike: not so 0.0 and -0.0.
_AS_PACKED = (str, bytes, int, bool, NoneType)
