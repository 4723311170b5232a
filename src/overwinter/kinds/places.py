"""
Which artifact a file of a cache is: the inverse of each kind's ``cache_entry``.
"""

import re

import attrs

from .torchinductor import CACHE, content_name
from .triton import CACHE as TRITON

__all__ = ["Place", "is_made_again", "place"]


@attrs.frozen
class Place:
    """
    What lies at a path of a cache.

    Args:
        kind: The kind of the artifact.
        key: Its key; of ``pgo`` it is as the file's name has it, which holds less.
        name: What `content_name` must say of its content, where the path says it.
    """

    kind: str
    key: str
    name: str | None = None

    def holds(self, content: bytes) -> bool:
        """Return whether *content* is what the path says: whole, and no other."""
        return self.name is None or self.name == content_name(content)


_HASH = r"[a-z2-7]{51}"
# Of torch's cache; ``key`` and ``name`` as in `Place`.
_PLACES = [
    (kind, re.compile(pattern))
    for kind, pattern in {
        "inductor": rf"fxgraph/(..)/(?P<key>f\1[a-z2-7]{{49}})/(?P<name>{_HASH})",
        "aot_autograd": rf"aotautograd/(?P<key>a{_HASH})/(?P<name>{_HASH})",
        "autotune": r"(?P<key>[0-9a-z]{2}/[0-9a-z]{16,128}\.best_config)",
        "pgo": r"dynamo/code_state_(?P<key>.+)\.pkl",
        "precompile": r"dynamo/(?P<key>[0-9a-f]{64})/entry",
    }.items()
] + [
    (
        "native",
        re.compile(r"(?P<key>([a-z2-7]{2})/c\2[a-z2-7]{49}(?:\.main)?\.so)"),
    )
]
# Of Triton's own cache, and of those for each device in torch's.
_TRITON = {TRITON: "", CACHE: r"triton/[0-9]{1,4}/"}
_KERNELS = {
    cache: re.compile(rf"{folder}[A-Za-z0-9_-]{{32,128}}/(?!\.)[^/]+")
    for cache, folder in _TRITON.items()
}
# Triton, earlier ones and Inductor write these, and leave them if they are killed.
_HALVES = {
    cache: re.compile(rf"{folder}(?:(?:[^/]+/)?tmp\.[^/]+/.*|[^/]+/[^/]*\.tmp[^/]*)")
    for cache, folder in _TRITON.items()
}
_MADE_AGAIN = re.compile(r"(?:.*/)?(?:\..*|[^/]*(?:\.lock|\.tmp|-atime))|.*/\..*/.*")
_SOURCES = re.compile(r"..?/[^/]*\.(?:cpp|py|h|hpp|c|o|inc)")


def place(cache: str, path: str) -> Place | None:
    """
    Return which artifact is at *path* in a cache, ``None`` where no kind claims it.

    Args:
        cache: Name of the cache.
        path: The file's place in it, with ``/``.
    """
    if (kernels := _KERNELS.get(cache)) and kernels.fullmatch(path):
        return Place("triton", f"{cache}/{path}")
    if cache != CACHE:
        return None
    for kind, pattern in _PLACES:
        if found := pattern.fullmatch(path):
            groups = found.groupdict()
            key = groups["key"]
            if kind == "native":
                key = f"{CACHE}/{key}"
            return Place(kind, key, groups.get("name"))
    return None


def is_made_again(cache: str, path: str) -> bool:
    """
    Return whether a file is one that nobody misses: a lock, a half, or a source.

    Torch writes its sources again out of a graph that it found.
    """
    if _MADE_AGAIN.fullmatch(path):
        return True
    if (halves := _HALVES.get(cache)) and halves.fullmatch(path):
        return True
    return cache == CACHE and _SOURCES.fullmatch(path) is not None
