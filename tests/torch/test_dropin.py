"""The drop-in functions: torch's signatures, results and lists of keys."""

import inspect
import logging

import pytest

import overwinter.torch
from overwinter import CacheInfo

pytestmark = pytest.mark.torch

NAMES = ["save_cache_artifacts", "load_cache_artifacts"]


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_torchs(name):
    """Names, kinds and defaults: a call of the one is a call of the other."""
    import torch

    def shape(function):
        return [
            (each.name, each.kind, each.default)
            for each in inspect.signature(function).parameters.values()
        ]

    assert shape(getattr(overwinter.torch, name)) == shape(
        getattr(torch.compiler, name)
    )


def test_a_save_gives_bytes_and_info(recorder):
    """As torch does: a pair that callers unpack."""
    recorder("inductor", "f" + "a" * 51, b"a graph")
    data, info = overwinter.torch.save_cache_artifacts()
    assert type(data) is bytes
    assert isinstance(info, CacheInfo)
    assert info.inductor_artifacts == ["f" + "a" * 51]


def test_a_save_before_any_compile_gives_none(recorder):
    """Torch's callers test for it."""
    assert overwinter.torch.save_cache_artifacts() is None


def test_a_load_gives_the_same_lists(recorder):
    """What was saved is what arrives."""
    recorder("inductor", "f" + "a" * 51, b"a graph")
    recorder("pgo", "job:0:tag", b"a state")
    data, saved = overwinter.torch.save_cache_artifacts()
    loaded = overwinter.torch.load_cache_artifacts(data)
    assert loaded.artifacts == saved.artifacts
    assert loaded.pgo_artifacts == ["job:0:tag"]
    assert loaded.autotune_artifacts == []


def test_lists_name_the_keys_that_torchs_name(cold):
    """Of one and the same process, for every kind that torch saves."""
    ours, theirs = cold.job["save"]["artifacts"], cold.job["torch-save"]["artifacts"]
    assert set(theirs) == {"inductor", "aot_autograd"}
    assert {kind: sorted(ours[kind]) for kind in theirs} == {
        kind: sorted(keys) for kind, keys in theirs.items()
    }


def test_a_blob_of_torch_is_named_with_what_to_do(cold, caplog):
    """``None``, as torch gives for what it cannot read, and the way to go."""
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        assert overwinter.torch.load_cache_artifacts(cold.blob.read_bytes()) is None
    (record,) = caplog.records
    assert "Mega-Cache" in record.message
    assert "torch.compiler.load_cache_artifacts()" in record.message
    assert "overwinter.torch.save()" in record.message


@pytest.mark.parametrize("data", [b"", b"garbage" * 100, b"\x89OWB\r\n\x1a\n"])
def test_garbage_is_none_with_a_warning(data, caplog, recorder):
    """Never an exception, for a miss must not end a job."""
    with caplog.at_level(logging.WARNING, logger="overwinter"):
        assert overwinter.torch.load_cache_artifacts(data) is None
    assert len(caplog.records) == 1


def test_importing_does_not_import_torch():
    """Commands that inspect a bundle start in milliseconds."""
    import subprocess
    import sys

    code = "import sys, overwinter.torch; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
