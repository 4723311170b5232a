"""A real job where something is wrong with its caches: it is only told, and goes on."""

import os
import pickle
import shutil
import subprocess
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

import overwinter.torch
from overwinter import Bundle, CacheArtifactManager
from overwinter import save as save_artifacts
from overwinter.factory import CacheArtifactFactory
from overwinter.kinds import PrecompileArtifact

pytestmark = pytest.mark.torch

GRAPHS = 3
ALL_HIT = {"hit": GRAPHS, "miss": 0, "bypass": 0}
OUTCOMES = ("failed", "skipped", "quarantined", "refused", "opaque")
# Asks for a function when it is opened, as what runs code does.
TRAP = pickle.dumps(os.system)
ALL_KINDS = {
    "inductor": ("f" + "a" * 51, TRAP),
    "aot_autograd": ("a" + "b" * 51, TRAP),
    "pgo": ("job:0:tag", TRAP),
    "precompile": ("0123456789abcdef" * 4, TRAP),
    "autotune": (f"ab/{'c' * 52}.best_config", b'{"XBLOCK": 1}'),
}


@pytest.fixture(scope="module")
def bundle(observed):
    """Return a bundle of a real job."""
    return observed[1]


def artifacts(bundle):
    """Return what a cache has a place for, by kind."""
    loaded = CacheArtifactManager.deserialize(
        bundle, environment=overwinter.torch.environment(), strict=True
    )
    return {kind: found for kind, found in loaded.items() if kind != "factors"}


def save(path, saved):
    """Save for this machine, signed by the key of the jobs."""
    save_artifacts(path, saved, environment=overwinter.torch.environment())
    return path


def keys_in_caches(bundle):
    """Return the keys of what a cache has a place for, by kind."""
    found = Bundle(bundle).keys()
    del found["factors"]
    return found


def left(cache):
    """Return what of ours is left in a cache."""
    return list(cache.rglob(".overwinter-*"))


def tree(cache):
    """Return path and content of the files in a cache."""
    return {
        path.relative_to(cache).as_posix(): path.read_bytes()
        for path in cache.rglob("*")
        if path.is_file()
    }


def reasons(load, outcome="failed"):
    """Return why artifacts were left out: each reason once."""
    return {note["reason"] for note in load[outcome]}


def assert_nothing_populated(load, words, bundle):
    """Every artifact is accounted for, and the reason is told."""
    assert load["artifacts"] == {}
    expected = sum(map(len, keys_in_caches(bundle).values()))
    assert len(load["failed"]) == expected
    assert any(words in reason for reason in reasons(load))


@pytest.fixture
def mounted(tmp_path):
    """
    Return a function that gives a cache on a file system of its own.

    And what runs a process that sees it, which notes in a file what of ours is left.
    """
    unshare, mount = shutil.which("unshare"), shutil.which("mount")

    def give(options):
        cache = tmp_path / "cache"
        cache.mkdir()
        script = (
            f'{mount} -t tmpfs -o mode=700,{options} tmpfs {cache} && "$@"; code=$?; '
            f"find {cache} -name '.overwinter-*' >{tmp_path}/left; exit $code"
        )
        within = [unshare, "-Urm", "sh", "-c", script, "sh"]
        if None in (mount, unshare) or subprocess.run([*within, "true"]).returncode:
            pytest.skip("nothing can be mounted here")
        return cache, within, tmp_path / "left"

    return give


