"""
What commands print: aligned columns for people, versioned JSON for programs.
"""

import json
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["print_json", "print_table", "printable"]


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print *rows* in columns as wide as they need; numbers to the right."""
    texts = [[printable(cell) for cell in row] for row in [head, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    numeric = [
        all(isinstance(row[index], int) for row in rows) and bool(rows)
        for index in range(len(head))
    ]
    for row in texts:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    """Print *value* as JSON."""
    click.echo(json.dumps(value, indent=2))


def printable(value: object) -> str:
    """
    Return *value* as text for a terminal.

    What comes from a bundle may hold control sequences, which would be obeyed.
    """
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    return text if text.isprintable() else text.encode("unicode_escape").decode()
