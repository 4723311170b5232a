"""
Public keys: how they are written, and which of them are none.
"""

import base64
import hashlib
import re

__all__ = [
    "NAME",
    "is_weak",
    "key_id",
    "key_id_text",
    "key_of",
    "named_text",
    "public_text",
]

NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")  # what people call a key

_TEXT = re.compile(r"[A-Za-z0-9+/]{43}=")


def public_text(key: bytes) -> str:
    """Return a public key in the form that people exchange: base64."""
    return base64.b64encode(key).decode()


def named_text(key: bytes, name: str = "") -> str:
    """Return a public key as one is told to trust it, ``name:base64``."""
    return f"{name or f'key-{key[:4].hex()}'}:{public_text(key)}"


def key_of(text: str) -> bytes | None:
    """Return the public key that *text* is, or nothing: 44 characters of base64."""
    if not _TEXT.fullmatch(text):
        return None
    key = base64.b64decode(text)
    # Base64 has two bits to spare here: one key, one text.
    return key if public_text(key) == text else None


def key_id(key: bytes) -> bytes:
    """
    Return the 8 bytes that minisign calls a key by.

    It draws them; ours follow from the key, so that whoever knows it knows them.
    """
    return hashlib.sha256(key).digest()[:8]


def key_id_text(key: bytes) -> str:
    """Return the key's number as minisign shows it, which is backwards."""
    return key_id(key)[::-1].hex().upper()


# The field of edwards25519, and where its eight points of small order lie. With one
# of them as a key, a constant holds as a signature over one statement of eight, or
# over every one, and OpenSSL does not refuse it: a line of zeros in a configuration
# would trust everybody.
_FIELD = 2**255 - 19
_EIGHTH = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    "little",
)
_SMALL_ORDER = {0, 1, _FIELD - 1, _EIGHTH, _FIELD - _EIGHTH}


def is_weak(key: bytes) -> bool:
    """Return whether *key* is a point of small order, or written as no maker does."""
    y = int.from_bytes(key, "little") & (2**255 - 1)
    return y >= _FIELD or y in _SMALL_ORDER
