"""
The manager: artifacts of this process in memory, with torch's names and meaning.

What differs from torch: managers are objects and safe for threads, saving twice
keeps everything, nothing is retained after a save but the artifacts themselves,
and a load never fails as a whole.
"""

import copy
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .artifact import CacheArtifact
from .bundle import Bundle
from .caches import directories
from .decode import decode
from .encode import Target
from .environment import Environment, capture
from .errors import OverwinterError
from .factory import CacheArtifactFactory
from .files import Buffer, PathLike
from .info import CacheInfo
from .populate import Staging
from .save import save_to_bytes
from .trust import Policy

__all__ = ["CacheArtifactManager", "LoadedArtifacts", "default_manager"]


class LoadedArtifacts(dict[str, list[CacheArtifact]]):
    """
    Kind to artifacts, all verified, migrated and trusted; ``info`` has the rest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.info = CacheInfo()


class CacheArtifactManager:
    """
    Collects artifacts and makes them portable.

    - While code runs, whoever fills a cache calls `record_artifact`.
    - `serialize` turns everything recorded into a bundle.
    - In another process, `deserialize` and then `populate_caches`.

    Source:
        ``torch.compiler._cache.CacheArtifactManager``.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # Identity to artifact, in the order of recording. Kept between saves:
        # the next one holds everything again, so no save loses what an earlier
        # one had.
        self._artifacts: dict[tuple[str, str, bytes], CacheArtifact] = {}
        self._n_saved = 0

    def __len__(self) -> int:
        return len(self._artifacts)

    def record_artifact(self, artifact_type: str, key: str, content: Any) -> None:
        """
        Record one cache entry; one that was recorded before changes nothing.

        Args:
            artifact_type: The kind.
            key: What the cache looks it up by.
            content: What the kind's ``encode`` takes: bytes, for autotune JSON.

        Raises:
            KindError: The kind is not registered.
            KeyGrammarError: *key* is none of the kind.
            WrongShapeError: *content* is not what the kind's cache holds.
        """
        self.record(CacheArtifactFactory.encode_create(artifact_type, key, content))

    def record(self, artifact: CacheArtifact) -> None:
        """Record an artifact that exists already."""
        kind = CacheArtifactFactory.kind(artifact.type())
        kind.columns([artifact])
        artifact.check_key(artifact.key)
        identity = kind.name, artifact.key, kind.digest(artifact)
        with self._lock:
            self._artifacts.setdefault(identity, artifact)

    def need_serialize(self) -> bool:
        """Return whether something new was recorded since the last `serialize`."""
        return len(self._artifacts) > self._n_saved

    def serialize(
        self,
        *,
        environment: Environment | None = None,
        target: Target | None = None,
        allow_drafts: bool = False,
    ) -> tuple[bytes, CacheInfo] | None:
        """
        Return everything recorded as the bytes of one bundle, and what it holds.

        Args:
            environment: What the artifacts were compiled for; this machine if
                not given.
            target: As in `overwinter.save`.
            allow_drafts: As in `overwinter.save`.

        Returns:
            ``None`` where nothing was recorded.
        """
        with self._lock:
            recorded = self._artifacts
            artifacts = list(recorded.values())
        saved = save_to_bytes(
            artifacts,
            environment=environment,
            target=target,
            allow_drafts=allow_drafts,
        )
        with self._lock:
            # Unless it was cleared, or set aside for a fresh one, in between.
            if self._artifacts is recorded:
                self._n_saved = max(self._n_saved, len(artifacts))
        return saved

    def clear(self) -> None:
        """Forget everything recorded."""
        with self._lock:
            self._artifacts, self._n_saved = {}, 0

    @contextmanager
    def with_fresh_cache(self) -> Iterator[None]:
        """Record into an empty manager for a while, then have the old one back."""
        with self._lock:
            kept = self._artifacts, self._n_saved
            self._artifacts, self._n_saved = {}, 0
        try:
            yield
        finally:
            with self._lock:
                self._artifacts, self._n_saved = kept

    @contextmanager
    def as_default(self) -> Iterator[None]:
        """Be what `default_manager` returns, in this context, for a while."""
        token = _default.set(self)
        try:
            yield
        finally:
            _default.reset(token)

    @staticmethod
    def deserialize(
        target: PathLike | Buffer,
        *,
        policy: Policy | None = None,
        environment: Environment | None = None,
        strict: bool = False,
        required: bool = False,
    ) -> LoadedArtifacts:
        """
        Return the artifacts of a bundle that may be populated here.

        Args:
            target: The bundle's bytes, or its path.
            policy: Whose segments to use; this machine's own if not given.
            environment: What to hold artifacts against; if not given, this machine as
                far as it is known without any framework. Torch's artifacts need
                torch's facts: see `overwinter.torch.load`.
            strict: Raise at the first thing that is damaged or refused.
            required: As in `overwinter.load`.

        Returns:
            What can be used; where the whole bundle cannot, nothing, and why is in
            ``info.problems``.

        Raises:
            TrustError: Only if *required* or *strict*.
            OverwinterError: Only if *strict*, or *required* and it cannot be opened.
        """
        CacheArtifactFactory.discover()
        loaded = LoadedArtifacts()
        try:
            with Bundle(target) as bundle:
                for artifacts in decode(
                    bundle,
                    loaded.info,
                    policy=policy or Policy.of_this_machine(),
                    machine=capture() if environment is None else environment,
                    strict=strict,
                    required=required,
                ):
                    for artifact in artifacts:
                        loaded.setdefault(artifact.type(), []).append(artifact)
                        loaded.info.add(artifact)
        except OverwinterError as error:
            if strict or required:
                raise
            loaded.info.problems.append(str(error))
        return loaded

    @staticmethod
    def populate_caches(
        artifacts: dict[str, list[CacheArtifact]], *, strict: bool = False
    ) -> CacheInfo:
        """
        Put *artifacts* into the live caches; what is there already stays.

        All are checked and staged before the first is published, and those that
        others need come first.

        Args:
            artifacts: What `deserialize` returned.
            strict: Raise at the first artifact that cannot be populated.
        """
        started = time.perf_counter()
        info = CacheInfo()
        if isinstance(artifacts, LoadedArtifacts):
            info = copy.deepcopy(artifacts.info)
            info.artifacts.clear()
        with Staging(directories(), info, strict=strict) as staging:
            for group in artifacts.values():
                staging.stage(group)
            staging.publish()
        info.seconds = time.perf_counter() - started
        return info


_default: ContextVar[CacheArtifactManager] = ContextVar("overwinter_manager")
_process_manager = CacheArtifactManager()


def default_manager() -> CacheArtifactManager:
    """Return the manager of this context: one for the process unless set otherwise."""
    return _default.get(_process_manager)
