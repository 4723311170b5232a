"""
Where the bytes of a bundle are read: bytes, files, and whatever reads ranges.
"""

import contextlib
import errno
import fcntl
import operator
import os
import stat
from collections.abc import Iterator
from typing import Protocol

from .errors import NotFoundError, OverwinterError, StoreError
from .files import Buffer, PathLike, checked, is_url, told
from .remote import ObjectSource

__all__ = [
    "BytesSource",
    "FileSource",
    "Source",
    "read_small",
    "read_text",
    "source_of",
]


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

    Args:
        path: The file.
        descriptor: It is open already, and this source closes it.

    Raises:
        NotFoundError: There is no such file.
        StoreError: It cannot be opened, or is not a regular file.
    """

    def __init__(self, path: PathLike, *, descriptor: int | None = None) -> None:
        self.name = os.fspath(path)
        with told(self.name, "open it"):
            # Without O_NONBLOCK, opening a named pipe waits for its writer.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            if descriptor is None:
                descriptor = os.open(checked(self.name, "open it"), flags)
        self._fd = descriptor
        info = os.fstat(self._fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(self._fd)
            raise StoreError(self.name, "open it", "it is not a regular file")
        self.size, self.mode = info.st_size, stat.S_IMODE(info.st_mode)
        self.owner, self.group = info.st_uid, info.st_gid
        self.device, self.inode = info.st_dev, info.st_ino

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

    def extents(self, start: int, most: int) -> list[tuple[int, int]] | None:
        """
        Return where the file holds more than zeros, as far as its system knows.

        Args:
            start: Where to begin.
            most: ``None`` is returned where there are more, or none can be told.

        Returns:
            Begin and end of each, in order.
        """
        found: list[tuple[int, int]] = []
        end = start
        try:
            while end < self.size and len(found) <= most:
                begin = os.lseek(self._fd, end, os.SEEK_DATA)
                end = min(os.lseek(self._fd, begin, os.SEEK_HOLE), self.size)
                found.append((begin, end))
        except OSError as error:
            # Nothing but a hole is left; or no such question is known.
            if error.errno != errno.ENXIO:
                return None
        except AttributeError:
            return None
        return None if len(found) > most else found

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


class _Checked:
    """
    A source of somebody else's, held to what `Source` asks of it.

    Whatever it raises or returns instead is a `StoreError`: nothing that reads a
    bundle has to expect more.
    """

    def __init__(self, source: Source) -> None:
        self._source, self.name = source, str(source.name)
        self._size: int | None = None

    @property
    def size(self) -> int:
        """Bytes in all, asked for once."""
        if self._size is None:
            action = "ask for its size"
            with self._told(action):
                size = operator.index(self._source.size)
            if size < 0:
                raise StoreError(self.name, action, f"it says {size}")
            self._size = size
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """
        Return *size* bytes from *offset*.

        Fewer are a source that was cut: that is damage, which readers name.
        """
        action = f"read {size:,} bytes at {offset:,}"
        with self._told(action):
            data = bytes(memoryview(self._source.read(offset, size)))
        if len(data) > size:
            raise StoreError(self.name, action, f"it gave {len(data):,}")
        return data

    def view(self, offset: int, size: int) -> memoryview:
        """Return *size* bytes from *offset* where they lie, if it can."""
        view = getattr(self._source, "view", None)
        if view is None:
            return memoryview(self.read(offset, size))
        with self._told(f"view {size:,} bytes at {offset:,}"):
            return memoryview(view(offset, size)).cast("B")

    @contextlib.contextmanager
    def _told(self, action: str) -> Iterator[None]:
        try:
            yield
        except OverwinterError:
            raise
        except FileNotFoundError as error:
            raise NotFoundError(self.name, action, f"{error!r:.200}") from error
        except Exception as error:
            raise StoreError(self.name, action, f"{error!r:.200}") from error


def source_of(target: "PathLike | Buffer | Source") -> Source:
    """
    Return *target* as a source: a path, the URL of an object, bytes, or a source.

    One that is not ours is held to what it promises.

    Raises:
        TypeError: It is none of these.
    """
    if isinstance(target, str) and is_url(target):
        return _Checked(ObjectSource(target))
    if isinstance(target, str | os.PathLike):
        return FileSource(target)
    if isinstance(target, bytes | bytearray | memoryview):
        return BytesSource(target)
    if isinstance(target, FileSource | BytesSource):
        return target
    # Not its size, which it may not know yet; and no open file, which reads on from
    # where it stands.
    reads = callable(getattr(target, "read", None)) and not hasattr(target, "seek")
    if not reads or not hasattr(target, "name"):
        raise TypeError(
            f"expected a path, bytes, or what reads ranges, got {type(target).__name__}"
        )
    return target if isinstance(target, _Checked) else _Checked(target)


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
