"""
The identity of an artifact: what makes two of them equal, however stored.

Definition: ``schema/FORMAT.md``, "Artifact digest".
"""

from collections.abc import Collection, Mapping
from typing import Any

from ..codec import pack
from .blocks import digest_of

__all__ = ["record_digest"]


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
