"""
How commands find a kind: by its name, or by the class that an author works on.
"""

import importlib
import os
import sys
from typing import Any

import click

from .. import kinds as _builtin_kinds  # noqa: F401  (importing registers them)
from ..artifact import CacheArtifact
from ..contract import Contract
from ..errors import KindError
from ..factory import CacheArtifactFactory
from ..registry import Claim

__all__ = ["claims", "contract_of"]


def contract_of(name: str) -> Contract:
    """
    Return the contract of a kind.

    Args:
        name: The kind, or its class as ``module:Class``, looked for in the working
            directory too.

    Raises:
        KindError: No installed distribution has this kind.
        click.BadParameter: There is no such class.
    """
    if ":" in name:
        return Contract.of(_class(name))
    return Contract.of(claims(name)[-1].cls)


def claims(name: str) -> tuple[Claim, ...]:
    """
    Return the classes that claim to be the kind *name*; one at least.

    Raises:
        KindError: There is none.
    """
    registry = CacheArtifactFactory.registry
    # What is disabled is what its author is at work on; the command says the rest.
    registry.discover(quiet=True)
    found = registry.claims(name)
    if not found:
        remedy = "install what brings it, or name its class as module:Class"
        failed = "".join(f" (and {each})" for each in registry.failed)
        known = ", ".join(registry.claimed)
        raise KindError(name, f"is not among {known}{failed}", (), remedy)
    return found


def _class(name: str) -> type[CacheArtifact]:
    module, _, path = name.partition(":")
    # As for every tool that is given a module: the author's is in this directory.
    sys.path.insert(0, os.getcwd())
    try:
        # A class that has drifted must not keep its author from drafting.
        with CacheArtifactFactory.registry.collecting():
            found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the author's module raises
        found = f"{type(error).__name__}: {error}"
        raise click.BadParameter(f"{name}: {found}; expected module:Class") from error
    if not (isinstance(found, type) and issubclass(found, CacheArtifact)):
        raise click.BadParameter(f"{name} is no subclass of CacheArtifact")
    return found
