"""
``overwinter forecast FILE``: what a load of a bundle would do on this machine.
"""

import importlib.util
from collections import Counter

import click

from ..environment import Environment, Machine, capture
from ..forecast import HIT, KEPT, MISS, UNKNOWN, Forecast
from ..forecast import forecast as foresee
from .codes import DAMAGED
from .options import json_option
from .output import print_json, print_line, print_table, print_words, printable

__all__ = ["forecast"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--keys", is_flag=True, help="List every artifact, not only their number."
)
@json_option
def forecast(file: str, keys: bool, as_json: bool) -> int:
    """
    Show which artifacts of the bundle FILE can hit here, and what blocks the others.

    Nothing of it is run, and no payload is read. Torch's facts are those of the torch
    that this Python imports; without one, what depends on them is unknown. A hit
    means that a job may find it, if it asks for it: for the same graph, shapes, types
    and settings.

    Exits with 4 where the bundle is damaged.
    """
    found = foresee(file, environment=_machine(), keys=keys)
    if as_json:
        print_json(found.as_dict())
    else:
        _print(found, keys)
    for each in (*found.remarks, *found.problems):
        print_words(each)
    return DAMAGED if found.problems else 0


def _machine() -> Environment | Machine:
    if importlib.util.find_spec("torch") is None:
        return capture()
    problems: list[str] = []
    try:
        from ..torch.facts import machine

        return machine(problems, ask=False)
    except Exception as error:  # whatever a broken torch raises when it is imported
        problems.append(f"torch cannot be imported ({error!r:.200})")
        return capture()
    finally:
        for each in problems:
            print_words(each)


def _print(found: Forecast, keys: bool) -> None:
    print_line(
        f"{printable(found.file)}: {found.count(HIT):,} artifacts can hit here, "
        f"{found.count(MISS):,} cannot, {found.count(UNKNOWN):,} unknown"
        + (f", {kept:,} of no cache" if (kept := found.count(KEPT)) else "")
    )
    if keys:
        print_table(
            ["kind", "key", "outcome", "blocked by"],
            [
                (each.kind, key, each.outcome, each.field)
                for each in found.blocks
                for key in each.keys
            ],
        )
        return
    rows: Counter[tuple[str, str, str, str]] = Counter()
    for each in found.blocks:
        rows[each.kind, each.outcome, each.field, each.reason] += each.artifacts
    print_table(
        ["kind", "artifacts", "outcome", "blocked by", "why"],
        [
            (kind, number, outcome, field, reason)
            for (kind, outcome, field, reason), number in rows.items()
        ],
    )
