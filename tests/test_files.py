"""Files appear whole or not at all, whatever breaks, and errors say what was tried."""

import contextlib
import errno
import fcntl
import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import sample_of_two

from overwinter import Bundle, files
from overwinter.bundle import verify
from overwinter.errors import NotFoundError, OverwinterError, StoreError
from overwinter.sources import (
    BytesSource,
    FileSource,
    read_small,
    read_text,
    source_of,
)

NEW = b"new" * 1_000


def _run(code: str, *arguments: object, check: bool = True) -> str:
    """Run *code* in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0 or not check, done.stderr
    return done.stdout


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """Return an empty folder."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


@contextlib.contextmanager
def _without_privilege() -> Iterator[None]:
    """Be nobody for a while: root may open anything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def umask():
    """Return what sets the umask for this test."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


# --- reading ----------------------------------------------------------------


def test_bytes_are_read_by_range_into_private_memory():
    """What is verified must not change afterwards: a read is a copy."""
    data = bytearray(b"0123456789")
    source = BytesSource(data)
    found = source.read(2, 3)
    data[2:5] = b"xxx"
    assert (found, source.size, source.name) == (b"234", 10, "<bytes>")
    assert source.read(8, 5) == b"89"
    assert source.read(20, 5) == b""


def test_a_view_of_wider_items_is_read_by_bytes():
    """The size of a source is in bytes, whatever a buffer counts in."""
    source = BytesSource(memoryview(b"12345678").cast("I"))
    assert (source.size, source.read(3, 2)) == (8, b"45")


def test_a_file_is_read_by_range(folder):
    """Fewer bytes come back only where the file ends."""
    (folder / "file").write_bytes(b"0123456789")
    source = FileSource(folder / "file")
    assert (source.size, source.name) == (10, str(folder / "file"))
    assert source.read(2, 3) == b"234"
    assert source.read(8, 5) == b"89"
    assert source.read(20, 5) == b""
    source.close()
    source.close()


def test_short_reads_of_the_system_are_made_good(folder, monkeypatch):
    """One call returns at most 2 GiB, and a network file system may return less."""
    (folder / "file").write_bytes(b"0123456789")
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: pread(fd, min(n, 3), at))
    source = FileSource(folder / "file")
    assert source.read(1, 8) == b"12345678"
    assert source.read(1, 99) == b"123456789"
    source.close()


def test_the_size_of_a_source_is_that_of_its_opening(folder):
    """What another process appends later belongs to the next reader."""
    (folder / "file").write_bytes(b"old")
    source = FileSource(folder / "file")
    with files.appending(folder / "file") as file:
        file.write(b"new")
    assert source.size == 3
    source.close()


def test_a_file_that_is_not_there_is_named(folder):
    """Its own error: the caller makes one, or mends the path."""
    with pytest.raises(NotFoundError, match=r"/missing: no such file; check the path"):
        FileSource(folder / "missing")


def test_a_directory_is_no_file(folder):
    """Opening one works, reading does not: said at once."""
    with pytest.raises(StoreError, match="could not open it: it is not a regular file"):
        FileSource(folder)


def test_a_named_pipe_is_no_file(folder):
    """Opening one would wait for a writer that never comes."""
    os.mkfifo(folder / "pipe")
    code = """
        import sys
        from overwinter.errors import StoreError
        from overwinter.sources import FileSource
        try:
            FileSource(sys.argv[1])
        except StoreError as error:
            print(error.reason)
    """
    assert _run(code, folder / "pipe") == "it is not a regular file\n"


def test_a_file_that_may_not_be_read_is_named(folder):
    """The reason is the system's; the advice is ours."""
    (folder / "file").touch(mode=0)
    words = "/file: could not open it: Permission denied; check the path, its permis"
    with _without_privilege(), pytest.raises(StoreError, match=words):
        FileSource(folder / "file")


def test_a_small_file_is_read_whole_up_to_a_limit(folder):
    """A file that should be small is not read into memory because it is there."""
    (folder / "file").write_bytes(b"12345")
    assert read_small(folder / "file", limit=5) == b"12345"
    with pytest.raises(StoreError, match="could not read it: it has 5 bytes, over 4"):
        read_small(folder / "file", limit=4)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="no /proc here")
