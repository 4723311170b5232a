"""One line: a bundle around a block of code."""

import pytest

import overwinter.torch
from overwinter.errors import NotABundleError

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Return where the bundle of the jobs goes."""
    return tmp_path_factory.mktemp("warm") / "model.owb"


@pytest.fixture(scope="module")
def first(run, bundle):
    """Return a job that found no bundle, and left one."""
    return run("without-headers", f"warm={bundle}")["warm"]


@pytest.fixture(scope="module")
def second(run, bundle, first):
    """Return a job that found it."""
    before = bundle.read_bytes()
    job = run("without-headers", f"warm={bundle}", "explain")
    return job, before, bundle.read_bytes()


def test_the_first_start_is_cold_and_says_nothing_of_a_missing_bundle(first):
    """There is none yet, which is no problem."""
    assert first["graphs"] == {"hit": 0, "miss": 3, "bypass": 0}
    assert first["load"]["problems"] == []
    assert not first["reconciled"]["is_warm"]


def test_the_second_start_is_warm(first, second):
    """And computes the same bits."""
    job = second[0]
    assert job["warm"]["graphs"] == {"hit": 3, "miss": 0, "bypass": 0}
    assert job["warm"]["outputs"] == first["outputs"]
    assert job.steps["compile"] == 0


def test_torchs_counters_and_the_load_agree(second):
    """Each graph that was loaded was found."""
    reconciled = second[0]["warm"]["reconciled"]
    assert reconciled["is_warm"]
    for kind, n in (("inductor", 2), ("aot_autograd", 1)):
        assert reconciled["kinds"][kind]["loaded"] == n
        assert reconciled["kinds"][kind]["hit"] == n


def test_the_second_start_adds_nothing(second):
    """What it used is in the bundle, with the factors of its keys."""
    _, before, after = second
    assert after == before


def test_a_block_is_observed(second):
    """What misses in it can be explained."""
    explained = second[0]["explain"]
    assert (explained["problems"], explained["hits"]) == ([], 3)


# --- what goes wrong ----------------------------------------------------------


def test_what_a_failing_block_compiled_is_saved(tmp_path, unobserved, recorder):
    """Its error is its own."""
    path = tmp_path / "m.owb"
    with pytest.raises(ZeroDivisionError), overwinter.torch.warm(path):
        recorder("inductor", "f" + "a" * 51, b"x")
        raise ZeroDivisionError
    assert overwinter.Bundle(path).keys()["inductor"] == ["f" + "a" * 51]


def test_a_save_that_fails_costs_the_job_nothing(
    tmp_path, unobserved, recorder, caplog
):
    """It is a warning, with what to do."""
    with overwinter.torch.warm(tmp_path / "none" / "m.owb"):
        recorder("inductor", "f" + "a" * 51, b"x")
    assert "nothing is kept of this process" in caplog.text


def test_what_is_no_bundle_is_reported_and_left_as_it_is(
    tmp_path, unobserved, recorder, caplog
):
    """Neither load nor save takes it for one."""
    path = tmp_path / "m.owb"
    path.write_bytes(b"something else")
    with overwinter.torch.warm(path) as info:
        recorder("inductor", "f" + "a" * 51, b"x")
    assert str(path) in info.problems[0]
    assert path.read_bytes() == b"something else"
    assert "nothing is kept of this process" in caplog.text


def test_a_torch_that_counts_otherwise_is_warmed_all_the_same(
    tmp_path, unobserved, recorder, monkeypatch
):
    """Then nobody knows how its lookups ended, which is told when asked."""
    from torch._dynamo import utils

    monkeypatch.setattr(utils, "counters", None)
    with overwinter.torch.warm(tmp_path / "m.owb") as info:
        recorder("inductor", "f" + "a" * 51, b"x")
    assert not info.reconcile().is_warm
    assert (tmp_path / "m.owb").exists()


def test_a_bundle_may_be_required(tmp_path, unobserved):
    """Then the block is not entered."""
    path = tmp_path / "m.owb"
    path.write_bytes(b"something else")
    with (
        pytest.raises(NotABundleError),
        overwinter.torch.warm(path, required=True),
    ):
        raise AssertionError("it was entered")
