"""
``overwinter trust``: whose artifacts may run here, and why a bundle's may not.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import attrs
import click

from .. import kinds as _builtin_kinds  # noqa: F401  (importing registers them)
from ..bundle import Bundle, Segment
from ..errors import TrustError
from ..factory import CacheArtifactFactory
from ..judging import Judged, judge, refusals
from ..trust import (
    Permission,
    Policy,
    Rules,
    Trusted,
    editing,
    key_id_text,
    public_text,
)
from ..trust.configuration import rules_of_this_account, user_file
from ..trust.editing import Subject, subject_of
from ..trust.policy import known_rules
from ..trust.signing import account_key, given_key
from .codes import DAMAGED, FAILED
from .options import json_option
from .output import print_json, print_table, print_words

__all__ = ["trust"]

_JSON_VERSION = 1


@click.group()
def trust() -> None:
    """Say whose artifacts may run here: your own, and those of keys that you name."""


@trust.command()
@click.argument("subjects", metavar="SUBJECT...", nargs=-1, required=True)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Only artifacts of this kind; may be given again.",
)
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The last day on which the key counts, in UTC.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def add(
    subjects: tuple[str, ...],
    kinds: tuple[str, ...],
    until: datetime | None,
    yes: bool,
) -> int:
    """
    Trust each SUBJECT: a key as NAME:KEY, or one segment as segment:DIGEST.

    What a trusted key signs is run by this account. Compare KEY with what its owner
    shows by `overwinter key show`.
    """
    rules = _known_rules()
    found = [_subject(each, rules) for each in subjects]
    if (kinds or until) and any(each.is_segment for each in found):
        raise click.UsageError("--kind and --until are limits of keys, not of segments")
    if nameless := [each for each in found if not (each.is_segment or each.name)]:
        raise click.UsageError(f"give the key a name: NAME:{nameless[0]}")
    kinds = tuple(name for each in kinds for name in each.split(","))
    last = until.date() if until else None
    if last is not None and last < datetime.now(UTC).date():
        raise click.UsageError(f"--until {last} is past: the key would count never")
    CacheArtifactFactory.discover()
    known = CacheArtifactFactory.kinds()
    for name in sorted(set(kinds) - set(known)):
        print_words(f"no kind {name} is known here; those that are: {', '.join(known)}")
    for each in found:
        # What is asked about is all that is then changed.
        editing.checked_line(each, frozenset(kinds) or None, last)
        if not (yes or _is_meant(each, kinds, last, rules)):
            print_words("nothing is changed")
            return FAILED
        _tell(
            editing.add(each, frozenset(kinds) or None, last),
            f"{each} is trusted, as {user_file()} says",
            f"{each} was trusted already",
        )
        _tell_others(each)
    return 0


def _tell_others(subject: Subject) -> None:
    """Say which other places trust a key, for lines about one add up."""
    for each in rules_of_this_account().trusted:
        if each.key == subject.of and not each.where.startswith(f"{user_file()},"):
            print_words(f"{each.where} says also: trust {each}")


def _known_rules() -> Rules:
    problems: list[str] = []
    rules = known_rules(problems=problems)
    for each in problems:
        print_words(each)
    return rules


def _subject(text: str, rules: Rules) -> Subject:
    try:
        return subject_of(text, rules)
    except TrustError as error:
        raise click.UsageError(f"{error}") from error


def _is_meant(
    subject: Subject, kinds: tuple[str, ...], until: date | None, rules: Rules
) -> bool:
    """Return what the person at the terminal says."""
    if subject.is_segment:
        what = "what is in this segment, whoever signed it,"
    else:
        number = key_id_text(subject.of)
        of = f"of the kinds {', '.join(kinds)} " if kinds else ""
        what = f"everything {of}that this key (key id {number}) signs"
    when = f"until {until}, " if until else ""
    print_words(f"{subject}: {what} will run as you, {when}whenever a bundle is loaded")
    for said in rules.trusted:
        if said.key == subject.of and said.where.startswith(f"{user_file()},"):
            print_words(f"that replaces, in {said.where}: trust {said}")
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("nobody is here to be asked: say --yes if that is meant")
    return click.confirm("Trust it?", err=True)


@trust.command()
@click.argument("subject")
def remove(subject: str) -> int:
    """
    Trust SUBJECT no more: a name, a key, or segment:DIGEST.

    It concerns your own file only; to end what another place says, revoke it.
    """
    found = _subject(subject, _known_rules())
    _tell(
        editing.remove(found),
        f"{found} is removed from {user_file()}",
        f"{user_file()} says nothing of {found}",
    )
    return _still(found)


def _still(subject: Subject) -> int:
    """Say where something is revoked, or trusted all the same."""
    rules = rules_of_this_account()
    places = [each.where for each in rules.trusted if each.key == subject.of]
    if subject.is_segment:
        places = [rules.segments[subject.of]] if subject.of in rules.segments else []
    revoked = rules.revoked_segments if subject.is_segment else rules.revoked
    if subject.of in revoked:
        print_words(
            f"it is revoked in {revoked[subject.of]}, and stays so; to end that, "
            "remove the line by hand"
        )
        return 0
    for place in places:
        print_words(
            f"it is trusted still, by {place}; to end that: overwinter trust revoke "
            f"{subject}"
        )
    return 0


@trust.command()
@click.argument("subject")
def revoke(subject: str) -> int:
    """
    Let SUBJECT count nowhere: a name, a key, or segment:DIGEST.

    That beats every place that trusts it, your own key's too. What was populated
    before stays where it is.
    """
    found = _subject(subject, _known_rules())
    _tell(
        editing.revoke(found),
        f"{found} is revoked, as {user_file()} says; what it signed and was populated "
        "before stays in the caches",
        f"{found} was revoked already",
    )
    for own in (given_key(), account_key()):
        if own is None or own.public != found.of:
            continue
        print_words(
            f"it is the key that signs here, from {own.where}: what it signs from now "
            "on is refused too, so give this account another"
        )
    return 0


def _tell(is_changed: bool, words: str, otherwise: str) -> None:
    print_words(words if is_changed else otherwise)


# --- what is said -----------------------------------------------------------


@trust.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List what is trusted and revoked here, and what says so."""
    rows = list(_said(_known_rules()))
    if as_json:
        print_json({"version": _JSON_VERSION, "rules": rows})
        return 0
    if not rows:
        print_words("nothing is trusted yet; the first save makes a key of your own")
        return 0
    print_table(
        ["state", "what", "kinds", "until", "where"],
        [
            (
                row["state"],
                row["what"],
                " ".join(row["kinds"]) if row["kinds"] is not None else "all",
                row["until"] or "",
                row["where"],
            )
            for row in rows
        ],
    )
    return 0


