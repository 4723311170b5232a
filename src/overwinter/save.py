"""
Saving: artifact, record, segment, bundle, file.
"""

import io
import os
import time
from collections.abc import Iterable

from . import files
from .artifact import CacheArtifact
from .bundle import append_segment, write_bundle
from .bundle.writer import DEFAULT_LEVEL, Records
from .encode import Target, encode
from .environment import Environment, capture, unstated
from .factory import CacheArtifactFactory
from .files import PathLike
from .held import Held
from .info import CacheInfo, Note
from .sources import FileSource
from .trust import SigningKey, own_key
from .trust.policy import is_revoked_here
from .trust.signing import KEY_VARIABLE
from .version import WRITER

__all__ = ["save", "save_to_bytes"]


def save(
    path: PathLike,
    artifacts: Iterable[CacheArtifact],
    *,
    environment: Environment | None = None,
    key: SigningKey | None = None,
    level: int = DEFAULT_LEVEL,
    replace: bool = False,
    target: Target | None = None,
    allow_drafts: bool = False,
) -> CacheInfo:
    """
    Save *artifacts* in the bundle at *path*, signed by this machine's key.

    A bundle that exists gains a segment of what it does not hold yet, and loses
    nothing; where it holds all of it, it is left as it is.

    Args:
        path: The bundle.
        artifacts: Of any registered kinds.
        environment: What they were compiled for; this machine if not given.
        key: Signs instead of this machine's key.
        level: zstd level, 0 to store.
        replace: Write a new bundle in the place of one that exists.
        target: Write for this release of overwinter, one of the two before this, or
            for these versions of kinds; what that loses is in ``info.reduced``.
        allow_drafts: Write also kinds whose newest schema is not released: no
            promise holds for them, and the bundle says so.

    Returns:
        What was saved; empty, and nothing written, where there is no artifact. What
        the bundle held before is in ``info.present`` as well; what it needs not, for
        it holds others that are preferred, is in ``info.surplus`` instead.

    Raises:
        KeyGrammarError: A key is none of its kind: no load would use it.
        WrongShapeError: An artifact does not fit its schema.
        DraftError: The schema of a kind is not released.
        TargetError: *target* is out of reach.
        MigrationError: There is no way back to a version of *target*.
        FormatError: What is at *path* is no bundle, or damaged at its end.
        TrustError: This machine's key is none, or not its own alone.
        StoreError: The file cannot be written; what was there is whole.
    """
    started = time.perf_counter()
    CacheArtifactFactory.discover()
    # Artifacts to records: typed, checked, stamped.
    records = encode(
        artifacts,
        capture() if environment is None else environment,
        target=target,
        allow_drafts=allow_drafts,
    )
    if not records:
        return CacheInfo()
    info = _info(records)
    key = key or _own_key(info)
    # Records to a segment, the segment into a file.
    if replace:
        with files.replacing(path) as file:
            write_bundle(file, records, writer=WRITER, key=key, level=level)
    else:
        try:
            with files.creating(path) as file:
                write_bundle(file, records, writer=WRITER, key=key, level=level)
        except FileExistsError:
            _append(path, records, key, level, info)
    info.seconds = time.perf_counter() - started
    return info


def save_to_bytes(
    artifacts: Iterable[CacheArtifact],
    *,
    environment: Environment | None = None,
    key: SigningKey | None = None,
    level: int = DEFAULT_LEVEL,
    target: Target | None = None,
    allow_drafts: bool = False,
) -> tuple[bytes, CacheInfo] | None:
    """
    Return the bytes of a new bundle of *artifacts*, and what was saved.

    Args:
        artifacts: Of any registered kinds.
        environment: What they were compiled for; this machine if not given.
        key: Signs instead of this machine's key.
        level: zstd level, 0 to store.
        target: As in `save`.
        allow_drafts: As in `save`.

    Returns:
        ``None`` where there is no artifact.

    Raises:
        KeyGrammarError: A key is none of its kind: no load would use it.
        WrongShapeError: An artifact does not fit its schema.
        DraftError: The schema of a kind is not released.
        TargetError: *target* is out of reach.
        MigrationError: There is no way back to a version of *target*.
    """
    started = time.perf_counter()
    CacheArtifactFactory.discover()
    records = encode(
        artifacts,
        capture() if environment is None else environment,
        target=target,
        allow_drafts=allow_drafts,
    )
    if not records:
        return None
    info = _info(records)
    file = io.BytesIO()
    write_bundle(file, records, writer=WRITER, key=key or _own_key(info), level=level)
    info.seconds = time.perf_counter() - started
    return file.getvalue(), info


def _own_key(info: CacheInfo) -> SigningKey:
    key = own_key()
    if not os.environ.get(KEY_VARIABLE, "unset").strip():
        info.problems.append(
            f"{KEY_VARIABLE} is empty: signed by this account's own key, which those "
            "who look for another's do not trust"
        )
    if where := is_revoked_here(key.public):
        info.problems.append(
            f"signed by this machine's own key, which is revoked in {where}, so that "
            "it is populated nowhere that says so: give this account another key"
        )
    return key


def _info(records: list[Records]) -> CacheInfo:
    info = CacheInfo()
    for group in records:
        keys, stamp = group.columns["key"], group.stamp
        info.artifacts[stamp.kind] += keys
        kind = CacheArtifactFactory.kind(stamp.kind)
        if missing := unstated(group.environment, kind.cls.environment_rules):
            info.problems.append(
                f"{kind.name}: saved without {', '.join(missing)}, so that no "
                "machine will populate them; save again with an environment that says "
                "it: for torch's artifacts overwinter.torch.environment()"
            )
        losses = kind.losses(stamp.version)
        if losses:
            reason = f"written as version {stamp.version}: lost {'; '.join(losses)}"
            info.reduced += [Note(stamp.kind, key, reason) for key in keys]
        for name in group.payload_names:
            info.n_bytes += sum(len(value or b"") for value in group.columns[name])
    return info


def _append(
    path: PathLike,
    records: list[Records],
    key: SigningKey,
    level: int,
    info: CacheInfo,
) -> None:
    # The lock comes first: what is read under it nobody else can change.
    with files.appending(path) as file:
        source = FileSource(path)
        held = Held(source, key)
        try:
            entry = append_segment(
                file, source, records, key=key, level=level, new=held.new
            )
            if entry is not None and held.is_in_vain(entry.digest):
                file.truncate(source.size)
        finally:
            source.close()
    info.present += held.present
    info.surplus += held.surplus
    info.n_bytes -= held.surplus_size
    for note in held.surplus:
        info.artifacts[note.kind].remove(note.key)
    if entry is not None:
        held.remember(entry.digest)
