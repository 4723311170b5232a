"""
Purity: a migration file must give the same values from the same old bundle.

So it may not ask a clock, chance, disk, network or environment, and may import
nothing of ours but the operations: today's classes will change, it will not.
"""

import ast
from collections.abc import Iterator

__all__ = ["find_impurities"]

# Modules without state, clock, chance or I/O.
_PURE = frozenset(
    """
    base64 binascii bisect collections collections.abc dataclasses decimal enum
    fractions functools itertools json math operator re string struct textwrap typing
    unicodedata __future__
    """.split()
)
# What a step may take from overwinter.migration, and nothing else of ours.
_OPERATIONS = frozenset(
    ["migration", "add", "convert", "custom", "drop", "each", "rename", "replace"]
)
# Builtins that reach outside, or run what the linter cannot see.
_IMPURE = frozenset(
    """
    __import__ breakpoint compile delattr eval exec exit getattr globals hash help id
    input locals memoryview object open print quit setattr vars
    """.split()
)


def find_impurities(source: str, name: str) -> list[str]:
    """
    Return what in a migration file's *source* is not pure, with its line.

    Args:
        source: Text of the file.
        name: Its name, for the messages.
    """
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [f"{name}:{error.lineno}: {error.msg}"]
    return [f"{name}:{line}: {what}" for line, what in sorted(_impurities(tree))]


def _impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name not in _PURE:
                    yield node.lineno, f"imports {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module == "overwinter.migration":
                for alias in node.names:
                    if alias.name not in _OPERATIONS:
                        yield node.lineno, f"imports {alias.name} from {module}"
            elif module not in _PURE:
                yield node.lineno, f"imports from {module}"
        elif isinstance(node, ast.Name) and node.id in _IMPURE:
            yield node.lineno, f"uses {node.id}"
        elif isinstance(node, ast.Attribute) and node.attr.startswith("__"):
            yield node.lineno, f"reaches for {node.attr}"
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield node.lineno, "keeps state between records"
        elif isinstance(node, ast.Await | ast.AsyncFunctionDef):
            yield node.lineno, "waits for something"
