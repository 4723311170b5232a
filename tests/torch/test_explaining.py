"""Explaining a real torch's misses, each of which is brought about."""

import base64
import shutil
import subprocess
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest

import overwinter.kinds
import overwinter.torch
from overwinter import Bundle, CacheArtifactManager
from overwinter import save as save_artifacts
from overwinter.torch import watching
from overwinter.torch.factors import CODE, factors_of
from overwinter.torch.observer import Load, Lookup, Observer
from overwinter.torch.watching import watch

pytestmark = pytest.mark.torch

GRAPHS = 3  # forward, backward, and both together


@pytest.fixture(scope="module")
def bundle(observed):
    """Return a bundle that says what its keys are made of."""
    assert len(observed[0]["save"]["artifacts"]["factors"]) == GRAPHS
    return observed[1]


def missed(run, bundle, *steps, **options):
    """Return why the graphs of a job missed that loads *bundle* and goes on so."""
    before = ("without-headers", "observe", f"load={bundle}")
    job = run(*before, *steps, "explain", **options)
    assert len(job["explain"]["missed"]) == GRAPHS
    assert job["explain"]["problems"] == []
    return job["explain"]


def causes(explained):
    """Return the causes of each graph, and their words."""
    return [each["causes"] for each in explained["missed"]]


def test_another_shape_is_named(run, bundle):
    """With both shapes, of the input that has them, for the graph as it was traced."""
    found = missed(run, bundle, "compile=5")
    assert causes(found)[0] == {
        "example_inputs[2]": "input 2: shape torch.Size([5, 8]) here, "
        "torch.Size([3, 8]) in the bundle"
    }
    assert all(
        any("shape" in words for words in each.values()) for each in causes(found)
    )


def test_another_dtype_is_named(run, bundle):
    """Every input has it, and all are told in one line."""
    found = missed(run, bundle, "compile=bfloat16")
    words = "dtype torch.bfloat16 here, torch.float32 in the bundle"
    assert causes(found)[0] == {
        f"example_inputs[{n}]": f"input {n}: {words}" for n in range(5)
    }
    assert f"inputs 0, 1, 2, 3 and 4: {words}" in found["text"]


def test_another_setting_is_named(run, bundle):
    """As its user spells it, and nothing else."""
    found = missed(run, bundle, "setting=max_fusion_size", "compile")
    name = "inductor_config[max_fusion_size]"
    words = "torch._inductor.config.max_fusion_size: 7 here, 64 in the bundle"
    assert causes(found) == [{name: words}] * GRAPHS


def test_other_sources_of_torch_are_named(run, bundle, other_torch):
    """With both hashes: no graph of another build can be used."""
    found = missed(run, bundle, "compile", packages=other_torch)
    for each in causes(found):
        assert list(each) == ["torch_version", "torch_key"]
        assert each["torch_version"].startswith("torch's version and sources")
        assert each["torch_key"].startswith("torch_key: made for ")


@pytest.fixture(scope="module")
def other_torch(tmp_path_factory):
    """Return a folder with a torch that differs in a comment of one source."""
    import torch

    real, folder = Path(torch.__file__).parent, tmp_path_factory.mktemp("other")
    subprocess.run(["cp", "-rs", real, folder / "torch"], check=True)
    changed = folder / "torch/_inductor/codecache.py"
    changed.unlink()
    changed.write_text((real / "_inductor/codecache.py").read_text() + "# other\n")
    yield folder
    shutil.rmtree(folder)


def test_other_instruction_sets_are_named(run, bundle):
    """The key is the same, which says nothing of the CPU."""
    found = missed(run, bundle, "compile", compiler="old")
    for each in found["missed"]:
        ((cause, words),) = each["causes"].items()
        assert cause == "vector_isa"
        assert words.startswith("vector_isa: made for ")
        assert words.endswith(", here is none")


@pytest.fixture(scope="module")
def again(run, bundle, tmp_path_factory):
    """Return a warm job, and the bundle that it saved."""
    path = tmp_path_factory.mktemp("again") / "model.owb"
    steps = (f"load={bundle}", "compile", "explain", f"save={path}")
    return run("without-headers", "observe", *steps), path


def test_a_start_that_hits_has_nothing_to_explain(again, bundle):
    """And to observe it costs no hit: the keys stay what they are."""
    found = again[0]["explain"]
    assert (found["missed"], found["hits"]) == ([], GRAPHS)
    assert found["bundle"] == str(bundle)


