"""
Files in which people keep Mega-Cache containers, each read without unpickling.

Layouts, in big-endian numbers, where *sized* is ``u64 length · bytes`` and *blob* a
container of ``megacache``::

    standalone, 2.8+   u32 CRC-32 of the rest · sized torch_key · sized key · sized blob
    standalone, 2.10+  … CRC-32 · sized "CacheCompiledArtifact" · sized torch_key · …
    SimpleTuner        "SIMPLETUNER_DYNAMO_MEGACACHE\\0\\x02" · u32 n · n sized blobs
    unsloth            a blob, beside a manifest.json with its name and SHA-256
"""

import hashlib
import json
import os
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import attrs

from ..bundle.prefix import MAGIC
from ..errors import NotFoundError
from ..files import PathLike
from ..memory import within_memory
from ..sources import FileSource, read_small
from .megacache import MegaCacheError

__all__ = ["Container", "read_container"]

_U64 = struct.Struct(">Q")
_U32 = struct.Struct(">I")
_STANDALONE = b"CacheCompiledArtifact"
_AHEAD = b"AOTCompiledArtifact"
_TORCH_KEY = 32  # bytes: a SHA-256 of torch's sources
_SIMPLETUNER = b"SIMPLETUNER_DYNAMO_MEGACACHE\0\x02"
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 2**20
_MOST = 4096  # blobs in one file, each of which takes more than 20 bytes
_VERSION = re.compile(r"\d+\.\d+\.[0-9A-Za-z.+]{1,40}")


@attrs.frozen
class Container:
    """
    A file, as far as it is about containers of torch.

    Args:
        form: What it is, for people.
        blobs: The containers in it, with what errors call each.
        facts: What it says of the torch that wrote it: fields of an environment.
    """

    form: str
    blobs: tuple[tuple[str, memoryview], ...]
    facts: dict[str, str] = attrs.field(factory=dict)


def read_container(path: PathLike) -> Container:
    """
    Return the containers in a file, which are not read yet.

    Args:
        path: The file, or a manifest, or a folder with one.

    Raises:
        NotFoundError: There is no such file.
        MegaCacheError: It is cut, changed, or something else.
        StoreError: It cannot be read.
    """
    name = os.fspath(path)
    if os.path.isdir(name):
        return _of_manifest(os.path.join(name, _MANIFEST))
    if os.path.basename(name) == _MANIFEST:
        return _of_manifest(name)
    data = _read(name)
    if data[: len(MAGIC)] == MAGIC:
        found = "a bundle of overwinter, which needs no rescue"
        raise MegaCacheError(name, 0, found, "what torch saved")
    if data[: len(_SIMPLETUNER)] == _SIMPLETUNER:
        blobs = tuple(_of_simpletuner(data, name))
        return Container("SimpleTuner's", blobs, _of_sidecar(name, data))
    if _is_standalone(data):
        return _of_standalone(data, name)
    return Container("Mega-Cache", ((name, data),), _of_sidecar(name, data))


def _read(name: str) -> memoryview:
    source = FileSource(name)
    try:
        with within_memory(name, "the whole"):
            return memoryview(source.read(0, source.size))
    finally:
        source.close()


# --- torch's standalone files -----------------------------------------------


def _is_standalone(data: memoryview) -> bool:
    """Return whether a part of a standalone file's begin is where it belongs."""
    if len(data) < _U32.size + _U64.size:
        return False
    (size,) = _U64.unpack_from(data, _U32.size)
    return size in (_TORCH_KEY, len(_STANDALONE), len(_AHEAD))


def _of_standalone(data: memoryview, name: str) -> Container:
    (stored,), due = _U32.unpack_from(data), zlib.crc32(data[_U32.size :])
    if stored != due:
        raise MegaCacheError(name, 0, f"checksum {stored:08x}", f"{due:08x}")
    parts: list[memoryview] = []
    offset = _U32.size
    while offset < len(data) and len(parts) <= 4:
        part, offset = _sized(data, offset, name)
        parts.append(part)
    head = bytes(parts[0])
    if head == _AHEAD:
        raise MegaCacheError(
            name,
            _U32.size,
            "torch's AOTCompiledArtifact, which is a pickle",
            "a file with artifacts of torch's caches",
        )
    if head == _STANDALONE:
        del parts[0]
    if offset != len(data) or len(parts) != 3 or len(parts[0]) != _TORCH_KEY:
        found = f"{len(parts)} parts"
        raise MegaCacheError(name, _U32.size, found, "torch_key, key and container")
    key, _, blob = parts
    facts = {"torch_key": bytes(key).hex()}
    return Container("standalone", ((name, blob),), facts)


