"""
Running a command with caches of its own, and keeping what it left in them.
"""

from .process import run_command

__all__ = ["run_command"]
