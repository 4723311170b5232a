"""
Options that several commands share.
"""

import importlib.util

import click

__all__ = ["json_option", "needs_torch", "out_option"]

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


def needs_torch(option: str) -> None:
    """Refuse an option that asks torch where there is none."""
    if importlib.util.find_spec("torch") is None:
        raise click.UsageError(f"{option} asks torch, which is not installed here")
