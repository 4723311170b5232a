"""What was loaded, beside what a framework's lookups did with it."""

import pickle

from overwinter import CacheInfo
from overwinter.kinds import InductorArtifact
from overwinter.reconciled import Reckoning

GRAPH = "f" + "a" * 51


def loaded(**counts):
    """Return the report of a load of one graph, since when this was counted."""
    info = CacheInfo(counters=lambda: {"inductor": counts} if counts else {})
    info.add(InductorArtifact(GRAPH, b"x"))
    return info


def test_hits_alone_are_warm():
    """The number of lookups may exceed that of the artifacts."""
    found = loaded(hit=3, miss=0, guard_miss=0, bypass=0).reconcile()
    assert found.kinds == {"inductor": Reckoning(loaded=1, hit=3)}
    assert found.is_warm
    assert found.remarks == ()


def test_a_miss_is_told_with_what_explains_it():
    """One is enough for a compiler to run."""
    found = loaded(hit=3, miss=1, guard_miss=1, bypass=0).reconcile()
    assert not found.is_warm
    (remark,) = found.remarks
    assert remark.startswith("inductor: 1 lookups missed; overwinter.torch.explain()")


def test_a_bypass_is_no_warm_start():
    """It is compiled each time, whatever a bundle holds."""
    found = loaded(hit=3, miss=0, guard_miss=0, bypass=2).reconcile()
    assert not found.is_warm
    assert found.remarks == ("inductor: its cache was passed by 2 times",)


def test_where_nothing_was_looked_up_nothing_is_warm():
    """Loaded, no faster, no reason: here is the reason."""
    for counts in ({}, {"hit": 0, "miss": 0, "guard_miss": 0, "bypass": 0}):
        found = loaded(**counts).reconcile()
        assert not found.is_warm
        assert found.kinds == {"inductor": Reckoning(loaded=1)}
        (remark,) = found.remarks
        assert remark.startswith("nothing was looked up since")


def test_a_kind_that_was_not_loaded_is_counted_too():
    """What missed may be what was left out."""
    info = CacheInfo(counters=lambda: {"aot_autograd": {"miss": 2}})
    assert info.reconcile().kinds == {"aot_autograd": Reckoning(miss=2)}


def test_a_load_that_nobody_counts_says_so():
    """A manager knows no framework."""
    info = CacheInfo()
    info.add(InductorArtifact(GRAPH, b"x"))
    found = info.reconcile()
    assert found.kinds == {"inductor": Reckoning(loaded=1)}
    assert "overwinter.torch.load" in found.remarks[0]


def test_it_is_shown_as_a_table_and_as_plain_values():
    """The layout of the latter is versioned."""
    found = loaded(hit=3, miss=1, guard_miss=0, bypass=0).reconcile()
    head, row, _ = str(found).splitlines()
    assert head.split() == ["kind", "loaded", "hit", "miss", "guard_miss", "bypass"]
    assert row.split() == ["inductor", "1", "3", "1", "0", "0"]
    plain = found.as_dict()
    assert (plain["version"], plain["is_warm"]) == (1, False)
    assert plain["kinds"]["inductor"]["miss"] == 1


def test_counters_are_no_part_of_a_reports_value():
    """Two that say the same are equal, whoever counts."""
    assert CacheInfo(counters=dict) == CacheInfo()
    assert pickle.loads(pickle.dumps(CacheInfo(counters=dict))).counters is dict
