"""
Attacks that are no file but a scene: somebody who acts before or while we work.

A scene is a function with one sentence; what it calls through `Scene` is watched as
every attack is, and whatever then is in the cache must have been signed.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import attrs

from attacks.graphs import CANARIES, GRAPHS, LARGE, MACHINE, TRUSTING, graphs
from attacks.harness import Sandbox, Tried, tried
from overwinter import CacheInfo, load
from overwinter.errors import OverwinterError
from overwinter.kinds import InductorArtifact

__all__ = ["Scenario", "Scene", "failing", "scenario"]

_SOMEBODY = 65534


@attrs.define
class Scene:
    """Where a scene plays: a sandbox with a sound bundle, which is loaded."""

    sandbox: Sandbox
    stack: contextlib.ExitStack

    @property
    def cache(self) -> Path:
        """Where the cache is; nothing is there."""
        return self.sandbox.cache

    @property
    def beside(self) -> Path:
        """What must stay as it is."""
        return self.sandbox.beside

    @property
    def bundle(self) -> Path:
        """A bundle of two graphs, signed by who is trusted."""
        path = self.sandbox.given / "bundle.owb"
        if not path.exists():
            path.write_bytes(graphs(*LARGE).file())
        return path

    @property
    def places(self) -> list[Path]:
        """Where the files of its graphs belong."""
        return [
            self.cache / InductorArtifact(key, content).cache_entry().path
            for key, content in zip(GRAPHS, LARGE, strict=True)
        ]

    def patched(self, target: object, name: str, value: object) -> None:
        """Have *name* of *target* be *value* until the scene ends."""
        self.stack.enter_context(mock.patch.object(target, name, value))

    def give_away(self, path: Path) -> None:
        """Let *path* be somebody else's."""
        if os.geteuid() == 0:
            os.chown(path, _SOMEBODY, _SOMEBODY, follow_symlinks=False)
        else:  # who is not root gives nothing away, and becomes another
            self.patched(os, "geteuid", lambda: _SOMEBODY)

    def call(
        self, work: Callable[[], Any], *writes: Path, errors: Any = OverwinterError
    ) -> Tried:
        """Return what *work* does, which may change nothing but *writes*."""
        found = tried(work, *writes, expected=(errors,))
        assert not found.violations, found.violations
        assert (self.beside / "canary").read_bytes() == b"alive"
        assert [each.name for each in self.beside.iterdir()] == ["canary"]
        return found

    def load(self, *writes: Path, target: Any = None, **options: Any) -> CacheInfo:
        """Load the bundle; whatever is then in the cache was signed."""
        found = self.call(
            lambda: load(
                self.bundle if target is None else target,
                **{
                    "policy": TRUSTING,
                    "environment": MACHINE,
                    "directories": {"torchinductor": lambda: str(self.cache)},
                    **options,
                },
            ),
            *(writes or (self.cache,)),
        )
        if found.error is not None:
            raise found.error
        return found.value

    def only_signed(self, *, left: bool = False) -> list[str]:
        """Return the files in the cache, each of which must have been signed."""
        files = self.sandbox.cached() if self.cache.is_dir() else {}
        for path, content in files.items():
            assert content in (*LARGE, *CANARIES), (path, content[:80])
            assert left or ".overwinter-" not in path
        return sorted(files)


@attrs.frozen
class Scenario:
    """A scene, its name, and what happens in it."""

    name: str
    says: str
    play: Callable[[Scene], None]

    def run(self, sandbox: Sandbox) -> None:
        """Play it in *sandbox*."""
        with contextlib.ExitStack() as stack:
            scene = Scene(sandbox, stack)
            assert scene.bundle
            self.play(scene)


def scenario(scenes: list[Scenario]) -> Callable[[Callable[[Scene], None]], Any]:
    """Add a function to *scenes*, under its name and with its docstring."""

    def add(play: Callable[[Scene], None]) -> Callable[[Scene], None]:
        scenes.append(Scenario(play.__name__, (play.__doc__ or "").strip(), play))
        return play

    return add


@contextlib.contextmanager
def failing(
    target: object, name: str, at: int, error: BaseException | int
) -> Iterator[list[int]]:
    """Have call number *at* of a function fail; give the calls that were made."""
    calls: list[int] = []
    original = getattr(target, name)

    def function(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(calls))
        if len(calls) - 1 == at:
            if isinstance(error, int):
                raise OSError(error, os.strerror(error))
            raise error
        return original(*args, **kwargs)

    with mock.patch.object(target, name, function):
        yield calls
