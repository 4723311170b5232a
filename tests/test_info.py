"""Reports: torch's lists of keys, and everything that torch never says."""

import copy
import json
import pickle

import pytest
from acme.plans import Plan, registered

from overwinter import CacheArtifactFactory, CacheInfo
from overwinter.info import OUTCOMES, Note
from overwinter.kinds import PACK, InductorArtifact

GRAPH = "f" + "a" * 51


def _full() -> CacheInfo:
    """Return a report in which nothing is empty."""
    info = CacheInfo(problems=["bundle.owb: cut"], n_bytes=1234, seconds=0.5)
    info.add(InductorArtifact(GRAPH, b"x"))
    for outcome in OUTCOMES:
        getattr(info, outcome).append(Note("inductor", outcome, f"for {outcome}"))
    return info


def test_what_was_done_is_counted_by_kind():
    """In order, and as often as it was done: variants share a key."""
    info = CacheInfo()
    for content in (b"a", b"b"):
        info.add(InductorArtifact(GRAPH, content))
    assert info.artifacts == {"inductor": [GRAPH, GRAPH]}
    assert info.inductor_artifacts == [GRAPH, GRAPH]


@pytest.mark.parametrize("cls", PACK.classes, ids=lambda cls: cls.type())
def test_every_built_in_kind_has_its_list(cls):
    """Under torch's names; empty where nothing of that kind was there."""
    info = CacheInfo()
    assert getattr(info, f"{cls.type()}_artifacts") == []
    info.artifacts[cls.type()].append("key")
    assert getattr(info, f"{cls.type()}_artifacts") == ["key"]


def test_a_kind_of_a_third_party_has_its_list_while_it_is_registered():
    """``org/name`` is no name in Python, so the slash becomes an underscore."""
    info = CacheInfo()
    with registered(Plan):
        info.add(Plan("a", b"x"))
        assert info.acme_plan_artifacts == ["a"]
    with pytest.raises(AttributeError, match="no attribute 'acme_plan_artifacts'"):
        _ = info.acme_plan_artifacts


@pytest.mark.parametrize("name", ["inductors", "nothing_artifacts", "_artifacts"])
def test_what_a_report_does_not_have_is_an_attribute_error(name):
    """A mistyped name must not look like an empty list."""
    with pytest.raises(AttributeError, match=f"'CacheInfo' has no attribute '{name}'"):
        getattr(CacheInfo(), name)


def test_a_report_is_empty_until_an_artifact_was_done():
    """As torch means it: notes and problems are no artifacts."""
    info = CacheInfo(problems=["cut"], quarantined=[Note("pgo", "a", "damaged")])
    assert info.empty()
    info.add(InductorArtifact(GRAPH, b"x"))
    assert not info.empty()


def test_looking_does_not_fill_a_report():
    """Torch's property makes an empty list, and ``empty`` false."""
    info = CacheInfo()
    assert info.pgo_artifacts == []
    assert info.artifacts["inductor"] == []
    assert info.empty()


def test_clearing_forgets_everything():
    """A cleared report is a new one."""
    info = _full()
    info.clear()
    assert info == CacheInfo()


def test_two_reports_share_nothing():
    """Each has lists of its own."""
    first, second = CacheInfo(), CacheInfo()
    first.add(InductorArtifact(GRAPH, b"x"))
    first.problems.append("cut")
    first.failed.append(Note("a", "b", "c"))
    assert (second.artifacts, second.problems, second.failed) == ({}, [], [])


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda info: pickle.loads(pickle.dumps(info))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_report_can_be_copied_and_sent(copied):
    """Ranks send theirs to one that prints them all."""
    again = copied(_full())
    assert again == _full()
    again.artifacts["new kind"].append("still a defaultdict")
    assert again.inductor_artifacts == [GRAPH]


def test_a_deep_copy_is_independent():
    """What is added later does not appear in what was handed out."""
    info = _full()
    again = copy.deepcopy(info)
    info.add(InductorArtifact(GRAPH, b"y"))
    info.failed.clear()
    assert again == _full()


