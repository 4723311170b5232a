"""
``overwinter certify BUNDLE -- COMMAND``: does the bundle hold all that it needs?
"""

import sys

import click

from .codes import FAILED
from .options import json_option
from .output import print_json, print_line, print_words

__all__ = ["certify"]


@click.command()
@click.argument("bundle", type=click.Path(dir_okay=False))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@json_option
@click.option("--keep", is_flag=True, help="Keep the directories, and say where.")
def certify(bundle: str, command: tuple[str, ...], as_json: bool, keep: bool) -> int:
    """
    Run COMMAND from the bundle BUNDLE and from nothing else, and say what it missed.

    It starts with an empty home, TMPDIR and caches that are filled from the bundle,
    after --, as in: overwinter certify model.owb -- python train.py. What it prints
    goes to standard error. Exits with 0 where nothing was compiled and every graph
    hit, else with 1. What is in the bundle is run: it must be trusted.
    """
    # Late: it takes what other commands need not wait for.
    from ..torch.certifying import certify_command

    certificate = certify_command(
        bundle,
        command,
        stdout=sys.stderr,
        keep=(lambda place: print_words(f"kept: {place}")) if keep else None,
    )
    if as_json:
        print_json(certificate.as_dict())
    else:
        for line in str(certificate).splitlines():
            print_line(line)
    return 0 if certificate.certified else FAILED
