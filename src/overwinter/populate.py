"""
Putting artifacts into live caches: everything staged first, then published.

A file is written under a name of our own inside the cache directory and then
given its place by a link, so it appears whole or not at all, and what is there
already stays. Where there is no space for everything, there is none for us: what
was staged is removed, and the job has what is left of the disk.
"""

import contextlib
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import TopologicalSorter

import attrs

from .artifact import CacheArtifact, CacheEntry
from .cache_directory import CacheDirectory, Staged
from .closing import Closing
from .errors import KindCodeError, OverwinterError, StoreError
from .factory import CacheArtifactFactory
from .files import told
from .info import CacheInfo, Note
from .kind import Kind
from .limits import MAX_VARIANTS
from .schema.model import ONE

__all__ = ["Prepare", "Staging", "populate_order"]

Prepare = Callable[[list[CacheArtifact]], Iterable[CacheArtifact]]


_SURPLUS = (
    f"{MAX_VARIANTS} other variants of its key are preferred; overwinter repack writes "
    "the bundle again without such"
)


@attrs.frozen
class _Staged:
    """One file, written and waiting for its place."""

    kind: str
    key: str
    n_bytes: int
    directory: CacheDirectory
    file: Staged
    path: str
    order: int
    rank: tuple[object, ...]


class Staging(Closing):
    """
    Artifacts on their way into the caches; a context manager.

    Leaving it removes whatever was not published.

    Args:
        directories: Name of a cache to its directory; asked when first needed.
        info: Takes what was populated, what was present and what failed.
        strict: Raise at the first artifact that cannot be staged or published.
    """

    def __init__(
        self,
        directories: Mapping[str, Callable[[], str]],
        info: CacheInfo,
        *,
        strict: bool = False,
    ) -> None:
        self._directories, self._info, self._strict = directories, info, strict
        self._caches: dict[str, CacheDirectory | OverwinterError] = {}
        self._full = ""  # why nothing more is put into any cache
        self._staged: dict[tuple[CacheDirectory, str], _Staged] = {}
        # By kind and key, of what may have several.
        self._places: dict[tuple[str, str], list[tuple[CacheDirectory, str]]] = {}
        self._n_given = 0

    def close(self) -> None:
        """Remove what was staged and not published."""
        for directory in self._opened():
            directory.close()

    def _opened(self) -> list[CacheDirectory]:
        found = self._caches.values()
        return [each for each in found if isinstance(each, CacheDirectory)]

    def stage(
        self, artifacts: Iterable[CacheArtifact], prepare: Prepare = list
    ) -> None:
        """
        Write *artifacts* beside their caches; none is in its place yet.

        Args:
            artifacts: What shall be put into the caches.
            prepare: Changes them before; what it does not give is left out.
        """
        for artifact in self._prepared(list(artifacts), prepare):
            with self._noted(artifact.type(), artifact.key) as is_wanted:
                if is_wanted and (entry := artifact.cache_entry()) is not None:
                    self._stage(artifact, entry)

    def publish(self) -> None:
        """Give every staged file its place, dependencies first."""
        order = {name: place for place, name in enumerate(populate_order())}
        for each in sorted(
            self._staged.values(),
            key=lambda each: (
                order.get(each.kind, len(order)),
                each.order,
                each.key,
            ),
        ):
            if self._staged.pop((each.directory, each.path), None) is None:
                continue
            with self._noted(each.kind, each.key):
                published = each.directory.publish(each.file, each.path)
                self._info.artifacts[each.kind].append(each.key)
                self._info.n_bytes += each.n_bytes
                if not published:
                    self._info.present.append(
                        Note(each.kind, each.key, "the cache holds it already")
                    )

    def _prepared(
        self, artifacts: list[CacheArtifact], prepare: Prepare
    ) -> Iterator[CacheArtifact]:
        if not artifacts:  # all of a block were left out
            return
        try:
            yield from prepare(artifacts)
        except Exception as error:
            first = artifacts[0]
            action = f"prepare {len(artifacts):,} artifacts, from"
            problem = _ours(error, first.type(), first.key, action)
            if self._strict:
                raise problem from problem.__cause__
            self._info.problems.append(f"{problem}; they are left out")

    def _stage(self, artifact: CacheArtifact, entry: CacheEntry) -> None:
        directory = self._directory(entry.cache)
        place = directory, entry.path
        kind = CacheArtifactFactory.kind(artifact.type())
        self._n_given += 1
        # Of two kinds that claim one file the first by name wins: what they
        # prefer cannot be compared.
        rank = (
            kind.name,
            kind.rank(artifact, self._n_given),
            kind.digest(artifact),
        )
        other = self._staged.get(place)
        if other is not None and other.rank <= rank:
            return
        variants = self._variants_of(kind, artifact.key)
        last = None
        if len({*variants, place}) > MAX_VARIANTS:
            last = max(variants, key=lambda each: self._staged[each].rank)
            self._info.surplus.append(Note(kind.name, artifact.key, _SURPLUS))
            if self._staged[last].rank <= rank:
                return
        content = entry.content_in(directory.path)
        file = directory.stage(content, mode=entry.mode)
        self._staged[place] = _Staged(
            artifact.type(),
            artifact.key,
            len(content),
            directory,
            file,
            entry.path,
            entry.order,
            rank,
        )
        if place not in variants:
            variants.append(place)
        if last is not None:
            del self._staged[last]
            variants.remove(last)

    def _variants_of(self, kind: Kind, key: str) -> list[tuple[CacheDirectory, str]]:
        """Return where variants of a key are staged; none where it has one place."""
        if kind.schema.cardinality == ONE:
            return []
        places = self._places.setdefault((kind.name, key), [])
        # Another kind may have taken the place of one.
        places[:] = [
            each
            for each in places
            if (staged := self._staged.get(each)) is not None
            and (staged.kind, staged.key) == (kind.name, key)
        ]
        return places

    def _directory(self, cache: str) -> CacheDirectory:
        found = self._caches.get(cache)
        if found is None:
            try:
                found = CacheDirectory(self._found(cache))
            except OverwinterError as error:
                found = error  # it is not asked again for each artifact
            self._caches[cache] = found
        if isinstance(found, OverwinterError):
            raise found.with_traceback(None)
        return found

    def _found(self, cache: str) -> str:
        action = "find this cache's directory"
        find = self._directories.get(cache)
        if find is None:
            raise StoreError(cache, action, "nobody uses such a cache here")
        with told(cache, action):
            return find()

    @contextlib.contextmanager
    def _noted(self, kind: str, key: str) -> Iterator[bool]:
        """Note what goes wrong; give whether there is still space for anything."""
        if self._full:
            self._info.failed.append(Note(kind, key, self._full))
        try:
            yield not self._full
        except Exception as error:
            # Anything: a kind's own code must not break the job that loads it.
            problem = _ours(error, kind, key, "put into its cache")
            if self._strict:
                raise problem from problem.__cause__
            reason = str(problem)
            if _is_full(problem):
                reason = self._full = f"{reason}; nothing more is put into caches"
            self._info.failed.append(Note(kind, key, reason))
            if self._full:
                self._give_up()

    def _give_up(self) -> None:
        for each in self._staged.values():
            self._info.failed.append(Note(each.kind, each.key, self._full))
        self._staged.clear()
        for directory in self._opened():
            directory.clear()


def _is_full(error: OverwinterError) -> bool:
    cause = error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def _ours(error: Exception, kind: str, key: str, action: str) -> OverwinterError:
    if isinstance(error, OverwinterError):
        return error
    ours = KindCodeError(kind, key, action, f"{error!r:.200}")
    ours.__cause__ = error
    return ours


def populate_order() -> tuple[str, ...]:
    """Return the registered kinds, those that others need first."""
    graph = {
        name: CacheArtifactFactory.kind(name).cls.populate_after
        for name in CacheArtifactFactory.kinds()
    }
    return tuple(TopologicalSorter(graph).static_order())
