"""
Released versions: ``RELEASED`` names each schema file with its digest, for ever.

One line for each: kind, version, SHA-256 of the file, and a seal, which is the
SHA-256 of the seal before and the line: no line can be changed, moved or taken
out without breaking every seal behind it.
"""

import hashlib
from collections.abc import Mapping

import attrs

from .model import InvalidSchemaError

__all__ = ["Released", "parse_released", "released_line"]

_FIRST_SEAL = "0" * 64


@attrs.frozen
class Released:
    """The released schemas of one package: (kind, version) to digest of the file."""

    digests: Mapping[tuple[str, int], str]
    seal: str = _FIRST_SEAL

    def __contains__(self, version: tuple[str, int]) -> bool:
        return version in self.digests


def released_line(released: Released, kind: str, version: int, file: bytes) -> str:
    """
    Return the line that releases *file* after those that are *released*.

    Raises:
        InvalidSchemaError: The version was released before.
    """
    if (kind, version) in released:
        raise InvalidSchemaError(
            "RELEASED",
            f"{kind} {version}",
            "RELEASED_FILE_IMMUTABLE: a release of it twice",
            "one; make the next version instead",
        )
    words = f"{kind} {version} {hashlib.sha256(file).hexdigest()}"
    return f"{words} {_seal(released.seal, words)}\n"


def parse_released(text: str, source: str) -> Released:
    """
    Return what a ``RELEASED`` file says.

    Raises:
        InvalidSchemaError: A line is no such line, or its seal does not hold:
            an earlier line was changed.
    """
    digests: dict[tuple[str, int], str] = {}
    seal = _FIRST_SEAL
    for number, line in enumerate(text.splitlines(), 1):
        where = f"line {number}"
        words = line.split(" ")
        if len(words) != 4 or not words[1].isdigit():
            raise InvalidSchemaError(
                source, where, repr(line[:80]), "kind, version, digest, seal"
            )
        kind, version, digest, found = words
        seal = _seal(seal, f"{kind} {version} {digest}")
        if found != seal:
            raise InvalidSchemaError(
                source,
                where,
                f"RELEASED_FILE_IMMUTABLE: the seal {found[:16]}…",
                f"{seal[:16]}…: this line or one before it was changed; restore the "
                "file from version control",
            )
        digests[kind, int(version)] = digest
    return Released(digests, seal)


def _seal(before: str, words: str) -> str:
    return hashlib.sha256(f"{before} {words}".encode()).hexdigest()
