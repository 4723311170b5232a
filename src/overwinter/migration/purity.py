"""
Purity: a migration file must give the same values from the same old bundle.

So it may not ask a clock, chance, disk, network or environment, and may import
nothing of ours but the operations: today's classes will change, it will not.

It is a linter for one's own steps and no sandbox: do not run a stranger's.
"""

import ast
import re
import sys
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

# Innards of Python, by which anything can be reached: frames, code, tracebacks.
_INNARDS = re.compile(r"_|(gi|cr|ag|tb|f|co|func)_")
_REACHING = frozenset(["attrgetter", "methodcaller"])


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


def _leads_out(module: str, name: str) -> bool:
    """Return whether *name* of a pure module is a module itself, or reaches out."""
    if f"{module}.{name}" in _PURE:
        return False
    own = name.startswith("_") or name == "*" or name in _REACHING
    return own or name in sys.stdlib_module_names


def _impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules.update((a.asname or a.name).partition(".")[0] for a in node.names)
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
            else:
                for alias in node.names:
                    if _leads_out(module, alias.name):
                        yield node.lineno, f"imports {alias.name} from {module}"
        elif isinstance(node, ast.Name) and (
            node.id in _IMPURE or node.id.startswith("__")
        ):
            yield node.lineno, f"uses {node.id}"
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            if _INNARDS.match(node.attr) or (
                owner in modules and _leads_out(owner, node.attr)
            ):
                yield node.lineno, f"reaches for {node.attr}"
        elif isinstance(node, ast.Global | ast.Nonlocal):
            yield node.lineno, "keeps state between records"
        elif isinstance(node, ast.Await | ast.AsyncFunctionDef):
            yield node.lineno, "waits for something"
