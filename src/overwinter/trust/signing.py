"""
Signing keys: this account's own, and one that a machine is given.

A key pair is made on first use and never shown.
"""

import base64
import binascii
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from ..errors import NotFoundError, StoreError, TrustError
from ..files import create_once
from ..sources import FileSource, read_small
from .public import public_text
from .signatures import ED25519, Signature, encoded_for_signing

__all__ = ["KEY_VARIABLE", "SECRET_PREFIX", "SigningKey", "existing_key", "own_key"]

KEY_VARIABLE = "OVERWINTER_SIGNING_KEY"
SECRET_PREFIX = "overwinter-secret-key-ed25519:"


class SigningKey:
    """An Ed25519 key pair; *seed* is its 32 secret bytes."""

    def __init__(self, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    def __repr__(self) -> str:
        return f"<SigningKey {public_text(self.public)}>"

    def sign(self, statement: bytes) -> Signature:
        """Return the signature of *statement*; the same bytes every time."""
        signed = self._private.sign(encoded_for_signing(statement))
        return Signature(ED25519, self.public, signed)


def own_key(environ: Mapping[str, str] = os.environ) -> SigningKey:
    """
    Return this machine's key pair, made on first use.

    It is ``OVERWINTER_SIGNING_KEY`` (the key itself, or the path of its file), or
    the file ``overwinter/signing.key`` in the XDG data directory, mode 0600.

    Raises:
        TrustError: What was found there, or given, is no key, or not ours alone.
        StoreError: This machine's key can neither be read nor made.
    """
    key = existing_key(environ)
    if key is None:
        path = _default_path(environ)
        seed = os.urandom(32)
        # Of two processes that start at once, one creates; both read its key.
        create_once(
            path, f"{SECRET_PREFIX}{base64.b64encode(seed).decode()}\n".encode()
        )
        key = existing_key(environ)
    if key is None:
        raise StoreError(os.fspath(path), "keep the signing key", "it is gone again")
    return key


def existing_key(environ: Mapping[str, str] = os.environ) -> SigningKey | None:
    """
    Return this machine's key pair if it has one; none is made.

    Raises:
        TrustError: What was found there, or given, is no key, or not ours alone.
        StoreError: This machine's key cannot be read.
    """
    given = environ.get(KEY_VARIABLE, "").strip()
    if given.startswith(SECRET_PREFIX):
        return _read_key(given, KEY_VARIABLE)
    # In a container's settings no shell expands the tilde.
    path = Path(os.path.expanduser(given)) if given else _default_path(environ)
    if not given:
        return _key_of_this_account(path)
    try:
        text = read_small(path, limit=4096).decode("utf-8", "replace")
    except StoreError as error:
        # Never show what was given: it may be a key whose beginning was cut off.
        found = f"{len(given)} characters that are no key and no file to read"
        raise TrustError(
            KEY_VARIABLE,
            f"{found} ({error.reason})",
            f"the path of a key file, or {SECRET_PREFIX!r} and 32 bytes in base64",
            f"mend {KEY_VARIABLE}, or unset it and this machine's own key is used",
        ) from None
    return _read_key(text, os.fspath(path))


def _key_of_this_account(path: Path) -> SigningKey | None:
    """Return the key at *path*, where nobody else could have put it or read it."""
    try:
        source = FileSource(path)
    except NotFoundError:
        return None
    try:
        text = source.read(0, min(source.size, 4096)).decode("utf-8", "replace")
        if source.owner != os.geteuid():
            found = f"a key that belongs to user {source.owner}"
            remedy = "move it away, and a new one is made"
        elif source.mode & 0o077:
            found = f"a key that others may read or write (mode {source.mode:04o})"
            remedy = (
                f"if nobody did, chmod 600 {shlex.quote(os.fspath(path))}; else move "
                "it away, and a new one is made"
            )
        else:
            return _read_key(text, os.fspath(path))
    finally:
        source.close()
    raise TrustError(os.fspath(path), found, "one of your own, for you alone", remedy)


def _read_key(text: str, where: str) -> SigningKey:
    body = text.strip().removeprefix(SECRET_PREFIX)
    try:
        seed = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        seed = b""
    if len(seed) != 32 or not text.startswith(SECRET_PREFIX):
        # Never show what was found: it may be a key that was pasted wrongly.
        raise TrustError(
            where,
            f"{len(text.strip())} characters that are no signing key",
            f"{SECRET_PREFIX!r} and 32 bytes in base64",
            f"unset {KEY_VARIABLE}, or move the file away and a new key is made",
        )
    return SigningKey(seed)


def _default_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(base):
        home = environ.get("HOME") or os.path.expanduser("~")
        if not os.path.isabs(home):
            raise StoreError(
                "~",
                "find a place for the signing key",
                f"no HOME and no {KEY_VARIABLE}",
            )
        base = os.path.join(home, ".local", "share")
    return Path(base) / "overwinter" / "signing.key"
