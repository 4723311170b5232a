"""
Decisions: which segments' artifacts may run here, by whose word, and what else would.

Reasons are plain data: many segments that are refused for one reason are told once.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import attrs

from ..errors import OverwinterError, TrustError
from .configuration import Rules, Trusted, rules_of_this_account
from .public import is_weak, named_text, public_text
from .signing import KEY_VARIABLE, account_key, given_key

__all__ = ["Permission", "Policy", "Refusal", "is_revoked_here", "known_rules"]

NAMELESS = "key"
OWN = "this machine's own key"
SIGNS = f"{KEY_VARIABLE}, which signs here"
_YEAR = timedelta(days=365)
_NAMED = 3  # keys or segments in one refusal


@attrs.frozen
class Permission:
    """
    Why the artifacts of a segment may be populated.

    Args:
        by: Whose word that is, for people.
        is_limited: Whether that word is limited to kinds or to a time.
        is_override: Whether it is about these bytes, whoever signed them.
    """

    by: str
    is_limited: bool = False
    is_override: bool = False


@attrs.frozen
class Refusal:
    """
    Why the artifacts of a segment may not be populated; the same for many segments.

    Args:
        found: Who signed it.
        expected: Whom this machine would need.
        advice: What to ask before anything is changed, or the whole next step.
        command: What changes it, to be pasted; nothing where nothing should.
        is_unsigned: Whether only a word about its bytes could help.
    """

    found: str
    expected: str
    advice: str
    command: str = ""
    is_unsigned: bool = False

    def error(self, source: str, digests: Sequence[bytes]) -> TrustError:
        """
        Return this as an error.

        Args:
            source: What is refused.
            digests: The names of the segments that are refused for it.
        """
        remedy = self.advice
        if self.command:
            remedy += f": {self.command}"
        if self.is_unsigned and len(digests) <= _NAMED:
            named = " ".join(f"segment:{each.hex()}" for each in digests)
            remedy += (
                "; to populate these bytes, and no others: overwinter trust add "
                + named
            )
        return TrustError(source, self.found, self.expected, remedy)


def known_rules(
    environ: Mapping[str, str] = os.environ, problems: list[str] | None = None
) -> Rules:
    """
    Return what this account says, and its own keys, of which it need not say it.

    Args:
        environ: The environment.
        problems: Takes a line for each of these keys that cannot be used: whoever
            loads needs none of them.

    Raises:
        TrustError: What it says cannot be read as a whole, or one of its keys
            cannot be used and nobody takes *problems*.
        StoreError: One of its keys cannot be read, likewise.
    """
    own: list[Trusted] = []
    for find, name, where in ((given_key, "", SIGNS), (account_key, "own", OWN)):
        try:
            key = find(environ)
        except OverwinterError as error:
            if problems is None:
                raise
            problems.append(f"{error}; until then what it signed is not trusted")
            continue
        if key is not None and key.public not in [each.key for each in own]:
            own.append(Trusted(key.public, name or key.name or "given", where=where))
    return Rules.joined([Rules(tuple(own)), rules_of_this_account(environ)])


def is_revoked_here(key: bytes, environ: Mapping[str, str] = os.environ) -> str:
    """Return where this account says that a public key is revoked, or nothing."""
    try:
        return rules_of_this_account(environ).revoked.get(key, "")
    except TrustError:  # which a load says
        return ""


class Policy:
    """
    Whom this machine trusts.

    Args:
        trusted: Public keys, 32 bytes each, or what they are trusted for.
        rules: What is trusted and revoked beside these.
        today: The day in UTC; the one of each question if not given.
        problems: What of this machine's could not be used; each load tells it.

    Raises:
        TrustError: One of the keys is one by which anybody can sign.
    """

    def __init__(
        self,
        trusted: Iterable[bytes | Trusted] = (),
        rules: Rules | None = None,
        *,
        today: date | None = None,
        problems: Sequence[str] = (),
    ) -> None:
        rules = rules or Rules()
        self.problems = tuple(problems)
        given = [
            each if isinstance(each, Trusted) else Trusted(each) for each in trusted
        ]
        self.rules, self._today = rules, today
        self.trusted: dict[bytes, list[Trusted]] = {}
        for each in (*given, *rules.trusted):
            if is_weak(each.key):
                raise TrustError(
                    "the trusted keys",
                    f"{public_text(each.key)}, by which anybody can sign anything",
                    "a key that was made at random",
                    "remove it, and ask its owner for another",
                )
            self.trusted.setdefault(each.key, []).append(each)

    @classmethod
    def of_this_machine(cls, environ: Mapping[str, str] = os.environ) -> "Policy":
        """
        Return the policy of this account: its own keys, and whom it names.

        A machine that never saved has no key of its own, and none is made.

        Raises:
            TrustError: What it says cannot be read as a whole: then nothing counts.
        """
        problems: list[str] = []
        return cls((), known_rules(environ, problems), problems=problems)

    @property
    def keys(self) -> frozenset[bytes]:
        """The keys whose signatures can allow something."""
        return frozenset(self.trusted) - frozenset(self.rules.revoked)

    def verdicts(
        self, kinds: Iterable[str], digest: bytes, signers: Sequence[bytes]
    ) -> dict[str, Permission | Refusal]:
        """
        Return for each kind whether a segment's artifacts may be populated, and why.

        What is revoked counts nowhere, whoever else says something.

        Args:
            kinds: The kinds that the segment has artifacts of.
            digest: The segment's name, 32 bytes.
            signers: Keys whose signatures over its statement hold; of those that
                are not among `keys`, none need be given but for the words.
        """
        found: dict[str, Permission | Refusal] = {}
        kinds, beyond = sorted(set(kinds)), set()
        whole = self._of_segment(digest)
        said = [
            each
            for key in signers
            if key not in self.rules.revoked
            for each in self.trusted.get(key, [])
        ]
        said.sort(key=lambda each: each.is_limited)
        today = self._today or datetime.now(UTC).date()
        for kind in kinds:
            permission = whole or _permission(said, kind, today)
            if permission is None:
                beyond.add(kind)
            else:
                found[kind] = permission
        if beyond:
            refusal = (
                _beyond_limits(said, beyond, today) if said else self._unsaid(signers)
            )
            found.update(dict.fromkeys(beyond, refusal))
        return {kind: found[kind] for kind in kinds}

    def _of_segment(self, digest: bytes) -> Permission | Refusal | None:
        """Return what is said of this very segment, whoever signed it."""
        rules = self.rules
        if digest in rules.revoked_segments:
            return Refusal(
                f"a segment that is revoked in {rules.revoked_segments[digest]}",
                "one that is not",
                "ask who wrote it for another",
            )
        if digest in rules.segments:
            return Permission(rules.segments[digest], True, is_override=True)
        return None

    def _unsaid(self, signers: Sequence[bytes]) -> Refusal:
        """Return the refusal where nobody who is trusted signed."""
        for key in signers:
            if key in self.rules.revoked:
                return Refusal(
                    f"signed by {public_text(key)}, which is revoked in "
                    f"{self.rules.revoked[key]}",
                    "a key that is not",
                    "move the file of this machine's own key away (see overwinter key "
                    "list), and save again"
                    if any(e.where in (OWN, SIGNS) for e in self.trusted.get(key, ()))
                    else "ask its owner to save again with another key",
                )
        return self._stranger(signers)

    def _stranger(self, signers: Sequence[bytes]) -> Refusal:
        if not signers:
            return Refusal(
                "no valid signature",
                "one by a key that this machine trusts",
                "ask for a signed bundle, or save it again here",
                is_unsigned=True,
            )
        # Any of them may have been added by somebody else.
        shown = sorted(signers)[:_NAMED]
        more = len(signers) - len(shown)
        by = ", ".join(map(public_text, shown)) + (f" and {more} more" if more else "")
        none = "" if self.trusted else " (it has none of its own yet)"
        return Refusal(
            f"signed by {by}",
            f"a key that this machine trusts{none}",
            f"if {'that' if len(signers) == 1 else 'one of these'} is the key that "
            "its signer shows (overwinter key show)",
            " or ".join(f"overwinter trust add {named_text(key)}" for key in shown),
        )

    def check_signer(self, key: bytes) -> None:
        """
        Refuse a key that is to answer for what others signed, and is revoked.

        Raises:
            TrustError: It is.
        """
        if key in self.rules.revoked:
            raise TrustError(
                f"the key that signs here, {public_text(key)}",
                f"it is revoked in {self.rules.revoked[key]}",
                "one that is not",
                "give this account another (see overwinter key list)",
            )

    def unvouched(
        self,
        source: str,
        kinds: Iterable[str],
        digest: bytes,
        signers: Sequence[bytes],
    ) -> str:
        """
        Return why this account's key should not sign a segment anew, or nothing.

        Signing again what a key with limits signed would end its limits.
        """
        # What holds nothing has a name and signers all the same.
        kinds = tuple(kinds) or ("nothing",)
        for kind, verdict in self.verdicts(kinds, digest, signers).items():
            if isinstance(verdict, Refusal):
                return str(verdict.error(source, [digest]))
            if verdict.is_limited:
                return (
                    f"{source}: {kind} is trusted with limits, by {verdict.by}; "
                    "signed anew, it would lose them"
                )
        return ""


def _permission(said: list[Trusted], kind: str, today: date) -> Permission | None:
    for each in said:
        in_time = each.until is None or today <= each.until
        if in_time and (each.kinds is None or kind in each.kinds):
            by = ", ".join(filter(None, [each.name, each.where]))
            return Permission(by or public_text(each.key), each.is_limited)
    return None


def _beyond_limits(said: list[Trusted], kinds: set[str], today: date) -> Refusal:
    """Return the refusal where keys are trusted, but not for this, or not now."""
    # The one that needs the least change: in time, but for other kinds.
    each = min(said, key=lambda one: one.until is not None and one.until < today)
    name = each.name or public_text(each.key)
    needed, until, allowed = ", ".join(sorted(kinds)), each.until, each.kinds
    if until is not None and until < today:
        found = f"signed by {name}, trusted until {until}"
        expected = "a key that is trusted today"
        advice, until = "if it still is", today + _YEAR
    else:
        assert allowed is not None
        found = f"signed by {name}, trusted for {', '.join(sorted(allowed))} only"
        expected = f"a key that is trusted for {needed}"
        advice = f"if what {needed} bring may run"
        allowed |= kinds
    words = f"overwinter trust add {each.name or NAMELESS}:{public_text(each.key)}"
    if allowed is not None:
        words += "".join(f" --kind {one}" for one in sorted(allowed))
    words += f" --until {until}" if until is not None else ""
    return Refusal(found, expected, advice, words)
