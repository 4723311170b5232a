"""
Certifying: does a bundle hold all that a command needs?

The command starts with an empty home, TMPDIR and caches, filled from the bundle, and
what its processes start, read and write tells what they missed. What cannot be seen
so: a compiler that is a library (LLVM, NVRTC) or that a program other than Python
starts, and all of a Python that ignores ``PYTHONPATH``.
"""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from ..bundle import Bundle
from ..errors import FormatError
from ..files import PathLike
from ..info import CacheInfo
from ..kinds import FileArtifact
from ..kinds.places import is_made_again, place
from ..kinds.torchinductor import CACHE
from ..kinds.triton import CACHE as TRITON
from ..observing import Event, Workspace, afresh, observed, read_events
from ..observing.listing import Listing, listing
from ..running import Told, fill, run_command
from ..running.told import left_out
from .calling import command_of
from .certificate import Certificate, Written
from .toolchain import Step, purpose

__all__ = ["certify", "certify_command"]

_CACHES = (CACHE, "jax", TRITON)
_NEVER_MISSED = ("pgo",)  # torch writes what it learned anew, whatever it was given


def certify(path: PathLike, function: Callable[[], object]) -> Certificate:
    """Certify a bundle for a function; see `overwinter.torch.certify`."""
    if os.environ.get("OVERWINTER_OBSERVED_STARTS"):
        raise TypeError(
            "certify() is called again by what it runs; let the script call it under "
            "if __name__ == '__main__'"
        )
    command, environ = command_of(function)
    return certify_command(path, command, environ=environ)


def certify_command(
    path: PathLike,
    command: Sequence[str],
    *,
    environ: Mapping[str, str] = os.environ,
    stdout: IO[str] | int | None = None,
    keep: Callable[[str], None] | None = None,
) -> Certificate:
    """
    Run *command* from a bundle and from nothing else, and return what it did.

    Args:
        path: The bundle.
        command: The program, found on PATH, and its arguments.
        environ: Its variables, but for what is made anew.
        stdout: Where it writes to, if not to where this process does.
        keep: Takes the directory of its caches, which stays.

    Raises:
        StoreError: There is no such bundle, or no space for the caches.
        FormatError: It is none, or damaged.
        VersionError: It needs a later release.
    """
    keys = _keys(path)
    with Workspace(keep=keep is not None) as workspace:
        if keep is not None:
            keep(str(workspace.root))
        fresh = observed(afresh(environ, workspace), workspace, path, starts=True)
        files = fill(path, {name: workspace.cache(name) for name in _CACHES})
        before = {name: listing(workspace.cache(name)) for name in _CACHES}
        code = run_command(command, fresh, stdout=stdout)
        findings = _Findings(workspace, keys, files, before)
    return findings.certificate(os.fspath(path), tuple(command), code)


def _keys(path: PathLike) -> frozenset[tuple[str, str]]:
    """Return the kinds and keys of a bundle."""
    found: set[tuple[str, str]] = set()
    with Bundle(path) as bundle:
        for segment in bundle.segments:
            for block in segment.blocks:
                with contextlib.suppress(FormatError):  # the load says it
                    columns = block.read_columns()[0]
                    found |= {(block.kind.kind, str(key)) for key in columns["key"]}
    return frozenset(found)


