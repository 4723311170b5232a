"""What the benchmarks measure is the same work; how long it takes is never asked."""

import json

import pytest

from benchmarks import chain, report, timing, w5, workloads

ROWS = 50


def test_whoever_migrates_w2_makes_the_same_values():
    """A contestant that did less would win."""
    timing.check_agreement(w5.w2_contestants(workloads.w2_columns(ROWS)))


def test_msgspec_makes_the_same_values():
    """The peer that is hardest to beat."""
    columns = workloads.w2_columns(ROWS)
    ours = w5.w2_contestants(columns)[0]
    timing.check_agreement([ours, *w5.msgspec_contestants(columns)])


def test_whoever_goes_through_the_chain_makes_the_same_values():
    """Both are made from one list of changes, each in its own words."""
    timing.check_agreement(chain.chain_contestants(ROWS, 200, ours="ours"))


def test_the_chain_has_every_change_and_mostly_one_at_a_time():
    """A chain of renames alone would cost nothing."""
    steps = chain.changes(1_000)
    assert len(steps) == 999
    found = [change.what for step in steps for change in step]
    for what in ("add", "drop", "rename", "replace", "convert"):
        assert found.count(what) > 100
    assert sum(len(step) == 1 for step in steps) > 800


def test_the_step_of_w5_leads_from_its_old_schema_to_its_new():
    """It is a step that a release could hold."""
    assert w5.STEP.effect(w5.OLD, w5.NEW) == {
        field.name: field for field in w5.NEW.fields
    }


def test_the_records_are_the_same_in_every_run():
    """Else two runs could not be compared."""
    assert workloads.w2_columns(ROWS) == workloads.w2_columns(ROWS)
    assert chain.changes(50) == chain.changes(50)


def test_contestants_that_disagree_are_named():
    """The first row that differs is shown."""
    contestants = [
        timing.Contestant(name, lambda: None, lambda _, made=made: made)
        for name, made in [("one", [1, 2]), ("other", [1, 3])]
    ]
    with pytest.raises(AssertionError, match="other and one differ: row 1: 3, not 2"):
        timing.check_agreement(contestants)


def test_fewer_than_five_rounds_are_no_measurement():
    """A median of one is whatever the machine did at that moment."""
    with pytest.raises(ValueError, match="5 rounds at least, got 4"):
        timing.measure([], 4)


def test_a_run_says_what_it_found_and_which_floors_it_missed(tmp_path):
    """As text for people, as JSON for comparisons."""
    timings = {
        "ours": timing.Timing("ours", (1.0, 3.0, 2.0)),
        "peer": timing.Timing("peer", (12.0, 12.0, 12.0)),
    }
    goals = [
        report.AtLeast("ours", "peer", target=10, floor=5),
        report.AtLeast("ours", "peer", target=20, floor=7),
        report.Within("ours", target=2, floor=3),
    ]
    shown = report.show("W0", timings, goals).splitlines()
    assert [line.split("  ")[-1] for line in shown[-3:]] == [
        "floor met",
        "FLOOR MISSED",
        "target met",
    ]
    assert report.missed_floors(timings, goals) == ["ours, against peer"]

    report.write_json(tmp_path / "w0.json", report.as_plain("W0", timings, goals))
    plain = json.loads((tmp_path / "w0.json").read_text("utf-8"))
    assert plain["medians"] == {"ours": 2.0, "peer": 12.0}
    assert [goal["found"] for goal in plain["goals"]] == [6.0, 6.0, 2.0]
    assert plain["machine"]["packages"]["msgpack"]
