"""
Detached signatures: one over a whole bundle, for who has no overwinter to ask.

It says of the file what its segments say of themselves, so only their signer makes
one. It ends with the next append.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import PurePath

from .bundle import Bundle, verify
from .errors import ChangedError, TrustError
from .files import PathLike
from .progress import Progress
from .sources import FileSource
from .trust import SigningKey, minisign, public_text

__all__ = ["detached_signature"]

_STEP = 2**20


def detached_signature(
    target: PathLike, key: SigningKey, *, progress: Progress | None = None
) -> str:
    """
    Return a signature of the bundle at *target*, as minisign reads it.

    Args:
        target: The bundle, every segment of which *key* has signed.
        key: Signs.
        progress: Told of bytes of payloads that are verified, done and in all.

    Raises:
        TrustError: Something in it is damaged, or not signed by *key*.
        NotFoundError: There is no such file.
        FormatError: It cannot be opened.
        VersionError: It was written for later readers.
        ChangedError: It changed while it was read.
    """
    name = os.fspath(target)
    before = _state(name)
    source = FileSource(target)
    try:
        prehash, digest = hashlib.blake2b(), hashlib.sha256()
        for data in _chunks(source):
            prehash.update(data)
            digest.update(data)
    finally:
        source.close()
    with Bundle(target) as bundle:
        _check(bundle, key, progress)
        segments = len(bundle.segments)
    if before is None or _state(name) != before:
        raise ChangedError(name)
    # A name can hold anything; it comes to a terminal, and is one line.
    shown = PurePath(name).name.encode("unicode_escape").decode()
    comment = f"file:{shown}\tsha256:{digest.hexdigest()}\tsegments:{segments}"
    return minisign.signature_text(key, prehash.digest(), comment)


def _check(bundle: Bundle, key: SigningKey, progress: Progress | None) -> None:
    """Refuse to sign what others signed, or nobody."""
    for found in verify(bundle, progress=progress):
        raise TrustError(
            bundle.name,
            f"{found.part} is damaged ({found.outcome})",
            "a sound bundle",
            "overwinter verify says what it is, and overwinter repack leaves it out",
        )
    signed = [segment for segment in bundle.segments if segment.signed_by([key.public])]
    if signed and len(signed) == len(bundle.segments):
        return
    others = len(bundle.segments) - len(signed)
    raise TrustError(
        bundle.name,
        f"{others:,} of {len(bundle.segments):,} segments that this key "
        f"({public_text(key.public)}) has not signed",
        "segments, all of them signed by it",
        "nobody signs for others: ask their signer, or repack what you trust",
    )


def _chunks(source: FileSource) -> Iterator[bytes]:
    for offset in range(0, source.size, _STEP):
        yield source.read(offset, min(_STEP, source.size - offset))


def _state(name: str) -> tuple[int, ...] | None:
    """Return what changes when a file is written to or replaced."""
    try:
        found = os.stat(name)
    except (OSError, ValueError):
        return None  # opening it says why
    times = found.st_mtime_ns, found.st_ctime_ns
    return found.st_dev, found.st_ino, found.st_size, *times
