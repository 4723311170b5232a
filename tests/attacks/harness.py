"""
What no attack may do: run code, import, write elsewhere, take for ever, or memory.

An audit hook sees what the interpreter does, whoever asks for it; a picture of the
sandbox before and after is the second witness, which no trick with paths deceives.
"""

import ctypes
import hashlib
import os
import pickle
import re
import signal
import stat
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import attrs

__all__ = [
    "Sandbox",
    "Tried",
    "Watch",
    "as_attacker",
    "snapshot",
    "tried",
    "watched",
]

SECONDS = 10  # after which a call "does not end"
MIB = 2**20

_RUNS_CODE = re.compile(
    r"import|exec|compile|marshal\.|pickle\.|ctypes\.|subprocess\.|socket\.|"
    r"os\.(system|exec|posix_spawn|spawn|fork|startfile)|pty\.|code\.__new__|"
    r"cpython\.run_|sys\.(settrace|setprofile|addaudithook)"
)
# Event to the places of paths that it changes, and of the directories that they are
# relative to, among its arguments.
_CHANGES: Mapping[str, tuple[tuple[int, int | None], ...]] = {
    "os.mkdir": ((0, 2),),
    "os.rmdir": ((0, 1),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.truncate": ((0, None),),
    "os.utime": ((0, 3),),
    "os.setxattr": ((0, None),),
    "os.removexattr": ((0, None),),
    "os.mknod": ((0, 2),),
}
_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class DoesNotEnd(BaseException):
    """A call took longer than `SECONDS`; nothing that catches errors catches it."""


class Watch:
    """
    What a process does while it is on, against what it may.

    Args:
        writes: The only folders below which something may be made or changed.
    """

    def __init__(self, *writes: Path) -> None:
        self.writes = [os.path.realpath(each) for each in writes]
        self.violations: list[str] = []
        self.is_on = True

    def see(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note an audit event that must not be."""
        if _RUNS_CODE.match(event):
            self.violations.append(f"{event}{arguments!r:.200}")
        elif event == "open":
            path, mode, flags = arguments
            if flags & _FOR_WRITING or (mode and set(mode) & set("wax+")):
                self.change("open", path, getattr(_opening, "folder", None))
        else:
            for place, folder in _CHANGES.get(event, ()):
                at = None if folder is None else arguments[folder]
                self.change(event, arguments[place], at)

    def change(self, event: str, path: Any, folder: int | None) -> None:
        """Note a change of *path* unless it lies where it may."""
        found = _resolved(path, folder)
        if found == os.devnull or any(
            found == each or found.startswith(each + os.sep) for each in self.writes
        ):
            return
        self.violations.append(f"{event} changes {found}")

    @contextmanager
    def off(self) -> Iterator[None]:
        """See nothing for a while: what happens is the attacker's own doing."""
        before, self.is_on = self.is_on, False
        try:
            yield
        finally:
            self.is_on = before


_watch: Watch | None = None
_opening = threading.local()
_os_open = os.open


_trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda padding: None)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watch is not None and _watch.is_on:
        _watch.see(event, arguments)


# Once in the life of a process: no hook can be taken away.
sys.addaudithook(_hook)


def _open(
    path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
) -> int:
    # The event does not say to which directory the path is relative.
    _opening.folder = dir_fd
    try:
        return _os_open(path, flags, mode, dir_fd=dir_fd)
    finally:
        _opening.folder = None


def _resolved(path: Any, folder: int | None) -> str:
    if isinstance(path, int):
        return _path_of(path)
    path = os.fsdecode(path)
    if folder is not None and folder >= 0 and not os.path.isabs(path):
        path = os.path.join(_path_of(folder), path)
    head, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(head), name)


def _path_of(descriptor: int) -> str:
    if sys.platform == "darwin":
        import fcntl

        found = fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024))
        return os.fsdecode(found.rstrip(b"\0"))
    return os.readlink(f"/proc/self/fd/{descriptor}").removesuffix(" (deleted)")


