"""
Migrations: how records of one version become records of the next.

A step is a list of operations on columns; a column that no operation names is
carried unread. A plan is the chain of steps from one version to the newest.
"""

from .each import each
from .operations import add, convert, custom, drop, rename, replace
from .plan import Plan, Steps
from .step import Step, migration

__all__ = [
    "Plan",
    "Step",
    "Steps",
    "add",
    "convert",
    "custom",
    "drop",
    "each",
    "migration",
    "rename",
    "replace",
]
