"""
Changing what an account says about trust: its own file, line by line.

Lines that are not concerned stay as they are, with their comments.
"""

import os
from collections.abc import Callable, Mapping
from datetime import date

import attrs

from ..errors import TrustError
from ..files import locked_directory, make_directory, replacing, told, write_all
from .configuration import (
    SEGMENT,
    Rules,
    Trusted,
    read_all,
    read_line,
    read_lines,
    rules_of_this_account,
    user_file,
)
from .policy import OWN
from .public import key_of, public_text
from .signing import account_key

__all__ = ["Subject", "add", "checked_line", "remove", "revoke", "subject_of"]

_GIVEN = "what was given"


@attrs.frozen
class Subject:
    """
    What a line is about.

    Args:
        of: A public key, or the digest of a segment; 32 bytes.
        name: What a key is called, where that is known.
        is_segment: Which of the two it is.
    """

    of: bytes
    name: str = ""
    is_segment: bool = False

    def __str__(self) -> str:
        if self.is_segment:
            return f"{SEGMENT}:{self.of.hex()}"
        return f"{self.name}:{public_text(self.of)}".lstrip(":")


def subject_of(text: str, rules: Rules) -> Subject:
    """
    Return what *text* means: ``name:base64``, ``segment:hex``, a key or a name.

    Args:
        text: What somebody wrote.
        rules: Where a name is looked up.

    Raises:
        TrustError: It means nothing, or more than one key.
    """
    if ":" not in text and key_of(text) is None:
        named = {each.key for each in rules.trusted if each.name == text}
        if text == "own":  # whatever else a file calls so
            named = {each.key for each in rules.trusted if each.where == OWN}
        if len(named) == 1:
            return Subject(named.pop(), text)
        of = f"the name of {len(named)} keys" if named else "the name of no key"
        expected = "name:base64, segment:hex, or the name of one that is listed"
        raise _no_subject(f"{text!a:.80}, {of}", expected)
    if "#" in text or text.split() != [text]:
        raise _no_subject(f"{text!a:.120}", "one word, without blanks and #")
    try:
        said = read_line(f"revoke {text}", _GIVEN)
    except TrustError as error:
        raise _no_subject(error.found, error.expected) from None
    for digest in said.revoked_segments:
        return Subject(digest, is_segment=True)
    (key,) = said.revoked
    known = [each.name for each in rules.trusted if each.key == key]
    return Subject(key, text.rpartition(":")[0] or (known or [""])[0])


def _no_subject(found: str, expected: str) -> TrustError:
    return TrustError(_GIVEN, found, expected, "see overwinter trust list")


def checked_line(
    subject: Subject,
    kinds: frozenset[str] | None = None,
    until: date | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """
    Return the line that `add` writes, which says this and no more.

    Raises:
        TrustError: It is revoked, has a name that another key has, or nobody may be
            trusted by it.
    """
    rules = rules_of_this_account(environ)
    revoked = rules.revoked_segments if subject.is_segment else rules.revoked
    if subject.of in revoked:
        raise TrustError(
            str(subject),
            f"it is revoked in {revoked[subject.of]}",
            "one that is not",
            "take another key, or remove that line by hand",
        )
    line, meant = f"trust {subject}", Rules(segments={subject.of: _GIVEN})
    if not subject.is_segment:
        named = next((e for e in rules.trusted if e.name == subject.name), None)
        if named is not None and named.key != subject.of:
            raise TrustError(
                str(subject),
                f"a name that {public_text(named.key)} has in {named.where}",
                "a name of its own",
                "choose another",
            )
        if subject.name == "own":
            found = f"{subject}, the name of this account's own key"
            raise _no_subject(found, "another name")
        trusted = Trusted(subject.of, subject.name, kinds, until, _GIVEN)
        line, meant = f"trust {trusted}", Rules((trusted,))
    try:
        said = read_line(line, _GIVEN)
    except TrustError as error:
        raise _no_subject(error.found, error.expected) from None
    if said != meant or line.splitlines() != [line]:
        raise _no_subject(f"{line!a:.120}, which says something else", "one rule")
    return line


def add(
    subject: Subject,
    kinds: frozenset[str] | None = None,
    until: date | None = None,
    environ: Mapping[str, str] = os.environ,
) -> bool:
    """
    Trust a key or a segment; what was said of it before is replaced.

    Args:
        subject: Which; a key has a name.
        kinds: The kinds that the key may bring; ``None`` for every kind.
        until: The last day on which it counts.
        environ: Where the account's file is.

    Returns:
        Whether anything changed.

    Raises:
        TrustError: As `checked_line`.
        StoreError: The file cannot be written.
    """
    line = checked_line(subject, kinds, until, environ)
    own = account_key(environ)
    is_whole = kinds is None and until is None
    if own is not None and own.public == subject.of and is_whole:
        return False
    return _edit(environ, _is_trust_in(subject), [line])


def remove(subject: Subject, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Trust a key or a segment no more, as far as this account's own file says it.

    A revocation stays: who means to end one removes its line by hand.

    Returns:
        Whether anything changed.
    """
    return _edit(environ, _is_trust_in(subject), [])


def revoke(subject: Subject, environ: Mapping[str, str] = os.environ) -> bool:
    """
    Let a key or a segment count nowhere, whoever else trusts it.

    Returns:
        Whether anything changed.
    """
    rules = rules_of_this_account(environ)
    revoked = rules.revoked_segments if subject.is_segment else rules.revoked
    lines = [] if subject.of in revoked else [f"revoke {subject}"]
    return _edit(environ, _is_trust_in(subject), lines)


def _is_trust_in(subject: Subject) -> Callable[[Rules], bool]:
    def says(rules: Rules) -> bool:
        if subject.is_segment:
            return subject.of in rules.segments
        return any(each.key == subject.of for each in rules.trusted)

    return says


def _edit(
    environ: Mapping[str, str], replaced: Callable[[Rules], bool], lines: list[str]
) -> bool:
    """Put *lines* in the place of those that are *replaced*, or at the end."""
    path = user_file(environ)
    make_directory(path.parent, mode=0o700)
    folder = str(path.parent)
    with told(folder, "lock it"), locked_directory(folder):
        before = read_lines(path)
        after, put = [], False
        for number, line in enumerate(before, 1):
            if not replaced(read_line(line, f"{path}, line {number}")):
                after.append(line)
            elif not put:
                after += lines
                put = True
        if not put:
            after += lines
        if after == before:
            return False
        # Another process may have given the name to another key meanwhile.
        read_all(path, after)
        # What manages configuration may have put a link here: it stays one.
        with replacing(os.path.realpath(path)) as file:
            os.fchmod(file.fileno(), 0o600)
            write_all(file, ["".join(f"{line}\n" for line in after).encode()])
    return True