def test_a_load_passes_over_factors(again):
    """They have no place in a cache, and are in no list of what was loaded."""
    info = again[0]["load"]
    assert set(info["artifacts"]) == {"inductor", "aot_autograd", "native"}
    assert not any(info[each] for each in ("skipped", "failed", "opaque"))


def test_factors_travel_with_what_is_saved_again(again, bundle):
    """A process that hits knows them too: the next bundle is no poorer."""
    kinds = [Bundle(each).keys()["factors"] for each in (bundle, again[1])]
    assert kinds[0] == kinds[1]


# --- what no real start brings about in seconds -------------------------------

KEY, OTHER = ("a" + letter * 51 for letter in "bc")
GRAPH = ("aot_autograd", KEY)


def lines(texts):
    """Return what torch says of a key that is made of these."""
    return [
        f"[{base64.b32encode(sha256(text.encode()).digest())[:51].decode().lower()}] "
        f"{name}: {text}"
        for name, text in texts.items()
    ]


def factors(key, **texts):
    """Return the factors of a graph."""
    return factors_of("aot_autograd", key, lines(texts))


def seen(*lookups, loads=(), **texts):
    """Return an observer that has seen these."""
    found = Observer(is_on=True, loads=list(loads), lookups=list(lookups))
    found.keep(*GRAPH, lines(texts))
    return found


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves artifacts, and gives the bundle."""

    def save(*artifacts):
        path = tmp_path / "m.owb"
        save_artifacts(
            path, artifacts, environment=overwinter.torch.environment(), replace=True
        )
        return path

    return save


def only(target, looked):
    """Return the causes of the one graph that missed."""
    from overwinter.torch.explaining import explain

    (found,) = explain(target, looked).missed
    return dict(found.causes)


def test_a_load_that_comes_too_late_is_named(saved):
    """The bundle has the very key, and the lookup came first."""
    path = saved(overwinter.kinds.AOTAutogradArtifact(KEY, b"x"))
    load = Load(str(path), None, frozenset([GRAPH]))
    assert list(only(None, seen(Lookup(*GRAPH, "miss"), loads=[load]))) == ["late"]


def test_who_does_not_observe_is_told_how():
    """Instead of being told that nothing missed."""
    from overwinter.torch.explaining import explain

    first, second = explain(None, Observer()).problems
    assert "overwinter.torch.observe()" in first
    assert "no bundle was loaded" in second


@pytest.mark.parametrize(
    ("guards", "words"),
    [
        ("s0 < 9", "it is for other sizes: the last one asks for s0 < 9"),
        ("", "it is for other sizes or libraries than here"),
    ],
)
def test_guards_that_do_not_hold_are_told(guards, words):
    """The expression is torch's own; without one, it was something else."""
    looked = seen(Lookup(*GRAPH, "guard_miss", guards))
    assert only(None, looked) == {"guards": f"torch found it, and {words}"}


def test_a_graph_that_torch_found_and_refused_is_told():
    """Whatever the bundle says."""
    looked = seen(Lookup(*GRAPH, "miss", "torch could not use it"))
    assert only(None, looked) == {"refused": "torch could not use it"}


def test_why_torch_passed_by_its_cache_is_told():
    """There is no key then."""
    looked = seen(Lookup("inductor", "", "bypass", "mkldnn tensors"))
    assert only(None, looked) == {"bypass": "torch passed by its cache: mkldnn tensors"}


def test_what_was_loaded_and_not_found_is_told(saved):
    """The bundle is not to blame."""
    path = saved(overwinter.kinds.AOTAutogradArtifact(KEY, b"x"))
    load = Load(str(path), None, frozenset([GRAPH]))
    looked = seen(Lookup(*GRAPH, "miss", loads=1), loads=[load])
    assert list(only(None, looked)) == ["cache"]


def test_the_graph_with_the_same_code_is_the_nearest(saved):
    """However many settings another has in common."""
    same = {f"setting_{n}": "1" for n in range(9)}
    near = factors(OTHER, **{CODE: "return a"})
    far = factors("a" + "d" * 51, **{CODE: "return b", **same})
    looked = seen(Lookup(*GRAPH, "miss"), **{CODE: "return a", **same})
    found = only(saved(near, far), looked)
    assert set(found) == set(same)


