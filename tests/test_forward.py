"""
The forward promise: an older release reads a newer bundle as far as it can.

Kinds and versions that it does not know, and fields that were added, stay as they
are in the file. The older release is the real one: its wheel, built from the commit
in its golden folder, in an environment of its own.
"""

import base64
import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.graphs import Compile, Graph, Link, Mode, Source
from acme.plans import Plan, registered
from forging import HEADER, Forgery, file_of, prefix_of

from overwinter import Bundle, CacheArtifactManager
from overwinter.artifact import CacheArtifact
from overwinter.bundle import KindStamp, Records, append_segment, verify, write_bundle
from overwinter.factory import CacheArtifactFactory
from overwinter.info import OUTCOMES
from overwinter.save import save
from overwinter.schema import oldest_reader, read_schema
from overwinter.sources import BytesSource
from overwinter.trust import Policy

RELEASE = "0.1.0"
TREE = Path(__file__).parent.parent
GOLDEN = TREE / "tests" / "golden"
WRITE = runpy.run_path(str(GOLDEN / "write.py"))
KEY, ENVIRONMENT = WRITE["KEY"], WRITE["ENVIRONMENT"]
KINDS = "aot_autograd autotune inductor native pgo precompile".split()  # at version 1
SECRET = "overwinter-secret-key-ed25519:" + base64.b64encode(bytes(range(32))).decode()

# What the older release does for us: a request from standard input, JSON back.
DRIVER = """
import base64, hashlib, json, sys
from overwinter import CacheArtifactFactory, CacheArtifactManager
from overwinter.info import OUTCOMES
from overwinter.save import save
from overwinter.version import VERSION

request = json.load(sys.stdin)
path, environment = request["path"], request["environment"]
if "entries" in request:
    artifacts = [
        CacheArtifactFactory.create(kind, key, base64.b64decode(content))
        for kind, key, content in request["entries"]
    ]
    save(path, artifacts, environment=environment)
loaded = CacheArtifactManager.deserialize(path, environment=environment)
report = {
    "version": VERSION,
    "contents": [
        [kind, each.key, hashlib.sha256(each.content).hexdigest()]
        for kind, artifacts in loaded.items()
        for each in artifacts
    ],
    "problems": loaded.info.problems,
    "notes": {
        outcome: [[note.kind, note.key, note.reason] for note in notes]
        for outcome in OUTCOMES
        if (notes := getattr(loaded.info, outcome))
    },
}
print(json.dumps(report))
"""

Entry = tuple[str, str, bytes]


@attrs.frozen
class Found:
    """What a release found in a bundle: kind, key and digest; notes by outcome."""

    contents: list[list[str]]
    problems: list[str]
    notes: dict[str, list[list[str]]]


@attrs.frozen
class Release:
    """The older release in its environment; nothing of this tree is in reach."""

    folder: Path

    def run(self, *command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a program of the environment, with the key that we sign with."""
        return subprocess.run(
            [self.folder / "bin" / command[0], *command[1:]],
            cwd=self.folder,
            env=_environ(HOME=str(self.folder), OVERWINTER_SIGNING_KEY=SECRET),
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def drive(self, path: Path, **request: Any) -> "subprocess.CompletedProcess[str]":
        """Run the driver on the bundle at *path*."""
        asked = {"path": str(path), "environment": ENVIRONMENT, **request}
        return self.run("python", "-I", "-c", DRIVER, given=json.dumps(asked))

    def read(self, path: Path, **request: Any) -> Found:
        """Return what the release finds in the bundle at *path*."""
        done = self.drive(path, **request)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report.pop("version") == RELEASE
        report["contents"].sort()
        return Found(**report)

    def save(self, path: Path, entries: Iterable[Entry]) -> Found:
        """Save *entries* in the bundle at *path*; return what is in it then."""
        return self.read(path, entries=_as_json(entries))

    def json(self, *command: str) -> Any:
        """Return what ``overwinter`` prints when all is well."""
        done = self.run("overwinter", *command)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Install the release, from the commit that its golden folder names."""
    commit = (GOLDEN / RELEASE / "COMMIT").read_text(encoding="utf-8").strip()
    tmp_path = tmp_path_factory.mktemp(RELEASE)
    _archive(commit, tmp_path / "tree.zip")
    shutil.unpack_archive(tmp_path / "tree.zip", tmp_path / "tree")

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=_environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout

    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "tree")
    wheel = tmp_path / "tree" / "dist" / f"overwinter-{RELEASE}-py3-none-any.whl"
    run(sys.executable, "-m", "venv", "venv")
    folder = tmp_path / "venv"
    run(folder / "bin" / "python", "-m", "pip", "install", f"{wheel}[cli]")
    return Release(folder)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", SECRET)


