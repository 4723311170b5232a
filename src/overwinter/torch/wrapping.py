"""
Wrapping functions of torch's: once for each, and so that torch sees no difference.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["Original", "wrap"]

Original = Callable[..., Any]


def wrap(owner: Any, name: str, make: Callable[[Original], Original]) -> None:
    """
    Put a wrapper in the place of a function; of one that has ours, nothing changes.

    Args:
        owner: The module or class that has it.
        name: What it is called there.
        make: Returns the wrapper of a function.

    Raises:
        AttributeError: There is no such function.
    """
    found = inspect.getattr_static(owner, name)
    is_method = isinstance(found, (staticmethod, classmethod))
    original = found.__func__ if is_method else found
    if getattr(original, "_overwinter", False):
        return
    wrapped = functools.wraps(original)(make(original))
    wrapped._overwinter = True  # type: ignore[attr-defined]
    setattr(owner, name, type(found)(wrapped) if is_method else wrapped)
