"""What processes told of torch, put together; some may be of another release."""

import pytest

from overwinter import CacheInfo
from overwinter.info import Note
from overwinter.observing import Event
from overwinter.running import Report, Told

INFO = CacheInfo(skipped=[Note("pgo", "job:0:", "os: made for x")])
INFO.artifacts["inductor"] += ["a", "b"]
GRAPHS = {"inductor": {"hit": 2, "miss": 0}, "aot_autograd": {"hit": 1, "miss": 1}}


def test_processes_are_put_together():
    """Loads and counts are added up, each torch is that of its process."""
    told = Told.by(
        [
            Event("filled", 1, ("/a", INFO.as_dict(), {"x": (1, 2, 3)})),
            Event("filled", 2, ("/a", {}, {"y": (1, 2, 3)})),
            Event("graphs", 1, ("/a", GRAPHS)),
            Event("torch", 1, ({"os": "linux"}, ["why"], "job:0:")),
            Event("graphs", 2, ("/a", GRAPHS)),
            Event("missed", 1, (["input 0: shape"],)),
            Event("missed", 2, (["input 0: shape", "input 1: dtype"],)),
            Event("failed", 2, ("report", "OSError()")),
        ]
    )
    assert told.filled == {"/a": {"x": (1, 2, 3), "y": (1, 2, 3)}}
    assert told.fillers == (1, 2)
    assert told.loaded == {"inductor": 2}
    assert told.left_out == ("skipped: pgo job:0:: os: made for x",)
    assert told.graphs == {"hit": 6, "miss": 2}
    assert (told.torches[1].environment, told.torches[1].pgo_key) == (
        {"os": "linux"},
        "job:0:",
    )
    assert told.torches[2].environment == {}
    assert told.missed == ("input 0: shape", "input 1: dtype")
    assert told.failed == ("process 2 could not report: OSError()",)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("filled", ()),
        ("filled", ("/a", {"new": 1}, {})),
        ("filled", (["a"], {}, {})),
        ("graphs", ("/a", None)),
        ("graphs", ("/a", {"inductor": 3})),
        ("torch", ({}, [], "")),
        ("missed", (3,)),
        ("failed", ("x",)),
    ],
)
def test_what_another_release_told_is_said(name, facts):
    """And costs nothing else: the command may have an overwinter of its own."""
    told = Told.by([Event(name, 7, facts), Event("graphs", 8, ("/a", GRAPHS))])
    assert told.failed == (
        f"process 7 told {name!r} as this release does not: have one release here "
        "and in the command",
    )
    assert told.graphs == {"hit": 3, "miss": 1}


def test_a_report_counts_what_was_appended():
    """Not what the bundle held already, which a save names as well."""
    info = CacheInfo(present=[Note("file", "jax/a", "")])
    info.artifacts["file"] += ["jax/a", "jax/b"]
    info.artifacts["inductor"] += ["c"]
    report = Report("model.owb", ())
    report.take_save(info)
    assert report.saved == {"file": 1, "inductor": 1}
    assert report.lines()[-1].endswith("kept file 1, inductor 1")