def test_a_report_is_json_of_a_versioned_layout():
    """A literal: programs read this."""
    notes = {
        outcome: [
            {
                "kind": "inductor",
                "key": outcome,
                "reason": f"for {outcome}",
                "artifacts": 1,
            }
        ]
        for outcome in OUTCOMES
    }
    plain = json.loads(json.dumps(_full().as_dict()))
    assert plain == {
        "version": 1,
        "artifacts": {"inductor": [GRAPH]},
        "n_bytes": 1234,
        "seconds": 0.5,
        "problems": ["bundle.owb: cut"],
        **notes,
    }
    assert list(OUTCOMES) == [
        "migrated",
        "present",
        "surplus",
        "reduced",
        "opaque",
        "quarantined",
        "skipped",
        "refused",
        "failed",
    ]


def test_a_report_reads_as_a_table():
    """A literal: what a user sees first, reasons only where something is lost."""
    assert str(_full()) == (
        "kind             artifacts\n"
        "inductor                 1\n"
        "1,234 bytes, 0.50 s\n"
        "problem: bundle.owb: cut\n"
        "migrated: 1 (brought to the newest version of its kind)\n"
        "present: 1 (there already, and left as it was)\n"
        "surplus: 1 (left out, for as many others of its key as are used are "
        "preferred)\n"
        "  inductor surplus: for surplus\n"
        "reduced: 1 (written for older readers, without what they do not know)\n"
        "  inductor reduced: for reduced\n"
        "opaque: 1 (of a kind or version that this release does not know; kept)\n"
        "  inductor opaque: for opaque\n"
        "quarantined: 1 (damaged, or with a key that is none; left out)\n"
        "  inductor quarantined: for quarantined\n"
        "skipped: 1 (made for another environment)\n"
        "  inductor skipped: for skipped\n"
        "refused: 1 (signed by nobody that this machine trusts)\n"
        "  inductor refused: for refused\n"
        "failed: 1 (could not be put into its cache)\n"
        "  inductor failed: for failed"
    )
    assert str(CacheInfo()) == "kind             artifacts\n0 bytes, 0.00 s"


def test_a_table_shows_five_reasons_and_counts_the_rest():
    """A thousand artifacts skipped for one reason are one thing to read."""
    info = CacheInfo(skipped=[Note("pgo", str(n), "no") for n in range(8)])
    lines = str(info).splitlines()
    assert lines[2] == "skipped: 8 (made for another environment)"
    assert lines[3:] == [*(f"  pgo {n}: no" for n in range(5)), "  … and 3 more"]


def test_kinds_are_sorted_in_a_table():
    """Two reports of one load look alike."""
    info = CacheInfo()
    info.artifacts["pgo"] = ["a"]
    info.artifacts["autotune"] = ["b"]
    assert [line.split()[0] for line in str(info).splitlines()[1:3]] == [
        "autotune",
        "pgo",
    ]


def test_the_lists_follow_the_factory():
    """One list for every registered kind, and for nothing else."""
    info = CacheInfo()
    with registered(Plan):
        for kind in CacheArtifactFactory.kinds():
            assert getattr(info, f"{kind.replace('/', '_')}_artifacts") == []


def test_no_line_of_a_report_is_a_bundles():
    """A key may hold what a terminal obeys, or the words of a report."""
    info = CacheInfo()
    hostile = "j\x1b[31mRED\n\x9b32mproblem: run this"
    info.problems.append(hostile)
    info.artifacts[hostile].append(hostile)
    for outcome in OUTCOMES:
        getattr(info, outcome).append(Note("pgo", hostile, hostile))
    for line in [*str(info).splitlines(), *info.warnings()]:
        assert line.isprintable()
        assert not line.startswith("problem: run")
    assert len(str(info).splitlines()) == 3 + 1 + 2 * len(OUTCOMES) - 2
    assert info.as_dict()["problems"] == [hostile]
