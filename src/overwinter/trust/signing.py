"""
Signing keys: this account's own, and one that a machine is given.

A key pair is made on first use and never shown.
"""

import base64
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from ..errors import ConflictError, NotFoundError, StoreError, TrustError
from ..files import PathLike, create_once, told
from ..sources import FileSource
from .places import place_of
from .public import NAME, public_text
from .signatures import ED25519, STATEMENT_BEGIN, Signature, encoded_for_signing

__all__ = [
    "KEY_VARIABLE",
    "SECRET_PREFIX",
    "SigningKey",
    "account_file",
    "account_key",
    "existing_key",
    "given_key",
    "new_account_key",
    "new_key",
    "own_key",
    "read_key",
]

KEY_VARIABLE = "OVERWINTER_SIGNING_KEY"
SECRET_PREFIX = "overwinter-secret-key-ed25519:"

_MAX_FILE = 4096
_TEXT = re.compile(
    rf"{SECRET_PREFIX}(?P<seed>[A-Za-z0-9+/]{{43}}=)"
    rf"(\s+# name: (?P<name>{NAME.pattern}))?\s*"
)


class SigningKey:
    """
    An Ed25519 key pair.

    Args:
        seed: Its 32 secret bytes.
        name: What people call it.
        where: What it was read from, for people.
    """

    def __init__(self, seed: bytes, *, name: str = "", where: str = "") -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()
        self.name, self.where = name, where

    def __repr__(self) -> str:
        return f"<SigningKey {public_text(self.public)}>"

    def sign(self, statement: bytes) -> Signature:
        """Return the signature of *statement*; the same bytes every time."""
        signed = self._private.sign(encoded_for_signing(statement))
        return Signature(ED25519, self.public, signed)

    def sign_bare(self, message: bytes) -> bytes:
        """Return the signature of *message* itself, for formats of other programs."""
        # Else whoever chooses the message has a segment signed.
        if message.startswith(STATEMENT_BEGIN):
            raise ValueError("expected no encoded statement, got one: use sign")
        return self._private.sign(message)


# --- the key that signs -----------------------------------------------------


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
        path = account_file(environ)
        # Of two processes that start at once, one creates; both read its key.
        try:
            create_once(path, _new_text())
        except StoreError as error:
            reason = f"{error.reason}, and no {KEY_VARIABLE} names another"
            raise StoreError(error.path, "keep a signing key", reason) from error
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
    return given_key(environ) or account_key(environ)


def given_key(environ: Mapping[str, str] = os.environ) -> SigningKey | None:
    """
    Return the key pair that ``OVERWINTER_SIGNING_KEY`` gives, if it gives one.

    Raises:
        TrustError: It is no key, and no file with one that nobody else may write.
    """
    given = environ.get(KEY_VARIABLE, "").strip()
    if not given:
        return None
    if given.startswith(SECRET_PREFIX):
        return _parsed(given, KEY_VARIABLE, f"mend {KEY_VARIABLE}, or unset it")
    # In a container's settings no shell expands the tilde.
    path = os.path.expanduser(given)
    try:
        key = read_key(path)
    except StoreError as error:
        # Never show what was given: it may be a key whose beginning was cut off.
        found = f"{len(given)} characters that are no key and no file to read"
        raise TrustError(
            KEY_VARIABLE,
            f"{found} ({error.reason})",
            f"the path of a key file, or {SECRET_PREFIX!r} and 32 bytes in base64",
            f"mend {KEY_VARIABLE}, or unset it and this machine's own key is used",
        ) from None
    key.where = f"{path}, as {KEY_VARIABLE} says"
    return key


def account_key(environ: Mapping[str, str] = os.environ) -> SigningKey | None:
    """
    Return the key pair that this account keeps for itself, if it has one.

    Raises:
        TrustError: It is no key, or somebody else could have put it there or read it.
        StoreError: It cannot be read.
    """
    try:
        path = account_file(environ)
    except StoreError:  # no home, and so no key in it
        return None
    try:
        text, owner, mode = _content(path)
    except NotFoundError:
        return None
    if owner != os.geteuid():
        found = f"a key that belongs to user {owner}"
        remedy = "move it away, and a new one is made"
    elif mode & 0o077:
        found = f"a key that others may read or write (mode {mode:04o})"
        remedy = (
            f"if nobody did, chmod 600 {shlex.quote(os.fspath(path))}; else move "
            "it away, and a new one is made"
        )
    else:
        return _parsed(text, os.fspath(path), "move it away, and a new key is made")
    raise TrustError(os.fspath(path), found, "one of your own, for you alone", remedy)


