"""
``overwinter migrate``: a step drafted, and what migrating a bundle would do.
"""

import click

from ..contract import write_step
from ..upgrade import UpgradePlan, plan_upgrade
from .codes import DAMAGED
from .kinds import contract_of
from .options import json_option
from .output import print_json, print_line, print_table, print_words, printable

__all__ = ["migrate", "print_plan"]


@click.group()
def migrate() -> None:
    """Draft the step to a new version, or plan the migration of a bundle."""


@migrate.command()
@click.argument("kind", metavar="KIND")
@click.option("--write", is_flag=True, help="Write the file.")
@click.option(
    "--drop",
    multiple=True,
    metavar="FIELD",
    help="This field is gone for good, and not replaced by a new one.",
)
def new(kind: str, write: bool, drop: tuple[str, ...]) -> int:
    """
    Draft the step to the newest version of KIND from the difference of its schemas.

    It refuses where the schemas leave open what becomes of values, and says which
    operation to write. KIND is the name of a kind, or its class as module:Class.
    """
    path, text = write_step(contract_of(kind), drop=drop, write=write)
    if write:
        print_words(f"wrote {path}; say in it why, then: overwinter schema check")
    else:
        print_line(text.rstrip())
        print_words(f"this is {path}; --write writes it")
    return 0


@migrate.command()
@click.argument("file", type=click.Path(dir_okay=False))
@json_option
def plan(file: str, as_json: bool) -> int:
    """
    Show what upgrading the bundle FILE would do, and write nothing.

    Exits with 4 where something that would be written anew is damaged, not trusted,
    or fails to migrate. The rest is not read: `overwinter verify` does that.
    """
    return print_plan(plan_upgrade(file), as_json)


def print_plan(plan: UpgradePlan, as_json: bool) -> int:
    """Print what an upgrade does, and return the exit code."""
    if as_json:
        print_json(plan.as_dict())
    else:
        print_table(
            ["segment", "kind", "version", "becomes", "artifacts", "fail", "why"],
            [
                (
                    segment.name[:8],
                    block.kind,
                    block.version,
                    block.becomes,
                    block.rows,
                    len(block.failed),
                    block.reason or "; ".join(f"loses {loss}" for loss in block.losses),
                )
                for segment in plan.segments
                for block in segment.blocks
            ],
        )
        rewritten = sum(each.action == "rewrite" for each in plan.segments)
        print_line(
            f"{printable(plan.file)}: {plan.migrated:,} artifacts migrated in "
            f"{rewritten} of {len(plan.segments)} segments; the rest is copied as it is"
        )
    for problem in plan.problems:
        print_words(problem)
    return DAMAGED if plan.problems else 0
