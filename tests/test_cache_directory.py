"""A live cache: only what we verified gets in, and nobody else has a way to help."""

import errno
import fcntl
import os
import pickle
import shutil
import stat
import subprocess
import sys
import textwrap
import time

import pytest
from bundles import TORCH

from overwinter import load, save
from overwinter.cache_directory import CacheDirectory, open_owned
from overwinter.errors import NotFoundError, StoreError, UnsafeDirectoryError
from overwinter.kinds import InductorArtifact

NOBODY = 65534


@pytest.fixture
def root(tmp_path):
    """Return where a cache may be; nothing is there."""
    return tmp_path / "cache"


def put(root, path="a/b", data=b"new", mode=0o644):
    """Publish one file, and return whether it was."""
    with CacheDirectory(root) as directory:
        return directory.publish(directory.stage(data, mode=mode), path)


@pytest.fixture
def owned_by_another(monkeypatch):
    """Give a function that makes a path somebody else's."""

    def give_away(path):
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
        else:  # who is not root gives nothing away, and becomes another
            monkeypatch.setattr(os, "geteuid", lambda: NOBODY)

    return give_away


# --- what is there when all is well -----------------------------------------


def test_a_file_gets_its_place_and_nothing_is_left(root):
    """Folders are made on the way."""
    assert put(root) is True
    assert (root / "a" / "b").read_bytes() == b"new"
    assert sorted(root.rglob("*")) == [root / "a", root / "a" / "b"]


def test_what_is_there_stays(root):
    """A cache that runs has its own reasons."""
    put(root)
    assert put(root, data=b"newer") is False
    assert (root / "a" / "b").read_bytes() == b"new"


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nobody_else_can_write_what_we_make(root, mask):
    """Also where a container runs with a umask of 0."""
    before = os.umask(mask)
    try:
        put(root / "deep")
    finally:
        os.umask(before)
    for path in (root, *root.rglob("*")):
        assert not path.stat().st_mode & 0o022
        assert path.stat().st_mode & 0o700


def test_where_links_are_not_supported_a_file_is_renamed(root, monkeypatch):
    """And what is there stays there as well."""

    def link(*args, **kwargs):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    assert put(root) is True
    assert put(root, data=b"newer") is False
    assert (root / "a" / "b").read_bytes() == b"new"
    assert [path.name for path in root.iterdir()] == ["a"]


def test_another_error_of_a_link_is_told(root, monkeypatch):
    """A rename would not mend it."""

    def link(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreError, match="a/b: could not publish it: No space left"):
        put(root)


# --- what is refused --------------------------------------------------------


def linked(root, path, owned_by_another):
    """Put a link to a directory of ours at *path*."""
    (root.parent / "elsewhere").mkdir()
    path.symlink_to(root.parent / "elsewhere")


def world(root, path, owned_by_another):
    """Let everybody write into *path*."""
    path.mkdir()
    path.chmod(0o777)


def group(root, path, owned_by_another):
    """Let a group that is not ours alone write into *path*."""
    path.mkdir()
    path.chmod(0o775)
    if os.geteuid() == 0:
        os.chown(path, -1, NOBODY)


def foreign(root, path, owned_by_another):
    """Let *path* belong to somebody else."""
    path.mkdir()
    owned_by_another(path)


WAYS = {
    linked: "is a symbolic link",
    world: r"is writable by others \(mode 0777\)",
    foreign: r"belongs to user \d+",
}
if os.geteuid() == 0:
    WAYS[group] = r"is writable by others \(mode 0775\)"


@pytest.mark.parametrize("below", [False, True], ids=["the cache", "a folder in it"])
@pytest.mark.parametrize(("way", "words"), WAYS.items(), ids=lambda way: str(way)[:20])
def test_what_others_can_change_is_not_populated(
    way, words, below, root, owned_by_another
):
    """Whoever can write there runs code in every process that looks."""
    if below and way is foreign and os.geteuid():
        way = world  # becoming another, the cache itself would be foreign too
        words = WAYS[world]
    if below:
        root.mkdir()
    way(root, root / "a" if below else root, owned_by_another)
    with pytest.raises(UnsafeDirectoryError, match=f"{words}, expected to be yours"):
        put(root)
    assert not list(root.parent.rglob("b"))
    assert not list(root.parent.rglob(".overwinter-*"))


