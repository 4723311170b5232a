"""All ranks of a ``torchrun`` save at once into one bundle, and load it at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from overwinter import Bundle
from overwinter.bundle import verify

pytestmark = pytest.mark.torch

RANK = Path(__file__).with_name("rank.py")
RANKS, SHARED, CONTENT = 2, 20, 5_000
SEGMENT = 3_000  # bytes of a segment's own words, and of a pair of trailers


@pytest.fixture(scope="module")
def ended(tmp_path_factory, signing_key):
    """Return the folder in which a run of two ranks has ended."""
    folder = tmp_path_factory.mktemp("ranks")
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TORCH", "OVERWINTER_"))
    }
    # Standalone: it meets at a free port of this machine.
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    done = subprocess.run(
        [*torchrun, f"--nproc-per-node={RANKS}", RANK, folder, folder / "model.owb"],
        env={
            **clean,
            "HOME": str(folder / "home"),
            "TMPDIR": str(folder / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache"),
            "OVERWINTER_SIGNING_KEY": str(signing_key),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def _reports(folder: Path, step: str) -> list[dict]:
    return [
        json.loads((folder / f"{rank}.json").read_text())[step] for rank in range(RANKS)
    ]


def test_ranks_that_save_at_once_give_one_bundle(ended):
    """Whole, with what every rank had, once."""
    with Bundle(ended / "model.owb") as bundle:
        assert list(verify(bundle)) == []
        keys = bundle.keys()["inductor"]
        first, *others = (
            [key for block in segment.blocks for key in block.read().columns["key"]]
            for segment in bundle.segments
        )
    assert len(keys) == SHARED + RANKS
    assert len(first) == SHARED + 1
    # What the others add is their own: nothing that is there already.
    assert [len(each) for each in others] == [1] * (RANKS - 1)


def test_its_size_does_not_grow_with_what_ranks_share(ended):
    """Of a thousand ranks, as of two, each adds what is its own."""
    size = (ended / "model.owb").stat().st_size
    assert size <= 1.1 * CONTENT * (SHARED + RANKS) + RANKS * SEGMENT


def test_each_rank_is_told_what_was_there(ended):
    """One of them wrote it; all have saved it."""
    saved = _reports(ended, "saved")
    assert [len(each["artifacts"]["inductor"]) for each in saved] == [SHARED + 1] * 2
    assert sorted(len(each["present"]) for each in saved) == [0, SHARED]
    assert [each["problems"] for each in saved] == [[], []]


def test_ranks_that_load_at_once_fill_one_cache(ended):
    """Each file is put there by one of them, and found there by the other."""
    loaded = _reports(ended, "loaded")
    total = SHARED + RANKS
    assert [len(each["artifacts"]["inductor"]) for each in loaded] == [total] * RANKS
    assert sum(len(each["present"]) for each in loaded) == total
    assert [each["failed"] for each in loaded] == [[], []]
    graphs = [each for each in ended.glob("cache/fxgraph/*/*/*") if each.is_file()]
    assert len(graphs) == total
    assert list(ended.glob("cache/.overwinter-*")) == []
