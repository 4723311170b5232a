"""
What a machine can do at most with some bytes: write, read, hash. The L of the goals.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

__all__ = [
    "append",
    "evict",
    "read",
    "read_and_hash",
    "sha256_on_two_threads",
    "sync",
    "write",
    "write_and_hash",
]

_MOST_AT_ONCE = 1024  # buffers of one writev
_PIECE = 4 * 2**20  # bytes that one thread reads and hashes at once


def write(path: Path, payloads: Iterable[bytes], *, durably: bool = False) -> Path:
    """Write *payloads* one behind the other, gathered; return *path*."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        rest = iter(payloads)
        while views := list(map(memoryview, islice(rest, _MOST_AT_ONCE))):
            while views:
                written = os.writev(descriptor, views)
                while views and written >= len(views[0]):
                    written -= len(views.pop(0))
                if written:
                    views[0] = views[0][written:]
        if durably:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if durably:
        sync(path.parent)
    return path


def read(path: Path, sizes: Sequence[int]) -> list[bytes]:
    """Return pieces of these *sizes*, each in new bytes."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return [os.read(descriptor, size) for size in sizes]
    finally:
        os.close(descriptor)


def write_and_hash(path: Path, payloads: Sequence[bytes]) -> Path:
    """Write *payloads* while two threads hash them: a format without a format."""
    with ThreadPoolExecutor(2) as threads:
        hashing = [threads.submit(_sha256, half) for half in _halves(payloads)]
        write(path, payloads)
        for each in hashing:
            each.result()
    return path


def read_and_hash(path: Path) -> list[bytes]:
    """Return a file in pieces, each hashed by the one of two threads that read it."""
    descriptor = os.open(path, os.O_RDONLY)

    def piece(offset: int) -> bytes:
        data = os.pread(descriptor, _PIECE, offset)
        hashlib.sha256(data).digest()
        return data

    try:
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(piece, range(0, path.stat().st_size, _PIECE)))
    finally:
        os.close(descriptor)


def append(path: Path, data: bytes) -> None:
    """Append *data*, and wait until it is on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(descriptor, data)
        # macOS has no fdatasync.
        getattr(os, "fdatasync", os.fsync)(descriptor)
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until the file or directory at *path* is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def evict(path: Path) -> None:
    """
    Let the system forget what it keeps of a synced file in memory.

    A host below a virtual machine may still have it: cold is as cold as it gets.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def sha256_on_two_threads(payloads: Sequence[bytes]) -> list[bytes]:
    """Return SHA-256 of two halves of *payloads*, of about as many bytes each."""
    with ThreadPoolExecutor(2) as threads:
        return list(threads.map(_sha256, _halves(payloads)))


def _halves(payloads: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    halves: tuple[list[bytes], list[bytes]] = ([], [])
    sizes = [0, 0]
    for each in sorted(payloads, key=len, reverse=True):
        smaller = sizes[0] > sizes[1]
        halves[smaller].append(each)
        sizes[smaller] += len(each)
    return halves


def _sha256(payloads: list[bytes]) -> bytes:
    digest = hashlib.sha256()
    for each in payloads:
        digest.update(each)
    return digest.digest()
