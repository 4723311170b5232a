"""
The environment variables of a command that is observed, or that starts afresh.
"""

import contextlib
import os
import site
from collections.abc import Mapping
from pathlib import Path

from ..files import PathLike, located
from .workspace import VARIABLES, Workspace

__all__ = ["JAX_SETTING", "afresh", "observed"]

_HOOK = Path(__file__).with_name("hook")
_PACKAGES = Path(__file__).parent.parent.parent
# With more, jax's keys hold the path of its cache, and it finds nothing elsewhere.
JAX_SETTING = "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"


def observed(
    environ: Mapping[str, str],
    workspace: Workspace,
    bundle: PathLike | None = None,
    *,
    starts: bool,
) -> dict[str, str]:
    """
    Return *environ* for a command whose Python processes note what they do.

    Args:
        environ: The variables that it would have had.
        workspace: Where they note it, and where the caches are.
        bundle: What torch's cache is filled from, in the first process that has torch.
        starts: They note too which programs they start and what they read.
    """
    # An empty entry would be the current directory.
    paths = [str(_HOOK), *filter(None, [environ.get("PYTHONPATH")])]
    return {
        JAX_SETTING: "none",
        **environ,
        **{name: str(workspace.cache(cache)) for cache, name in VARIABLES.items()},
        "PYTHONPATH": os.pathsep.join(paths),
        "OVERWINTER_OBSERVED": str(workspace.root),
        "OVERWINTER_OBSERVED_STARTS": "1" if starts else "",
        "OVERWINTER_OBSERVED_BUNDLE": located(bundle) if bundle else "",
        "OVERWINTER_PACKAGES": str(_PACKAGES),
    }


# What is found in a home, holds nothing compiled by a framework, and is missed by
# programs: packages, versions of Python, weights and data sets.
_KEPT = {
    "PYENV_ROOT": "~/.pyenv",
    "HF_HOME": "{cache}/huggingface",
    "TORCH_HOME": "{cache}/torch",
}
# What `overwinter` knows of this account: its key, and whom it trusts.
_OWN = {
    "XDG_DATA_HOME": ".local/share",
    "XDG_CONFIG_HOME": ".config",
}


def afresh(environ: Mapping[str, str], workspace: Workspace) -> dict[str, str]:
    """
    Return *environ* for a command that finds an empty home, TMPDIR and caches.

    What is no cache of compiled code is found again where it was.

    Args:
        environ: The variables that it would have had.
        workspace: Where the new directories are.
    """
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    home, temporary = workspace.root / "home", workspace.root / "tmp"
    fresh = {
        **environ,
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "PYTHONUSERBASE": environ.get("PYTHONUSERBASE") or site.getuserbase(),
    }
    for name, place in _KEPT.items():
        path = os.path.expanduser(place.format(cache=cache))
        if not environ.get(name) and os.path.isdir(path):
            fresh[name] = path
    for name, place in _OWN.items():
        path = os.path.join(os.path.expanduser("~"), place, "overwinter")
        if not environ.get(name) and os.path.isdir(path):
            (home / place).mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                (home / place / "overwinter").symlink_to(path)
    return fresh