def _said(rules: Rules) -> Iterator[dict[str, Any]]:
    today = datetime.now(UTC).date()
    for each in rules.trusted:
        yield {
            "state": _state(each, rules, today),
            "what": str(Subject(each.key, each.name)),
            "kinds": None if each.kinds is None else sorted(each.kinds),
            "until": str(each.until) if each.until else None,
            "where": each.where,
        }
    for state, subjects, is_segment in (
        ("trusted", rules.segments, True),
        ("revoked", rules.revoked, False),
        ("revoked", rules.revoked_segments, True),
    ):
        for of, where in subjects.items():
            if state == "trusted" and of in rules.revoked_segments:
                continue
            yield {
                "state": state,
                "what": str(Subject(of, is_segment=is_segment)),
                "kinds": None,
                "until": None,
                "where": where,
            }


def _state(each: Trusted, rules: Rules, today: date) -> str:
    if each.key in rules.revoked:
        return "revoked"
    return "expired" if each.until is not None and each.until < today else "trusted"


# --- why --------------------------------------------------------------------


@trust.command()
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
def why(file: str, as_json: bool) -> int:
    """
    Tell for each segment of the bundle FILE whether it may be populated, and why.

    Nothing of it is run. Exits with 4 where something may not, and says by which
    command that would change.
    """
    policy = Policy.of_this_machine()
    for each in policy.problems:
        print_words(each)
    with Bundle(file) as bundle:
        judged = judge(bundle, policy, looked_at=sys.maxsize)
        # From the twenty-first on they are refused by one error.
        words = [*dict.fromkeys(str(error) for _, error in bundle.refused)]
    words += [str(error) for error, _ in refusals(file, judged)]
    if as_json:
        print_json(
            {
                "version": _JSON_VERSION,
                "file": file,
                "segments": [_as_dict(each) for each in judged],
                "problems": words,
            }
        )
    else:
        print_table(
            ["segment", "kind", "artifacts", "populated", "by"],
            [
                (
                    each.segment.number,
                    kind,
                    _artifacts(each.segment, kind),
                    "yes" if isinstance(verdict, Permission) else "no",
                    verdict.by if isinstance(verdict, Permission) else verdict.found,
                )
                for each in judged
                for kind, verdict in each.verdicts.items()
            ],
        )
    for each_word in words:
        print_words(each_word)
    return DAMAGED if words else 0


def _as_dict(judged: Judged) -> dict[str, Any]:
    return {
        "segment": judged.segment.name,
        "signers": [public_text(key) for key in judged.segment.signers],
        "kinds": [
            {
                "kind": kind,
                "artifacts": _artifacts(judged.segment, kind),
                "populated": isinstance(verdict, Permission),
                **attrs.asdict(verdict),
            }
            for kind, verdict in judged.verdicts.items()
        ],
    }


def _artifacts(segment: Segment, kind: str) -> int:
    return sum(block.stamp.rows for block in segment.blocks if block.kind.kind == kind)
