"""
``overwinter union A B … -o C``: several bundles in one, each segment as it is.
"""

import click

from ..union import union as unite_bundles
from .codes import DAMAGED
from .options import json_option, out_option
from .output import print_json, print_line, print_table, print_words, printable
from .progress import shown

__all__ = ["union"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(dir_okay=False))
@out_option
@json_option
def union(files: tuple[str, ...], out: str, as_json: bool) -> int:
    """
    Write the bundles FILES as one bundle NEW, which holds all that they hold.

    Segments are copied byte for byte with their signatures; those that are the same
    come once. The order of FILES does not matter, and nothing of them is run.
    Exits with 4 where the list of segments of one has damage; NEW holds that as it
    was. Artifacts are not read: `overwinter verify` does that.
    """
    with shown("uniting") as progress:
        report = unite_bundles(files, out, progress=progress)
    if as_json:
        print_json(report.as_dict())
    else:
        print_table(
            ["part", "segments", "problems"],
            [(each.file, each.segments, len(each.problems)) for each in report.parts],
        )
        print_line(
            f"{printable(report.file)}: {report.segments:,} segments; "
            f"{report.duplicates:,} came more than once"
        )
    for problem in report.problems:
        print_words(problem)
    return DAMAGED if report.problems else 0
