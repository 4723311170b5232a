"""Symlink races in the cache directory: somebody who can write where we do."""

import errno
import os

from attacks.graphs import LARGE
from attacks.harness import as_attacker
from attacks.scenes import Scenario, Scene, scenario
from overwinter.cache_directory import CacheDirectory
from overwinter.errors import OverwinterError, TrustError
from overwinter.trust import Policy, own_key
from overwinter.union import union

SCENES: list[Scenario] = []
_add = scenario(SCENES)


def _refused(scene: Scene, words: str) -> None:
    info = scene.load()
    assert info.empty()
    assert len(info.failed) == 2
    assert words in info.failed[0].reason, info.failed
    assert scene.only_signed() == []


def _between(scene: Scene, act, *, after: int = 0) -> None:
    """Have somebody *act* before a file is published, *after* that many are."""
    publish, calls = CacheDirectory.publish, []

    def published(directory, staged, path):
        if len(calls) == after:
            with as_attacker():
                act()
        calls.append(path)
        return publish(directory, staged, path)

    scene.patched(CacheDirectory, "publish", published)


@_add
def root_link(scene: Scene) -> None:
    """The cache is a link to elsewhere."""
    scene.cache.symlink_to(scene.beside)
    info = scene.load()
    assert info.empty()
    assert "is a symbolic link" in info.failed[0].reason


@_add
def root_dangling(scene: Scene) -> None:
    """The cache is a link to where nothing is."""
    scene.cache.symlink_to(scene.beside / "new")
    assert scene.load().empty()


@_add
def folder_link(scene: Scene) -> None:
    """A folder of the cache is a link to elsewhere."""
    scene.cache.mkdir()
    (scene.cache / "fxgraph").symlink_to(scene.beside)
    info = scene.load()
    assert info.empty()
    assert "is a symbolic link" in info.failed[0].reason


@_add
def deep_link(scene: Scene) -> None:
    """A folder of one key is a link to elsewhere; the other graph is populated."""
    folder = scene.places[0].parent
    folder.parent.mkdir(parents=True)
    folder.symlink_to(scene.beside)
    info = scene.load()
    assert len(info.inductor_artifacts) == len(info.failed) == 1


@_add
def leaf_link(scene: Scene) -> None:
    """A file's place is a link to another file: it is not written through."""
    scene.places[0].parent.mkdir(parents=True)
    scene.places[0].symlink_to(scene.beside / "canary")
    info = scene.load()
    assert [note.key for note in info.present] == [info.inductor_artifacts[0]]
    assert scene.places[0].is_symlink()


@_add
def leaf_dangling(scene: Scene) -> None:
    """A file's place is a link to where nothing is."""
    scene.places[0].parent.mkdir(parents=True)
    scene.places[0].symlink_to(scene.beside / "new")
    scene.load()
    assert scene.places[0].is_symlink()


@_add
def leaf_fifo(scene: Scene) -> None:
    """A file's place is a pipe that nobody writes to."""
    scene.places[0].parent.mkdir(parents=True)
    os.mkfifo(scene.places[0])
    scene.load()
    assert scene.places[0].is_fifo()


@_add
def leaf_directory(scene: Scene) -> None:
    """A file's place is a directory."""
    scene.places[0].mkdir(parents=True)
    scene.load()
    assert scene.places[0].is_dir()
    assert len(scene.only_signed()) == 1


@_add
def folder_is_a_file(scene: Scene) -> None:
    """A folder's place is a file."""
    scene.cache.mkdir()
    (scene.cache / "fxgraph").write_bytes(LARGE[0])
    assert len(scene.load().failed) == 2


@_add
def parent_link(scene: Scene) -> None:
    """A directory above the cache is a link, as homes often are."""
    real = scene.sandbox.root / "real"
    real.mkdir()
    (scene.sandbox.root / "link").symlink_to(real)
    cache = scene.sandbox.root / "link" / "cache"
    info = scene.load(real, directories={"torchinductor": lambda: str(cache)})
    assert len(info.inductor_artifacts) == 2


@_add
def root_0777(scene: Scene) -> None:
    """Everybody may write into the cache."""
    scene.cache.mkdir()
    scene.cache.chmod(0o777)
    _refused(scene, "is writable by others (mode 0777)")


@_add
def root_sticky(scene: Scene) -> None:
    """Everybody may write into it, and remove only what is theirs."""
    scene.cache.mkdir()
    scene.cache.chmod(0o1777)
    _refused(scene, "is writable by others (mode 1777)")


@_add
def root_foreign(scene: Scene) -> None:
    """Somebody else made the cache beforehand."""
    scene.cache.mkdir()
    scene.give_away(scene.cache)
    _refused(scene, "belongs to user")


@_add
def folder_0777(scene: Scene) -> None:
    """Everybody may write into a folder of the cache."""
    (scene.cache / "fxgraph").mkdir(parents=True)
    (scene.cache / "fxgraph").chmod(0o777)
    _refused(scene, "is writable by others (mode 0777)")


