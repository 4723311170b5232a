"""
Every file operation of the library, so that faults can be injected in one place.

A file appears whole or not at all: it is written under a name of its own beside
its target, synced, and only then given the target's name.
"""

import contextlib
import errno
import fcntl
import io
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Protocol

from .errors import NotFoundError, StoreError

__all__ = [
    "BytesSource",
    "FileSource",
    "Source",
    "appending",
    "checked",
    "create_once",
    "creating",
    "make_directory",
    "publish",
    "read_small",
    "read_text",
    "replacing",
    "same_bytes",
    "source_of",
]

PathLike = str | os.PathLike[str]
Buffer = bytes | bytearray | memoryview


# --- reading ----------------------------------------------------------------


class Source(Protocol):
    """
    Anything that reads ranges of bytes, which do not change while it is open.

    Attributes:
        name: What errors call it.
        size: Bytes in all. It is asked for after the first `read`, so that a source
            may know it from its first answer, as an object store tells it.

    A source may also have ``view(offset, size)``, which returns a memoryview of
    bytes where they lie.
    """

    name: str

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """
        Return *size* bytes from *offset*, fewer only where the source ends.

        Several threads may call it at once.
        """
        ...


class BytesSource:
    """Bytes in memory as a source."""

    def __init__(self, data: Buffer, name: str = "<bytes>") -> None:
        self._data = memoryview(data).cast("B")
        self.name, self.size = name, len(self._data)

    def read(self, offset: int, size: int) -> bytes:
        """Return a private copy of *size* bytes from *offset*."""
        return bytes(self._data[offset : offset + size])

    def view(self, offset: int, size: int) -> memoryview:
        """Return *size* bytes from *offset* where they lie."""
        return self._data[offset : offset + size]


class FileSource:
    """
    An open file as a source; reads do not move a shared position.

    Its size is taken once, when it is opened: what another process appends
    later belongs to the next reader.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be opened, or is not a regular file.
    """

    def __init__(self, path: PathLike) -> None:
        self.name = os.fspath(path)
        with told(self.name, "open it"):
            # Without O_NONBLOCK, opening a named pipe waits for its writer.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            self._fd = os.open(checked(self.name, "open it"), flags)
        info = os.fstat(self._fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(self._fd)
            raise StoreError(self.name, "open it", "it is not a regular file")
        self.size, self.mode = info.st_size, stat.S_IMODE(info.st_mode)
        self.owner = info.st_uid

    def read(self, offset: int, size: int) -> bytes:
        """Return *size* bytes from *offset*, in private memory."""
        with told(self.name, f"read {size:,} bytes at {offset:,}"):
            data = os.pread(self._fd, size, offset)
            # One call returns at most 2 GiB, and a network may return less.
            while data and len(data) < size:
                more = os.pread(self._fd, size - len(data), offset + len(data))
                if not more:
                    break
                data += more
        return data

    def view(self, offset: int, size: int) -> memoryview:
        """
        Return *size* bytes from *offset* as the file has them at any moment.

        Another process that writes changes them; one that cuts the file ends this
        one with SIGBUS when it looks.
        """
        import mmap

        action = f"map {size:,} bytes at {offset:,}"
        with told(self.name, action):
            begin = offset - offset % mmap.ALLOCATIONGRANULARITY
            try:
                mapped = mmap.mmap(
                    self._fd, offset + size - begin, prot=mmap.PROT_READ, offset=begin
                )
            except (ValueError, OverflowError) as error:
                raise StoreError(self.name, action, str(error)) from error
        return memoryview(mapped)[offset - begin :]

    def is_being_appended(self) -> bool:
        """Return whether another process holds the lock of `appending`."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks
            return False
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def look_again(self) -> None:
        """Take the size anew: an append has ended since."""
        with told(self.name, "ask for its size"):
            self.size = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def source_of(target: "PathLike | Buffer | Source") -> Source:
    """
    Return *target* as a source: a path, bytes, or a source already.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(target, str | os.PathLike):
        return FileSource(target)
    if isinstance(target, bytes | bytearray | memoryview):
        return BytesSource(target)
    # Not its size, which it may not know yet; and no open file, which reads on from
    # where it stands.
    reads = callable(getattr(target, "read", None)) and not hasattr(target, "seek")
    if not reads or not hasattr(target, "name"):
        raise TypeError(
            f"expected a path, bytes, or what reads ranges, got {type(target).__name__}"
        )
    return target


def read_small(path: PathLike, limit: int) -> bytes:
    """
    Return the whole file at *path*, of at most *limit* bytes.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be read, or is larger.
    """
    source = FileSource(path)
    try:
        if source.size > limit:
            raise StoreError(
                source.name, "read it", f"it has {source.size:,} bytes, over {limit:,}"
            )
        return source.read(0, source.size)
    finally:
        source.close()


def read_text(path: PathLike, *, errors: str = "replace") -> str:
    """
    Return the text of a file of the system, such as ``/proc/cpuinfo``.

    Such a file has no size until it is read.

    Args:
        path: The file.
        errors: What becomes of bytes that are no UTF-8; ``surrogateescape`` for
            names of files, which may be any bytes.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be read.
    """
    name = os.fspath(path)
    with (
        told(name, "read it"),
        open(name, encoding="utf-8", errors=errors) as file,
    ):
        return file.read()


# --- whole files ------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: PathLike) -> Iterator[IO[bytes]]:
    """
    Give a file to write; on success it becomes *path*, durably, at once.

    Whatever was at *path* stays untouched until then, and for good if the
    block raises or the process dies.

    Raises:
        StoreError: It could not be written, synced or renamed.
    """
    target = Path(checked(path, "write it"))
    temporary = _temporary_name(target)
    with told(str(target), "write it"), _removed_on_error(temporary):
        with _open_exclusive(temporary, 0o666) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, target)
        sync_directory(target.parent)


