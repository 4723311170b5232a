"""What the benchmarks measure is the same work; how long it takes is never asked."""

import base64
import json
import subprocess
from xml.etree import ElementTree

import pytest

from benchmarks import (
    chain,
    goals,
    ours,
    picture,
    report,
    running,
    timing,
    w5,
    w7,
    w8,
    workloads,
)
from benchmarks.__main__ import WORKLOADS
from overwinter import save
from overwinter.kinds import InductorArtifact
from overwinter.trust import SigningKey

ROWS = 50
SVG = "{http://www.w3.org/2000/svg}"


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


def test_repeated_contestants_take_turns_after_their_preparation():
    """A slow moment meets both, and neither pays for what must be done before."""
    seen = []
    contestants = [
        timing.Contestant(
            name, lambda name=name: seen.append(name), list, before, repeat
        )
        for name, before, repeat in [
            ("one", lambda: seen.append("before"), 2),
            ("other", lambda: None, 1),
        ]
    ]
    found = timing.measure(contestants, 5)
    assert seen == ["before", "one", "other", "before", "one"] * 5
    assert [len(found[name].values) for name in ("one", "other")] == [5, 5]


FOUND = {
    "ours": timing.Figures("ours", (1.0, 3.0, 2.0)),
    "peer": timing.Figures("peer", (12.0, 12.0, 12.0)),
    "other": timing.Figures("other", (4.0, 4.0, 4.0)),
    "memory": timing.Figures("memory", (10.0,), "MiB"),
    "nothing": timing.Figures("nothing", (0.0,), "MiB"),
    "builds": timing.Figures("builds", (0, 2, 0), ""),
}


@pytest.mark.parametrize(
    "goal, figure, verdict",
    [
        (goals.AtLeast("ours", "peer", target=6, floor=5), 6, "target met"),
        (goals.AtLeast("ours", "peer", target=10, floor=5), 6, "floor met"),
        (goals.AtLeast("ours", "peer", target=20, floor=7), 6, "FLOOR MISSED"),
        (goals.AtMost("peer", ("ours", "other"), 3, 4), 3, "target met"),
        (goals.AtMost("peer", ("ours", "other"), 2, 3), 3, "floor met"),
        (goals.AtMost("peer", ("ours", "other"), 1, 2), 3, "FLOOR MISSED"),
        (goals.Within("memory", 16, 32, " MiB"), 10, "target met"),
        (goals.Within("memory", 8, 16, " MiB"), 10, "floor met"),
        (goals.Within("memory", 4, 8, " MiB"), 10, "FLOOR MISSED"),
        (goals.Within("nothing", 2, 4, " MiB"), 0, "target met"),
        (goals.Share("ours", "other", 60, 70, of="it"), 50, "target met"),
        (goals.Share("ours", "other", 40, 50, of="it"), 50, "floor met"),
        (goals.Share("ours", "other", 30, 40, of="it"), 50, "FLOOR MISSED"),
        (goals.Share("nothing", "other", 1, 2, of="it"), 0, "target met"),
        (goals.Never("nothing"), 0, "target met"),
        (goals.Never("builds"), 2, "FLOOR MISSED"),
    ],
)
def test_a_goal_compares_its_figure_with_target_and_floor(goal, figure, verdict):
    """A ratio to the larger peer, an amount, a count of the worst round."""
    assert goal.figure(FOUND) == figure
    assert goals.verdict(goal, figure) == verdict


def test_what_signatures_cost_is_measured_where_they_decide(tmp_path):
    """In new processes, and only of a bundle that would be populated."""
    seed = base64.b64encode(ours.SEED).decode()
    key, bundle = tmp_path / "signing.key", tmp_path / w7.BUNDLE
    key.write_text(f"overwinter-secret-key-ed25519:{seed}\n")
    save(bundle, [InductorArtifact("f" + "a" * 51, b"x")], key=ours.KEY)
    seconds = w7.signing_seconds(2, bundle, key)
    assert len(seconds) == 2
    assert min(seconds) > 0
    save(bundle, [InductorArtifact("f" + "b" * 51, b"x")], key=SigningKey(bytes(32)))
    with pytest.raises(subprocess.CalledProcessError):
        w7.signing_seconds(1, bundle, key)


def test_a_bundle_grows_by_what_is_new(tmp_path):
    """Bytes are the same in every run: each floor of W8 is a bound that holds."""
    found = w8.run(running.Options(1, tmp_path))
    for goal in w8.GOALS:
        assert goals.verdict(goal, goal.figure(found)) == "target met"
    plain = w8.sizes(tmp_path)
    for name in (w8.AGAIN, w8.STATES):
        size, content = plain[name]
        assert size <= content + w8.SAVES * 2_000


