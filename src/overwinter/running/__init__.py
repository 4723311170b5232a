"""
Running a command with caches of its own, and keeping what it left in them.
"""

from .command import run
from .filling import fill
from .process import run_command
from .report import Report
from .told import Told

__all__ = ["Report", "Told", "fill", "run", "run_command"]
