"""
Calling a function in a new process, as part of a program that was started anew.

Torch's keys depend on how a program was started: they name an object by the first
module that has it, and pass over those two that the script itself may be.
"""

import importlib
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["call", "command_of"]

_MAIN = "__main__"
_ITS_COPY = "__mp_main__"  # as `pickle.whichmodule` knows it, from multiprocessing


def command_of(function: Callable[[], object]) -> tuple[list[str], dict[str, str]]:
    """
    Return the command that calls *function*, and its environment.

    Args:
        function: Of a module, or of the script that this process was started with.

    Raises:
        TypeError: No other process can find it.
    """
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "<it has no name>")
    where = sys.modules.get(module) if isinstance(module, str) else None
    if where is None or _found(where, name) is not function:
        raise TypeError(
            f"expected a function that a new process can import, got {name} of "
            f"{module}; give one that stands at the top of a module, or run the "
            "command: overwinter certify BUNDLE -- python script.py"
        )
    file = ""
    if module == _MAIN:
        file = getattr(where, "__file__", None) or ""
        if not os.path.isfile(file):
            raise TypeError(
                f"expected a function of a file, got {name} of this session; put it "
                "into a module"
            )
    package = getattr(where, "__package__", None)
    said = f"{module!r}, {name!r}, {file!r}, {package!r}"
    program = f"from {__name__} import call; call({said})"
    paths = [os.path.abspath(path) for path in sys.path]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return [sys.executable, "-P", "-c", program, *sys.argv[1:]], environ


def call(module: str, name: str, file: str, package: str | None) -> None:
    """Call the function *name* of *module*, or of *file*: see `command_of`."""
    where = _script(file, package) if file else importlib.import_module(module)
    _found(where, name)()


def _script(file: str, package: str | None) -> ModuleType:
    """Return a script as a module, without what stands under its ``__main__``."""
    sys.argv[0] = file
    module = ModuleType(_ITS_COPY)
    module.__file__, module.__package__ = file, package
    sys.modules[_ITS_COPY] = module
    with open(file, "rb") as source:
        exec(compile(source.read(), file, "exec"), module.__dict__)
    return module


def _found(where: ModuleType, name: str) -> Any:
    value: Any = where
    for part in name.split("."):
        value = getattr(value, part, None)
    return value