RESULT = report.Result(
    "W0",
    "less <than> nothing",
    FOUND,
    [
        goals.AtLeast("ours", "peer", target=10, floor=5),
        goals.AtLeast("ours", "peer", target=20, floor=7, against="a & b"),
        goals.AtMost("peer", ("ours", "other"), 2, 4, against="L"),
        goals.Within("memory", 16, 32, " MiB"),
        goals.Within("nothing", 2, 4, " MiB"),
        goals.Never("builds"),
    ],
)


def test_a_report_says_what_was_found_and_which_floors_were_missed():
    """One line for each contestant and each goal."""
    shown = report.show(RESULT).splitlines()
    assert [line.split("  ")[-1] for line in shown[-6:]] == [
        "floor met",
        "FLOOR MISSED",
        "floor met",
        "target met",
        "target met",
        "FLOOR MISSED",
    ]
    assert report.missed_floors(RESULT) == ["ours, against a & b", "builds"]


def test_the_json_of_a_run_has_the_machine_and_every_figure(tmp_path):
    """Another run can be compared with it, round by round."""
    report.write_json(tmp_path / "w0.json", report.as_plain([RESULT, RESULT]))
    plain = json.loads((tmp_path / "w0.json").read_text("utf-8"))
    assert plain["machine"]["packages"]["msgpack"]
    first, second = plain["workloads"]
    assert first == second
    assert first["figures"]["ours"] == {
        "unit": "s",
        "median": 2.0,
        "values": [1.0, 3.0, 2.0],
    }
    assert [goal["found"] for goal in first["goals"]] == [6, 6, 3, 10, 0, 2]
    assert first["goals"][1] == {
        "name": "ours, against a & b",
        "sign": "≥",
        "unit": "×",
        "found": 6.0,
        "target": 20,
        "floor": 7,
        "verdict": "FLOOR MISSED",
    }


def test_the_picture_is_well_formed_and_shows_every_goal():
    """Also where a name has what XML means something by."""
    root = ElementTree.fromstring(picture.picture([RESULT, RESULT], report.machine()))
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert texts.count("W0: less <than> nothing") == 2
    for goal in RESULT.goals:
        assert texts.count(goal.name) == 2
    points = [each.get("class") for each in root.iter(f"{SVG}circle")]
    once = ["point short", "point missed", "point short", "point", "point"]
    assert points == [*once, "point missed"] * 2


def test_what_is_better_lies_further_right():
    """Of a ratio to exceed as of one to stay below."""
    root = ElementTree.fromstring(picture.picture([RESULT], report.machine()))
    places = [float(each.get("cx")) for each in root.iter(f"{SVG}circle")]
    relative = [goal.relative(goal.figure(FOUND), goal.target) for goal in RESULT.goals]
    by_place = sorted(range(len(places)), key=places.__getitem__)
    assert by_place == sorted(range(len(places)), key=relative.__getitem__)


def test_no_name_in_the_picture_reaches_into_the_axis():
    """Text that overlaps cannot be read; names are as long as their place."""
    names = [goal.name for each in WORKLOADS for goal in each.goals]
    assert [name for name in names if len(name) > picture.LONGEST_NAME] == []
    assert len({(each.name, name) for each in WORKLOADS for name in names}) >= 40


def run_of(tmp_path, monkeypatch, *arguments, floor):
    """Run two small workloads in *tmp_path*; return the exit code."""
    monkeypatch.chdir(tmp_path)
    workloads = [
        running.Workload(
            name,
            "little",
            (goals.AtLeast("ours", "peer", target=10, floor=bound),),
            lambda _: FOUND,
        )
        for name, bound in [("W8", 5), ("W9", floor)]
    ]
    return running.main(workloads, [*arguments])


def test_a_missed_floor_fails_the_run_and_is_named(tmp_path, monkeypatch, capsys):
    """The exit code is for machines, standard error for people."""
    assert run_of(tmp_path, monkeypatch, floor=7) == 1
    assert "floor missed: W9: ours, against peer\n" in capsys.readouterr().err
    assert run_of(tmp_path, monkeypatch, "--only", "W8", floor=7) == 0
    assert run_of(tmp_path, monkeypatch, floor=6) == 0
    assert list(tmp_path.glob(".bench*")) == []


def test_a_run_writes_one_json_and_one_picture(tmp_path, monkeypatch):
    """Of all the workloads that ran."""
    arguments = ["--json", "run.json", "--svg", "run.svg"]
    run_of(tmp_path, monkeypatch, *arguments, floor=5)
    plain = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert [each["workload"] for each in plain["workloads"]] == ["W8", "W9"]
    assert ElementTree.parse(tmp_path / "run.svg").getroot().tag == f"{SVG}svg"
