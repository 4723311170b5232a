"""What torch builds: nothing for a kernel that is there, everything for others."""

import pytest

from overwinter.torch import building
from overwinter.torch.building import build_only_what_is_missing

pytestmark = pytest.mark.torch


class Builder:
    """A stand-in for torch's, which knows where its result will lie."""

    def __init__(self, path):
        self.path = path

    def get_target_file_path(self):
        """Return the path."""
        return str(self.path)


@pytest.fixture
def codecache(recorder, monkeypatch):
    """Return torch's module, with its two steps replaced by ones that tell."""
    from torch._inductor import codecache

    codecache_calls = []
    monkeypatch.setattr(
        codecache,
        "_precompile_header",
        lambda *args, **named: codecache_calls.append(args) or "header.h",
    )
    monkeypatch.setattr(
        codecache,
        "_worker_compile_cpp",
        lambda lock, builders: codecache_calls.append(builders),
    )
    monkeypatch.setattr(codecache, "calls", codecache_calls, raising=False)
    return codecache


def test_it_is_done_once(recorder):
    """A second load does not wrap what is wrapped."""
    from torch._inductor import codecache

    assert build_only_what_is_missing()
    first = codecache._precompile_header, codecache._worker_compile_cpp
    assert build_only_what_is_missing()
    assert first == (codecache._precompile_header, codecache._worker_compile_cpp)


def test_a_header_is_left_out_for_a_library_that_is_there(codecache, tmp_path):
    """The caller names its source; beside it lies the library, or not."""
    build_only_what_is_missing()
    main_path = str(tmp_path / "kernel.main.cpp")
    assert codecache._precompile_header("a.h", "-O3") == "header.h"
    (tmp_path / "kernel.main.so").touch()
    assert codecache._precompile_header("a.h", "-O3") == ""
    del main_path
    assert codecache._precompile_header("a.h", "-O3") == "header.h"


def test_parts_are_left_out_for_a_whole_that_is_there(codecache, tmp_path):
    """The last builder makes the whole, and torch looks again under its lock."""
    build_only_what_is_missing()
    builders = [Builder(tmp_path / name) for name in ("a.o", "b.o", "kernel.so")]
    codecache._worker_compile_cpp("lock", builders)
    (tmp_path / "kernel.so").touch()
    codecache._worker_compile_cpp("lock", builders)
    assert codecache.calls == [builders, builders[-1:]]


@pytest.mark.parametrize("name", ["_precompile_header", "_worker_compile_cpp"])
def test_a_torch_without_a_step_is_left_as_it_is(codecache, name, monkeypatch):
    """All or nothing: half of it would be no warm start either."""
    other = ({"_precompile_header", "_worker_compile_cpp"} - {name}).pop()
    before = getattr(codecache, other)
    monkeypatch.delattr(codecache, name)
    assert not build_only_what_is_missing()
    assert getattr(codecache, other) is before


def test_a_torch_whose_caller_changed_is_left_as_it_is(codecache, monkeypatch):
    """Without the name of the source nobody can tell which library is meant."""
    before = codecache._precompile_header
    monkeypatch.setattr(building, "_SOURCE", "source_path")
    assert not build_only_what_is_missing()
    assert codecache._precompile_header is before