def test_a_file_that_somebody_planted_is_told(root, owned_by_another):
    """It would be taken for ours, and run."""
    put(root)
    owned_by_another(root / "a" / "b")
    with pytest.raises(UnsafeDirectoryError, match="belongs to user") as caught:
        put(root)
    assert "/a/b" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("../x", "no path in the cache"),
        ("a/../../x", "no path in the cache"),
        ("/x", "no path in the cache"),
        ("a//x", "no path in the cache"),
        ("a/", "no path in the cache"),
        ("", "no path in the cache"),
        (".", "no path in the cache"),
        ("a\0", "a NUL in its path"),
        ("a\ud800", "no path has such characters"),
    ],
    ids=ascii,
)
def test_a_path_that_leads_out_is_refused(path, words, root):
    """A kind of somebody else's may check its keys badly; this is the last door."""
    with pytest.raises(StoreError, match=words):
        put(root, path)
    assert list(root.iterdir()) == []
    assert not list(root.parent.rglob("x"))


@pytest.mark.parametrize("path", ["a\0b", "a\ud800"], ids=ascii)
def test_a_cache_at_no_path_is_an_error_of_the_store(path, root):
    """Whatever a variable of the environment says."""
    with pytest.raises(StoreError, match="could not open it as a cache: "):
        put(root / path)


def test_the_error_ends_with_what_would_change_it(root):
    """One command, which can be pasted."""
    odd = root / "a b"
    odd.mkdir(parents=True)
    odd.chmod(0o777)
    with pytest.raises(UnsafeDirectoryError) as caught:
        put(odd)
    assert str(caught.value).endswith(f": chmod go-w '{odd}'")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    odd.chmod(0o755)
    assert put(odd) is True


# --- what is read from a cache ----------------------------------------------


def read(root, path="a/b"):
    """Return the bytes of a file of a cache."""
    with open_owned(root, path) as source:
        return source.read(0, source.size)


@pytest.mark.parametrize("place", [".", "a", "a/b"])
@pytest.mark.parametrize(("way", "words"), WAYS.items(), ids=lambda way: str(way)[:20])
def test_what_others_can_change_is_not_read(way, words, place, root, owned_by_another):
    """What is read here is signed, and runs wherever we are trusted."""
    put(root)
    assert read(root) == b"new"
    path = root / place
    if way is linked:
        path.rename(root.parent / "aside")
        path.symlink_to(root.parent / "aside")
        if place == "a/b":  # opening the file itself says so, and not its folder
            with pytest.raises(StoreError, match="a/b: could not open it"):
                read(root)
            return
    elif way is foreign:
        owned_by_another(path)
    else:
        path.chmod(0o777 if way is world else 0o775)
        if way is group:
            os.chown(path, -1, NOBODY)
    with pytest.raises(UnsafeDirectoryError, match=words):
        read(root)


def test_root_may_have_made_what_is_read(root, monkeypatch):
    """A container's image holds caches; who is root needs no cache to run code."""
    put(root)
    if os.geteuid() == 0:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        assert read(root) == b"new"
        with pytest.raises(UnsafeDirectoryError, match="belongs to user 0"):
            put(root, "a/c")
    else:
        assert read("/", "usr/bin/env")


def test_reading_leaves_no_file_open(root):
    """Whether it was refused or not."""
    put(root)
    before = os.listdir("/dev/fd")
    read(root)
    for path in ("a/none", "a"):
        with pytest.raises(StoreError):
            read(root, path)
    (root / "a" / "b").chmod(0o666)
    with pytest.raises(UnsafeDirectoryError):
        read(root)
    assert os.listdir("/dev/fd") == before


# --- while we work ----------------------------------------------------------


def test_a_staging_area_that_is_swapped_gives_nothing(root):
    """The bytes that were verified are those that are published, by descriptor."""
    with CacheDirectory(root) as directory:
        staged = directory.stage(b"verified", mode=0o644)
        (area,) = root.iterdir()
        area.rename(root / ".aside")
        area.mkdir()
        (area / staged.name).write_bytes(b"evil")
        directory.publish(staged, "a/b")
        assert (root / "a" / "b").read_bytes() == b"verified"


def test_a_file_that_is_swapped_in_the_area_is_found_out(root):
    """Only the file that we wrote has its number."""
    with CacheDirectory(root) as directory:
        staged = directory.stage(b"verified", mode=0o644)
        (area,) = root.iterdir()
        (area / "kept").hardlink_to(area / staged.name)
        (area / staged.name).unlink()
        (area / staged.name).write_bytes(b"evil")
        with pytest.raises(UnsafeDirectoryError, match="was swapped while it was"):
            directory.publish(staged, "a/b")
    assert not (root / "a" / "b").exists()


def test_a_link_in_place_of_a_staged_file_is_found_out(root):
    """Also where the file system gives it the number of the file that is gone."""
    with CacheDirectory(root) as directory:
        staged = directory.stage(b"verified", mode=0o644)
        (area,) = root.iterdir()
        (area / staged.name).unlink()
        (area / staged.name).symlink_to("evil")
        with pytest.raises(UnsafeDirectoryError, match="was swapped while it was"):
            directory.publish(staged, "a/b")
    assert not os.path.lexists(root / "a" / "b")


