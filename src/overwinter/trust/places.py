"""
Where an account keeps what is about it alone.

Source:
    XDG Base Directory Specification 0.8.
"""

import os
import pwd
from collections.abc import Mapping
from pathlib import Path

from ..errors import StoreError

__all__ = ["place_of"]


def place_of(
    environ: Mapping[str, str], variable: str, default: str, what: str, advice: str
) -> Path:
    """
    Return this account's folder of overwinter in a base directory.

    Args:
        environ: The environment.
        variable: Names the base directory; a relative one counts for none.
        default: The base directory in a home, if no other is named.
        what: What is kept there, for the error.
        advice: What else to do where there is no home.

    Raises:
        StoreError: It has no home directory.
    """
    base = environ.get(variable, "")
    if not os.path.isabs(base):
        home = environ.get("HOME") or os.environ.get("HOME") or _home()
        if not os.path.isabs(home):
            raise StoreError("~", f"find a place for {what}", advice)
        base = os.path.join(home, default)
    return Path(base) / "overwinter"


def _home() -> str:
    """Return the home that the system gives this account, or nothing."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