def test_every_file_is_closed_again(folder):
    """Whatever came of it: a job that runs for weeks has a limit of open files."""
    (folder / "file").write_bytes(b"12345")
    before = os.listdir("/proc/self/fd")
    read_small(folder / "file", limit=5)
    with pytest.raises(StoreError, match="over 4"):
        read_small(folder / "file", limit=4)
    with pytest.raises(StoreError, match="it is not a regular file"):
        FileSource(folder)
    FileSource(folder / "file").close()
    files.create_once(folder / "once", b"")
    for writing in (files.replacing, files.appending):
        with writing(folder / "file") as file:
            file.write(b"6")
    assert os.listdir("/proc/self/fd") == before


def test_whatever_holds_bytes_is_a_source(folder):
    """A path, bytes in any form, or something that reads ranges already."""
    (folder / "file").write_bytes(b"12345")
    for target in (folder / "file", str(folder / "file")):
        source = source_of(target)
        assert isinstance(source, FileSource)
        assert source.read(1, 2) == b"23"
        source.close()
    for data in (b"12345", bytearray(b"12345"), memoryview(b"12345")):
        source = source_of(data)
        assert isinstance(source, BytesSource)
        assert source.read(1, 2) == b"23"
    assert source_of(source) is source


class _Odd:
    """A source whose answers are decided by *read*, *size* and *view*."""

    name = "odd"

    def __init__(self, read=b"12345".__getitem__, size=5, view=None) -> None:
        self._read, self._size = read, size
        if view is not None:
            self.view = view

    def read(self, offset, size):
        """Answer as told."""
        return self._read(slice(offset, offset + size))

    @property
    def size(self):
        """Answer as told."""
        return self._size() if callable(self._size) else self._size


def raising(error):
    """Return what raises *error*, whatever it is asked."""

    def answer(*_):
        raise error

    return answer


ODD_ERRORS = [
    OSError(errno.EIO, "Input/output error"),
    ValueError("no such range"),
    MemoryError(),
    ExceptionGroup("many", [OSError()]),
]


@pytest.mark.parametrize("error", ODD_ERRORS, ids=repr)
def test_whatever_a_source_raises_is_an_error_of_the_store(error):
    """Who reads a bundle expects no other; what it was is the cause."""
    odd = source_of(_Odd(raising(error), raising(error), raising(error)))
    for ask in (
        lambda: odd.read(1, 2),
        lambda: odd.view(1, 2),
        lambda: odd.size,
        lambda: Bundle(odd),
    ):
        with pytest.raises(StoreError, match="odd: could not ") as caught:
            ask()
        assert caught.value.__cause__ is error


def test_an_error_of_ours_comes_through_and_a_missing_object_is_not_found():
    """Whoever writes a source may raise the right one at once."""
    ours = StoreError("there", "ask the server", "it is tired")
    with pytest.raises(StoreError) as caught:
        source_of(_Odd(raising(ours))).read(0, 1)
    assert caught.value is ours
    with pytest.raises(NotFoundError):
        source_of(_Odd(raising(FileNotFoundError("none")))).read(0, 1)


@pytest.mark.parametrize("answer", [None, "text", 5, b"123456", [1, 2]], ids=repr)
def test_what_is_no_answer_of_a_source_is_an_error_of_the_store(answer):
    """No bytes, or more than were asked for: what reads on would misread."""
    with pytest.raises(StoreError, match="odd: could not read 5 bytes at 0"):
        source_of(_Odd(lambda _: answer)).read(0, 5)
    with pytest.raises(StoreError, match="odd: could not "):
        Bundle(_Odd(lambda part: answer * 10**4 if answer == b"123456" else answer))


@pytest.mark.parametrize("size", [-5, None, "5", 1.5], ids=repr)
def test_what_is_no_size_is_an_error_of_the_store(size):
    """It is asked for once, after the first read."""
    odd = _Odd(size=size)
    with pytest.raises(StoreError, match="odd: could not ask for its size"):
        _ = source_of(odd).size
    with pytest.raises(StoreError, match="odd: could not ask for its size"):
        Bundle(odd)


def test_a_source_of_somebody_elses_gives_what_it_has():
    """Its bytes, its size, and a view where it has one."""
    odd = source_of(_Odd(view=lambda offset, size: memoryview(b"abcde")[offset:]))
    assert (odd.name, odd.size, odd.read(3, 9)) == ("odd", 5, b"45")
    assert bytes(odd.view(4, 1)) == b"e"
    assert bytes(source_of(_Odd()).view(3, 2)) == b"45"
    assert source_of(odd) is odd