def test_a_graph_whose_code_is_unlike_all_is_told(saved):
    """To name the nearest would lead astray."""
    other = factors(OTHER, **{CODE: "one\ntwo\nthree"})
    looked = seen(Lookup(*GRAPH, "miss"), **{CODE: "one\n2\n3"})
    assert only(saved(other), looked) == {
        CODE: "the bundle has no graph whose code is like it"
    }


def test_a_bundle_without_factors_says_so(saved):
    """And how to have them."""
    path = saved(overwinter.kinds.AOTAutogradArtifact(OTHER, b"x"))
    found = only(path, seen(Lookup(*GRAPH, "miss"), **{CODE: "x"}))
    assert "save it from a process that is observed" in found["unknown"]


def test_what_a_process_saved_itself_is_no_answer(saved):
    """It holds the key that missed, with no difference."""
    path = saved(
        overwinter.kinds.AOTAutogradArtifact(KEY, b"x"),
        factors(KEY, **{CODE: "x", "grad_enabled": "True"}),
        factors(OTHER, **{CODE: "x", "grad_enabled": "False"}),
    )
    loads = [Load(str(path), None, frozenset())]
    texts = {CODE: "x", "grad_enabled": "True"}
    looked = seen(Lookup(*GRAPH, "miss"), loads=loads, **texts)
    assert list(only(path, looked)) == ["grad_enabled"]


def test_a_bundle_is_the_same_by_any_path(saved, monkeypatch):
    """It was loaded by its whole path, and is named by a shorter one."""
    path = saved(overwinter.kinds.AOTAutogradArtifact(KEY, b"x"))
    looked = seen(Lookup(*GRAPH, "miss"), loads=[Load(str(path), None, frozenset())])
    monkeypatch.chdir(path.parent)
    assert "unloaded" not in only(path.name, looked)


def test_what_came_into_a_bundle_since_it_was_loaded_explains_nothing(saved):
    """This process and its ranks save what they had to compile: their own likeness."""
    path = saved(
        overwinter.kinds.AOTAutogradArtifact(OTHER, b"x"),
        factors(OTHER, gm="x", torch_version="1"),
    )
    looked = seen(Lookup(*GRAPH, "miss"), gm="x", torch_version="2")
    looked.loaded(str(path), overwinter.CacheInfo())
    sibling = "a" + "d" * 51
    save_artifacts(
        path,
        [
            overwinter.kinds.AOTAutogradArtifact(KEY, b"x"),
            factors(KEY, gm="x", torch_version="2"),
            overwinter.kinds.AOTAutogradArtifact(sibling, b"x"),
            factors(sibling, gm="x", torch_version="2", shape="5"),
        ],
        environment=overwinter.torch.environment(),
    )
    assert list(only(None, looked)) == ["torch_version"]


def test_a_bundle_that_was_not_loaded_may_have_the_very_key(saved):
    """Then that is the reason, and no other graph."""
    path = saved(overwinter.kinds.AOTAutogradArtifact(KEY, b"x"))
    assert list(only(path, seen(Lookup(*GRAPH, "miss"), gm="x"))) == ["unloaded"]


def test_what_other_machines_have_in_the_bundle_is_no_reason(saved):
    """A fat bundle has graphs for many: only the nearest one's machine matters."""
    path = saved(
        overwinter.kinds.AOTAutogradArtifact(OTHER, b"x"), factors(OTHER, gm="x", a="1")
    )
    foreign = {**overwinter.torch.environment(), "vector_isa": "another"}
    graph = overwinter.kinds.AOTAutogradArtifact("a" + "e" * 51, b"y")
    save_artifacts(path, [graph], environment=foreign)
    assert list(only(path, seen(Lookup(*GRAPH, "miss"), gm="x", a="2"))) == ["a"]


def test_a_bundle_that_cannot_be_read_is_a_problem(tmp_path):
    """And what missed is listed all the same."""
    from overwinter.torch.explaining import explain

    path = tmp_path / "m.owb"
    path.write_bytes(b"no bundle")
    found = explain(path, seen(Lookup(*GRAPH, "miss")))
    assert len(found.missed) == 1
    assert str(path) in found.problems[0]


def test_a_stranger_explains_nothing(saved, monkeypatch):
    """Whose factors are not trusted, nor are their graphs; that is the reason."""
    path = saved(
        overwinter.kinds.AOTAutogradArtifact(OTHER, b"x"), factors(OTHER, gm="x")
    )
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY")
    found = only(path, seen(Lookup(*GRAPH, "miss"), gm="x", other="y"))
    assert list(found) == ["trust", "unknown"]
    assert found["unknown"].startswith("what keys are made of is not read: ")
    assert "save it from" not in found["unknown"]


