"""
What we know about the versions of torch, in one table.
"""

__all__ = ["is_known"]

# Versions whose cache layout was read and tested: for these we check every key
# and write the files ourselves. On others torch's own functions are used.
_KNOWN = frozenset([(2, 13)])


def is_known() -> bool:
    """Return whether the caches of the installed torch are laid out as we know."""
    import torch

    major, minor = torch.__version__.split(".")[:2]
    return major.isdigit() and minor.isdigit() and (int(major), int(minor)) in _KNOWN