@pytest.mark.parametrize("kept", [0, 10, 40, 90, 200])
def test_a_source_that_is_cut_anywhere_raises_only_our_errors(kept):
    """Of each answer after the first few, only the beginning arrives."""
    data = sample_of_two()
    for whole in range(12):
        answers = itertools.count()

        def read(part, whole=whole, answers=answers):
            found = data[part]
            return found if next(answers) < whole else found[:kept]

        with contextlib.suppress(OverwinterError), Bundle(_Odd(read, len(data))) as b:
            list(verify(b))
            b.keys()


def test_text_of_the_system_is_read_though_it_claims_no_size(folder):
    """Files of /proc have a size of 0 until they are read."""
    if sys.platform == "linux":
        assert os.stat("/proc/self/status").st_size == 0
        assert read_text("/proc/self/status").startswith("Name:")
    (folder / "text").write_bytes(b"caf\xe9\n")
    assert read_text(folder / "text") == "caf\ufffd\n"
    with pytest.raises(NotFoundError, match=r"/missing: no such file"):
        read_text(folder / "missing")


# --- replacing and creating -------------------------------------------------


def test_a_replaced_file_is_the_new_one_and_nothing_else_is_left(folder):
    """The temporary file becomes the target; none stays beside it."""
    (folder / "file").write_bytes(b"old")
    with files.replacing(folder / "file") as file:
        file.write(NEW)
        assert (folder / "file").read_bytes() == b"old"
        assert len(_names(folder)) == 2
    assert (folder / "file").read_bytes() == NEW
    assert _names(folder) == ["file"]


def test_a_file_is_replaced_for_readers_at_once(folder):
    """Another process sees the old file or the new one, and never half of one."""
    (folder / "file").write_bytes(b"0" * 100_000)
    code = """
        import sys
        print("ready", flush=True)
        seen = set()
        while b"stop" not in seen:
            data = open(sys.argv[1], "rb").read()
            seen.add(data if len(data) < 9 else bytes(set(data)) + b"%d" % len(data))
        print(sorted(seen - {b"stop"}))
    """
    reader = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(folder / "file")],
        stdout=subprocess.PIPE,
        text=True,
    )
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for number in range(1, 40):
            with files.replacing(folder / "file") as file:
                for _ in range(10):
                    file.write(b"%d" % (number % 10) * 10_000)
        with files.replacing(folder / "file") as file:
            file.write(b"stop")
        seen = reader.stdout.read()
    assert set(eval(seen)) <= {b"%d100000" % digit for digit in range(10)}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("writing", [files.replacing, files.creating])
def test_a_file_whose_writer_fails_is_as_it_was(folder, writing, error):
    """Whatever is raised in the block, nothing is left of the attempt."""
    target = folder / "file"
    if writing is files.replacing:
        target.write_bytes(b"old")
    before = _names(folder)
    raised = StoreError if error is OSError else error
    with pytest.raises(raised, match="in the middle"), writing(target) as file:
        file.write(NEW)
        raise error("in the middle")
    assert _names(folder) == before
    assert not before or target.read_bytes() == b"old"


def test_a_new_file_is_made_without_an_old_one(folder):
    """Replacing is also how a file is written for the first time."""
    with files.replacing(folder / "file") as file:
        file.write(b"new")
    assert (folder / "file").read_bytes() == b"new"


def test_the_umask_decides_about_a_new_file(folder, umask):
    """A bundle is as private as its owner's other files."""
    umask(0o027)
    with files.replacing(folder / "a") as file:
        file.write(b"")
    with files.creating(folder / "b") as file:
        file.write(b"")
    assert [os.stat(folder / name).st_mode & 0o777 for name in "ab"] == [0o640] * 2


def test_a_long_name_leaves_room_for_its_temporary_file(folder):
    """A name may be as long as the file system allows."""
    for name in ("x" * 255, "\U0001f600" * 63):
        with files.replacing(folder / name) as file:
            file.write(b"new")
        assert (folder / name).read_bytes() == b"new"


