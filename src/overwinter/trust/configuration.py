"""
Whom an account trusts, as its files and its environment say.

Lines, as in ssh's ``allowed_signers``: a command appends one, comments stay, and
what manages configuration can own the file. There is no line that trusts everybody.

Layout: ``docs/trust.md``.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import attrs

from ..errors import NotFoundError, StoreError, TrustError
from ..ownership import is_open_to_others
from ..sources import FileSource
from .places import place_of
from .public import NAME, is_weak, key_of, public_text
from .signing import SECRET_PREFIX

__all__ = [
    "TRUSTED_VARIABLE",
    "Rules",
    "Trusted",
    "read_all",
    "read_line",
    "read_lines",
    "rules_of_this_account",
    "user_file",
]

TRUSTED_VARIABLE = "OVERWINTER_TRUSTED_KEYS"
SEGMENT = "segment"  # what a digest is written behind; no key is called so

_KIND = re.compile(r"[a-z0-9_]{1,64}(/[a-z0-9_]{1,64})?")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MAX_FILE = 2**20
_NOBODY = "until then nobody is trusted"


@attrs.frozen
class Trusted:
    """
    One key that an account trusts, and what for.

    Args:
        key: The public key, 32 bytes.
        name: What the account calls it.
        kinds: The kinds that it may bring; ``None`` for every kind.
        until: The last day on which it counts, in UTC; ``None`` for ever.
        where: What says so, for people.
    """

    key: bytes
    name: str = ""
    kinds: frozenset[str] | None = None
    until: date | None = None
    where: str = ""

    @property
    def is_limited(self) -> bool:
        """Whether it is trusted for some kinds, or for some time, only."""
        return self.kinds is not None or self.until is not None

    def __str__(self) -> str:
        words = [f"{self.name}:{public_text(self.key)}"]
        if self.kinds is not None:
            words.append("kinds=" + ",".join(sorted(self.kinds)))
        if self.until is not None:
            words.append(f"until={self.until}")
        return " ".join(words)


@attrs.frozen
class Rules:
    """
    What an account says about trust.

    Args:
        trusted: Keys; one that stands in two places may do what either allows.
        segments: Digests of segments that may be populated whoever signed them, and
            where that is said.
        revoked: Keys that count nowhere, and where that is said.
        revoked_segments: The same for segments.
    """

    trusted: tuple[Trusted, ...] = ()
    segments: Mapping[bytes, str] = attrs.field(factory=dict)
    revoked: Mapping[bytes, str] = attrs.field(factory=dict)
    revoked_segments: Mapping[bytes, str] = attrs.field(factory=dict)

    @classmethod
    def joined(cls, parts: "Iterable[Rules]") -> "Rules":
        """Return what all *parts* say; of two places that say the same, the first."""
        trusted: list[Trusted] = []
        found: tuple[dict[bytes, str], ...] = ({}, {}, {})
        for part in parts:
            trusted += part.trusted
            of_part = part.segments, part.revoked, part.revoked_segments
            for into, those in zip(found, of_part, strict=True):
                for subject, where in those.items():
                    into.setdefault(subject, where)
        return cls(tuple(trusted), *found)


def rules_of_this_account(environ: Mapping[str, str] = os.environ) -> Rules:
    """
    Return what this account's files and its environment say, all together.

    The files are ``overwinter/trust`` in the XDG configuration directories, the
    variable is ``OVERWINTER_TRUSTED_KEYS``: ``name:base64``, separated by blanks or
    commas.

    Raises:
        TrustError: One of them cannot be read as a whole: then none of them counts.
    """
    files = [read_all(path, read_lines(path)) for path in _files(environ)]
    return Rules.joined([*files, _rules_of_variable(environ)])


def user_file(environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return where this account's own rules are kept.

    Raises:
        StoreError: It has no home directory.
    """
    what, advice = "the trusted keys", "no HOME; set it"
    return place_of(environ, "XDG_CONFIG_HOME", ".config", what, advice) / "trust"


def read_line(line: str, where: str) -> Rules:
    """
    Return what one line of a file says; nothing for one that is empty.

    Args:
        line: ``trust SUBJECT [kinds=A,B] [until=DAY]`` or ``revoke SUBJECT``, where a
            subject is ``name:base64`` or ``segment:hex``; ``#`` begins a comment.
        where: Its place, for the error and for people.

    Raises:
        TrustError: It says nothing that can be understood.
    """
    if SECRET_PREFIX in line:  # it must not be shown, nor lie there
        raise _refused(where, "a secret signing key", "a public one")
    words = line.split("#")[0].split()
    if not words:
        return Rules()
    verb, subject, limits = words[0], words[1] if words[1:] else "", words[2:]
    name, _, rest = subject.rpartition(":")
    if verb not in ("trust", "revoke"):
        raise _refused(where, f"{verb!a:.80}", "trust or revoke")
    if limits and (verb == "revoke" or name == SEGMENT):
        raise _refused(where, f"{limits[0]!a:.80}", "nothing behind what it is about")
    if name == SEGMENT:
        if not _DIGEST.fullmatch(rest):
            raise _refused(where, f"{subject!a:.120}", "segment: and 64 digits in hex")
        of = {bytes.fromhex(rest): where}
        return Rules(segments=of) if verb == "trust" else Rules(revoked_segments=of)
    key = key_of(rest)
    if key is None or not (NAME.fullmatch(name) or (verb == "revoke" and not name)):
        expected = "name:base64 of the 32 bytes of a key"
        raise _refused(where, f"{subject!a:.120}", expected)
    if verb == "revoke":
        return Rules(revoked={key: where})
    if is_weak(key):
        found = f"{public_text(key)}, by which anybody can sign anything"
        raise _refused(where, found, "a key that was made at random")
    kinds, until = _limits(limits, where)
    return Rules((Trusted(key, name, kinds, until, where),))