def test_only_so_many_are_explained(saved):
    """A process ends, and somebody waits for it: the others are counted."""
    from overwinter.torch.explaining import explain

    looked = seen(*(Lookup("aot_autograd", f"{n}", "miss") for n in range(5)))
    found = explain(saved(factors(OTHER, gm="x")), looked, most=2)
    assert len(found.missed) == 2
    assert found.problems == ("3 more missed, and are not explained",)


def test_a_load_where_the_current_directory_is_gone_goes_on(
    tmp_path, monkeypatch, unobserved
):
    """It is reported as a bundle that is not there, and nothing is raised."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    info = overwinter.torch.load("m.owb")
    assert "no such file" in info.problems[0]


@pytest.mark.parametrize(
    ("around", "arguments"),
    [
        (watching._loads, ("key", 5)),
        (watching._prepares, ()),
        (watching._finds, ("class", "key")),
        (watching._makes_key, ()),
        (watching._prints, ("pickler", "details", "key")),
    ],
)
def test_a_lookup_that_cannot_be_noted_costs_torch_nothing(around, arguments):
    """What torch gives is handed on as it is; what is wrong with it is said once."""
    looked = Observer()
    wrapped = around(looked)(lambda *_: None)
    for _ in range(2):
        assert wrapped(*arguments) is None
    (problem,) = looked.problems
    assert "could not note a lookup" in problem


def attempt(made, found=None, usable=False):
    """Return what was noted of one attempt of AOTAutograd's to find a graph."""
    looked = Observer()

    def make():
        if isinstance(made, Exception):
            raise made
        return made, []

    def find(_, key):
        return found

    def try_load():
        with suppress(ValueError):
            key, _ = watching._makes_key(looked)(make)()
            if found:
                watching._finds(looked)(find)("class", key)
        return ("function" if usable else None), "config"

    watching._tries(looked)(try_load)()
    assert not looked.problems
    (lookup,) = looked.lookups
    return lookup.key, lookup.outcome, lookup.reason


def test_what_aot_autograd_decides_is_noted():
    """A graph that it found may be refused: then torch counts a miss, and so do we."""
    hit = ("graph", b"content", {})
    miss = (None, None, {"cache_status_detailed": "full_miss"})
    assert attempt("key", hit, usable=True) == ("key", "hit", "")
    assert attempt("key", miss) == ("key", "miss", "")
    assert attempt(ValueError("a hook")) == ("", "bypass", "a hook")
    assert attempt("key") == ("key", "miss", "")  # to look failed
    key, outcome, reason = attempt("key", hit)
    assert (key, outcome) == ("key", "miss")
    assert "found it and could not use it" in reason


def test_who_only_asks_for_a_key_looks_nothing_up():
    """Others of torch's ask for it as well; an error of theirs is no lookup."""
    looked = Observer()

    def fail():
        raise ValueError("a hook")

    with pytest.raises(ValueError, match="a hook"):
        watching._makes_key(looked)(fail)()
    assert looked.lookups == []


def test_what_could_not_be_observed_is_tried_again(monkeypatch, unobserved):
    """The hook of a command comes while torch is on its way into the process."""
    from torch._functorch._aot_autograd import autograd_cache

    looked = Observer()
    with monkeypatch.context() as patch:
        patch.delattr(autograd_cache, "AOTAutogradCache")
        watch(looked)
    assert len(looked.unseen) == 2
    watch(looked)
    assert looked.unseen == []
    assert autograd_cache.AOTAutogradCache.try_load._overwinter


def test_an_unknown_torch_is_observed_as_far_as_it_goes(monkeypatch, unobserved):
    """A part that is gone is named, and the rest observed."""
    from torch._functorch._aot_autograd import autograd_cache
    from torch._inductor.codecache import FxGraphCache

    monkeypatch.delattr(autograd_cache, "_get_debug_lines_for_cache_key")
    looked = Observer()
    watch(looked)
    (problem,) = looked.unseen
    assert "observe _get_debug_lines_for_cache_key" in problem
    assert FxGraphCache.load_with_key._overwinter


def test_manager_keeps_factors(saved):
    """They are artifacts as others are, for who reads a bundle by hand."""
    artifact = factors(KEY, gm="x")
    loaded = CacheArtifactManager.deserialize(saved(artifact))
    assert loaded["factors"] == [artifact]
