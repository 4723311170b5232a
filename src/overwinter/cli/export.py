"""
``overwinter export FILE --torch 2.9 -o BLOB``: a container that torch's loader takes.
"""

from collections import Counter

import click

from .. import files
from ..errors import ConflictError
from ..torch import environment as here_environment
from ..torch import export as export_container
from .codes import DAMAGED, FAILED
from .options import json_option, needs_torch
from .output import print_json, print_table, print_words

__all__ = ["export"]

_JSON_VERSION = 1


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--torch",
    "version",
    required=True,
    metavar="VERSION",
    help="Write it for this torch, as 2.9.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="BLOB",
    help="The container; nothing may be there yet.",
)
@click.option("--here", is_flag=True, help="Only what fits this machine and its torch.")
@json_option
def export(file: str, version: str, out: str, here: bool, as_json: bool) -> int:
    """
    Write BLOB, which torch.compiler.load_cache_artifacts() takes, out of FILE.

    Only what this machine trusts goes into it: BLOB is not signed, and whoever loads
    it runs it. Libraries have no place there, so kernels are built again.
    Exits with 4 where something is damaged or not trusted, with 1 where nothing is
    left.
    """
    if here:
        needs_torch("--here")
    machine = here_environment(sure=True) if here else None
    try:
        found = export_container(file, version, here=machine)
    except ValueError as error:
        raise click.UsageError(f"--torch: {error}") from error
    if found.blob:
        try:
            with files.creating(out) as into:
                files.write_all(into, [found.blob])
        except FileExistsError as error:
            raise ConflictError(out) from error
    if as_json:
        print_json(
            {
                "version": _JSON_VERSION,
                "file": out if found.blob else None,
                "entries": found.kinds,
                "left_out": [[n.kind, n.key, n.reason] for n in found.left_out],
                "problems": found.problems,
            }
        )
    else:
        print_table(["kind", "entries"], list(found.kinds.items()))
        reasons = Counter((note.kind, note.reason) for note in found.left_out)
        for (kind, reason), number in reasons.items():
            print_words(f"left out: {number} {kind}: {reason}")
        for problem in found.problems:
            print_words(problem)
    if not found.blob:
        print_words(f"nothing in {file} can go into a container: {out} is not written")
    if found.problems:
        return DAMAGED
    return 0 if found.blob else FAILED
