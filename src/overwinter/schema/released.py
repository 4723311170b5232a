"""
Released versions: ``RELEASED`` names each released file with its digest, for ever.

It stands beside the folders of the kinds, and lines are only ever added. A line
that releases a version has five words: kind, version, SHA-256 of the schema file,
SHA-256 of the step that leads to it (``-`` for version 1), and a seal. A line that
names a release has three: ``=``, the release, and a seal; everything above it is
in that release. The seal is the SHA-256 of the seal before, a space, and the words
before it: no line can be changed, moved or taken out without breaking every seal
behind it.
"""

import hashlib
import re
from collections.abc import Mapping

import attrs

from .model import InvalidSchemaError

__all__ = ["RELEASED", "Released", "parse_released", "release_line", "version_line"]

RELEASED = "RELEASED"

_FIRST_SEAL = "0" * 64
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_NO_STEP = "-"


@attrs.frozen
class Digests:
    """SHA-256 of the files of one released version, in hex; version 1 has no step."""

    schema: str
    step: str | None


@attrs.frozen
class Released:
    """
    What one package has released.

    Args:
        digests: (kind, version) to the digests of its files.
        releases: Release to the newest version of each kind in it, in order.
        seal: The seal of the last line.
    """

    digests: Mapping[tuple[str, int], Digests] = attrs.field(factory=dict)
    releases: Mapping[str, Mapping[str, int]] = attrs.field(factory=dict)
    seal: str = _FIRST_SEAL

    def __contains__(self, version: tuple[str, int]) -> bool:
        return version in self.digests

    def newest(self, kind: str) -> int:
        """Return the newest released version of *kind*, 0 where there is none."""
        return max((v for k, v in self.digests if k == kind), default=0)


def version_line(
    released: Released, kind: str, version: int, schema: bytes, step: bytes | None
) -> str:
    """
    Return the line that releases a version after those that are *released*.

    Args:
        released: What is released already.
        kind: The kind.
        version: Its version, the one after the newest released one.
        schema: Content of its schema file.
        step: Content of the step that leads to it; ``None`` for version 1.

    Raises:
        InvalidSchemaError: The version was released before, or one is left out.
    """
    newest = released.newest(kind)
    if version <= newest:
        raise InvalidSchemaError(
            RELEASED,
            f"{kind} {version}",
            "RELEASED_FILE_IMMUTABLE: a release of it twice",
            "one; make the next version instead",
        )
    if version != newest + 1:
        raise InvalidSchemaError(
            RELEASED,
            f"{kind} {version}",
            f"a release after version {newest}",
            f"version {newest + 1} before it",
        )
    digest = _NO_STEP if step is None else _sha256(step)
    return _sealed(released, f"{kind} {version} {_sha256(schema)} {digest}")


def release_line(released: Released, name: str) -> str:
    """
    Return the line that names everything *released* so far a release.

    Raises:
        InvalidSchemaError: There is one of this name, or it is no name.
    """
    if name in released.releases or not name or name.split() != [name]:
        raise InvalidSchemaError(
            RELEASED, f"release {name!r}", "one of this name", "a word that is new"
        )
    return _sealed(released, f"= {name}")


def parse_released(text: str, source: str) -> Released:
    """
    Return what a ``RELEASED`` file says.

    Raises:
        InvalidSchemaError: A line is no such line, or its seal does not hold:
            an earlier line was changed.
    """
    digests: dict[tuple[str, int], Digests] = {}
    releases: dict[str, dict[str, int]] = {}
    newest: dict[str, int] = {}
    seal = _FIRST_SEAL
    for number, line in enumerate(text.splitlines(), 1):
        where = f"line {number}"
        words = line.split(" ")
        is_release = len(words) == 3 and words[0] == "="
        if not is_release and not (len(words) == 5 and _VERSION.fullmatch(words[1])):
            raise InvalidSchemaError(
                source,
                where,
                repr(line[:80]),
                "kind, version, two digests and a seal, or '=', a release and a seal",
            )
        seal, found = _seal(seal, " ".join(words[:-1])), words[-1]
        if found != seal:
            raise InvalidSchemaError(
                source,
                where,
                f"RELEASED_FILE_IMMUTABLE: the seal {found[:16]}…",
                f"{seal[:16]}…: this line or one before it was changed; restore the "
                "file from version control, and after a merge release again what the "
                "other branch had released",
            )
        if is_release:
            releases[words[1]] = dict(newest)
        else:
            kind, version, schema, step = words[0], int(words[1]), words[2], words[3]
            if version != newest.get(kind, 0) + 1:
                raise InvalidSchemaError(
                    source,
                    where,
                    f"RELEASED_FILE_IMMUTABLE: {kind} {version}",
                    f"{kind} {newest.get(kind, 0) + 1}: each version once, in order",
                )
            step_digest = None if step == _NO_STEP else step
            digests[kind, version] = Digests(schema, step_digest)
            newest[kind] = version
    return Released(digests, releases, seal)


def _sealed(released: Released, words: str) -> str:
    return f"{words} {_seal(released.seal, words)}\n"


def _seal(before: str, words: str) -> str:
    return _sha256(f"{before} {words}".encode())


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
