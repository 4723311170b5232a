"""
``overwinter repack FILE -o NEW``: a bundle again as one segment.
"""

import click

from ..repack import repack as repack_bundle
from .codes import DAMAGED
from .options import json_option, out_option
from .output import print_json, print_line, print_words, printable
from .progress import shown

__all__ = ["repack"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@out_option
@json_option
def repack(file: str, out: str, as_json: bool) -> int:
    """
    Write the bundle FILE again as NEW: one segment, without duplicates and losers.

    Every key stays. Of artifacts that compete for one place in a cache the best
    stays, and of the variants of a key the best eight. NEW is signed by your key;
    what this machine does not trust is carried with its signatures.
    Exits with 4 where something is damaged, which NEW does not hold, or not trusted.
    """
    with shown("repacking") as progress:
        report = repack_bundle(file, out, progress=progress)
    if as_json:
        print_json(report.as_dict())
    else:
        print_line(
            f"{printable(report.file)}: {report.kept:,} artifacts kept, "
            f"{report.duplicates:,} duplicates and {len(report.losers):,} losers left "
            f"out, {report.copied:,} segments carried as they are"
        )
    for problem in report.problems:
        print_words(problem)
    return DAMAGED if report.problems else 0
