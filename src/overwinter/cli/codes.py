"""
Exit codes: what a command says to the program that called it.
"""

from ..errors import (
    ConflictError,
    FormatError,
    NotFoundError,
    OverwinterError,
    TrustError,
    VersionError,
)

__all__ = [
    "CONFLICT",
    "DAMAGED",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "exit_code",
]

FAILED, USAGE, NOT_FOUND, DAMAGED, OUT_OF_REACH, CONFLICT = 1, 2, 3, 4, 5, 6
INTERRUPTED = 130  # as a shell reports a process that SIGINT ended

_CODES: tuple[tuple[type[OverwinterError], int], ...] = (
    (NotFoundError, NOT_FOUND),
    (ConflictError, CONFLICT),
    (FormatError, DAMAGED),
    (TrustError, DAMAGED),
    (VersionError, OUT_OF_REACH),
)


def exit_code(error: OverwinterError) -> int:
    """Return the exit code of an error's family."""
    return next((code for cls, code in _CODES if isinstance(error, cls)), FAILED)