def test_a_root_that_is_swapped_is_not_written(root, tmp_path):
    """We go on in the directory that we looked at."""
    with CacheDirectory(root) as directory:
        staged = directory.stage(b"verified", mode=0o644)
        root.rename(tmp_path / "aside")
        root.mkdir()
        directory.publish(staged, "a/b")
    assert list(root.iterdir()) == []
    assert (tmp_path / "aside" / "a" / "b").read_bytes() == b"verified"


# --- what killed processes left ---------------------------------------------


def left(root, name=f".overwinter-7-{'a' * 12}", hours=25):
    """Leave an area with a file in it, as old as told."""
    area = root / name
    area.mkdir(parents=True, mode=0o700)
    (area / "1").write_bytes(b"left")
    then = time.time() - hours * 3600
    os.utime(area, (then, then))
    return area


@pytest.mark.parametrize("path", ["a", "a/b"])
def test_a_cache_that_vanishes_is_told_as_what_it_is(root, path):
    """No bundle is missing there, so that none is to be saved there."""
    with CacheDirectory(root) as directory:
        staged = directory.stage(b"new", mode=0o644)
        shutil.rmtree(root)
        words = "no such file or folder; it was removed in the meantime: load again"
        with pytest.raises(NotFoundError, match=words):
            directory.publish(staged, path)


def test_what_a_killed_process_left_is_removed(root):
    """Else each crash costs the cache a bundle's size, for ever."""
    area = left(root)
    put(root)
    assert not area.exists()
    assert sorted(root.iterdir()) == [root / "a"]


def test_what_a_process_uses_stays_however_old_it_is(root):
    """It holds the lock until it ends, whatever its number."""
    code = """
        import os, sys
        from overwinter.cache_directory import CacheDirectory
        with CacheDirectory(sys.argv[1]) as directory:
            staged = directory.stage(b"theirs", mode=0o644)
            print("staged", flush=True)
            sys.stdin.read()
            print(directory.publish(staged, "theirs"))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "staged\n"
    (area,) = root.iterdir()
    os.utime(area, (0, 0))
    put(root)
    assert area.exists()
    assert process.communicate()[0] == "True\n"
    assert (root / "theirs").read_bytes() == b"theirs"


@pytest.mark.parametrize(
    "options",
    [
        {"hours": 23},  # somebody who has made it and not locked it yet
        {"name": ".overwinter-mine"},
        {"name": "overwinter-7-aaaaaaaaaaaa"},
        {"name": f".overwinter-7-{'a' * 12}.bak"},
    ],
    ids=str,
)
def test_what_may_be_somebody_elses_stays(options, root):
    """What is young, or has another name."""
    area = left(root, **options)
    put(root)
    assert (area / "1").read_bytes() == b"left"


def test_nothing_but_an_area_of_ours_is_removed(root, tmp_path, owned_by_another):
    """No link is followed, and nothing of another user or of another kind goes."""
    aside = left(tmp_path, "aside")
    root.mkdir()
    (root / f".overwinter-7-{'b' * 12}").symlink_to(aside)
    (root / f".overwinter-7-{'c' * 12}").write_bytes(b"a file")
    deep = left(root, f".overwinter-7-{'d' * 12}")
    (deep / "more").mkdir()
    os.utime(deep, (0, 0))
    if os.geteuid() == 0:
        foreign_area = left(root)
        owned_by_another(foreign_area)
    before = sorted(path for path in root.iterdir())
    put(root)
    assert sorted(root.iterdir()) == sorted([*before, root / "a"])
    assert (aside / "1").read_bytes() == b"left"


def test_without_locks_nothing_is_removed(root, monkeypatch):
    """Where ours cannot be had, theirs could not either."""
    area = left(root)

    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    assert put(root) is True
    assert area.exists()


# --- as a load sees it ------------------------------------------------------


def test_a_load_tells_and_goes_on_cold(home, root, monkeypatch):
    """A miss never breaks a job."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(root))
    artifacts = [InductorArtifact("f" + "a" * 51, b"x")]
    save(home / "a.owb", artifacts, environment=TORCH)
    root.mkdir()
    root.chmod(0o777)
    info = load(home / "a.owb", environment=TORCH)
    assert info.empty()
    (note,) = info.failed
    assert "is writable by others (mode 0777)" in note.reason
    assert list(root.iterdir()) == []
    assert stat.S_IMODE(root.stat().st_mode) == 0o777
