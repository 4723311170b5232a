"""
Plans: the chain of steps from one version to the newest, or back to an older one.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.resources import files

import attrs

from ..codec import Columns
from ..errors import MigrationError
from ..schema import Catalog, Schema
from .step import Step

__all__ = ["Plan", "Steps"]

_FILE = re.compile(r"v([1-9][0-9]*)_to_v([1-9][0-9]*)\.py")


@attrs.frozen
class Plan:
    """The steps of one kind from a version to another; empty where it is that."""

    steps: tuple[Step, ...]

    @property
    def losses(self) -> tuple[str, ...]:
        """What its steps lose, as they declare."""
        return tuple(loss for step in self.steps for loss in step.losses)

    def apply(self, columns: Columns) -> Columns:
        """
        Return *columns* as the last step's version has them.

        Raises:
            MigrationError: A step failed; it is named.
        """
        for step in self.steps:
            columns = step.apply(columns)
        return columns


class Steps:
    """
    The steps of one kind, by the version that each reads.

    Args:
        kind: The kind.
        newest: Its newest version; every step to it must be there.
        steps: The version that a step reads, to the step.

    Raises:
        MigrationError: A step is missing, or says that it is another.
    """

    def __init__(self, kind: str, newest: int, steps: Mapping[int, Step]) -> None:
        for old in range(1, newest):
            step = steps.get(old)
            if step is None:
                raise MigrationError(
                    kind, f"{kind} {old} -> {old + 1}", "no step", "one"
                )
            if (step.kind, step.old, step.new) != (kind, old, old + 1):
                raise MigrationError(
                    kind, f"{kind} {old} -> {old + 1}", step.name, "that in its file"
                )
        self.kind, self.newest, self._steps = kind, newest, dict(steps)

    @classmethod
    def of_package(cls, package: str, kind: str, newest: int) -> "Steps":
        """Return the steps in *package*: ``<kind>/v<N>_to_v<N+1>.py``, ``STEP``."""
        return cls(kind, newest, _load(package, kind))

    @property
    def converted(self) -> dict[int, frozenset[str]]:
        """Version to the fields that the step to it converts."""
        return {step.new: step.converts for step in self._steps.values()}

    def down(self, schemas: Mapping[int, Schema] | Catalog, version: int) -> Plan:
        """
        Return the plan that brings records of the newest version to an older one.

        Args:
            schemas: The schemas of the kind, by version.
            version: The version to write.

        Raises:
            MigrationError: There is no way back to it.
        """
        steps = (
            self._steps[old].inverse(schemas[old])
            for old in reversed(range(version, self.newest))
        )
        return Plan(tuple(steps))

    def plan(self, version: int) -> Plan:
        """Return the plan for records of *version*, which is at most the newest."""
        return Plan(tuple(self._steps[old] for old in range(version, self.newest)))


@cache
def _load(package: str, kind: str) -> dict[int, Step]:
    try:
        folder = files(package)
    except ModuleNotFoundError:
        return {}  # a kind of one version needs none
    for part in kind.split("/"):
        folder = folder / part
    if not folder.is_dir():
        return {}
    steps = {}
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if match := _FILE.fullmatch(file.name):
            name = file.name.removesuffix(".py")
            try:
                module = import_module(".".join([package, *kind.split("/"), name]))
                steps[int(match[1])] = module.STEP
            except Exception as error:  # it is a program of people's
                found = f"{type(error).__name__}: {error}"
                raise MigrationError(kind, file.name, found, "STEP") from error
    return steps