@contextlib.contextmanager
def creating(path: PathLike) -> Iterator[IO[bytes]]:
    """
    Give a file to write; on success it becomes *path*, durably, at once.

    Raises:
        FileExistsError: Something is at *path*, or appeared there in the
            meantime; it is left as it is.
        StoreError: It could not be written, synced or named.
    """
    target = Path(checked(path, "write it"))
    there = FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    if os.path.lexists(target):
        raise there
    temporary = _temporary_name(target)
    with told(str(target), "write it"), _removed(temporary):
        with _open_exclusive(temporary, 0o666) as file:
            yield file
            os.fsync(file.fileno())
        published = publish(temporary, target)
        sync_directory(target.parent)
    if not published:
        raise there


@contextlib.contextmanager
def appending(path: PathLike) -> Iterator[IO[bytes]]:
    """
    Give the file at *path* to append to, locked against other appenders.

    On success it is synced once. If the block raises, the file is cut back to
    the size it had.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It could not be locked, written or synced.
    """
    name = checked(path, "append to it")
    with told(name, "append to it"), _open_locked(name) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            yield file
            _sync_data(file.fileno())
        except BaseException:
            os.ftruncate(file.fileno(), size)
            raise


def create_once(path: PathLike, data: Buffer, *, mode: int = 0o600) -> bool:
    """
    Create *path* with *data* unless it exists; return whether it was created.

    Two processes may call this at once: one creates, both find a whole file.
    """
    target = Path(checked(path, "create it"))
    make_directory(target.parent, mode=0o700)
    temporary = _temporary_name(target)
    with told(str(target), "create it"), _removed(temporary):
        with _open_exclusive(temporary, mode) as file:
            write_all(file, [data])
            os.fsync(file.fileno())
        created = publish(temporary, target)
        sync_directory(target.parent)
    return created


