"""
``overwinter key``: the keys that sign here, and their public halves.
"""

import os
import shlex
from pathlib import Path
from typing import Any

import click

from .. import files
from ..countersign import countersign
from ..detached import detached_signature
from ..errors import ConflictError, NotFoundError, StoreError
from ..trust import SigningKey, existing_key, key_id_text, minisign, named_text
from ..trust.policy import is_revoked_here
from ..trust.public import NAME
from ..trust.signing import (
    KEY_VARIABLE,
    account_file,
    account_key,
    given_key,
    new_account_key,
    new_key,
    read_key,
)
from .codes import CONFLICT, DAMAGED, NOT_FOUND
from .options import json_option, out_option
from .output import print_json, print_line, print_table, print_words, printable
from .progress import shown

__all__ = ["key"]

_JSON_VERSION = 1


@click.group()
def key() -> None:
    """Make, show and use the keys that sign here. No command shows a secret."""


@key.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Make a pair for elsewhere; nothing may be there yet.",
)
@click.option("--name", help="What people call the pair for elsewhere.")
def new(out: str | None, name: str | None) -> int:
    """
    Make this account's own key pair, or with -o one for elsewhere.

    The first save makes the account's own, too. Prints the public half.
    """
    if out is None:
        if name is not None:
            raise click.UsageError("--name is for a pair for elsewhere, made with -o")
        return _new_account_key()
    if name is not None and not NAME.fullmatch(name):
        raise click.UsageError(
            "a name has small letters, digits, '.', '_', '@' and '-', 64 at most"
        )
    if not out:
        raise click.UsageError("-o needs the name of a file")
    if _is_account_file(out):
        raise click.UsageError("that is the place of this account's own: leave out -o")
    made = new_key(out, name or "")
    public = named_text(made.public, made.name)
    print_line(public)
    print_words(
        f"{out} holds the secret half: where bundles are written, keep it for that "
        f"account alone and set {KEY_VARIABLE}={shlex.quote(os.path.abspath(out))}"
    )
    print_words(
        f"where they are loaded: overwinter trust add {public}, or name it in "
        "OVERWINTER_TRUSTED_KEYS"
    )
    return 0


def _is_account_file(out: str) -> bool:
    try:
        return Path(out).resolve() == account_file().resolve()
    except StoreError:  # no home, and so no such file
        return False


def _new_account_key() -> int:
    try:
        made = new_account_key()
    except ConflictError as error:
        print_words(f"{error.path} is there already: see overwinter key show")
        return CONFLICT
    print_line(named_text(made.public, made.name))
    if given_key() is not None:
        print_words(f"it signs once {KEY_VARIABLE} is unset, which names another")
    return 0


@key.command()
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@json_option
def show(file: str | None, as_json: bool) -> int:
    """Show the public half of the key that signs here, or of the pair in FILE."""
    found = _key(file)
    if found is None:
        return NOT_FOUND
    plain = _plain(found)
    if as_json:
        print_json({"version": _JSON_VERSION, **plain})
        return 0
    print_line(plain["key"])
    print_line(f"key id {plain['key_id']}")
    print_line(f"from {printable(plain['where'])}")
    return 0


@key.command("list")
@json_option
def list_(as_json: bool) -> int:
    """List the keys of this account, and say which of them signs now."""
    given, own = given_key(), account_key()
    keys = [each for each in (given, own) if each is not None]
    # What is given signs in the place of the account's own.
    rows = [
        {
            **_plain(each),
            "signs": each is keys[0],
            "revoked": is_revoked_here(each.public),
        }
        for each in keys
    ]
    if as_json:
        print_json({"version": _JSON_VERSION, "keys": rows})
    elif rows:
        print_table(
            ["key", "key id", "signs", "from"],
            [
                (
                    row["key"],
                    row["key_id"],
                    "yes" if row["signs"] else "no",
                    row["where"],
                )
                for row in rows
            ],
        )
        for row in rows:
            if row["revoked"]:
                print_words(f"{row['key']} is revoked in {row['revoked']}")
    else:
        _tell_none()
    return 0


@key.command()
@click.argument("file", type=click.Path(dir_okay=False), required=False)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False),
    metavar="OUT",
    help="Write it there instead of printing it; nothing may be there yet.",
)
@click.option(
    "--minisign", "as_minisign", is_flag=True, help="As minisign's public key file."
)
@click.option(
    "--signature",
    type=click.Path(dir_okay=False),
    metavar="BUNDLE",
    help="Instead, a signature of the whole BUNDLE, as minisign's.",
)
def export(
    file: str | None, out: str | None, as_minisign: bool, signature: str | None
) -> int:
    """
    Give the public half of the key that signs here, or of the pair in FILE.

    With --signature: a signature of a bundle whose segments are all signed by this
    machine's key, which `minisign -Vm BUNDLE -p KEY -x OUT` verifies.
    """
    if signature is not None and (file is not None or as_minisign):
        raise click.UsageError("--signature takes neither FILE nor --minisign")
    found = _key(file)
    if found is None:
        return NOT_FOUND
    if signature is not None:
        with shown("verifying") as progress:
            text = detached_signature(signature, found, progress=progress)
    elif as_minisign:
        text = minisign.public_key_text(found.public)
    else:
        text = named_text(found.public, found.name) + "\n"
    if out is None:
        print_line(text.removesuffix("\n"))
        return 0
    try:
        with files.creating(out) as into:
            files.write_all(into, [text.encode()])
    except FileExistsError as error:
        raise ConflictError(out) from error
    return 0


# --- sign -------------------------------------------------------------------


@key.command()
@click.argument("file", metavar="BUNDLE", type=click.Path(dir_okay=False))
@out_option
@json_option
def sign(file: str, out: str, as_json: bool) -> int:
    """
    Write BUNDLE again as NEW, whose segments have your signature too.

    Whoever trusts you then runs what others saved: only what is sound, and what you
    trust without limits, is signed. Everything else is carried as it is.
    Exits with 4 where there is such.
    """
    with shown("verifying") as progress:
        report = countersign(file, out, progress=progress)
    if as_json:
        print_json(report.as_dict())
    else:
        print_line(
            f"{printable(report.file)}: {report.signed:,} segments signed, "
            f"{report.already:,} had your signature already, "
            f"{report.carried:,} carried as they are"
        )
    for problem in report.problems:
        print_words(problem)
    return DAMAGED if report.problems else 0


def _key(file: str | None) -> SigningKey | None:
    if file is None:
        found = existing_key()
        if found is None:
            _tell_none()
        return found
    try:
        return read_key(file)
    except NotFoundError:
        print_words(f"{file}: no such key file; overwinter key new -o makes one")
        return None


def _tell_none() -> None:
    print_words(
        "there is no signing key yet: the first save makes it, or overwinter key new"
    )


def _plain(found: SigningKey) -> dict[str, Any]:
    return {
        "key": named_text(found.public, found.name),
        "key_id": key_id_text(found.public),
        "where": found.where,
    }