def test_a_file_is_synced_before_it_gets_its_name(folder, monkeypatch):
    """Else a crash could leave the new name with nothing behind it."""
    calls = []
    for name in ("fsync", "rename", "link"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os,
            name,
            lambda *args, name=name, real=real, **options: [
                calls.append(name),
                real(*args, **options),
            ][1],
        )
    with files.replacing(folder / "a") as file:
        file.write(b"new")
    assert calls == ["fsync", "rename", "fsync"]
    calls.clear()
    with files.creating(folder / "b") as file:
        file.write(b"new")
    assert calls == ["fsync", "link", "fsync"]
    calls.clear()
    files.create_once(folder / "c", b"new")
    assert calls == ["fsync", "link", "fsync"]


def test_a_file_that_cannot_be_synced_is_not_replaced(folder, monkeypatch):
    """A disk that loses writes says so here, and the old file is whole."""
    (folder / "file").write_bytes(b"old")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    words = "/file: could not write it: Input/output error"
    with (
        pytest.raises(StoreError, match=words),
        files.replacing(folder / "file") as file,
    ):
        file.write(NEW)
    assert (folder / "file").read_bytes() == b"old"
    assert _names(folder) == ["file"]


def test_an_append_that_cannot_be_synced_is_taken_back(folder, monkeypatch):
    """Half an append would be the next reader's torn tail."""
    (folder / "file").write_bytes(b"old")

    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync, raising=False)
    words = "/file: could not append to it: Input/output error"
    with (
        pytest.raises(StoreError, match=words),
        files.appending(folder / "file") as file,
    ):
        file.write(NEW)
    assert (folder / "file").read_bytes() == b"old"


_LIMITED = """
    import resource, signal, sys
    from overwinter import files
    from overwinter.errors import StoreError
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    path, how = sys.argv[1:]
    try:
        if how == "create_once":
            files.create_once(path + ".new", b"new" * 1000)
        else:
            with getattr(files, how)(path if how != "creating" else path + ".new") as f:
                files.write_all(f, [b"new" * 1000])
    except StoreError as error:
        print(error.reason)
"""


@pytest.mark.parametrize("how", ["replacing", "creating", "appending", "create_once"])
def test_a_write_that_the_system_cuts_short_is_an_error(folder, how):
    """One call writes what fits and succeeds; only the next one fails."""
    (folder / "file").write_bytes(b"old")
    assert _run(_LIMITED, folder / "file", how) == "File too large\n"
    assert (folder / "file").read_bytes() == b"old"
    assert _names(folder) == ["file"]


