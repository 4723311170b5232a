"""
Canonical msgpack and artifact digests, from what ``schema/FORMAT.md`` says of them.

It shares no code with overwinter, so that equal digests prove the page.
"""

import struct
from contextlib import suppress
from hashlib import sha256
from typing import Any

__all__ = ["artifact_digest", "pack"]

# First byte and form of each head, the shortest first.
_BINS = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_UNSIGNED = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_SIGNED = {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_TEXTS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
_LISTS = {0xDC: ">H", 0xDD: ">I"}
_MAPS = {0xDE: ">H", 0xDF: ">I"}


def artifact_digest(record: dict[str, Any], payloads: set[str]) -> bytes:
    """Return the identity of a record, whose fields *payloads* are such."""
    named = {
        field: sha256(record[field]).digest()
        for field in payloads
        if record.get(field) is not None
    }
    return sha256(pack(record | named)).digest()


def pack(value: Any) -> bytes:
    """Return *value* as canonical msgpack."""
    if value is None:
        return b"\xc0"
    if type(value) is bool:
        return b"\xc3" if value else b"\xc2"
    if type(value) is float:
        return struct.pack(">Bd", 0xCB, value)
    if type(value) is int:
        if -32 <= value < 128:
            return bytes([value % 256])
        return _head(_UNSIGNED if value > 0 else _SIGNED, value)
    if type(value) is str:
        text = value.encode()
        return _head(_TEXTS, len(text), 0xA0, 32) + text
    if type(value) is bytes:
        return _head(_BINS, len(value)) + value
    if type(value) is list:
        return _head(_LISTS, len(value), 0x90, 16) + b"".join(map(pack, value))
    if type(value) is dict:
        parts = [pack(part) for item in sorted(value.items()) for part in item]
        return _head(_MAPS, len(value), 0x80, 16) + b"".join(parts)
    raise TypeError(f"{value!r:.60} is not plain")


def _head(forms: dict[int, str], number: int, fixed: int = 0, few: int = 0) -> bytes:
    """Return the shortest head; less than *few* is a part of its one byte."""
    if 0 <= number < few:
        return bytes([fixed + number])
    for tag, form in forms.items():
        with suppress(struct.error):
            return bytes([tag]) + struct.pack(form, number)
    raise ValueError(f"{number} is beyond msgpack")
