"""Migration files without clock, chance, disk or environment."""

from importlib.resources import files
from pathlib import Path

import pytest

from overwinter.migration.purity import find_impurities

STEPS = sorted(
    file
    for package in ("overwinter_migrations", "acme.migrations")
    for file in Path(str(files(package))).rglob("v*_to_v*.py")
)


@pytest.mark.parametrize(
    "file", STEPS, ids=lambda file: f"{file.parent.name} {file.stem}"
)
def test_every_step_that_there_is_is_pure(file):
    """The same old bundle gives the same values on every machine."""
    assert find_impurities(file.read_text(encoding="utf-8"), file.name) == []


def test_there_are_steps():
    """The test above runs over what is found, so that must be something."""
    assert {"v1_to_v2", "v2_to_v3"} <= {file.stem for file in STEPS}


@pytest.mark.parametrize(
    "source",
    [
        "from overwinter.migration import add, convert, custom, drop, each, migration",
        "from overwinter.migration import rename, replace",
        "import math, json, re\nfrom decimal import Decimal",
        "from __future__ import annotations\nfrom collections.abc import Mapping",
        "def up(value):\n    return round(value * 1_000)",
        "UP = {'a': 1}.get",
        "import collections.abc\nX = collections.abc.Mapping",
        "def up(value):\n    return value.copy(), value.time, value.string",
        "",
    ],
)
def test_what_computes_is_pure(source):
    """Operations, arithmetic, text and tables are all that a step needs."""
    assert find_impurities(source, "v1_to_v2.py") == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("import os", "imports os"),
        ("import math, time", "imports time"),
        ("from random import random", "imports from random"),
        ("from . import helpers", "imports from ."),
        ("from ..v1_to_v2 import STEP", "imports from ..v1_to_v2"),
        ("import overwinter.migration", "imports overwinter.migration"),
        ("from overwinter import migration", "imports from overwinter"),
        ("from overwinter.kinds import PGOArtifact", "imports from overwinter.kinds"),
        (
            "from overwinter.migration import add, plan",
            "imports plan from overwinter.migration",
        ),
        (
            "from overwinter.migration import *",
            "imports * from overwinter.migration",
        ),
        ("def up(x):\n    return open(x).read()", "uses open"),
        ("eval('1')", "uses eval"),
        ("up = getattr", "uses getattr"),
        ("hash('a')", "uses hash"),
        ("print(1)", "uses print"),
        ("__import__('os')", "uses __import__"),
        ("__builtins__['open']", "uses __builtins__"),
        ("__loader__.load_module('os')", "uses __loader__"),
        ("().__class__", "reaches for __class__"),
        ("f = (x for x in ()).gi_frame", "reaches for gi_frame"),
        ("def up(x):\n    return up.f_builtins", "reaches for f_builtins"),
        ("x = x._private", "reaches for _private"),
        ("from json import codecs", "imports codecs from json"),
        ("from operator import attrgetter", "imports attrgetter from operator"),
        ("from collections import _sys", "imports _sys from collections"),
        ("from math import *", "imports * from math"),
        ("def up(x):\n    global n\n    n = x", "keeps state between records"),
        ("async def up(x): ...", "waits for something"),
        ("def up(x:", "'(' was never closed"),
    ],
)  # fmt: skip
def test_what_reaches_outside_is_named_with_its_line(source, what):
    """Wherever it stands in the file."""
    number = next(n for n, line in enumerate(f"\n{source}".split("\n")) if line)
    (found,) = find_impurities(f"\n{source}", "v1_to_v2.py")
    name, line, told = found.split(":", 2)
    assert (name, told) == ("v1_to_v2.py", f" {what}")
    assert int(line) >= number + 1


@pytest.mark.parametrize(
    ("module", "name"), [("json", "codecs"), ("enum", "sys"), ("typing", "sys")]
)
def test_a_module_behind_a_pure_one_is_seen(module, name):
    """Also where the pure one goes by another name."""
    words = [f"s.py:2: reaches for {name}"]
    assert find_impurities(f"import {module}\nx = {module}.{name}", "s.py") == words
    assert find_impurities(f"import {module} as m\nx = m.{name}", "s.py") == words


def test_impurities_are_listed_by_line():
    """All at once, in the order in which they are mended."""
    source = "import os\nX = 1\nopen('a')\nimport time\n"
    assert find_impurities(source, "s.py") == [
        "s.py:1: imports os",
        "s.py:3: uses open",
        "s.py:4: imports time",
    ]