def _archive(commit: str, target: Path) -> None:
    """Write the files of *commit*, or skip where this is no clone that has it."""
    if not (TREE / ".git").exists():
        pytest.skip(f"no clone: fetch one with commit {commit} of release {RELEASE}")
    git = ["git", "-C", str(TREE)]
    asked = subprocess.run(
        [*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, text=True
    )
    if asked.returncode != 0:
        pytest.skip(
            f"this clone lacks commit {commit} of release {RELEASE} "
            f"({asked.stderr.strip()}): git fetch --unshallow, or "
            f"git fetch origin {commit}"
        )
    subprocess.run([*git, "archive", f"--output={target}", commit], check=True)


def _environ(**changes: str) -> dict[str, str]:
    """Return our environment without what would lead Python back to this tree."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**kept, **changes}


# --- what both releases are given --------------------------------------------


def _today(path: Path) -> Found:
    """Return what the code of today finds in the bundle at *path*."""
    loaded = CacheArtifactManager.deserialize(
        path, policy=Policy([KEY.public]), environment=ENVIRONMENT
    )
    info = loaded.info
    return Found(
        _contents(each for group in loaded.values() for each in group),
        info.problems,
        {
            outcome: [[note.kind, note.key, note.reason] for note in notes]
            for outcome in OUTCOMES
            if (notes := getattr(info, outcome))
        },
    )


def _as_json(entries: Iterable[Entry]) -> list[list[str]]:
    return [
        [kind, key, base64.b64encode(content).decode()]
        for kind, key, content in entries
    ]


def _contents(artifacts: Iterable[CacheArtifact]) -> list[list[str]]:
    """Return kind, key and digest of each."""
    return sorted(
        [each.type(), each.key, hashlib.sha256(each.content).hexdigest()]
        for each in artifacts
    )


def _saved(path: Path, *artifacts: CacheArtifact) -> Path:
    save(path, artifacts, environment=ENVIRONMENT)
    return path


def _inductor(name: str) -> CacheArtifact:
    return CacheArtifactFactory.create(*_entry(name))


def _entry(name: str) -> Entry:
    return "inductor", WRITE["key"]("f", name), name.encode()


def _autotuned() -> list[Entry]:
    """Return autotune's records: as torch writes them, and as somebody else might."""
    return [
        ("autotune", f"{number}b/{'d' * 51}.best_config", content)
        for number, content in enumerate(WRITE["AUTOTUNE"])
    ]


def _everything() -> list[CacheArtifact]:
    """Return artifacts of every kind that the older release has."""
    found: list[CacheArtifact] = [*WRITE["first_save"](), *WRITE["second_save"]()]
    assert {each.type() for each in found} >= set(KINDS)
    return found


def _acme() -> list[CacheArtifact]:
    """Return artifacts of kinds and of types that the older release never heard of."""
    source = Source("model.py", (1, 2))
    graph = Graph(
        key="graph",
        program=b"program",
        mode=Mode.BEST,
        target="tpu",
        source=source,
        sources=(source,),
        by_name={"main": source},
        spare=None,
        action=Compile(source, ["-O2"]),
        actions=(Link([]),),
        modes={"main": Mode.FAST},
        seen=1,
        size=2**63,
        score=0.5,
        nothing=None,
        is_done=True,
        digest=b"digest",
        more={"any": [1]},
    )
    return [graph, Plan("plan", b"plan", 3)]


def _later(
    path: Path, kind: str, columns: dict[str, list[Any]], *fields: dict[str, Any]
) -> KindStamp:
    """
    Write a bundle of a later version of *kind*, with more *fields*; return its stamp.

    The oldest reader is what our rule says: it decides for later releases as well.
    """
    ours = CacheArtifactFactory.kind(kind)
    plain = ours.schema.as_plain()
    plain["version"] += 1
    plain["fields"] += fields
    schema = read_schema(plain)
    known = [ours.schemas[each] for each in range(1, schema.version)]
    oldest = oldest_reader([*known, schema], ours.steps.converted)
    stamp = KindStamp(kind, schema.version, schema.fingerprint, oldest, plain)
    records = Records(stamp, columns, schema.payload_names, ENVIRONMENT)
    with path.open("wb") as file:
        write_bundle(file, [records], writer="overwinter 9", key=KEY)
    return stamp


def _segments(path: Path) -> list[tuple[Any, ...]]:
    """Return of each segment where it lies, its bytes, its stamps and its signers."""
    data = path.read_bytes()
    with Bundle(path) as bundle:
        assert list(verify(bundle)) == []
        return [
            (
                each.entry,
                data[each.entry.offset : each.entry.offset + each.entry.size],
                [attrs.asdict(kind) for kind in each.statement.kinds],
                each.signers,
            )
            for each in bundle.segments
        ]


def _unknown_kind(name: str) -> str:
    """Return what the older release says of a kind that it does not know."""
    return (
        f"kind {name!r} is not registered; registered are {', '.join(KINDS)}; register "
        "its class with CacheArtifactFactory.register once; it is kept as it is"
    )


def _out_of_reach(stamp: KindStamp) -> str:
    """Return what it says of a version that it does not know."""
    return (
        f"written as version {stamp.version}, which readers of {stamp.oldest_reader} "
        "know; this release knows 1: upgrade overwinter, or save again with this "
        "release"
    )


# --- an older reader ---------------------------------------------------------


def test_an_older_release_reads_every_kind_whose_version_it_knows(older, tmp_path):
    """Keys and contents are those of today, down to a payload of several blocks."""
    path = _saved(tmp_path / "bundle.owb", *_everything())
    known = {
        kind
        for kind in KINDS
        if CacheArtifactFactory.kind(kind).stamp.oldest_reader == 1
    }
    assert known == {"aot_autograd", "inductor", "native", "pgo", "precompile"}

    found = older.read(path)
    assert found.contents == _contents(
        each for each in _everything() if each.type() in known
    )
    assert found.problems == []
    assert {note[0] for notes in found.notes.values() for note in notes} == {"autotune"}


def test_a_later_version_is_opaque_to_an_older_release(older, tmp_path):
    """Listed by key, with the version that it needs; nothing of it is misread."""
    artifacts = [CacheArtifactFactory.create(*each) for each in _autotuned()]
    path = _saved(tmp_path / "bundle.owb", *artifacts, _inductor("beside"))
    reason = _out_of_reach(CacheArtifactFactory.kind("autotune").stamp)
    assert "written as version 2, which readers of 2 know" in reason

    assert older.read(path) == Found(
        contents=_contents([_inductor("beside")]),
        problems=[],
        notes={"opaque": [["autotune", each.key, reason] for each in artifacts]},
    )


def test_an_unknown_kind_is_opaque_to_an_older_release(older, tmp_path):
    """Also one whose schema has types that the release never heard of."""
    with registered(Graph, Plan):
        path = _saved(tmp_path / "bundle.owb", *_acme(), _inductor("beside"))

    assert older.read(path) == Found(
        contents=_contents([_inductor("beside")]),
        problems=[],
        notes={
            "opaque": [
                ["acme/graph", "graph", _unknown_kind("acme/graph")],
                ["acme/plan", "plan", _unknown_kind("acme/plan")],
            ]
        },
    )


def test_an_older_release_lists_and_verifies_what_it_does_not_know(older, tmp_path):
    """Both commands count every artifact, and end well."""
    autotuned = [CacheArtifactFactory.create(*each) for each in _autotuned()]
    artifacts = [*_acme(), *autotuned, _inductor("beside")]
    with registered(Graph, Plan):
        path = _saved(tmp_path / "bundle.owb", *artifacts)

    (shown,) = older.json("inspect", "--json", "--keys", str(path))["segments"]
    assert [[e["kind"], e["version"], e["artifacts"]] for e in shown["kinds"]] == [
        ["acme/graph", 1, 1],
        ["acme/plan", 3, 1],
        ["autotune", 2, len(autotuned)],
        ["inductor", 1, 1],
    ]
    assert sorted([each["kind"], each["key"]] for each in shown["artifacts"]) == sorted(
        [each.type(), each.key] for each in artifacts
    )

    verified = older.json("verify", "--json", str(path))
    assert (verified["artifacts"], verified["signed_segments"]) == (len(artifacts), 1)
    assert verified["findings"] == []


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ({"optional": "str"}, "added"),
        ({"list": "u64"}, [2**64 - 1]),
        ({"optional": "payload"}, b"added"),
        ("opaque", {"added": [None]}),
    ],
    ids=ascii,
)
def test_an_older_release_leaves_out_a_field_that_was_added(
    older, tmp_path, type_, value
):
    """The rest of the record is read as if nobody had added anything."""
    path = tmp_path / "bundle.owb"
    kind, key, content = _entry("added to")
    stamp = _later(
        path,
        kind,
        {"key": [key], "content": [content], "added": [value]},
        {"id": 3, "name": "added", "type": type_},
    )
    assert (stamp.version, stamp.oldest_reader) == (2, 1)

    assert older.read(path) == Found(_contents([_inductor("added to")]), [], {})