def test_a_full_disk_leaves_the_old_file_whole(tmp_path):
    """On a real file system of 64 KiB, in a mount namespace of its own."""
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    code = """
        import os, sys
        from overwinter import files
        from overwinter.errors import StoreError
        path = sys.argv[1] + "/file"
        with files.replacing(path) as file:
            file.write(b"old")
        for how in (files.replacing, files.appending):
            try:
                with how(path) as file:
                    files.write_all(file, [bytes(2**20)])
            except StoreError as error:
                print(error.reason, open(path, "rb").read(), os.listdir(sys.argv[1]))
    """
    if unshare is None or mount is None:
        pytest.skip("no unshare or mount here")
    script = f'{mount} -t tmpfs -o size=64k tmpfs {tmp_path} && exec "$@"'
    alone = [unshare, "-Urm", "sh", "-c", script, "sh"]
    tried = subprocess.run([*alone, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no mounts of our own here: {tried.stderr.strip()}")
    done = subprocess.run(
        [*alone, sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "No space left on device b'old' ['file']\n" * 2


def test_a_directory_that_is_not_there_is_named(folder):
    """The error tells the target, not the temporary file beside it."""
    for writing in (files.replacing, files.creating):
        with (
            pytest.raises(NotFoundError, match=r"/missing/file: could not write it"),
            writing(folder / "missing" / "file"),
        ):
            raise AssertionError("unreachable")


def test_creating_refuses_what_is_there(folder):
    """Two saves at once must not lose each other: the second one appends."""
    (folder / "file").write_bytes(b"old")
    with (
        pytest.raises(FileExistsError, match="File exists"),
        files.creating(folder / "file"),
    ):
        raise AssertionError("unreachable")
    assert (folder / "file").read_bytes() == b"old"


def test_creating_refuses_what_appears_meanwhile(folder):
    """The name is taken by the first who finishes, and stays his."""
    with (
        pytest.raises(FileExistsError, match="File exists"),
        files.creating(folder / "file") as file,
    ):
        file.write(NEW)
        (folder / "file").write_bytes(b"another's")
    assert (folder / "file").read_bytes() == b"another's"
    assert _names(folder) == ["file"]


# --- publishing -------------------------------------------------------------


def test_publishing_gives_a_file_its_name(folder):
    """The temporary name is gone afterwards."""
    (folder / "temporary").write_bytes(b"new")
    assert files.publish(folder / "temporary", folder / "file") is True
    assert _names(folder) == ["file"]
    assert (folder / "file").stat().st_nlink == 1


@pytest.mark.parametrize("there", ["file", "directory", "dangling link"])
def test_publishing_never_clobbers(folder, there):
    """What is there stays, be it a file, a directory or a link to nowhere."""
    (folder / "temporary").write_bytes(b"new")
    target = folder / "target"
    if there == "file":
        target.write_bytes(b"old")
    elif there == "directory":
        target.mkdir()
    else:
        target.symlink_to(folder / "nowhere")
    assert files.publish(folder / "temporary", target) is False
    assert _names(folder) == ["target", "temporary"]
    assert there != "file" or target.read_bytes() == b"old"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_publishing_works_where_there_are_no_hard_links(folder, monkeypatch, number):
    """Some file systems know none: a rename, after a look."""

    def link(*paths: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    (folder / "temporary").write_bytes(b"new")
    assert files.publish(folder / "temporary", folder / "file") is True
    assert (folder / "file").read_bytes() == b"new"
    (folder / "temporary").write_bytes(b"newer")
    assert files.publish(folder / "temporary", folder / "file") is False
    assert (folder / "file").read_bytes() == b"new"


def test_of_two_makers_without_hard_links_one_makes_the_file(folder, monkeypatch):
    """A key that has signed is never replaced by that of a second maker."""
    path = folder / "key"
    rename, flock, arrived = os.rename, fcntl.flock, threading.Event()
    made: dict[bytes, bool] = {}

    def link(*args, **kwargs):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def lock(*args):
        if threading.current_thread() is second:
            arrived.set()
        flock(*args)

    def begin_second(*args, **kwargs):
        if threading.current_thread() is not second:
            second.start()  # after the first one's look, and before its rename
            arrived.wait(60)
        rename(*args, **kwargs)

    def make(data):
        made[data] = files.create_once(path, data)
        arrived.set()

    second = threading.Thread(target=make, args=(b"second",))
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "rename", begin_second)
    monkeypatch.setattr(fcntl, "flock", lock)
    make(b"first")
    second.join()
    assert made == {b"first": True, b"second": False}
    assert path.read_bytes() == b"first"
    assert os.listdir(folder) == ["key"]


def test_publishing_does_not_rename_over_a_failing_disk(folder, monkeypatch):
    """Only where links are unknown is a rename tried, which could clobber."""

    def link(*paths: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "link", link)
    (folder / "temporary").write_bytes(b"new")
    with pytest.raises(StoreError, match="could not publish it: Input/output error"):
        files.publish(folder / "temporary", folder / "file")
    assert _names(folder) == ["temporary"]


def test_publishing_says_what_it_could_not_do(folder):
    """Any other error of the system is told."""
    (folder / "temporary").write_bytes(b"new")
    with pytest.raises(
        NotFoundError, match="/missing/file: could not publish it: no such file"
    ):
        files.publish(folder / "temporary", folder / "missing" / "file")


def test_a_file_is_created_once(folder):
    """The second caller finds the first one's file, and learns that it is not his."""
    target = folder / "new" / "deep" / "key"
    assert files.create_once(target, b"first") is True
    assert files.create_once(target, b"second") is False
    assert target.read_bytes() == b"first"
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700
    assert _names(target.parent) == ["key"]


def test_of_many_processes_one_creates_and_all_find_the_whole_file(folder):
    """They start together on purpose; there is one winner and no half file."""
    code = """
        import os, sys
        from overwinter.files import create_once
        me = os.getpid()
        open(sys.argv[1] + f"/ready-{me}", "w").close()
        while not os.path.exists(sys.argv[1] + "/go"):
            pass
        created = create_once(sys.argv[1] + "/file", b"%07d" % me * 10_000)
        data = open(sys.argv[1] + "/file", "rb").read()
        print(me, created, len(data), int(data[:7]), len(set(data[i:i+7]
              for i in range(0, len(data), 7))))
    """
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    while len([name for name in os.listdir(folder) if "ready" in name]) < len(racers):
        assert all(racer.poll() is None for racer in racers)
    (folder / "go").touch()
    said = [racer.communicate(timeout=60)[0].split() for racer in racers]
    winners = [words[0] for words in said if words[1] == "True"]
    assert len(winners) == 1
    assert {tuple(words[2:]) for words in said} == {("70000", winners[0], "1")}
    assert [name for name in _names(folder) if "file" in name] == ["file"]


# --- appending --------------------------------------------------------------


def test_an_append_is_behind_what_was_there(folder):
    """The file is open at its end, and synced once."""
    (folder / "file").write_bytes(b"old")
    with files.appending(folder / "file") as file:
        assert file.tell() == 3
        file.write(b"new")
    assert (folder / "file").read_bytes() == b"oldnew"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_append_that_fails_is_cut_back(folder, error):
    """The file is what it was, byte for byte."""
    (folder / "file").write_bytes(b"old")
    with (
        pytest.raises(error, match="in the middle"),
        files.appending(folder / "file") as file,
    ):
        file.write(NEW)
        raise error("in the middle")
    assert (folder / "file").read_bytes() == b"old"


def test_appending_needs_a_file(folder):
    """A new file is another operation, which makes it whole."""
    with (
        pytest.raises(NotFoundError, match="/missing: no such file"),
        files.appending(folder / "missing"),
    ):
        raise AssertionError("unreachable")


def test_two_appenders_wait_for_each_other(folder):
    """Each finds what the other one finished; no byte of them is mixed."""
    (folder / "file").write_bytes(b"")
    code = """
        import sys
        from overwinter import files
        for _ in range(30):
            with files.appending(sys.argv[1]) as file:
                for _ in range(20):
                    file.write(sys.argv[2].encode() * 50)
    """
    appenders = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder / "file"), letter]
        )
        for letter in "abc"
    ]
    assert [appender.wait(timeout=60) for appender in appenders] == [0, 0, 0]
    data = (folder / "file").read_bytes()
    pieces = [data[at : at + 1_000] for at in range(0, len(data), 1_000)]
    assert sorted(pieces) == sorted(
        [letter * 1_000 for letter in (b"a", b"b", b"c")] * 30
    )


