"""Mega-Cache's own scenarios, with our two functions in the place of torch's."""

from collections.abc import Callable
from typing import Any

import pytest

import overwinter.torch

pytestmark = pytest.mark.torch


@pytest.fixture
def afresh(cold, tmp_path, monkeypatch, recorder) -> Callable[[], None]:
    """
    Return what makes this process's torch one that has compiled nothing.

    Probes and headers of the one cold start stay in reach: they cost seconds, and are
    not what is tried here.
    """
    import torch
    from torch._dynamo.utils import counters
    from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache
    from torch._inductor.utils import clear_caches
    from torch.compiler._cache import CacheArtifactManager

    from overwinter.torch.building import build_only_what_is_missing

    numbers = iter(range(100))

    def begin() -> None:
        directory = tmp_path / f"cache{next(numbers)}"
        monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(directory))
        torch._dynamo.reset()
        clear_caches()
        AOTAutogradCache.clear()
        CacheArtifactManager.clear()
        counters.clear()
        build_only_what_is_missing()

    begin()
    return begin


def graphs() -> dict[str, int]:
    """Return what torch's caches did since it began."""
    from torch._dynamo.utils import counters

    groups = {"aot_autograd": "autograd_cache", "inductor": "fxgraph_cache"}
    return {
        outcome: sum(
            counters[group][f"{name}_{outcome}"] for group, name in groups.items()
        )
        for outcome in ("hit", "miss", "bypass")
    }


def saved() -> tuple[bytes, Any]:
    """Save by our function, as a program that calls torch's does."""
    found = overwinter.torch.save_cache_artifacts()
    assert found is not None
    return found


def product(dtype: str, dynamic: bool, training: bool) -> Any:
    """Compile and run a small product; return what it gives."""
    import torch

    torch.manual_seed(0)
    x = torch.rand(4, 3, dtype=getattr(torch, dtype), requires_grad=training)
    y = torch.rand(3, 4, dtype=getattr(torch, dtype))
    result = torch.compile(lambda x, y: x.sin() @ y, dynamic=dynamic)(x, y)
    if training:
        result.sum().backward()
        return torch.cat([result.detach().flatten(), x.grad.flatten()])
    return result


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_saved_is_hit(afresh, dtype, dynamic, training):
    """Save, clear, load, hit; and the same comes out."""
    import torch

    expected = product(dtype, dynamic, training)
    assert graphs()["miss"] > 0
    data, info = saved()
    assert info.inductor_artifacts and info.aot_autograd_artifacts
    afresh()
    loaded = overwinter.torch.load_cache_artifacts(data)
    assert sorted(loaded.inductor_artifacts) == sorted(info.inductor_artifacts)
    assert sorted(loaded.aot_autograd_artifacts) == sorted(info.aot_autograd_artifacts)
    assert torch.equal(product(dtype, dynamic, training), expected)
    found = graphs()
    assert found["hit"] > 0
    assert (found["miss"], found["bypass"]) == (0, 0)


def test_a_second_save_has_everything(afresh):
    """Torch's own second save is loaded without what the first had."""
    first = product("float32", False, False)
    data, info = saved()
    second = product("float32", True, True)
    more, more_info = saved()
    assert set(info.inductor_artifacts) < set(more_info.inductor_artifacts)
    assert len(more) > len(data)
    afresh()
    overwinter.torch.load_cache_artifacts(more)
    assert (product("float32", False, False) == first).all()
    assert (product("float32", True, True) == second).all()
    assert graphs()["miss"] == 0


def test_nothing_compiled_is_nothing_saved(afresh):
    """As torch's function says it."""
    assert overwinter.torch.save_cache_artifacts() is None


def test_a_precompiled_function_is_found(afresh):
    """Dynamo's own artifact of a whole function."""
    import torch
    from torch._dynamo.utils import counters

    with torch._dynamo.config.patch(caching_precompile=True):
        expected = product("float32", False, False)
        data, info = saved()
        assert info.precompile_artifacts
        afresh()
        loaded = overwinter.torch.load_cache_artifacts(data)
        assert loaded.precompile_artifacts == info.precompile_artifacts
        assert torch.equal(product("float32", False, False), expected)
        assert counters["dynamo_cache"]["dynamo_cache_hit"] == 1