@pytest.mark.parametrize(
    "type_",
    [
        {"enum": {"values": ["added"], "open": True}},
        {"optional": {"enum": {"values": ["added"], "open": False}}},
    ],
    ids=ascii,
)
def test_a_field_of_a_type_that_an_older_release_lacks_makes_records_opaque(
    older, tmp_path, type_
):
    """It cannot tell payloads from fields then: out of its reach, and not damaged."""
    path = tmp_path / "bundle.owb"
    kind, key, content = _entry("added to")
    stamp = _later(
        path,
        kind,
        {"key": [key], "content": [content], "added": ["added"]},
        {"id": 3, "name": "added", "type": type_},
    )

    assert older.read(path) == Found(
        contents=[],
        problems=[],
        notes={"opaque": [[kind, key, _out_of_reach(stamp)]]},
    )


def test_an_older_release_refuses_a_feature_that_it_lacks_by_name(older, tmp_path):
    """Reading on would misread; the exit code is that of a version out of reach."""
    path = tmp_path / "bundle.owb"
    header = {**HEADER, "requires": ["b-trees"]}
    path.write_bytes(file_of(Forgery().segment(), prefix=prefix_of(header)))

    for command in ("inspect", "verify"):
        done = older.run("overwinter", command, "--json", str(path))
        assert (done.returncode, done.stdout) == (5, "")
        assert "a program must know b-trees, which this release does not" in done.stderr
    (problem,) = older.read(path).problems
    assert "a program must know b-trees" in problem


