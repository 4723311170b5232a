"""
Where a torch that was not tested keeps its caches: it is asked, kind by kind.

Its own loader would know, but may unpickle what it is given: 2.13's does. So a
made-up key is put to the functions by which torch finds its files. Where the answer
is where we would write, we do; elsewhere the kind is named, and starts cold.
"""

import os
from collections.abc import Callable, Mapping

from ..artifact import CacheArtifact
from ..factory import CacheArtifactFactory
from .versions import private_parts

__all__ = ["misplaced"]


def misplaced(directory: str, problems: list[str]) -> frozenset[str]:
    """
    Return the kinds whose files the running torch does not look for where we write.

    Args:
        directory: Inductor's cache directory.
        problems: Takes a line for each of them.
    """
    found = set()
    for kind, (key, ask) in _ASKED.items():
        ours = os.path.join(directory, _path(kind, key))
        is_ours = False
        loss = f"no {kind} artifacts are populated"
        with private_parts(problems, f"ask where it keeps {kind} artifacts", loss):
            theirs = ask(key)
            # A folder of variants, whose names torch does not look at.
            if theirs not in (ours, os.path.dirname(ours)):
                raise LookupError(f"in {theirs}, and not in {ours}")
            is_ours = True
        if not is_ours:
            found.add(kind)
    return frozenset(found)


def _path(kind: str, key: str) -> str:
    cls: type[CacheArtifact] = CacheArtifactFactory.kind(kind).cls
    entry = cls.from_content(key, b"").cache_entry()
    assert entry is not None
    return entry.path


def _inductor(key: str) -> str:
    from torch._inductor.codecache import FxGraphCache

    return str(FxGraphCache._get_tmp_dir_for_key(key))


def _aot_autograd(key: str) -> str:
    from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache

    # 2.7 has one entry for a key, under another name, and no such function.
    return str(AOTAutogradCache._get_tmp_dir_for_key(key))


def _pgo(key: str) -> str | None:
    from torch._dynamo.pgo import code_state_path

    place: str | None = code_state_path(key)
    return place


def _precompile(key: str) -> str:
    from torch._dynamo.package import DynamoCache

    return os.path.join(DynamoCache.path_prefix(), key, "entry")


# Tunings are not asked for: JSON beside the kernel that they belong to, by a path that
# is their key, and nothing but that kernel looks for them.
_ASKED: Mapping[str, tuple[str, Callable[[str], str | None]]] = {
    "inductor": ("f" + "a" * 51, _inductor),
    "aot_autograd": ("a" + "a" * 51, _aot_autograd),
    "pgo": ("overwinter:0:", _pgo),
    "precompile": ("0" * 64, _precompile),
}
