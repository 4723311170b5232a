"""
``overwinter rescue BLOB -o NEW``: a bundle out of what torch saved.
"""

import os
from collections import Counter

import click

from ..artifact import CacheArtifact
from ..environment import EXACT, Environment, misfit, unstated
from ..errors import ConflictError
from ..save import save
from ..torch import environment as here_environment
from ..torch import rescue as rescue_artifacts
from ..torch.rescuing import Rescued
from .codes import DAMAGED, FAILED
from .options import json_option, needs_torch, out_option
from .output import print_json, print_table, print_words

__all__ = ["rescue"]

_JSON_VERSION = 1


@click.command()
@click.argument("blob", type=click.Path())
@out_option
@click.option(
    "--here",
    is_flag=True,
    help="BLOB was made by this installation of torch, on a machine like this one.",
)
@click.option(
    "--torch", "version", metavar="VERSION", help="BLOB was made by this torch."
)
@json_option
def rescue(blob: str, out: str, here: bool, version: str | None, as_json: bool) -> int:
    """
    Write what is in BLOB, which torch saved, as the bundle NEW.

    BLOB is what torch.compiler.save_cache_artifacts() gave with any torch from 2.7
    on, a standalone file, or SimpleTuner's or unsloth's. It is read without torch,
    also what torch's own loader drops.

    It does not say for which torch and which CPU it was made, so nothing of NEW that
    depends on that is populated, unless you say it: with --here.

    NEW is signed by your key. What is in BLOB may then run as you, as if you had
    given it to torch. Exits with 4 where an entry is one that no torch writes.
    """
    found = rescue_artifacts(blob)
    environment = _environment(found.facts, here, version)
    torch = str(environment.get("torch_version", ""))
    if not found.may_be_of(torch):
        raise click.UsageError(f"BLOB is {found.form}, and cannot be of torch {torch}")
    if os.path.lexists(out):
        raise ConflictError(out)
    if not found.artifacts:
        _tell(found, {})
        print_words(f"nothing in {blob} can be kept: {out} is not written")
        return DAMAGED if found.left_out else FAILED
    info = save(out, found.artifacts, environment=environment)
    kinds = {kind: len(keys) for kind, keys in sorted(info.artifacts.items())}
    unusable = _unusable(found.artifacts, environment)
    if as_json:
        print_json(
            {
                "version": _JSON_VERSION,
                "file": out,
                "form": found.form,
                "artifacts": kinds,
                "dropped_by_torch": found.dropped_by_torch,
                "superseded": [[n.kind, n.key] for n in found.superseded],
                "left_out": [[n.kind, n.key, n.reason] for n in found.left_out],
                "populated_nowhere": unusable,
            }
        )
    else:
        print_table(["kind", "artifacts"], list(kinds.items()))
        _tell(found, unusable)
    return DAMAGED if found.left_out else 0


def _environment(facts: Environment, here: bool, version: str | None) -> Environment:
    if not here:
        return {**facts, **({"torch_version": version} if version else {})}
    if version is not None:
        raise click.UsageError("--here says the version of torch, too")
    needs_torch("--here")
    # Who made BLOB had its compiler build for these vectors. Taken for others than it
    # can build for, graphs would be used where they give wrong results.
    machine = here_environment(sure=True)
    wrong = misfit(facts, machine, dict.fromkeys(facts, EXACT))
    if wrong is not None:
        raise click.UsageError(f"--here is not so: {wrong}")
    return machine


def _unusable(
    artifacts: list[CacheArtifact], environment: Environment
) -> dict[str, list[str]]:
    """Return kinds that no machine will populate, and what nobody said for them."""
    rules = {each.type(): each.environment_rules for each in artifacts}
    missing = {kind: list(unstated(environment, of)) for kind, of in rules.items()}
    return {kind: fields for kind, fields in sorted(missing.items()) if fields}


def _tell(found: Rescued, unusable: dict[str, list[str]]) -> None:
    if found.dropped_by_torch:
        lost = ", ".join(f"{n} {kind}" for kind, n in found.dropped_by_torch.items())
        print_words(f"torch's own loader would have dropped {lost}")
    for kind, number in Counter(each.kind for each in found.superseded).items():
        print_words(f"{number} {kind} were replaced by later ones in BLOB itself")
    for note in found.left_out:
        print_words(f"left out: {note.kind}: {note.reason}")
    if unusable:
        fields = sorted({each for those in unusable.values() for each in those})
        print_words(
            f"{', '.join(unusable)}: populated nowhere, as nobody says "
            f"{', '.join(fields)}; if this installation of torch made BLOB, on a "
            "machine like this one, rescue it with --here"
        )