def test_a_content_that_torch_refuses_costs_one_cold_start(run, observed, tmp_path):
    """Garbage and half a pickle under each real key: torch warns, and compiles."""
    found = artifacts(observed[1])
    damaged = [
        attrs.evolve(each, content=content)
        for kind in ("inductor", "aot_autograd")
        for each in found[kind]
        for content in (b"garbage", each.content[: len(each.content) // 2])
    ]
    path = save(tmp_path / "damaged.owb", [*damaged, *found["native"]])
    job = run("without-headers", f"load={path}", "compile", f"save={path}")
    assert job["load"]["unpickled"] == []
    arrived = {kind: len(keys) for kind, keys in job["load"]["artifacts"].items()}
    assert (arrived["inductor"], arrived["aot_autograd"]) == (4, 2)
    assert job["compile"] == observed[0]["compile"]
    assert left(job.cache) == []
    # The good ones are beside them now, in the same bundle.
    again = run("without-headers", f"load={path}", "compile")
    assert again["compile"]["graphs"] == ALL_HIT
    assert again["compile"]["outputs"] == observed[0]["compile"]["outputs"]


@pytest.mark.parametrize("before", [[], ["unknown-torch"]], ids=["known", "unknown"])
def test_no_load_opens_a_pickle(before, run, tmp_path):
    """By neither function, of no kind that torch has, for no torch: they run code."""
    saved = [
        CacheArtifactFactory.kind(kind).cls.from_content(*entry)
        for kind, entry in ALL_KINDS.items()
    ]
    path = save(tmp_path / "model.owb", saved)
    job = run(*before, f"load={path}", "remove", f"load-bytes={path}")
    for load in (job["load"], job["load-bytes"]):
        assert load["unpickled"] == []
        assert load["artifacts"] == {
            kind: [key] for kind, (key, _) in ALL_KINDS.items()
        }


def test_a_cache_that_vanishes_is_made_again(run, observed):
    """
    After a load, and in the midst of one; torch makes its directories anew.

    Nobody can wait for the moment before files get their places, so it is brought
    about.
    """
    path = observed[1]
    steps = (f"load={path}", "remove", "vanish", f"load-bytes={path}", "compile")
    job = run("without-headers", *steps)
    assert job["load"]["failed"] == []
    assert_nothing_populated(job["load-bytes"], "no such file", path)
    assert job["compile"] == observed[0]["compile"]
    assert left(job.cache) == []


def test_a_cache_may_vanish_at_any_moment(bundle, tmp_path, monkeypatch):
    """Again and again: each artifact was put there or failed, and nothing is raised."""
    cache, ended = tmp_path / "cache", threading.Event()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    expected = {kind: Counter(keys) for kind, keys in keys_in_caches(bundle).items()}

    def remove():
        while not ended.is_set():
            shutil.rmtree(cache, ignore_errors=True)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(remove)
        try:
            infos = [overwinter.torch.load(bundle) for _ in range(50)]
        finally:
            ended.set()
    for info in infos:
        found = {kind: Counter(keys) for kind, keys in info.artifacts.items()}
        for note in info.failed:
            found.setdefault(note.kind, Counter())[note.key] += 1
        assert found == expected
    assert overwinter.torch.load(bundle).failed == []
    assert left(cache) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [("link", "is a symbolic link"), ("real", "is writable by others")],
)
def test_a_cache_that_others_decide_on_is_left_alone(
    name, words, bundle, tmp_path, monkeypatch
):
    """Where it is, or what is in it: nothing of ours gets there."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / name))
    info = overwinter.torch.load(bundle)
    assert info.empty()
    assert {words in note.reason for note in info.failed} == {True}
    assert list((tmp_path / "real").iterdir()) == []


def test_torch_uses_a_cache_that_others_decide_on(run, observed, tmp_path):
    """As it would have: it asks nobody whose it is, and the job is as cold."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real").chmod(0o777)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    cache = tmp_path / "link"
    job = run("without-headers", f"load={observed[1]}", "compile", cache=cache)
    assert_nothing_populated(job["load"], "is a symbolic link", observed[1])
    assert job["compile"] == observed[0]["compile"]
    assert left(tmp_path / "real") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [("ro", "Read-only file system"), ("size=4k", "No space left on device")],
    ids=["read-only", "full"],
)
def test_a_disk_that_takes_nothing_fails_the_job_as_it_would(
    options, words, run, bundle, mounted
):
    """Torch raises what it raises without us; of ours nothing is left."""
    cache, within, found = mounted(options)
    without = run("without-headers", "attempt", cache=cache, within=within)
    job = run(
        "without-headers", f"load={bundle}", "attempt", cache=cache, within=within
    )
    assert_nothing_populated(job["load"], words, bundle)
    assert found.read_text() == ""
    assert job["attempt"] == without["attempt"] != []


def test_a_bundle_that_does_not_fit_leaves_the_disk_to_the_job(
    run, observed, mounted, tmp_path
):
    """Torch has room for what it compiles: none of it is taken by half a bundle."""
    found = [each for kind in artifacts(observed[1]).values() for each in kind]
    large = PrecompileArtifact("0" * 64, os.urandom(16 << 20))
    path = save(tmp_path / "large.owb", [*found, large])
    cache, within, remains = mounted("size=8m")
    job = run("without-headers", f"load={path}", "compile", cache=cache, within=within)
    assert job["load"]["artifacts"] == {}
    assert len(job["load"]["failed"]) == len(found) + 1
    assert all("No space left on device" in each for each in reasons(job["load"]))
    assert remains.read_text() == ""
    assert job["compile"] == observed[0]["compile"]


def test_without_a_compiler_a_job_fails_as_it_would(run, observed, tmp_path):
    """
    It lacks what it lacks without us, and a load does not mind.

    Torch asks for a compiler also where a graph hits, and wraps the error otherwise
    then; so it does with a cache that it filled itself.
    """
    cold = run("without-headers", "attempt", compiler="none")
    job = run("without-headers", f"load={observed[1]}", "attempt", compiler="none")
    own = shutil.copytree(observed[0].cache, tmp_path / "own")
    warm = run("without-headers", "attempt", compiler="none", cache=own)
    assert job["load"]["problems"] == job["load"]["failed"] == []
    assert job["load"]["artifacts"].keys() == keys_in_caches(observed[1]).keys()
    assert job["attempt"] == warm["attempt"]
    assert job["attempt"][1] == cold["attempt"][1] == "InvalidCxxCompiler"


def test_two_processes_may_load_at_once(run, bundle, tmp_path):
    """Each file is there once and whole, whoever was first, and everything hits."""
    caches = tmp_path / "caches"
    with ThreadPoolExecutor(2) as pool:
        step = f"load-together={bundle}"
        jobs = [pool.submit(run, step, cache=caches) for _ in range(2)]
        ours, theirs = (job.result()["load-together"] for job in jobs)
    entries = [
        each.cache_entry() for kind in artifacts(bundle).values() for each in kind
    ]
    whole = {each.path: bytes(each.content_in(str(caches))) for each in entries}
    keys = Counter(
        (kind, key) for kind, found in keys_in_caches(bundle).items() for key in found
    )
    for each, loads in enumerate(zip(ours, theirs, strict=True)):
        present = Counter()
        for load in loads:
            assert [load[outcome] for outcome in OUTCOMES] == [[]] * len(OUTCOMES)
            assert load["problems"] == []
            assert keys == Counter(
                (kind, key)
                for kind, found in load["artifacts"].items()
                for key in found
            )
            present.update((note["kind"], note["key"]) for note in load["present"])
        assert present == keys  # what one of them found there, the other put there
        assert tree(caches / str(each)) == whole
        assert left(caches) == []
    cache = caches / str(each)
    after = run("without-headers", f"load={bundle}", "compile", cache=cache)
    assert len(after["load"]["present"]) == keys.total()
    assert after["compile"]["graphs"] == ALL_HIT
