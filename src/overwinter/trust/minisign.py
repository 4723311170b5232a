"""
minisign's texts: keys and signatures that its own tool reads.

For whoever has that tool and not this library. Nothing of it is read here, and no
segment is trusted for it.

Source:
    minisign 0.11, its manual's "Signature format" and "Public key format".
"""

import base64

from .public import key_id, key_id_text
from .signing import SigningKey

__all__ = ["public_key_text", "signature_text"]


def public_key_text(key: bytes) -> str:
    """Return a public key as a file of minisign's."""
    return (
        f"untrusted comment: overwinter public key {key_id_text(key)}\n"
        f"{_base64(b'Ed', key_id(key), key)}\n"
    )


def signature_text(key: SigningKey, digest: bytes, comment: str) -> str:
    """
    Return a signature of a file as a file of minisign's.

    Args:
        key: Signs.
        digest: BLAKE2b of the whole file, 64 bytes.
        comment: What is signed with it: one line of ASCII.
    """
    if len(digest) != 64:
        raise ValueError(f"expected a digest of 64 bytes, got {len(digest)}")
    if not (comment.isascii() and comment.replace("\t", " ").isprintable()):
        raise ValueError(f"expected one line of ASCII, got {comment!a:.80}")
    signature = key.sign_bare(digest)
    with_comment = key.sign_bare(signature + comment.encode())
    return (
        f"untrusted comment: signature by overwinter key {key_id_text(key.public)}\n"
        f"{_base64(b'ED', key_id(key.public), signature)}\n"
        f"trusted comment: {comment}\n"
        f"{_base64(with_comment)}\n"
    )


def _base64(*parts: bytes) -> str:
    return base64.b64encode(b"".join(parts)).decode()
