"""
A rank: one of several processes that end at once, and save into one bundle.

    torchrun --nproc-per-node 2 rank.py REPORTS model.owb

Torch's caches are told of artifacts as if they had been compiled: some that every
rank has, and one of its own. The report of each rank goes into REPORTS.
"""

import hashlib
import json
import sys
from pathlib import Path

import torch.distributed
from torch.compiler._cache import CacheArtifactManager

import overwinter.torch

SHARED, CONTENT = 20, 5_000


def record(number: int) -> None:
    """Record a graph: the same bytes in every rank, which nothing compresses."""
    letters = f"{number:03d}".translate(str.maketrans("0123456789", "abcdefghij"))
    content = hashlib.shake_256(letters.encode()).digest(CONTENT)
    CacheArtifactManager.record_artifact("inductor", letters.rjust(52, "f"), content)


if __name__ == "__main__":
    reports, bundle = map(Path, sys.argv[1:])
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    CacheArtifactManager._ensure_cache_artifacts_registered()
    for number in (*range(SHARED), SHARED + rank):
        record(number)
    torch.distributed.barrier()
    saved = overwinter.torch.save(bundle)
    torch.distributed.barrier()
    loaded = overwinter.torch.load(bundle, strict=True)
    report = {"saved": saved.as_dict(), "loaded": loaded.as_dict()}
    (reports / f"{rank}.json").write_text(json.dumps(report))
    torch.distributed.destroy_process_group()
