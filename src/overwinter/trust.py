"""
Trust: who signed a segment, and whether this machine lets its artifacts run.

Populating a compile cache runs what is in it, so every segment is signed when it
is written, and populating asks whether this machine trusts the signer. A key
pair is made on first use; a machine trusts its own key, and those that it names.

Layout: ``schema/FORMAT.md``, "Signatures".
"""

import base64
import binascii
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

# cryptography is imported where it is used: 25 ms that inspecting does not need.
from .errors import NotFoundError, StoreError, TrustError
from .files import create_once
from .sources import FileSource, read_small

__all__ = [
    "STATEMENT_TYPE",
    "Policy",
    "Signature",
    "SigningKey",
    "existing_key",
    "own_key",
    "public_text",
    "valid_signers",
]

STATEMENT_TYPE = "application/vnd.overwinter.segment.v1+msgpack"
ED25519 = "ed25519"
KEY_VARIABLE = "OVERWINTER_SIGNING_KEY"
TRUSTED_VARIABLE = "OVERWINTER_TRUSTED_KEYS"

_NAMED_KEY = re.compile(r"([a-z0-9][a-z0-9._@-]{0,63}):([A-Za-z0-9+/]{43}=)")
_PREFIX = "overwinter-secret-key-ed25519:"


@attrs.frozen
class Signature:
    """One signature over one statement."""

    algorithm: str
    key: bytes
    signature: bytes


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
        signed = self._private.sign(_encoded_for_signing(statement))
        return Signature(ED25519, self.public, signed)


def valid_signers(
    statement: bytes, signatures: Iterable[Signature]
) -> tuple[bytes, ...]:
    """Return the public keys whose signature over *statement* holds."""
    message = _encoded_for_signing(statement)
    return tuple(
        each.key
        for each in signatures
        if each.algorithm == ED25519
        and not _is_weak(each.key)
        and _holds(each, message)
    )


class Policy:
    """
    Whom this machine trusts.

    Args:
        trusted: Public keys, 32 bytes each.

    Raises:
        TrustError: One of them is a key by which anybody can sign.
    """

    def __init__(self, trusted: Iterable[bytes]) -> None:
        self.trusted = frozenset(trusted)
        for key in self.trusted:
            if _is_weak(key):
                raise TrustError(
                    "the trusted keys",
                    f"{public_text(key)}, by which anybody can sign anything",
                    "a key that was made at random",
                    "remove it, and ask its owner for another",
                )

    @classmethod
    def of_this_machine(cls, environ: Mapping[str, str] = os.environ) -> "Policy":
        """
        Return the policy of this account: its own key, and those that it names.

        A machine that never saved has no key of its own. Others are in
        ``OVERWINTER_TRUSTED_KEYS``: ``name:base64``, separated by blanks or commas.

        Raises:
            TrustError: One of them cannot be read: then none of them counts.
        """
        key = existing_key(environ)
        return cls([*([key.public] if key else []), *_named_keys(environ).values()])

    def refusal(self, name: str, signers: tuple[bytes, ...]) -> TrustError | None:
        """
        Return why a segment may not be populated, or ``None`` where it may.

        Args:
            name: The segment's name, for the error.
            signers: Keys whose signatures over its statement hold.
        """
        if self.trusted.intersection(signers):
            return None
        if not signers:
            return TrustError(
                name,
                "no valid signature",
                "one by a key that this machine trusts",
                "ask for a signed bundle, or save it again here",
            )
        found = public_text(min(signers))
        if len(signers) > 1:
            found += f" and {len(signers) - 1} more"
        return TrustError(
            name,
            f"signed by {found}",
            "a key that this machine trusts"
            + ("" if self.trusted else " (it has none of its own yet)"),
            f"if you trust that signer: {_command(min(signers))}; else save the "
            "bundle again here",
        )


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
        create_once(path, f"{_PREFIX}{base64.b64encode(seed).decode()}\n".encode())
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
    if given.startswith(_PREFIX):
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
            f"the path of a key file, or {_PREFIX!r} and 32 bytes in base64",
            f"mend {KEY_VARIABLE}, or unset it and this machine's own key is used",
        ) from None
    return _read_key(text, os.fspath(path))


def _command(key: bytes) -> str:
    """Return the command that trusts *key* beside those that are named already."""
    named = f"key-{key[:4].hex()}:{public_text(key)}"
    return f'export {TRUSTED_VARIABLE}="${TRUSTED_VARIABLE} {named}"'


def _named_keys(environ: Mapping[str, str]) -> dict[str, bytes]:
    """Return the keys that this account trusts beside its own, by their names."""
    named: dict[str, bytes] = {}
    for entry in environ.get(TRUSTED_VARIABLE, "").replace(",", " ").split():
        match = _NAMED_KEY.fullmatch(entry)
        key = base64.b64decode(match[2]) if match else b""
        if _PREFIX in entry:  # looks like a named key, and must not be shown
            found = "a secret signing key"
            remedy = "name the public one, which overwinter inspect shows"
        elif match is None or public_text(key) != match[2]:
            found, remedy = f"{entry!a:.120}", "mend it: none of them counts until then"
        elif match[1] in named and named[match[1]] != key:
            found, remedy = f"{match[1]!r} twice", "give each key a name of its own"
        else:
            named[match[1]] = key
            continue
        raise TrustError(
            TRUSTED_VARIABLE, found, "name:base64 of the 32 bytes of a key", remedy
        )
    return named


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


def public_text(key: bytes) -> str:
    """Return a public key in the form that people exchange: base64."""
    return base64.b64encode(key).decode()


def _read_key(text: str, where: str) -> SigningKey:
    body = text.strip().removeprefix(_PREFIX)
    try:
        seed = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        seed = b""
    if len(seed) != 32 or not text.startswith(_PREFIX):
        # Never show what was found: it may be a key that was pasted wrongly.
        raise TrustError(
            where,
            f"{len(text.strip())} characters that are no signing key",
            f"{_PREFIX!r} and 32 bytes in base64",
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


def _encoded_for_signing(statement: bytes) -> bytes:
    # DSSE's pre-authentication encoding: the type is signed with the bytes, so
    # that no signature over something else can be passed off as one over this.
    kind = STATEMENT_TYPE.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(statement), statement)


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


def _is_weak(key: bytes) -> bool:
    """Return whether *key* is a point of small order, or written as no maker does."""
    y = int.from_bytes(key, "little") & (2**255 - 1)
    return y >= _FIELD or y in _SMALL_ORDER


def _holds(signature: Signature, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(signature.key)
        public.verify(signature.signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