class _Findings:
    """What can be told of a command that has ended, from its workspace."""

    def __init__(
        self,
        workspace: Workspace,
        keys: frozenset[tuple[str, str]],
        files: CacheInfo,
        filled: Mapping[str, Listing],
    ) -> None:
        self._keys, self._files = keys, files
        self._torch_cache = str(workspace.cache(CACHE))
        self._events = read_events(workspace.root)
        self._told = Told.by(self._events)
        self._filled = {
            name: {**filled[name], **self._told.filled.get(str(path), {})}
            for name, path in ((each, workspace.cache(each)) for each in _CACHES)
        }
        self._new = [
            (cache, path)
            for cache in _CACHES
            for path, identity in listing(workspace.cache(cache)).items()
            if self._filled[cache].get(path) != identity
        ]
        self._elsewhere = [f"~/{path}" for path in listing(workspace.root / "home")]

    def certificate(
        self, bundle: str, command: tuple[str, ...], code: int
    ) -> Certificate:
        steps = tuple(self._steps())
        written = tuple(self._written())
        return Certificate(
            bundle=bundle,
            command=command,
            exit_code=code,
            reasons=(
                *self._not_observed(code),
                *_graph_reasons(self._told.graphs, self._needs_torch()),
                *(str(each) for each in written if each.kind not in _NEVER_MISSED),
                *(
                    f"{n} times a compiler ran to {name}"
                    for name, n in Counter(each.purpose for each in steps).items()
                ),
            ),
            steps=steps,
            graphs=self._told.graphs,
            missed=self._told.missed,
            loaded={**self._told.loaded, **_counts(self._files)},
            left_out=(*self._told.left_out, *left_out(self._files.as_dict())),
            written=written,
            unclaimed=tuple(self._unclaimed()),
            unused=tuple(self._unused()),
            processes=len({event.pid for event in self._named("python")}),
        )

    def _named(self, name: str) -> Iterator[Event]:
        return (event for event in self._events if event.name == name)

    def _steps(self) -> Iterator[Step]:
        for event in self._named("start"):
            _, words = event.facts
            assert isinstance(words, list)
            if found := purpose(words):
                yield Step(found, tuple(words), event.pid)

    def _written(self) -> Iterator[Written]:
        for cache, path in self._new:
            found = place(cache, path)
            if found is not None:
                kind, key = found.kind, found.key
            elif cache == "jax" and not is_made_again(cache, path):
                kind, key = FileArtifact.type(), f"{cache}/{path}"
            else:
                continue
            yield Written(kind, key, (kind, key) in self._keys)

    def _unclaimed(self) -> list[str]:
        return [
            *(
                f"{cache}/{path}"
                for cache, path in self._new
                if cache != "jax"
                and not place(cache, path)
                and not is_made_again(cache, path)
            ),
            *self._elsewhere,
        ]

    def _unused(self) -> list[str]:
        read = {event.facts[0] for event in self._named("read")}
        filled = [
            f"{cache}/{path}" for cache in _CACHES for path in self._filled[cache]
        ]
        return [path for path in filled if path not in read]

    def _not_observed(self, code: int) -> Iterator[str]:
        """Give what makes nothing seen mean nothing."""
        if code:
            yield f"the command ended with exit code {code}"
        if not any(self._named("python")):
            yield (
                "no Python process was observed: is the command one, without -I, -E "
                "or -S, and does it leave PYTHONPATH as it is?"
            )
        elif self._needs_torch():
            if not self._told.filled:
                yield "no process came to use torch's compiler, so nothing was loaded"
        elif not any(self._named("read")):
            yield "nothing of the bundle was read"
        yield from self._told.failed
        used = {torch.directory for torch in self._told.torches.values()}
        for directory in sorted(used - {self._torch_cache}):
            yield f"torch was given another cache by the command: {directory}"
        reported = set(self._told.torches)
        for pid in sorted(self._users() - reported):
            yield (
                f"process {pid} read graphs and did not report: it ended by a signal, "
                "or by os._exit"
            )

    def _needs_torch(self) -> bool:
        return any(kind != FileArtifact.type() for kind, _ in self._keys)

    def _users(self) -> set[int]:
        folders = tuple(f"{CACHE}/{name}/" for name in ("fxgraph", "aotautograd"))
        return {
            event.pid
            for event in self._named("read")
            if str(event.facts[0]).startswith(folders)
        }


def _counts(info: CacheInfo) -> dict[str, int]:
    return {kind: len(keys) for kind, keys in info.artifacts.items()}


def _graph_reasons(graphs: Mapping[str, int], needed: bool) -> Iterator[str]:
    for outcome, words in (
        ("miss", "missed"),
        ("guard_miss", "missed by their guards"),
        ("bypass", "bypassed torch's cache"),
    ):
        if n := graphs.get(outcome):
            yield f"{n} lookups of graphs {words}"
    if (graphs or needed) and not graphs.get("hit"):
        yield "no lookup of a graph hit, so there is nothing to certify"
