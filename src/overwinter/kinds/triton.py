"""
``triton``: a file of Triton's cache.

A kernel is a folder of them, and a group file in it names the others by their
absolute paths: copied elsewhere as it is, Triton finds none of them. Here it names
them as they are called, and gets the paths of the directory that it is put into.

Untested on a GPU: tried on trees as Triton 3 lays them out.
"""

import json
import os
from types import MappingProxyType

import attrs

from ..artifact import CacheArtifact, CacheEntry
from ..environment import EXACT, EXACT_REQUIRED
from ..errors import WrongShapeError
from ..grammar import KeyGrammar
from ..limits import MAX_PATH_PART
from ..schema import Payload
from .torchinductor import CACHES

__all__ = ["CACHE", "TritonArtifact", "is_group", "named", "triton_directory"]

CACHE = "triton"
_GROUP, _CHILDREN = "__grp__", "child_paths"
_NAME = rf"(?!\.)[A-Za-z0-9_.+=@%,~-]{{1,{MAX_PATH_PART}}}"
_CHILD = KeyGrammar(_NAME, "the name of a file in the same folder")


def triton_directory() -> str:
    """
    Return Triton's cache directory, as Triton will find it.

    Source:
        ``triton.knobs.cache_knobs`` of Triton 3.4.
    """
    given = os.environ.get("TRITON_CACHE_DIR")
    if not given:
        home = os.environ.get("TRITON_HOME") or os.path.expanduser("~")
        given = os.path.join(home, ".triton", "cache")
    return os.path.abspath(given)


@attrs.frozen
class TritonArtifact(CacheArtifact):
    """A file under its cache, the hash of its kernel and its name."""

    key: str
    content: Payload = attrs.field(repr=False)
    mode: int = 0o644

    key_grammar = KeyGrammar(
        # Inductor gives each device a cache of its own.
        rf"(?:triton|torchinductor/triton/[0-9]{{1,4}})/[A-Za-z0-9_-]{{32,128}}/{_NAME}",
        "a cache's name, a hash and the name of a file",
    )
    caches = MappingProxyType({**CACHES, CACHE: triton_directory})
    # Of device and sources Triton asks itself: its hash holds them. A launcher is a
    # library for one Python and one system, which not every hash of one holds.
    environment_rules = MappingProxyType(
        {
            "os": EXACT_REQUIRED,
            "cpu_arch": EXACT_REQUIRED,
            "libc": EXACT,
            "python_tag": EXACT_REQUIRED,
            "triton_version": EXACT_REQUIRED,
        }
    )

    @staticmethod
    def type() -> str:
        """Return the name of the kind."""
        return "triton"

    @classmethod
    def from_file(
        cls, key: str, content: bytes, mode: int, folder: str
    ) -> "TritonArtifact":
        """
        Return the artifact of a file as Triton wrote it in *folder*.

        Raises:
            KeyGrammarError: No file of a kernel is called so.
            WrongShapeError: It is a group that names files elsewhere, or none.
        """
        cls.check_key(key)
        if is_group(key):
            content = named(key, content, folder)
        return cls(key, content, mode & 0o755)

    def cache_entry(self) -> CacheEntry:
        """
        Return the file; a group comes last, and with paths where it is put.

        Raises:
            WrongShapeError: It is a group that names files elsewhere, or none.
        """
        self.check_key(self.key)
        cache, _, path = self.key.partition("/")
        mode = self.mode & 0o755
        if not is_group(self.key):
            return CacheEntry(cache, path, self.content, mode)
        names = _children(self.key, self.content)
        folder = os.path.dirname(path)

        def restore(directory: str) -> bytes:
            return _group(
                {each: os.path.join(directory, folder, names[each]) for each in names}
            )

        # Who finds a group looks for all of its files.
        return CacheEntry(cache, path, self.content, mode, 1, restore)


def is_group(key: str) -> bool:
    """Return whether the file of this key or path names other files."""
    return key.rpartition("/")[2].startswith(_GROUP)


def named(key: str, content: bytes, folder: str) -> bytes:
    """
    Return a group with the names of its files in the place of their paths.

    Args:
        key: Its key, for errors.
        content: As Triton wrote it.
        folder: Where it lies; all of its files must lie there, too.

    Raises:
        WrongShapeError: It is no group, or names a file elsewhere.
    """
    children = _parsed(key, content)
    for child, path in children.items():
        if os.path.dirname(path) != folder:
            fault = f"{_CHILDREN}: {child!r:.80} is in {os.path.dirname(path)!r:.200}"
            raise WrongShapeError(key, (f"{fault}, and the group in {folder!r:.200}",))
    marked = _group({child: os.path.basename(children[child]) for child in children})
    _children(key, marked)
    return marked


def _group(children: dict[str, str]) -> bytes:
    return json.dumps({_CHILDREN: children}).encode("ascii")


def _children(key: str, content: bytes) -> dict[str, str]:
    children = _parsed(key, content)
    for name in children.values():
        if not _CHILD.fits_all([name]):
            fault = f"{_CHILDREN}: expected {_CHILD.words}, got {name!r:.80}"
            raise WrongShapeError(key, (fault,))
    return children


def _parsed(key: str, content: bytes) -> dict[str, str]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise WrongShapeError(key, (f"no JSON: {error!s:.200}",)) from error
    # What else there is might hold paths that we do not know.
    if not isinstance(found, dict) or set(found) != {_CHILDREN}:
        raise WrongShapeError(key, (f"expected an object of {_CHILDREN} alone",))
    children = found[_CHILDREN]
    if not isinstance(children, dict) or not all(
        isinstance(path, str) for path in children.values()
    ):
        raise WrongShapeError(key, (f"{_CHILDREN}: expected names and paths",))
    return children