def publish(temporary: PathLike, target: PathLike) -> bool:
    """
    Give the finished file *temporary* the name *target*, unless that exists.

    Returns:
        Whether it was published; ``False`` leaves both files as they are.
    """
    with told(os.fspath(target), "publish it"):
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except OSError as error:
            # File systems without hard links: a rename, and a look before it.
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                return False
            os.rename(temporary, target)
            return True
        os.unlink(temporary)
        return True


_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


# --- directories ------------------------------------------------------------


def make_directory(path: PathLike, *, mode: int = 0o777) -> None:
    """Make *path* and its parents; one that exists is left as it is."""
    with told(checked(path, "make the directory"), "make the directory"):
        os.makedirs(path, mode=mode, exist_ok=True)


def sync_directory(path: PathLike) -> None:
    """Make the names in *path* durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(file: IO[bytes], chunks: Iterable[Buffer]) -> int:
    """
    Write *chunks* in order, whatever a single call accepts; return the sum.

    Source:
        Many are gathered in one call, from where they lie: 400 MB in 2,000 pieces
        take a tenth of the time, and of the memory, of joining them first.
    """
    views = [memoryview(chunk).cast("B") for chunk in chunks]
    views = [view for view in views if view]
    if isinstance(file, io.FileIO):
        _gather(file.fileno(), views)
    else:
        for view in views:
            # What is no file of ours may take less than it was given.
            rest = view
            while rest:
                rest = rest[file.write(rest) :]
    return sum(map(len, views))


_GATHERED = 1024  # what POSIX systems take at once (IOV_MAX)


def _gather(descriptor: int, views: list[memoryview]) -> None:
    for begin in range(0, len(views), _GATHERED):
        part = views[begin : begin + _GATHERED]
        while part:
            # The system may take less than it was given: 2 GiB at most, as a rule.
            written = os.writev(descriptor, part)
            done = 0
            while done < len(part) and written >= len(part[done]):
                written -= len(part[done])
                done += 1
            part = part[done:]
            if part:
                part[0] = part[0][written:]


def same_bytes(file: IO[bytes], one: int, other: int, size: int) -> bool:
    """
    Return whether two ranges of a file that is being written are the same bytes.

    Args:
        file: As `creating` and `replacing` give it.
        one: First byte of a range.
        other: First byte of the other.
        size: Bytes of each.
    """
    file.flush()
    descriptor, step = file.fileno(), 2**20
    return all(
        os.pread(descriptor, min(step, size - at), one + at)
        == os.pread(descriptor, min(step, size - at), other + at)
        for at in range(0, size, step)
    )


def _sync_data(descriptor: int) -> None:
    # Without the times of the file, which would cost a write of their own.
    if hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:  # macOS
        os.fsync(descriptor)


def _temporary_name(target: Path) -> Path:
    return target.parent / f".{target.name[:40]}.{os.getpid()}-{os.urandom(6).hex()}"


def _open_exclusive(path: Path, mode: int) -> IO[bytes]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, mode), "w+b", buffering=0)


@contextlib.contextmanager
def _open_locked(name: str) -> Iterator[IO[bytes]]:
    while True:
        with open(name, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # While we waited, another file may have taken the name.
            if os.path.samestat(os.fstat(file.fileno()), os.stat(name)):
                yield file
                return


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


@contextlib.contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        raise


def checked(path: PathLike, action: str) -> str:
    """Return *path* as text, if a system can take it at all."""
    name = os.fspath(path)
    try:
        if "\0" in name:
            raise StoreError(name, action, "a NUL in its path")
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise StoreError(ascii(name), action, "no path has such characters") from error
    return name


@contextlib.contextmanager
def told(path: str, action: str) -> Iterator[None]:
    """Turn the system's errors into ours, which say what was tried on what."""
    try:
        yield
    except FileNotFoundError as error:
        raise NotFoundError(path, action, _reason(error)) from error
    except OSError as error:
        raise StoreError(path, action, _reason(error)) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
