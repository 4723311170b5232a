"""
A job: what a user's process does with torch and overwinter, step by step.

    python job.py REPORT load=model.owb compile save=model.owb

Each step's result goes into REPORT, as JSON under the step's name.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters

import overwinter.torch
from overwinter.cache_directory import CacheDirectory, Staged
from overwinter.populate import Staging
from overwinter.torch import versions

ROUNDS = 10


def unknown_torch(_: str) -> None:
    """Have a torch that this release does not know."""
    versions.version = lambda: (9, 9)


def capability(name: str) -> None:
    """Have torch write C++ for other vectors than this CPU has."""
    os.environ["ATEN_CPU_CAPABILITY"] = name


def stranger(_: str) -> None:
    """Trust nobody but a key of one's own."""
    del os.environ["OVERWINTER_SIGNING_KEY"]


def build_separate(_: str) -> None:
    """Have torch build a wrapper in C++, and each kernel in two parts."""
    torch._inductor.config.cpp_wrapper = True
    torch._inductor.config.cpp_wrapper_build_separate = True


def load(path: str) -> dict[str, Any]:
    """Load a bundle; report what it says, and what was unpickled meanwhile."""
    with unpickled() as names:
        info = overwinter.torch.load(path)
    return {**info.as_dict(), "unpickled": names}


def load_bytes(path: str) -> dict[str, Any]:
    """Load a bundle with the function that has torch's name."""
    with unpickled() as names:
        info = overwinter.torch.load_cache_artifacts(Path(path).read_bytes())
    assert info is not None
    return {**info.as_dict(), "unpickled": names}


def torch_load(path: str) -> dict[str, Any]:
    """Load torch's blob with torch's function."""
    with unpickled() as names:
        info = torch.compiler.load_cache_artifacts(Path(path).read_bytes())
    assert info is not None
    return {"artifacts": dict(info.artifacts), "unpickled": names}


def without_headers(_: str) -> None:
    """Have torch precompile no header: it takes seconds of every job."""
    torch._inductor.config.cpp_cache_precompile_headers = False


def setting(name: str) -> None:
    """Set one of Inductor's settings to 7."""
    setattr(torch._inductor.config, name, 7)


def compile_(as_: str) -> dict[str, Any]:
    """
    Compile a tiny model; report its outputs, and what torch's caches did.

    Its batch is of *as_*, a dtype or a size, where it is given.
    """
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4)
    )
    batch = torch.randn(int(as_) if as_.isdigit() else 3, 8)
    if as_ and not as_.isdigit():
        model, batch = (each.to(getattr(torch, as_)) for each in (model, batch))
    result = torch.compile(model)(batch).softmax(-1)
    result.square().sum().backward()
    tensors = [result.detach(), *(each.grad for each in model.parameters())]
    return {
        "sums": [each.double().abs().sum().item() for each in tensors],
        "outputs": [
            hashlib.sha256(each.double().numpy().tobytes()).hexdigest()
            for each in tensors
        ],
        "graphs": {
            outcome: counters["aot_autograd"][f"autograd_cache_{outcome}"]
            + counters["inductor"][f"fxgraph_cache_{outcome}"]
            for outcome in ("hit", "miss", "bypass")
        },
    }


def attempt(_: str) -> list[str]:
    """Compile; report the name of what torch raises, if it does, and of its cause."""
    try:
        compile_("")
    except Exception as error:
        cause = getattr(error, "inner_exception", None)
        return [type(each).__name__ for each in (error, cause)]
    return []


def remove(_: str) -> None:
    """Have the cache directory vanish."""
    shutil.rmtree(os.environ["TORCHINDUCTOR_CACHE_DIR"])


def vanish(_: str) -> None:
    """Have the cache directory vanish whenever a load has staged everything."""
    publish = Staging.publish

    def without_directory(self: Staging) -> None:
        remove("")
        publish(self)

    Staging.publish = without_directory  # type: ignore[method-assign]


def meet(name: str) -> None:
    """Go on when another process with the same cache has come to *name*."""
    place = Path(f"{os.environ['TORCHINDUCTOR_CACHE_DIR']}.met") / name
    place.mkdir(parents=True, exist_ok=True)
    (place / str(os.getpid())).touch()
    while len(os.listdir(place)) < 2:
        os.sched_yield()


def load_together(path: str) -> list[dict[str, Any]]:
    """
    Load into some caches, one by one, each when another process does so too.

    They meet again at each file: all get their places within a millisecond, and one
    process would have ended before the other begins.
    """
    publish = CacheDirectory.publish

    def publish_together(self: CacheDirectory, staged: Staged, path: str) -> bool:
        meet(path)
        return publish(self, staged, path)

    CacheDirectory.publish = publish_together  # type: ignore[method-assign]
    caches, loads = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]), []
    for each in range(ROUNDS):
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(caches / str(each))
        meet("begin")
        loads.append(load(path))
    return loads


def plant(name: str) -> None:
    """Put a library into the cache directory that this process does not use."""
    path = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"somebody else's")


def save(path: str) -> dict[str, Any]:
    """Save a bundle; report what it says."""
    return overwinter.torch.save(path).as_dict()


def observe(_: str) -> None:
    """Have what torch looks up noted."""
    overwinter.torch.observe()


def explain(path: str) -> dict[str, Any]:
    """Report why graphs missed."""
    explanation = overwinter.torch.explain(path or None)
    return {**explanation.as_dict(), "text": str(explanation)}


def warm(path: str) -> dict[str, Any]:
    """Compile in a block that is warmed; report the load, and the compile."""
    with overwinter.torch.warm(path) as info:
        compiled = compile_("")
    reconciled = info.reconcile()
    return {**compiled, "reconciled": reconciled.as_dict(), "load": info.as_dict()}


def torch_save(path: str) -> dict[str, Any]:
    """Save torch's blob with torch's function."""
    saved = torch.compiler.save_cache_artifacts()
    assert saved is not None
    Path(path).write_bytes(saved[0])
    return {"artifacts": dict(saved[1].artifacts)}


STEPS: dict[str, Callable[[str], Any]] = {
    "unknown-torch": unknown_torch,
    "capability": capability,
    "stranger": stranger,
    "build-separate": build_separate,
    "load": load,
    "load-bytes": load_bytes,
    "torch-load": torch_load,
    "without-headers": without_headers,
    "setting": setting,
    "compile": compile_,
    "observe": observe,
    "explain": explain,
    "warm": warm,
    "attempt": attempt,
    "remove": remove,
    "vanish": vanish,
    "load-together": load_together,
    "plant": plant,
    "save": save,
    "torch-save": torch_save,
}

_heard: list[str] | None = None


@contextlib.contextmanager
def unpickled() -> Iterator[list[str]]:
    """Give a list that takes the name of everything a pickle asks for meanwhile."""
    global _heard
    _heard = names = []
    try:
        yield names
    finally:
        _heard = None


def hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Note what an unpickler looks up; a hook of the interpreter stays for good."""
    if event == "pickle.find_class" and _heard is not None:
        _heard.append(".".join(map(str, arguments)))


if __name__ == "__main__":
    sys.addaudithook(hear)
    _, report, *steps = sys.argv
    results = {}
    for step in steps:
        name, _, argument = step.partition("=")
        results[name] = STEPS[name](argument)
    Path(report).write_text(json.dumps(results))
