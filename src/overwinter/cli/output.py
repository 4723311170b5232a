"""
What commands print: aligned columns for people, versioned JSON for programs.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from .. import words
from ..trust.signing import SECRET_PREFIX

__all__ = [
    "print_json",
    "print_line",
    "print_table",
    "print_words",
    "printable",
    "without_secrets",
]

_SECRET = re.compile(rf"{SECRET_PREFIX}[A-Za-z0-9+/=]+")


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
    """Print one line of words on standard error, as long as that takes them."""
    with contextlib.suppress(OSError):
        click.echo(f"overwinter: {without_secrets(printable(text))}", err=True)


def without_secrets(text: str) -> str:
    """Return *text* without a key that somebody gave where something else belongs."""
    return _SECRET.sub(f"{SECRET_PREFIX}…", text)


def printable(value: object) -> str:
    """Return *value* as text for a terminal."""
    return f"{value:,}" if isinstance(value, int) else words.printable(str(value))
