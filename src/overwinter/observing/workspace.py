"""
A workspace: a private directory for one command, its caches, and what is noted of it.

    <root>/caches/<name>    the cache directories that the command is given
    <root>/events/<pid>     what the processes of the command noted
    <root>/factors/         what the keys of its graphs are made of
    <root>/home, tmp        for a command that shall find nothing from before
"""

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from ..closing import Closing
from ..files import told

__all__ = ["VARIABLES", "Workspace"]

# Name of a cache in a bundle, to what tells a framework where it is.
VARIABLES = {
    "torchinductor": "TORCHINDUCTOR_CACHE_DIR",
    "triton": "TRITON_CACHE_DIR",
    "jax": "JAX_COMPILATION_CACHE_DIR",
}


class Workspace(Closing):
    """
    A private directory for one command; a context manager, which removes it.

    Args:
        keep: It stays, for somebody who wants to look.

    Raises:
        StoreError: It cannot be made.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._keep = keep
        place = tempfile.gettempdir()
        with told(place, "make a private directory in it"):
            # Nobody else enters it, whatever the umask lets a framework make there.
            made = tempfile.mkdtemp(prefix="overwinter-", dir=place)
            self.root = Path(os.path.realpath(made))
            for name in ("caches", "events", "factors", "home", "tmp"):
                (self.root / name).mkdir(0o700)
            for name in VARIABLES:
                self.cache(name).mkdir(0o700)

    def cache(self, name: str) -> Path:
        """Return the directory of a cache."""
        return self.root / "caches" / name

    def close_to_others(self) -> None:
        """
        Let nobody else write in the caches.

        Nobody could, from outside; but whoever reads them as a cache goes by the bits
        that the umask of the command left.
        """
        for folder, _, names in os.walk(self.root / "caches"):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                with contextlib.suppress(OSError):
                    mode = os.lstat(path).st_mode
                    if mode & 0o022 and not stat.S_ISLNK(mode):
                        os.chmod(path, stat.S_IMODE(mode) & ~0o022)

    def close(self) -> None:
        """Remove everything, if nobody wants to look."""
        if self._keep:
            return
        # A program may have made folders that cannot be emptied as they are.
        for folder, names, _ in os.walk(self.root):
            for name in names:
                path = os.path.join(folder, name)
                if not os.path.islink(path):
                    with contextlib.suppress(OSError):
                        os.chmod(path, 0o700)
        shutil.rmtree(self.root, ignore_errors=True)