def test_an_older_release_does_not_append_where_it_lacks_a_feature(older, tmp_path):
    """Such a bundle is read, and not one byte of it is touched."""
    path = tmp_path / "bundle.owb"
    header = {**HEADER, "write_requires": ["locks"]}
    path.write_bytes(file_of(Forgery().segment(), prefix=prefix_of(header)))
    before = path.read_bytes()

    assert [note[:2] for note in older.read(path).notes["opaque"]] == [
        ["acme/plan", "a"],
        ["acme/plan", "b"],
    ]
    done = older.drive(path, entries=_as_json([_entry("refused")]))
    assert done.returncode == 1
    assert "to append to it, a program must know locks" in done.stderr
    assert path.read_bytes() == before


# --- two writers of one bundle -----------------------------------------------


def test_an_older_release_that_appends_keeps_every_byte(older, tmp_path):
    """What it cannot read stands as we signed it, and we read what both wrote."""
    path = tmp_path / "bundle.owb"
    with registered(Graph, Plan):
        _saved(path, *_acme(), *_everything())
        _saved(path, _inductor("second"))
    data, before = path.read_bytes(), _segments(path)
    autotuned = _autotuned()

    found = older.save(path, [*autotuned, _entry("theirs")])
    assert path.read_bytes().startswith(data)
    after = _segments(path)
    assert after[:-1] == before
    assert after[-1][-1] == (KEY.public,)
    assert [each["version"] for each in after[-1][2]] == [1, 1]

    theirs = [CacheArtifactFactory.create(*each) for each in autotuned]
    theirs.append(_inductor("theirs"))
    assert {tuple(each) for each in _contents(theirs)} <= set(
        map(tuple, found.contents)
    )
    with registered(Graph, Plan):
        today = _today(path)
    assert today.contents == _contents(
        [*_acme(), *_everything(), _inductor("second"), *theirs]
    )
    assert (today.problems, list(today.notes)) == ([], ["migrated"])


