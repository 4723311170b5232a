"""Partial populate: whatever fails in the middle, no half of a file is anywhere."""

import errno
import os
import threading
from typing import Any

from bundles import built

from attacks import harness
from attacks.graphs import CANARIES, GRAPHS, LARGE, MACHINE, graphs
from attacks.scenes import Scenario, Scene, failing, scenario
from overwinter import cache_directory
from overwinter.cache_directory import CacheDirectory
from overwinter.encode import encode
from overwinter.errors import OverwinterError
from overwinter.kinds import InductorArtifact, NativeArtifact

SCENES: list[Scenario] = []
_add = scenario(SCENES)


def _at_each(scene: Scene, target: Any, name: str, error: Any) -> None:
    """Load once for each call of a function, with that one failing."""
    for at in range(50):
        with failing(target, name, at, error) as calls:
            info = scene.load()
        files = scene.only_signed()
        assert len(files) == len(set(info.inductor_artifacts))
        if at >= len(calls):
            assert at > 0 and len(files) == 2
            return
        assert len(files) + len(info.failed) == 2 or info.problems
        for path in files:
            (scene.cache / path).unlink()
    raise AssertionError(f"{name} is called without end")


def _interrupted(scene: Scene, target: Any, name: str, error: type) -> None:
    """Interrupt a load at each call of a function."""
    for at in range(50):
        with failing(target, name, at, error("stop")) as calls:
            try:
                scene.load()
            except OverwinterError:
                raise
            except AssertionError as stopped:
                assert f"leaves {error.__name__}: stop" in str(stopped)
        scene.only_signed()
        if at >= len(calls):
            return
    raise AssertionError(f"{name} is called without end")


@_add
def disk_full(scene: Scene) -> None:
    """No space is left, at any write."""
    _at_each(scene, cache_directory, "write_all", errno.ENOSPC)


@_add
def quota(scene: Scene) -> None:
    """The quota is exceeded, at any write."""
    _at_each(scene, cache_directory, "write_all", errno.EDQUOT)


@_add
def io_error(scene: Scene) -> None:
    """The disk fails, at any write."""
    _at_each(scene, cache_directory, "write_all", errno.EIO)


@_add
def read_only(scene: Scene) -> None:
    """The file system is read-only, at any directory that is made."""
    _at_each(scene, os, "mkdir", errno.EROFS)


@_add
def link_denied(scene: Scene) -> None:
    """A file may not get its place, at any of them."""
    _at_each(scene, os, "link", errno.EACCES)


@_add
def link_over_quota(scene: Scene) -> None:
    """No entry fits into the directory, at any file."""
    _at_each(scene, os, "link", errno.ENOSPC)


@_add
def no_descriptors(scene: Scene) -> None:
    """The process has no file left to open, at any place of the cache."""
    opened = os.open

    def limited(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return opened(path, flags, *args, **kwargs)

    assert scene.bundle
    scene.patched(harness, "_os_open", limited)
    assert scene.load().empty()
    assert scene.only_signed() == []


@_add
def interrupted_writing(scene: Scene) -> None:
    """A key is pressed while a file is staged."""
    _interrupted(scene, cache_directory, "write_all", KeyboardInterruption)


@_add
def interrupted_linking(scene: Scene) -> None:
    """A key is pressed while a file is published."""
    _interrupted(scene, os, "link", KeyboardInterruption)


@_add
def interrupted_making(scene: Scene) -> None:
    """A key is pressed while a directory is made."""
    _interrupted(scene, os, "mkdir", KeyboardInterruption)


class KeyboardInterruption(BaseException):
    """Stands for what ends a process, and can be told from a real one."""


@_add
def killed(scene: Scene) -> None:
    """A process is killed at any link: what is there is whole, dependencies first."""
    library = NativeArtifact("torchinductor/a.so", CANARIES[0])
    graph = InductorArtifact(GRAPHS[0], CANARIES[1])
    data = built(*encode([graph, library], MACHINE))
    for at in range(3):
        child = os.fork()
        if child == 0:
            link, calls = os.link, []

            def linked(*args: Any, **kwargs: Any) -> None:
                if len(calls) == at:  # noqa: B023
                    os._exit(9)
                calls.append(args)  # noqa: B023
                link(*args, **kwargs)  # noqa: B023

            os.link = linked
            try:
                scene.load(target=data)
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        names = [path for path in scene.only_signed(left=True) if path[0] != "."]
        assert len(names) == min(at, 2)
        assert not names or names[0] == "a.so"
        for path in scene.cache.rglob("*"):
            if path.is_file():
                path.unlink()


@_add
def stale_area(scene: Scene) -> None:
    """A process that was killed left its area: nobody takes anything out of it."""
    area = scene.cache / ".overwinter-1-abc"
    area.mkdir(parents=True)
    (area / "1").write_bytes(b"evil")
    assert len(scene.load().inductor_artifacts) == 2
    assert [path.read_bytes() for path in scene.places] == list(LARGE)


@_add
def one_bad_of_many(scene: Scene) -> None:
    """One key of two is none: the other is populated."""
    data = graphs(keys=(GRAPHS[0], "../outside")).file()
    info = scene.load(target=data)
    assert (len(info.inductor_artifacts), len(info.quarantined)) == (1, 1)
    assert len(scene.only_signed()) == 1


@_add
def strict_midway(scene: Scene) -> None:
    """One key of two is none, and nobody wants half: nothing is published."""
    data = graphs(keys=(GRAPHS[0], "../outside")).file()
    try:
        scene.load(target=data, strict=True)
    except OverwinterError:
        assert scene.only_signed() == []
    else:
        raise AssertionError("it went on")


@_add
def prepared_to_harm(scene: Scene) -> None:
    """What changes artifacts before they are staged raises."""

    def prepare(artifacts: Any) -> Any:
        raise OverwinterError("no")

    assert scene.load(prepare=prepare).empty()
    assert scene.only_signed() == []


@_add
def finder_fails(scene: Scene) -> None:
    """Nobody can say where the cache is."""

    def find() -> str:
        raise RuntimeError("no home")

    info = scene.load(directories={"torchinductor": find})
    assert "no home" in info.failed[0].reason


@_add
def cache_at_no_path(scene: Scene) -> None:
    """The cache is at a path that no file can have."""
    info = scene.load(directories={"torchinductor": lambda: "a\0b"})
    assert info.empty() and len(info.failed) == 2


@_add
def two_loads_at_once(scene: Scene) -> None:
    """Two processes populate one cache: each file is whole, and there once."""
    publish, met = CacheDirectory.publish, threading.Barrier(2, timeout=5)

    def published(*args: Any) -> bool:
        met.wait()
        return publish(*args)

    scene.patched(CacheDirectory, "publish", published)
    second: list[Any] = []

    def other() -> None:
        from overwinter import load

        second.append(
            load(
                scene.bundle, environment=MACHINE,
                directories={"torchinductor": lambda: str(scene.cache)},
            )
        )  # fmt: skip

    assert scene.bundle
    thread = threading.Thread(target=other)
    thread.start()
    info = scene.load()
    thread.join()
    assert len(info.inductor_artifacts) == len(second[0].inductor_artifacts) == 2
    assert len(info.present) + len(second[0].present) == 2
    assert len(scene.only_signed()) == 2
