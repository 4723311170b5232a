"""
``overwinter upgrade FILE --out NEW``: a bundle again, in the newest versions.
"""

import click

from ..upgrade import upgrade as upgrade_bundle
from .migrate import print_plan
from .options import json_option, out_option
from .progress import shown

__all__ = ["upgrade"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@out_option
@json_option
def upgrade(file: str, out: str, as_json: bool) -> int:
    """
    Write the bundle FILE again as NEW, its artifacts in their newest versions.

    FILE stays as it is. What is written anew is signed by your key, and only what
    this machine trusts is; everything else is copied with its signatures.
    Exits with 4 where something that is written anew is damaged, not trusted, or
    fails to migrate; NEW holds that as it was. The rest is not read: `overwinter
    verify` does that.
    """
    with shown("upgrading") as progress:
        plan = upgrade_bundle(file, out, progress=progress)
    return print_plan(plan, as_json)
