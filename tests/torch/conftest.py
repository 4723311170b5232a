"""
One cold compile of a tiny model, shared by all tests that need a real torch.

No module of these tests imports torch before a test runs: without torch they are
collected, and left out by their marker.
"""

import base64
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from compilers import LOG_VARIABLE, steps, write_compiler

JOB = Path(__file__).with_name("job.py")


@attrs.frozen
class Job:
    """A process that has ended: its results by step, and what it left behind."""

    results: dict[str, Any]
    steps: Counter[str]  # of the compiler, by purpose
    cache: Path
    temporary: Path

    def __getitem__(self, step: str) -> Any:
        return self.results[step]


@attrs.frozen
class Cold:
    """A job that began with nothing, and all that it saved."""

    job: Job
    bundle: Path
    blob: Path  # torch's Mega-Cache


@pytest.fixture(scope="session")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a key that all jobs share: each has a home of its own."""
    path = tmp_path_factory.mktemp("key") / "signing.key"
    secret = base64.b64encode(bytes(range(32))).decode()
    path.write_text(f"overwinter-secret-key-ed25519:{secret}\n")
    return path


@pytest.fixture(scope="session")
def compilers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of two that hold a ``g++`` which counts: ``new``, ``old``."""
    folder = tmp_path_factory.mktemp("compilers")
    for name in ("new", "old"):
        write_compiler(folder / name, old=name == "old")
    return folder


def _importing(packages: Path | None) -> dict[str, str]:
    """Return what has a process import from *packages* first."""
    if packages is None:
        return {}
    before = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(packages), before]))}


@pytest.fixture(scope="session")
def run(
    tmp_path_factory: pytest.TempPathFactory, signing_key: Path, compilers: Path
) -> Callable[..., Job]:
    """Return a function that runs a job with an empty home, TMPDIR and cache."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TORCH", "OVERWINTER_"))
    }

    def run_job(
        *wanted: str,
        compiler: str = "new",
        program: Path = JOB,
        packages: Path | None = None,
        cache: Path | None = None,
        within: Sequence[str | Path] = (),
    ) -> Job:
        own = tmp_path_factory.mktemp("job")
        others = [] if compiler == "none" else [os.environ["PATH"]]
        cache = cache or own / "cache"
        for name in ("home", "tmp"):
            (own / name).mkdir()
        done = subprocess.run(
            [*within, sys.executable, program, own / "report.json", *wanted],
            env={
                **clean,
                **_importing(packages),
                "PATH": os.pathsep.join([str(compilers / compiler), *others]),
                # Under another name the keys of graphs would be others.
                "CXX": "g++",
                LOG_VARIABLE: str(own / "compiler.log"),
                "HOME": str(own / "home"),
                "TMPDIR": str(own / "tmp"),
                "TORCHINDUCTOR_CACHE_DIR": str(cache),
                "OVERWINTER_SIGNING_KEY": str(signing_key),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results = json.loads((own / "report.json").read_text())
        return Job(results, steps(own / "compiler.log"), cache, own / "tmp")

    return run_job


@pytest.fixture(scope="session")
def cold(run: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory) -> Cold:
    """Return the one cold start: a bundle and torch's blob of the same artifacts."""
    saved = tmp_path_factory.mktemp("saved")
    bundle, blob = saved / "model.owb", saved / "model.mega-cache"
    job = run("compile", f"torch-save={blob}", f"save={bundle}")
    return Cold(job, bundle, blob)


@pytest.fixture(scope="session")
def observed(
    run: Callable[..., Job], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Job, Path]:
    """Return a cold start that is observed, and its bundle, with factors in it."""
    bundle = tmp_path_factory.mktemp("observed") / "model.owb"
    return run("without-headers", "observe", "compile", f"save={bundle}"), bundle


@pytest.fixture(autouse=True)
def shared_key(home: Path, signing_key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process sign with, and trust, the key of the jobs."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(signing_key))


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """
    Return torch's ``record_artifact``, for a test whose torch recorded nothing yet.

    What overwinter changes in torch is undone afterwards.
    """
    from torch._inductor import codecache
    from torch.compiler._cache import CacheArtifactManager

    for name in ("_precompile_header", "_worker_compile_cpp"):
        monkeypatch.setattr(codecache, name, getattr(codecache, name))
    CacheArtifactManager._ensure_cache_artifacts_registered()
    with CacheArtifactManager.with_fresh_cache():
        yield CacheArtifactManager.record_artifact


@pytest.fixture
def unobserved() -> Iterator[None]:
    """Undo afterwards what observing changes in torch, and forget what was seen."""
    from torch._functorch._aot_autograd import autograd_cache
    from torch._inductor.codecache import FxGraphCache

    from overwinter.torch.observer import OBSERVER

    places = [
        (FxGraphCache, "load_with_key"),
        (FxGraphCache, "prepare_key"),
        (autograd_cache.AOTAutogradCache, "try_load"),
        (autograd_cache.AOTAutogradCache, "find_guarded_entry"),
        (autograd_cache, "autograd_cache_key"),
        (autograd_cache, "_get_debug_lines_for_cache_key"),
    ]
    before = [(owner, name, vars(owner).get(name)) for owner, name in places]
    yield
    for owner, name, found in before:
        if found is not None:
            setattr(owner, name, found)
        elif name in vars(owner):
            delattr(owner, name)
    OBSERVER.__init__()  # type: ignore[misc]