def _sized(data: memoryview, offset: int, name: str) -> tuple[memoryview, int]:
    """Return the bytes behind their length at *offset*, and where they end."""
    begin = offset + _U64.size
    if begin > len(data):
        raise MegaCacheError(
            name, offset, f"{len(data) - offset} bytes", "the 8 of a length"
        )
    (size,) = _U64.unpack_from(data, offset)
    if size > len(data) - begin:
        found, wanted = f"{size:,} bytes of a part", f"at most {len(data) - begin:,}"
        raise MegaCacheError(name, offset, found, wanted)
    return data[begin : begin + size], begin + size


# --- other people's ---------------------------------------------------------


def _of_simpletuner(data: memoryview, name: str) -> Iterator[tuple[str, memoryview]]:
    offset = len(_SIMPLETUNER)
    if len(data) < offset + _U32.size:
        found = f"{len(data) - offset} bytes"
        raise MegaCacheError(name, offset, found, "the 4 of a count")
    (count,) = _U32.unpack_from(data, offset)
    if not 0 < count <= _MOST:
        raise MegaCacheError(name, offset, f"{count:,} blobs", f"1 to {_MOST:,}")
    offset += _U32.size
    for number in range(count):
        blob, offset = _sized(data, offset, name)
        yield f"{name}, blob {number}", blob
    if offset != len(data):
        found = f"{len(data) - offset:,} bytes behind the last blob"
        raise MegaCacheError(name, offset, found, "the end")


def _of_sidecar(name: str, data: memoryview) -> dict[str, str]:
    """Return what SimpleTuner's manifest beside a blob says, where there is one."""
    path = f"{name}.{_MANIFEST}"
    try:
        manifest = _manifest(path)
    except NotFoundError:
        return {}
    _check_digest(manifest, data, name, path)
    runtime = manifest.get("runtime")
    return _facts(runtime.get("torch") if isinstance(runtime, dict) else None)


def _of_manifest(path: str) -> Container:
    """Return the container that unsloth's manifest names, in the same folder."""
    manifest = _manifest(path)
    bundle = manifest.get("bundle")
    if not isinstance(bundle, str) or os.path.basename(bundle) != bundle or not bundle:
        raise MegaCacheError(
            path, 0, f"bundle: {bundle!a:.80}", "the name of a file beside it"
        )
    name = os.path.join(os.path.dirname(path), bundle)
    data = _read(name)
    if "sha256" not in manifest:
        raise MegaCacheError(path, 0, "no sha256", "that of the file that it names")
    _check_digest(manifest, data, name, path)
    env = manifest.get("env")
    facts = _facts(env.get("torch") if isinstance(env, dict) else None)
    return Container("unsloth's", ((name, data),), facts)


def _manifest(path: str) -> dict[str, Any]:
    text = read_small(path, _MAX_MANIFEST)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MegaCacheError(path, 0, f"no JSON ({error})"[:120], "JSON") from error
    if not isinstance(found, dict):
        raise MegaCacheError(path, 0, f"a {type(found).__name__}", "an object")
    return found


def _check_digest(
    manifest: dict[str, Any], data: memoryview, name: str, path: str
) -> None:
    stated = manifest.get("sha256")
    if stated is None:
        return
    found = hashlib.sha256(data).hexdigest()
    if stated != found:
        raise MegaCacheError(
            name, 0, f"SHA-256 {found}", f"{stated!a:.80}, as {path} says"
        )


def _facts(version: object) -> dict[str, str]:
    if isinstance(version, str) and _VERSION.fullmatch(version):
        return {"torch_version": version}
    return {}
