"""
Signatures over statements, each bound to what it is a signature of.

Layout: ``schema/FORMAT.md``, "Signatures".
"""

from collections.abc import Iterable

import attrs

from .public import is_weak

__all__ = [
    "ED25519",
    "STATEMENT_BEGIN",
    "STATEMENT_TYPE",
    "Signature",
    "encoded_for_signing",
    "valid_signers",
]

ED25519 = "ed25519"
STATEMENT_TYPE = "application/vnd.overwinter.segment.v1+msgpack"

# DSSE's pre-authentication encoding: the type is signed with the bytes, so that no
# signature over something else can be passed off as one over a statement.
STATEMENT_BEGIN = b"DSSEv1 %d %b " % (len(STATEMENT_TYPE), STATEMENT_TYPE.encode())


@attrs.frozen
class Signature:
    """One signature over one statement."""

    algorithm: str
    key: bytes
    signature: bytes


def valid_signers(
    statement: bytes, signatures: Iterable[Signature]
) -> tuple[bytes, ...]:
    """Return the public keys whose signature over *statement* holds."""
    message = encoded_for_signing(statement)
    return tuple(
        each.key
        for each in signatures
        if each.algorithm == ED25519 and not is_weak(each.key) and _holds(each, message)
    )


def encoded_for_signing(statement: bytes) -> bytes:
    """Return what is signed: *statement* behind its type."""
    return STATEMENT_BEGIN + b"%d %b" % (len(statement), statement)


def _holds(signature: Signature, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(signature.key)
        public.verify(signature.signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