def test_an_appender_that_waited_takes_the_file_of_that_name(folder):
    """While it waited, the file was replaced: an append to the old one is lost."""
    target = folder / "file"
    target.write_bytes(b"old")
    code = """
        import sys
        from overwinter import files
        with files.appending(sys.argv[1]) as file:
            file.write(b"+appended")
    """
    with open(target, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        appender = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(target)]
        )
        _wait_for_lock(appender.pid)
        with files.replacing(target) as file:
            file.write(b"replaced")
    assert appender.wait(timeout=60) == 0
    assert target.read_bytes() == b"replaced+appended"


def _wait_for_lock(pid: int) -> None:
    """Return when the process waits for a lock, as /proc/locks shows with ``->``."""
    if not os.path.exists("/proc/locks"):
        pytest.skip("nothing here tells who waits for a lock")
    while True:
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            if "->" in line and str(pid) in line.split():
                return


# --- directories and small files --------------------------------------------


def test_a_directory_that_is_a_file_is_an_error(folder):
    """What is there already is looked at, not assumed."""
    (folder / "file").touch()
    files.make_directory(folder)
    with pytest.raises(StoreError, match="/file: could not make the directory: File"):
        files.make_directory(folder / "file")


def test_everything_is_written_whatever_one_call_takes(folder):
    """An unbuffered file may take less than it is given, and says how much."""

    class Slow:
        def __init__(self) -> None:
            self.data = b""

        def write(self, view: memoryview) -> int:
            self.data += bytes(view[:3])
            return min(len(view), 3)

    file = Slow()
    chunks = [b"0123456789", bytearray(b"ab"), b"", memoryview(b"cdef").cast("H")]
    assert files.write_all(file, chunks) == 16
    assert file.data == b"0123456789abcdef"