def _limits(words: list[str], where: str) -> tuple[frozenset[str] | None, date | None]:
    kinds: frozenset[str] | None = None
    until: date | None = None
    for word in words:
        name, _, value = word.partition("=")
        if name == "kinds" and all(map(_KIND.fullmatch, value.split(","))):
            if kinds is None:
                kinds = frozenset(value.split(","))
                continue
        elif name == "until" and (day := _day(value)) and until is None:
            until = day
            continue
        expected = "kinds=A,B or until=YYYY-MM-DD, each once"
        raise _refused(where, f"{word!a:.120}", expected)
    return kinds, until


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        return None


def _refused(where: str, found: str, expected: str) -> TrustError:
    return TrustError(where, found, expected, f"mend it: {_NOBODY}")


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    """Give the files that may say something, the account's own first."""
    with contextlib.suppress(StoreError):  # no home, and so no file in it
        path = user_file(environ)
        if _is_in_reach(path.parent.parent):
            yield path
    for base in (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        if os.path.isabs(base):
            yield Path(base) / "overwinter" / "trust"


def _is_in_reach(base: Path) -> bool:
    """
    Return whether this account's configuration can be there.

    A container may say somebody else's home, as of root, or none, as /dev/null: what
    is said in there is not about this account.
    """
    for each in (base, *base.parents):
        try:
            found = os.stat(each)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue  # is it there, what is above it says more
        except OSError:
            break
        if not stat.S_ISDIR(found.st_mode):
            return False
        effective = os.access in os.supports_effective_ids
        is_open = os.access(each, os.X_OK, effective_ids=effective)
        return found.st_uid == os.geteuid() or is_open
    return True


def read_all(path: Path, lines: list[str]) -> Rules:
    """
    Return what the lines of a file say together.

    Raises:
        TrustError: They cannot be understood as a whole.
    """
    rules = Rules.joined(
        read_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
    )
    _check_names(rules.trusted)
    return rules


def read_lines(path: Path) -> list[str]:
    """
    Return the lines of a file of rules, where nobody else could have written it.

    Raises:
        TrustError: Somebody else could, it is no text, or it cannot be read.
    """
    try:
        source = FileSource(path)
    except NotFoundError:
        if not os.path.islink(path):
            return []
        # What it would say is unknown, and may be that a key is revoked.
        raise _refused(str(path), "a link to nothing", "a file of rules") from None
    except StoreError as error:
        raise _unreadable(str(path), error.reason) from error
    try:
        if source.size > _MAX_FILE:
            found = f"{source.size:,} bytes"
            raise _refused(source.name, found, f"{_MAX_FILE:,} at most")
        _check_owner(source.name, source.owner, source.group, source.mode)
        # What manages configuration may have put a link here: two folders hold it.
        for folder in {path.parent, Path(os.path.realpath(path)).parent}:
            status = os.stat(folder)
            mode = stat.S_IMODE(status.st_mode)
            _check_owner(str(folder), status.st_uid, status.st_gid, mode)
        return source.read(0, source.size).decode().splitlines()
    except UnicodeDecodeError as error:
        raise _refused(source.name, "bytes that are no UTF-8", "text") from error
    except StoreError as error:
        raise _unreadable(source.name, error.reason) from error
    except OSError as error:
        raise _unreadable(source.name, error.strerror or str(error)) from error
    finally:
        source.close()


def _unreadable(name: str, reason: str) -> TrustError:
    return _refused(name, f"what cannot be read ({reason})", "a file of rules")


def _check_owner(name: str, owner: int, group: int, mode: int) -> None:
    if owner not in (os.geteuid(), 0):
        found = f"what belongs to user {owner}"
    elif is_open_to_others(mode, group):
        found = f"what others may write (mode {mode:04o})"
    else:
        return
    remedy = f"chown or chmod go-w it if what it says is meant; {_NOBODY}"
    raise TrustError(name, found, "what only this account, or root, writes", remedy)


def _rules_of_variable(environ: Mapping[str, str]) -> Rules:
    entries = environ.get(TRUSTED_VARIABLE, "").replace(",", " ").split()
    rules = Rules.joined(
        # A comment, as in a file, would hide what is behind it.
        read_line("trust " + each.replace("#", "?"), TRUSTED_VARIABLE)
        for each in entries
    )
    if rules.segments:
        raise _refused(TRUSTED_VARIABLE, "a segment", "keys, as name:base64")
    _check_names(rules.trusted)
    return rules


def _check_names(trusted: tuple[Trusted, ...]) -> None:
    """Refuse a name that two keys have: who reads it must know which is meant."""
    by_name: dict[str, Trusted] = {}
    for each in trusted:
        if by_name.setdefault(each.name, each).key != each.key:
            found = f"{each.name!r}, which is another key's name too"
            raise _refused(each.where, found, "a name of its own")