@_add
def planted_file(scene: Scene) -> None:
    """Somebody else's file is where a graph belongs."""
    path = scene.places[0]
    path.parent.mkdir(parents=True)
    path.write_bytes(LARGE[0])
    scene.give_away(path)
    assert "belongs to user" in scene.load().failed[0].reason


@_add
def area_swapped(scene: Scene) -> None:
    """The staging area is renamed away, and another is in its place."""

    def act() -> None:
        (area,) = scene.cache.glob(".overwinter-*")
        area.rename(scene.cache / "aside")
        area.mkdir()
        for name in ("1", "2"):
            (area / name).write_bytes(b"evil")

    _between(scene, act)
    scene.load()
    for path, content in zip(scene.places, LARGE, strict=True):
        assert path.read_bytes() == content


@_add
def staged_file_swapped(scene: Scene) -> None:
    """A staged file is replaced by another."""

    def act() -> None:
        (area,) = scene.cache.glob(".overwinter-*")
        (area / "kept").hardlink_to(area / "1")
        (area / "1").unlink()
        (area / "1").write_bytes(b"evil")

    _between(scene, act)
    (note,) = scene.load().failed
    assert "was swapped" in note.reason
    assert len(scene.only_signed()) == 1


@_add
def staged_file_becomes_a_link(scene: Scene) -> None:
    """A staged file is replaced by a link to elsewhere."""

    def act() -> None:
        (area,) = scene.cache.glob(".overwinter-*")
        (area / "1").unlink()
        (area / "1").symlink_to(scene.beside / "canary")

    _between(scene, act)
    info = scene.load()
    assert len(info.failed) == 1, info


@_add
def folder_swapped(scene: Scene) -> None:
    """Between two files a folder becomes a link to elsewhere."""

    def act() -> None:
        (scene.cache / "fxgraph").rename(scene.cache / "aside")
        (scene.cache / "fxgraph").symlink_to(scene.beside)

    _between(scene, act, after=1)
    assert len(scene.load().failed) == 1


@_add
def root_swapped(scene: Scene) -> None:
    """Between staging and publishing the cache becomes a link to elsewhere."""
    aside = scene.sandbox.root / "aside"

    def act() -> None:
        scene.cache.rename(aside)
        scene.cache.symlink_to(scene.beside)

    _between(scene, act)
    scene.load(aside, scene.cache)


@_add
def no_links_planted(scene: Scene) -> None:
    """Where links are not supported, somebody makes the file first."""

    def link(*args, **kwargs):
        with as_attacker():
            scene.places[0].parent.mkdir(parents=True, exist_ok=True)
            scene.places[0].write_bytes(b"was there")
        raise OSError(errno.EOPNOTSUPP, "not supported")

    scene.patched(os, "link", link)
    scene.load()
    assert scene.places[0].read_bytes() == b"was there"


@_add
def umask_0(scene: Scene) -> None:
    """The process has no umask, as some containers."""
    before = os.umask(0)
    try:
        scene.load()
    finally:
        os.umask(before)
    assert not [path for path in scene.cache.rglob("*") if path.stat().st_mode & 0o022]


@_add
def key_for_all(scene: Scene) -> None:
    """The account's own key may be written by others: it is nobody's."""
    environ = {**os.environ, "OVERWINTER_SIGNING_KEY": ""}
    own = own_key(environ)
    (path,) = (scene.sandbox.root / "home").rglob("signing.key")
    path.chmod(0o666)
    found = scene.call(lambda: Policy.of_this_machine(environ))
    assert found.error is None
    assert own.public not in found.value.keys
    (problem,) = found.value.problems
    assert "others may read or write" in problem


@_add
def configuration_for_all(scene: Scene) -> None:
    """The file that says whom to trust may be written by others: it says nothing."""
    folder = scene.sandbox.root / "home" / "config" / "overwinter"
    folder.mkdir(parents=True)
    (folder / "trust").write_text("segment " + "0" * 64 + "\n")
    (folder / "trust").chmod(0o666)
    found = scene.call(Policy.of_this_machine)
    assert isinstance(found.error, TrustError)


@_add
def out_is_a_link(scene: Scene) -> None:
    """The new file of a union is a link to another."""
    out = scene.sandbox.out / "new.owb"
    out.symlink_to(scene.beside / "canary")
    found = scene.call(lambda: union([scene.bundle], out), scene.sandbox.out)
    assert isinstance(found.error, OverwinterError)


@_add
def out_is_dangling(scene: Scene) -> None:
    """The new file of a union is a link to where nothing is."""
    out = scene.sandbox.out / "new.owb"
    out.symlink_to(scene.beside / "new")
    scene.call(lambda: union([scene.bundle], out), scene.sandbox.out)


@_add
def bundle_is_a_fifo(scene: Scene) -> None:
    """A bundle is a pipe that nobody writes to: nobody waits for it."""
    path = scene.sandbox.given / "pipe.owb"
    os.mkfifo(path)
    assert "not a regular file" in scene.load(target=path).problems[0]
