"""A real job where something is wrong with its caches: it is only told, and goes on."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

import overwinter.torch
from overwinter import Bundle, CacheArtifactManager
from overwinter import save as save_artifacts
from overwinter.populate import Staging

pytestmark = pytest.mark.torch

GRAPHS = 3
OUTCOMES = ("failed", "skipped", "quarantined", "refused", "opaque")


@pytest.fixture(scope="module")
def bundle(observed):
    """Return a bundle of a real job."""
    return observed[1]


def keys_in_caches(bundle):
    """Return the keys of what a cache has a place for, by kind."""
    found = Bundle(bundle).keys()
    del found["factors"]
    return found


def left(cache):
    """Return what of ours is left in a cache."""
    return [path for path in cache.rglob(".overwinter-*") if cache.exists()]


def reasons(load, outcome="failed"):
    """Return why artifacts were left out: each reason once."""
    return {note["reason"] for note in load[outcome]}


def test_a_content_that_torch_refuses_costs_one_cold_start(run, observed, tmp_path):
    """Garbage and half a pickle under real keys: torch warns, and compiles."""
    environment = overwinter.torch.environment()
    loaded = CacheArtifactManager.deserialize(
        observed[1], environment=environment, strict=True
    )
    damaged = [
        *(attrs.evolve(each, content=b"garbage") for each in loaded["aot_autograd"]),
        *(
            attrs.evolve(each, content=each.content[: len(each.content) // 2])
            for each in loaded["inductor"]
        ),
        *loaded["native"],
    ]
    path = tmp_path / "damaged.owb"
    save_artifacts(path, damaged, environment=environment)
    job = run("without-headers", f"load={path}", "compile")
    assert job["load"]["unpickled"] == []
    assert len(job["load"]["artifacts"]["inductor"]) == 2
    assert job["compile"]["graphs"] == {"hit": 0, "miss": GRAPHS, "bypass": 0}
    assert job["compile"]["outputs"] == observed[0]["compile"]["outputs"]


def test_a_cache_that_vanishes_is_made_again(run, observed):
    """Between the load and the first compile; torch makes its directories anew."""
    job = run("without-headers", f"load={observed[1]}", "remove", "compile")
    assert len(job["load"]["artifacts"]["inductor"]) == 2
    assert job["compile"] == observed[0]["compile"]


def test_a_cache_that_vanishes_while_it_is_filled_is_reported(
    bundle, tmp_path, monkeypatch
):
    """Nobody can wait for that moment, so it is brought about."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    publish = Staging.publish

    def vanish(self):
        shutil.rmtree(cache)
        publish(self)

    monkeypatch.setattr(Staging, "publish", vanish)
    info = overwinter.torch.load(bundle)
    assert info.empty()
    assert len(info.failed) == sum(map(len, keys_in_caches(bundle).values()))
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("link", "is a symbolic link"), ("real", "is writable by others")],
)
def test_a_cache_that_others_decide_on_is_left_alone(
    name, words, bundle, tmp_path, monkeypatch
):
    """Where it is, or what is in it; torch uses it, as it would have."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / name))
    info = overwinter.torch.load(bundle)
    assert info.empty()
    assert {words in note.reason for note in info.failed} == {True}
    assert list((tmp_path / "real").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [("ro", "Read-only file system"), ("size=16k", "No space left on device")],
    ids=["read-only", "full"],
)
def test_a_disk_that_takes_nothing_fails_the_job_as_it_would(
    options, words, run, bundle, tmp_path
):
    """Torch raises what it raises without us; of ours nothing is left."""
    mount = shutil.which("mount")
    cache = tmp_path / "cache"
    cache.mkdir()
    script = (
        f'{mount} -t tmpfs -o mode=700,{options} tmpfs {cache} && "$@"; code=$?; '
        + (f"find {cache} -name '.overwinter-*' >{tmp_path}/left; exit $code")
    )
    within = [shutil.which("unshare"), "-Urm", "sh", "-c", script, "sh"]
    if None in (mount, within[0]) or subprocess.run([*within, "true"]).returncode:
        pytest.skip("nothing can be mounted here")
    without = run("without-headers", "attempt", cache=cache, within=within)
    job = run(
        "without-headers", f"load={bundle}", "attempt", cache=cache, within=within
    )
    assert job["load"]["artifacts"] == {}
    assert any(words in reason for reason in reasons(job["load"]))
    assert (tmp_path / "left").read_text() == ""
    assert job["attempt"] == without["attempt"] != ""


def test_without_a_compiler_a_job_fails_as_it_would(run, bundle):
    """The load says nothing of it: torch asks for one whatever is in its caches."""
    without = run("attempt", compiler="none")
    job = run(f"load={bundle}", "attempt", compiler="none")
    assert job["attempt"] == without["attempt"] != ""
    assert job["load"]["problems"] == []
    assert job["load"]["artifacts"].get("native")


def test_two_processes_may_load_at_once(run, bundle, tmp_path):
    """Each file is there once and whole, whoever was first, and everything hits."""
    cache = tmp_path / "cache"
    (tmp_path / "place").mkdir()
    steps = (f"together={tmp_path / 'place'}", f"load={bundle}")
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(run, *steps, cache=cache) for _ in range(2)]
        loads = [job.result()["load"] for job in jobs]
    keys = {kind: sorted(found) for kind, found in keys_in_caches(bundle).items()}
    for load in loads:
        assert [load[each] for each in OUTCOMES] == [[]] * len(OUTCOMES)
        found = {kind: sorted(set(each)) for kind, each in load["artifacts"].items()}
        assert found == keys
    # What one of them found there, the other put there.
    n = sum(len(each) for each in loads[0]["artifacts"].values())
    assert len(loads[0]["present"]) + len(loads[1]["present"]) == n
    assert left(cache) == []
    after = run("without-headers", f"load={bundle}", "compile", cache=cache)
    assert len(after["load"]["present"]) == n
    assert after["compile"]["graphs"] == {"hit": GRAPHS, "miss": 0, "bypass": 0}
