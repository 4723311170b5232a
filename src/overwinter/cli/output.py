"""
What commands print: aligned columns for people, versioned JSON for programs.
"""

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

__all__ = ["print_json", "print_line", "print_table", "print_words", "printable"]


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
        print_line("  ".join(cells).rstrip())


def print_json(value: Any) -> None:
    """Print *value* as JSON."""
    print_line(json.dumps(value, indent=2))


def print_line(text: str = "") -> None:
    """
    Print *text* on standard output, as long as somebody reads that.

    The reader of a pipe may go away, which is its right: the command goes on, and
    ends with the code that it would have had.
    """
    try:
        click.echo(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_words(text: object) -> None:
    """Print one line of words on standard error."""
    with contextlib.suppress(BrokenPipeError):
        click.echo(f"overwinter: {printable(text)}", err=True)


def printable(value: object) -> str:
    """
    Return *value* as text for a terminal.

    What comes from a bundle may hold control sequences, which would be obeyed.
    """
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    if text.isprintable():  # a name may have a mebibyte, and each letter an object
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode()
        for each in text
    )
