"""
Options that several commands share.
"""

import click

__all__ = ["json_option", "out_option"]

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; its layout is versioned."
)

out_option = click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="NEW",
    help="The new bundle; nothing may be there yet.",
)
