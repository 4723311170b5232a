"""
``overwinter diff A B``: which artifacts only one of two bundles holds.
"""

import json

import click

from ..diff import DIFFERS, ONLY_A, ONLY_B, UNKNOWN, BundleDiff, Variant
from ..diff import diff as diff_bundles
from ..environment import Environment
from .codes import DAMAGED, FAILED
from .inspect import summary
from .options import json_option
from .output import print_json, print_line, print_table, print_words, printable
from .progress import shown

__all__ = ["diff"]


@click.command()
@click.argument("a", type=click.Path(dir_okay=False))
@click.argument("b", type=click.Path(dir_okay=False))
@json_option
@click.option(
    "--exit-code", "tell", is_flag=True, help="Exit with 1 where the bundles differ."
)
def diff(a: str, b: str, as_json: bool, tell: bool) -> int:
    """
    Show which artifacts only the bundle A holds, which only B, and which keys hold
    other content in each. Nothing of them is run.

    Segments, their order and their signatures are no difference. What both bundles
    describe by the same digest is not read: `overwinter verify` does that.
    Exits with 4 where something could not be compared, otherwise with 0, also where
    the bundles differ, unless --exit-code asks for 1.
    """
    with shown("comparing") as progress:
        found = diff_bundles(a, b, progress=progress)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found)
    for problem in found.problems:
        print_words(problem)
    if found.problems:
        return DAMAGED
    return FAILED if tell and found.differences else 0


def _print(found: BundleDiff) -> None:
    numbers: dict[str, int] = {}
    environments: list[Environment] = []
    rows = []
    for each in found.differences:
        number = "any"
        if each.environment is not None:
            name = json.dumps(each.environment, sort_keys=True)
            number = f"#{numbers.setdefault(name, len(numbers))}"
            if len(numbers) > len(environments):
                environments.append(each.environment)
        cells = each.outcome, each.kind, number, each.key
        rows.append((*cells, _variants(each.a), _variants(each.b)))
    if rows:
        print_table(["outcome", "kind", "environment", "key", "a", "b"], rows)
        for index, environment in enumerate(environments):
            print_line(f"#{index}: {summary(environment)}")
    names = f"a is {printable(found.a)}, b is {printable(found.b)}"
    if rows:
        print_line(
            f"{names}: keys only in a: {found.count(ONLY_A):,}, only in b: "
            f"{found.count(ONLY_B):,}, with other content: {found.count(DIFFERS):,}, "
            f"unknown: {found.count(UNKNOWN):,}"
        )
    elif found.problems:
        print_line(f"{names}: no difference in what could be compared")
    else:
        print_line(f"{names}: they hold the same artifacts")


def _variants(variants: tuple[Variant, ...]) -> str:
    return " ".join(f"v{each.version}:{each.digest[:8] or '?'}" for each in variants)