def account_file(environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return where this account keeps its own key.

    Raises:
        StoreError: It has no home directory.
    """
    what, advice = "the signing key", f"no HOME and no {KEY_VARIABLE}"
    folder = place_of(environ, "XDG_DATA_HOME", ".local/share", what, advice)
    return folder / "signing.key"


# --- key files --------------------------------------------------------------


def read_key(path: PathLike) -> SigningKey:
    """
    Return the key pair in a file that somebody was given, such as a mounted secret.

    Such a file may be root's, readable by a group, and behind links.

    Raises:
        TrustError: It is no key, or somebody else could have written it.
        NotFoundError: There is no such file.
        StoreError: It cannot be read.
    """
    name = os.fspath(path)
    text, owner, mode = _content(path)
    # What is ours or root's is so in any folder: who put a file of their own in its
    # place would own that. A file of somebody else, as a container sees its host's, is
    # what is meant only where nobody else could have put it there.
    if owner not in (os.geteuid(), 0) and not _is_ours(os.path.dirname(name) or "."):
        found = f"a key that belongs to user {owner}"
    elif mode & 0o022:
        found = f"a key that others may write (mode {mode:04o})"
    else:
        return _parsed(text, name, "name a file that overwinter key new -o made")
    remedy = "chown or chmod go-w it if it is the one that is meant"
    raise TrustError(name, found, "one that only you, or root, may write", remedy)


def _is_ours(folder: str) -> bool:
    """Return whether only we and root can put something into *folder*."""
    with told(folder, "look at it"):
        found = os.stat(folder)
    return found.st_uid in (os.geteuid(), 0) and not found.st_mode & 0o022


def new_key(path: PathLike, name: str = "") -> SigningKey:
    """
    Return a key pair that was made for elsewhere, and is in a file of mode 0600.

    Args:
        path: The file, in a folder that exists; nothing may be there yet.
        name: What people call the key. The releases 0.1 and 0.2 refuse to read a file
            that says one.

    Raises:
        ValueError: *name* is no name of a key.
        ConflictError: Something is at *path*.
        StoreError: The file cannot be written.
    """
    if name and not NAME.fullmatch(name):
        raise ValueError(
            f"expected a name of small letters, digits, '.', '_', '@' and '-', of 64 "
            f"at most, got {name!a:.80}"
        )
    place = os.fspath(path)
    if not os.path.isdir(os.path.dirname(place) or "."):
        raise NotFoundError(place, "write it", "its folder does not exist")
    if not create_once(path, _new_text(name)):
        raise ConflictError(place)
    return read_key(path)


def new_account_key(environ: Mapping[str, str] = os.environ) -> SigningKey:
    """
    Return the key pair that was made for this account, which had none.

    Raises:
        ConflictError: It has one.
        StoreError: It cannot be kept.
    """
    path = account_file(environ)
    key = account_key(environ) if create_once(path, _new_text()) else None
    if key is None:
        raise ConflictError(os.fspath(path))
    return key


def _new_text(name: str = "") -> bytes:
    seed = base64.b64encode(os.urandom(32)).decode()
    return (f"{SECRET_PREFIX}{seed}\n" + (f"# name: {name}\n" if name else "")).encode()


def _content(path: PathLike) -> tuple[str, int, int]:
    """Return the text, the owner and the mode of a file, asked of one descriptor."""
    source = FileSource(path)
    try:
        data = source.read(0, min(source.size, _MAX_FILE))
        return data.decode("utf-8", "replace"), source.owner, source.mode
    finally:
        source.close()


def _parsed(text: str, where: str, remedy: str) -> SigningKey:
    found = _TEXT.fullmatch(text)
    if found is None:
        # Never show what was found: it may be a key that was pasted wrongly.
        raise TrustError(
            where,
            f"{len(text.strip())} characters that are no signing key",
            f"{SECRET_PREFIX!r} and 32 bytes in base64",
            remedy,
        )
    seed = base64.b64decode(found["seed"])
    return SigningKey(seed, name=found["name"] or "", where=where)
