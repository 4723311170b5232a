"""``overwinter upgrade``: a new bundle, whole or not at all; the old one stays."""

import base64
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from acme.plans import Plan, records_of, registered
from bundles import built, environ_of_child, flipped, regions
from forging import file_of, prefix_of

from overwinter import Bundle
from overwinter.bundle import verify
from overwinter.cli.main import main
from overwinter.trust import SigningKey

SEED = base64.b64encode(bytes(range(32))).decode()
MACHINE = f"overwinter-secret-key-ed25519:{SEED}"

# In a process of its own, with acme's kind.
CHILD = """
import sys
from acme.plans import Plan, registered
from overwinter.cli.main import main
with registered(Plan):
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def acme(monkeypatch):
    """Have acme's kind, on a machine that trusts the key of the tests."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", MACHINE)
    with registered(Plan):
        yield


def old(n: int = 2, **columns: list[Any]) -> bytes:
    """Return a bundle with records of version 1, whose payloads do not compress."""
    keys = [f"key-{number}" for number in range(n)]
    programs = [os.urandom(4096) for _ in keys]
    values = {"median_us": [1.5] * n, "program": programs}
    return built(records_of(1, **{"key": keys, **values, **columns}), level=3)


def left() -> list[str]:
    """Return the names of all files here."""
    return sorted(path.name for path in Path.cwd().iterdir() if path.is_file())


def versions(name: str) -> list[tuple[str, int]]:
    """Return the kinds and versions in a bundle, which must be sound."""
    with Bundle(name) as bundle:
        assert list(verify(bundle)) == []
        return [
            (stamp.kind, stamp.version)
            for segment in bundle.segments
            for stamp in segment.statement.kinds
        ]


def test_an_upgrade_ends_with_0_and_says_what_it_did(put, capsys):
    """The words of the plan; the new bundle has the newest version."""
    data = old()
    assert main(["upgrade", put(data), "--out", "new.owb"]) == 0
    shown = capsys.readouterr()
    assert "model.owb: 2 artifacts migrated in 1 of 1 segments" in shown.out
    assert shown.err == ""
    assert versions("new.owb") == [("acme/plan", 3)]
    assert Path("model.owb").read_bytes() == data


def test_an_upgrade_is_told_as_the_plan_was(put, capsys):
    """The same JSON: who read the plan knows what was done."""
    name = put(old())
    assert main(["migrate", "plan", "--json", name]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert main(["upgrade", name, "--out", "new.owb", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == planned
    assert planned["version"] == 1


def test_an_upgraded_bundle_has_nothing_to_upgrade(put, capsys):
    """And is written again byte for byte."""
    assert main(["upgrade", put(old()), "--out", "new.owb"]) == 0
    assert main(["upgrade", "new.owb", "--out", "newer.owb"]) == 0
    assert "0 artifacts migrated in 0 of 1 segments" in capsys.readouterr().out
    assert Path("newer.owb").read_bytes() == Path("new.owb").read_bytes()


def test_problems_end_with_4_and_the_rest_is_done(put, capsys):
    """A record that a step fails on stays in the new bundle, as it was."""
    name = put(old(median_us=[float("inf"), 1.0]))
    assert main(["upgrade", name, "--out", "new.owb"]) == 4
    assert versions("new.owb") == [("acme/plan", 1), ("acme/plan", 3)]
    assert "'key-0': acme/plan 1 -> 2: found OverflowError" in capsys.readouterr().err


def test_what_is_not_trusted_is_copied(put, capsys):
    """Byte for byte, with its signature: nobody signs for others."""
    stranger = SigningKey(bytes(32))
    records = records_of(1, key=["a"], program=[b"x"], median_us=[None])
    name = put(built(records, key=stranger))
    assert main(["upgrade", name, "--out", "new.owb"]) == 4
    with Bundle("new.owb") as bundle:
        assert bundle.segments[0].signers == (stranger.public,)
    assert versions("new.owb") == [("acme/plan", 1)]


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda: b"", 4, "is empty, but a bundle starts with"),
        (lambda: b"not a bundle at all", 4, "starts with 6e 6f 74"),
        (lambda: old()[:200], 4, "trailer: found none in 200 bytes"),
        (lambda: file_of(prefix=prefix_of(major=9, oldest_reader=9)), 5, "upgrade ove"),
    ],
    ids=["empty", "foreign", "cut", "later"],
)
def test_what_cannot_be_opened_leaves_no_new_file(put, capsys, make, code, words):
    """With the code of the reason."""
    assert main(["upgrade", put(make()), "--out", "new.owb"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert left() == ["model.owb"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["missing.owb", "--out", "new.owb"], 3, "missing.owb: no such file"),
        (["model.owb"], 2, "Missing option '-o' / '--out'"),
        ([".", "--out", "new.owb"], 2, "File '.' is a directory"),
        (["model.owb", "--out", "."], 2, "File '.' is a directory"),
        (["model.owb", "--out", "no/new.owb"], 3, "no/new.owb: could not write it: "),
        (["model.owb", "--out", "model.owb"], 6, "something there already"),
        (["model.owb", "--out", "other.owb"], 6, "something there already"),
        (["model.owb", "--out", "dangling.owb"], 6, "something there already"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_an_upgrade_that_cannot_be_is_told(put, capsys, arguments, code, words):
    """Nothing is written over: not the bundle, not another, not through a link."""
    data = old()
    put(data)
    Path("other.owb").write_bytes(b"somebody's")
    Path("dangling.owb").symlink_to("nowhere.owb")
    assert main(["upgrade", *arguments]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert words in shown.err
    assert left() == ["model.owb", "other.owb"]
    assert Path("model.owb").read_bytes() == data
    assert Path("other.owb").read_bytes() == b"somebody's"


def test_a_damaged_segment_is_carried_and_told(put, capsys):
    """What a later release may mend is not thrown away."""
    data = old()
    assert main(["upgrade", put(_damaged(data)), "--out", "new.owb"]) == 4
    shown = capsys.readouterr()
    assert "segment 0, statement: found SHA-256" in shown.err
    with Bundle("new.owb") as bundle:
        assert len(bundle.refused) == 1


def _damaged(data: bytes) -> bytes:
    return flipped(data, regions(data)["statement 0"][5], 0)


def test_a_disk_that_is_full_leaves_nothing(put):
    """The words say what happened; no half of a bundle stands beside the old one."""
    data = old(64)
    name = put(data)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "upgrade", name, "--out", "new.owb"],
        capture_output=True,
        text=True,
        env=environ_of_child(OVERWINTER_SIGNING_KEY=MACHINE),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536)),
    )
    assert done.returncode == 1, done.stderr
    assert "new.owb: could not write it: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert left() == ["model.owb"]
    assert Path(name).read_bytes() == data


def test_an_interrupt_leaves_nothing(put):
    """Ctrl-C ends with 130, as a shell reports it, wherever it comes."""
    name = put(old(8))
    slow = CHILD.replace(
        "with registered",
        "import overwinter.upgrade as module, signal, time\n"
        # A job in the background of a shell is started to ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def migrate(*arguments, **options):\n"
        "    print('migrating', flush=True)\n"
        "    time.sleep(60)\n"
        "module.migrate = migrate\n"
        "with registered",
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow, "upgrade", name, "--out", "new.owb"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ_of_child(OVERWINTER_SIGNING_KEY=MACHINE),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "migrating\n"
        # The temporary file is there, or this would prove nothing.
        assert len(left()) == 2
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert told.strip() == "overwinter: interrupted"
    assert time.monotonic() - started < 30
    assert left() == ["model.owb"]