class _Unpickling:
    """Stands where pickle's functions stood: whoever calls one unpickles."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._watch.violations.append("pickle: unpickles")
        raise pickle.UnpicklingError("an attack was unpickled")


@contextmanager
def watched(*writes: Path) -> Iterator[Watch]:
    """Watch what this process does, and stop it after `SECONDS`."""
    global _watch

    def stop(signum: int, frame: object) -> None:
        raise DoesNotEnd(f"still at it after {SECONDS} seconds")

    watch = Watch(*writes)
    unpickling = _Unpickling(watch)
    kept = pickle.load, pickle.loads, pickle.Unpickler, os.open, os.fsync
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    pickle.load = pickle.loads = pickle.Unpickler = unpickling  # type: ignore
    os.open = _open  # type: ignore[assignment]
    os.fsync = lambda descriptor: None  # nobody loses power here
    _watch = watch
    try:
        yield watch
    finally:
        _watch = None
        pickle.load, pickle.loads, pickle.Unpickler, os.open, os.fsync = kept
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@attrs.define
class Tried:
    """
    What one call did.

    Attributes:
        value: What it returned.
        error: What left it.
        violations: What it did and may not.
        seconds: Time that it took.
        n_bytes: Memory that it took beyond what the process had.
    """

    value: Any = None
    error: BaseException | None = None
    violations: list[str] = attrs.field(factory=list)
    seconds: float = 0.0
    n_bytes: int = 0


def tried(
    work: Callable[[], Any],
    *writes: Path,
    expected: tuple[type[BaseException], ...] = (),
    traced: bool = False,
) -> Tried:
    """
    Return what *work* does.

    Args:
        work: The call.
        writes: The only folders below which it may change something.
        expected: Errors that may leave it.
        traced: Whether Python's allocations are counted, which is slow and exact;
            else the pages that the process got, which an earlier call may have left.
    """
    found = Tried()
    resident = _clear_peak()
    if traced:
        tracemalloc.start()
    began = time.perf_counter()
    with watched(*writes) as watch:
        try:
            found.value = work()
        except BaseException as error:
            found.error = error
    found.seconds = time.perf_counter() - began
    found.n_bytes = max(0, _status("VmHWM") - resident)
    if traced:
        found.n_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    found.violations = watch.violations
    error = found.error
    if isinstance(error, KeyboardInterrupt):
        raise error
    if error is not None:
        with suppress(AttributeError):
            # Or the frames of a traceback keep what they hold alive.
            found.error = error.with_traceback(None)
        if not isinstance(error, expected):
            found.violations.append(f"leaves {type(error).__name__}: {error!s:.300}")
    return found


def _clear_peak() -> int:
    """Have the peak of this process's memory begin anew; return where it is."""
    if sys.platform != "linux":
        return 0
    _trim(0)  # or what an earlier call gave back hides what this one takes
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    if sys.platform != "linux":
        return 0
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def snapshot(root: Path) -> dict[str, tuple[Any, ...]]:
    """Return everything below *root*: type, mode, number, and what it holds."""
    found = {}
    for path in sorted(root.rglob("*")):
        info = path.lstat()
        holds: Any = None
        if stat.S_ISLNK(info.st_mode):
            holds = os.readlink(path)
        elif stat.S_ISREG(info.st_mode):
            # A hole of a tebibyte is known by its time.
            small = info.st_size <= MIB and os.access(path, os.R_OK)
            content = path.read_bytes() if small else b""
            holds = info.st_size, info.st_mtime_ns, hashlib.sha256(content).digest()
        name = path.relative_to(root).as_posix()
        found[name] = oct(info.st_mode), info.st_ino, info.st_uid, holds
    return found


@attrs.frozen
class Sandbox:
    """
    Folders of one attack, below *root*, and what an account sees of them.

    What lies in ``beside`` must never change.
    """

    root: Path

    @classmethod
    def below(cls, root: Path) -> "Sandbox":
        """Return a sandbox whose folders are made."""
        sandbox = cls(root)
        for name in ("home", "given", "out", "beside", "cwd", "tmp"):
            (root / name).mkdir(parents=True)
        (root / "beside" / "canary").write_bytes(b"alive")
        return sandbox

    @property
    def cache(self) -> Path:
        """Where caches are; nothing is there."""
        return self.root / "cache"

    @property
    def beside(self) -> Path:
        """What nobody may touch."""
        return self.root / "beside"

    @property
    def out(self) -> Path:
        """Where commands write what they are told to."""
        return self.root / "out"

    @property
    def given(self) -> Path:
        """Where bundles lie."""
        return self.root / "given"

    @property
    def environ(self) -> dict[str, str]:
        """The variables of this account."""
        home = self.root / "home"
        return {
            "HOME": str(home),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CONFIG_DIRS": str(home / "xdg"),
            "TMPDIR": str(self.root / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(self.cache),
        }

    def cached(self) -> dict[str, bytes]:
        """Return the files in the cache, whatever they are called."""
        return {
            path.relative_to(self.cache).as_posix(): path.read_bytes()
            for path in sorted(self.cache.rglob("*"))
            if path.is_file()
        }


@contextmanager
def as_attacker() -> Iterator[None]:
    """Do something that is not the library's doing, while it is watched."""
    if _watch is None:
        yield
        return
    with _watch.off():
        yield