def test_we_append_to_a_bundle_of_an_older_release_and_keep_every_byte(older, tmp_path):
    """It goes on reading its own, and lists what it does not know of ours."""
    path = tmp_path / "bundle.owb"
    own = older.save(path, [*_autotuned(), _entry("theirs")])
    assert (own.problems, own.notes) == ([], {})
    data, before = path.read_bytes(), _segments(path)

    tuned = CacheArtifactFactory.create("autotune", f"zz/{'e' * 51}.best_config", b"{}")
    with registered(Graph, Plan):
        _saved(path, *_acme(), tuned, _inductor("ours"))
    assert path.read_bytes().startswith(data)
    after = _segments(path)
    assert after[:-1] == before

    assert older.read(path) == Found(
        contents=sorted([*own.contents, *_contents([_inductor("ours")])]),
        problems=[],
        notes={
            "opaque": [
                ["acme/graph", "graph", _unknown_kind("acme/graph")],
                ["acme/plan", "plan", _unknown_kind("acme/plan")],
                [
                    "autotune",
                    tuned.key,
                    _out_of_reach(CacheArtifactFactory.kind("autotune").stamp),
                ],
            ]
        },
    )


def test_what_an_older_release_saved_is_not_saved_again(older, tmp_path):
    """Equal artifacts of a version that both know are one segment, of one name."""
    path, other = tmp_path / "bundle.owb", tmp_path / "other.owb"
    older.save(path, [_entry("equal")])
    data = path.read_bytes()
    _saved(path, _inductor("equal"))
    assert path.read_bytes() == data

    _saved(other, _inductor("equal"))
    data = other.read_bytes()
    older.save(other, [_entry("equal")])
    assert other.read_bytes() == data


def test_what_an_older_release_saves_today_is_migrated(older, tmp_path):
    """Not only its golden file: records of now give the same contents back."""
    path = tmp_path / "bundle.owb"
    entries = _autotuned()
    found = older.save(path, entries)
    assert [stamp["version"] for stamp in _segments(path)[0][2]] == [1]

    newest = CacheArtifactFactory.kind("autotune").schema.version
    assert newest > 1
    today = _today(path)
    assert today.contents == found.contents
    assert today.contents == sorted(
        [kind, key, hashlib.sha256(content).hexdigest()]
        for kind, key, content in entries
    )
    assert (today.problems, today.notes) == (
        [],
        {"migrated": [[k, key, f"version 1 -> {newest}"] for k, key, _ in entries]},
    )


# --- this release, before a later one ----------------------------------------


def test_a_save_keeps_what_this_release_does_not_know(tmp_path):
    """A later release's kinds and versions stay in the file, stamped as they were."""
    path = tmp_path / "bundle.owb"
    kind, key, content = _entry("later")
    known = _later(
        path,
        kind,
        {"key": [key], "content": [content], "added": ["added"]},
        {"id": 3, "name": "added", "type": "str"},
    )
    assert known.oldest_reader == known.version - 1
    ours = CacheArtifactFactory.kind("autotune")
    plain = {**ours.schema.as_plain(), "version": 9}
    beyond = KindStamp("autotune", 9, read_schema(plain).fingerprint, 9, plain)
    tuned = f"zz/{'e' * 51}.best_config"
    later_language = {"language": 2, "kind": "acme/later"}
    unknown = KindStamp("acme/later", 1, bytes(32), 1, later_language)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        append_segment(
            file,
            BytesSource(path.read_bytes()),
            [
                Records(beyond, {"key": [tuned]}, frozenset()),
                Records(unknown, {"key": ["k"]}, frozenset()),
            ],
            key=KEY,
        )
    data, before = path.read_bytes(), _segments(path)

    _saved(path, _inductor("ours"))
    assert path.read_bytes().startswith(data)
    assert _segments(path)[:-1] == before
    found = _today(path)
    assert found.contents == _contents([_inductor("later"), _inductor("ours")])
    assert (found.problems, list(found.notes)) == ([], ["opaque"])
    kind_note, version_note = found.notes["opaque"]
    assert kind_note[:2] == ["acme/later", "k"]
    assert version_note[:2] == ["autotune", tuned]
    assert "written as version 9, which readers of 9 know" in version_note[2]
