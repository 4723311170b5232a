"""
A live cache's directory, held open: what is verified is what is published.

Whoever can write into a cache directory runs code in every process that uses it. So
one that belongs to somebody else, that others may write, or that is a symbolic link
is not populated; and every step goes through descriptors, never by path again, so
that no other process can put another file, or another directory, in between.
"""

import contextlib
import errno
import fcntl
import os
import re
import shlex
import stat
from collections.abc import Iterator, Sequence

import attrs

from .closing import Closing
from .errors import StoreError, UnsafeDirectoryError
from .files import Buffer, PathLike, checked, give_place, told, write_all
from .ownership import is_open_to_others
from .sources import FileSource

__all__ = ["CacheDirectory", "Staged", "open_owned"]

_AREA = ".overwinter-"
_AREA_NAME = re.compile(r"\.overwinter-[0-9]+-[0-9a-f]{12}")
_ABANDONED = 24 * 60 * 60  # seconds since the last file was staged; a load takes some
# Nobody but us writes: a umask of 0 must not open what we make.
_MODE = 0o755
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class Staged:
    """A file that waits for its place: its name in the area, and its identity."""

    name: str
    identity: tuple[int, ...]


class CacheDirectory(Closing):
    """
    The directory of one cache; a context manager.

    Files are written into an area of our own in it, and then given their places.
    Leaving removes the area with whatever was not published, and entering those that
    killed processes left.

    Args:
        path: The directory; made with its parents if nothing is there.

    Raises:
        UnsafeDirectoryError: Somebody else could write into it.
        StoreError: It can neither be made nor written.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = os.path.abspath(checked(path, "open it as a cache"))
        _make(self.path)
        with told(self.path, "open it as a cache"):
            self._root = _open(self.path, None, self.path)
        self._name = f"{_AREA}{os.getpid()}-{os.urandom(6).hex()}"
        self._count = 0
        try:
            with told(os.path.join(self.path, self._name), "make the directory"):
                os.mkdir(self._name, 0o700, dir_fd=self._root)
                self._area = _open(self._name, self._root, self.path)
            if _locked(self._area):
                _remove_abandoned(self._root, self._area)
        except BaseException:
            os.close(self._root)
            raise

    def close(self) -> None:
        """Remove what was not published, and let go of the directory."""
        _remove(self._name, self._area, self._root)
        os.close(self._area)
        os.close(self._root)

    def clear(self) -> None:
        """Remove what is staged and was not published."""
        with contextlib.suppress(OSError):
            for each in os.listdir(self._area):
                os.unlink(each, dir_fd=self._area)

    def stage(self, data: Buffer, *, mode: int) -> Staged:
        """
        Write *data* to a new file, which has no place yet.

        Args:
            data: The file's bytes.
            mode: Its permission bits; the umask of the process applies.
        """
        self._count += 1
        name = str(self._count)
        # Not synced: losing power costs a cache entry its content, and torch
        # writes its own entries no differently.
        with (
            told(os.path.join(self.path, self._name, name), "write it"),
            os.fdopen(
                os.open(name, _NEW, mode, dir_fd=self._area), "wb", buffering=0
            ) as file,
        ):
            write_all(file, [data])
            found = os.fstat(file.fileno())
        return Staged(name, _identity(found))

    def publish(self, staged: Staged, path: str) -> bool:
        """
        Give a staged file its place, unless something is there.

        Args:
            staged: The file.
            path: Its place in the directory, relative, with ``/``.

        Returns:
            Whether it was published; what was there stays as it is.

        Raises:
            StoreError: It is no path in the directory, or cannot be made.
            UnsafeDirectoryError: A folder on the way, or the file that is there,
                is somebody else's.
        """
        *folders, name = parts = path.split("/")
        where = f"{self.path}/{path}"
        checked(where, "publish it")
        if not {"", ".", ".."}.isdisjoint(parts):
            raise StoreError(where, "publish it", "that is no path in the cache")
        with self._folder(folders) as folder, told(where, "publish it"):
            if not give_place(staged.name, name, area=self._area, folder=folder):
                _check_present(name, folder, where)
                return False
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if _identity(found) != staged.identity:
                os.unlink(name, dir_fd=folder)
                raise UnsafeDirectoryError(
                    where,
                    "was swapped while it was published",
                    "look who else writes there, and load again",
                )
        return True

    @contextlib.contextmanager
    def _folder(self, names: Sequence[str]) -> Iterator[int]:
        """Open a folder below the root, made if need be, each step held and checked."""
        with contextlib.ExitStack() as opened:
            descriptor, path = self._root, self.path
            for name in names:
                path = os.path.join(path, name)
                with told(path, "make the directory"):
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, _MODE, dir_fd=descriptor)
                    descriptor = _open(name, descriptor, path)
                opened.callback(os.close, descriptor)
            yield descriptor


def _locked(area: int) -> bool:
    """Take the lock of an area, which ends with its process, if it can be had."""
    try:
        fcntl.flock(area, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody else has it, or the file system knows no locks
        return False
    return True


def _remove_abandoned(root: int, area: int) -> None:
    """
    Remove the areas of processes that were killed before they could.

    One whose lock can be had is nobody's, whatever became of the number of its
    process. The age is for who made it and has not taken the lock yet, and for other
    machines on file systems whose locks do not reach them.

    Args:
        root: The cache, open.
        area: Our own area, locked: its time is by the clock of the file system.
    """
    now = os.fstat(area).st_mtime
    for name in os.listdir(root):
        if not _AREA_NAME.fullmatch(name):
            continue
        with contextlib.suppress(OSError, StoreError):
            other = _open(name, root, name)
            try:
                if now - os.fstat(other).st_mtime > _ABANDONED and _locked(other):
                    _remove(name, other, root)
            finally:
                os.close(other)


def _remove(name: str, area: int, root: int) -> None:
    with contextlib.suppress(OSError):
        for each in os.listdir(area):
            os.unlink(each, dir_fd=area)
        os.rmdir(name, dir_fd=root)


@contextlib.contextmanager
def open_owned(root: PathLike, path: str) -> Iterator[FileSource]:
    """
    Open a file in a cache where only we, or root, can have put it.

    Every folder is held open while the next is looked at, so that none is swapped.

    Args:
        root: The directory of the cache.
        path: The file's place in it, relative, with ``/``.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be opened, or is not a regular file.
        UnsafeDirectoryError: Somebody else could have put it there.
    """
    where = os.fspath(root)
    *folders, name = path.split("/")
    with contextlib.ExitStack() as opened:
        with told(os.path.join(where, path), "open it"):
            folder = _open(where, None, where, or_root=True)
            opened.callback(os.close, folder)
            for each in folders:
                where = os.path.join(where, each)
                folder = _open(each, folder, where, or_root=True)
                opened.callback(os.close, folder)
            where = os.path.join(where, name)
            descriptor = os.open(name, _FILE, dir_fd=folder)
            source = FileSource(where, descriptor=descriptor)
            opened.callback(source.close)
            _check(os.fstat(descriptor), where, or_root=True)
        yield source


def _make(path: str) -> None:
    """Make a directory and its parents, for us alone to write."""
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        with told(each, "make the directory"), contextlib.suppress(FileExistsError):
            os.mkdir(each, _MODE)


def _open(name: str, folder: int | None, path: str, *, or_root: bool = False) -> int:
    """
    Open a directory that only we, or root, can change; *path* names it.

    Args:
        name: The directory, relative to *folder*.
        folder: An open directory.
        path: What errors call it.
        or_root: It may belong to root.
    """
    try:
        descriptor = os.open(name, _DIRECTORY, dir_fd=folder)
    except OSError as error:
        # Linux says of a link "no directory", others "too many links".
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and stat.S_ISLNK(
            os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        ):
            raise UnsafeDirectoryError(
                path, "is a symbolic link", "name the directory that it points to"
            ) from error
        raise
    try:
        _check(os.fstat(descriptor), path, or_root=or_root)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(found: os.stat_result, path: str, *, or_root: bool = False) -> None:
    if found.st_uid != os.geteuid() and (found.st_uid or not or_root):
        raise UnsafeDirectoryError(
            path,
            f"belongs to user {found.st_uid}",
            "name a directory that is not there yet, and it is made as your own",
        )
    if is_open_to_others(found.st_mode, found.st_gid):
        mode = stat.S_IMODE(found.st_mode)
        raise UnsafeDirectoryError(
            path,
            f"is writable by others (mode {mode:04o})",
            f"if nobody put anything into it: chmod go-w {shlex.quote(path)}",
        )


def _identity(found: os.stat_result) -> tuple[int, ...]:
    # Type and size too: the number of a file that is gone is given to the next one.
    kind = stat.S_IFMT(found.st_mode)
    return found.st_dev, found.st_ino, kind, found.st_size


def _check_present(name: str, folder: int, path: str) -> None:
    """Refuse a file that is there already and that somebody else put there."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return  # gone again
    if stat.S_ISREG(found.st_mode) and found.st_uid != os.geteuid():
        raise UnsafeDirectoryError(
            path,
            f"is there already and belongs to user {found.st_uid}",
            f"if you did not put it there: rm -f {shlex.quote(path)}",
        )
