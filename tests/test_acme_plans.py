"""A foreign distribution, examples/acme_plans: built, installed and used."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from bundles import TORCH

from overwinter.registry import GROUP
from overwinter.version import VERSION

TREE = Path(__file__).parent.parent
EXAMPLE = TREE / "examples" / "acme_plans"
GOLDEN = EXAMPLE / "golden"

# Not a secret: it signs golden files and nothing else.
KEY = "overwinter-secret-key-ed25519:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

CLASS = """
import attrs
from overwinter import CacheArtifact, CacheEntry, KindPack

@attrs.frozen
class {name}(CacheArtifact):
    schema_package = "{dist}_schema"
    migrations_package = "{dist}_schema"

    key: str
    {field}: int = 0

    @staticmethod
    def type():
        return "{kind}"

    @classmethod
    def check_key(cls, key):
        pass

    def cache_entry(self):
        return CacheEntry("acme", self.key, b"")

PACK = KindPack([{name}])
"""


@attrs.frozen
class Machine:
    """A virtual environment with both distributions, and a home of its own."""

    root: Path
    python: Path

    def run(self, *arguments: Any, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """Run Python with *arguments*, far from the tree."""
        self.elsewhere.mkdir(exist_ok=True)
        done = subprocess.run(
            [self.python, *arguments],
            capture_output=True,
            text=True,
            cwd=self.elsewhere,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root / "home"),
                "ACME_CACHE_DIR": str(self.root / "acme"),
                "TORCHINDUCTOR_CACHE_DIR": str(self.root / "torchinductor"),
                "OVERWINTER_SIGNING_KEY": KEY,
            },
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def overwinter(self, *arguments: Any, code: int = 0) -> str:
        """Run the command, and return what it prints."""
        command = self.python.with_name("overwinter")
        return self.run("-P", command, *arguments, code=code).stdout

    def script(self, source: str, *arguments: Any) -> Any:
        """Run a script, and return the JSON that it prints."""
        return json.loads(self.run("-c", textwrap.dedent(source), *arguments).stdout)

    @property
    def elsewhere(self) -> Path:
        """The working directory."""
        return self.root / "elsewhere"

    @property
    def site(self) -> Path:
        """Where the distributions are installed."""
        (path,) = (self.root / "venv").glob("lib/python*/site-packages")
        return path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build both wheels and install them; return the folder and its Python."""
    root = tmp_path_factory.mktemp("acme_plans")
    ours = _copied(
        root / "overwinter",
        TREE,
        *("src", "schema", "migrations"),
        *("pyproject.toml", "setup.py", "README.md", "LICENSE"),
    )
    theirs = _copied(
        root / "acme",
        EXAMPLE,
        *("acme_plans", "schema", "migrations", "pyproject.toml"),
    )
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir"]
    _all_succeed(
        [*build, root / "dist", ours],
        [*build, root / "dist", theirs],
        [sys.executable, "-m", "venv", root / "venv"],
    )
    python = root / "venv" / "bin" / "python"
    (first,) = (root / "dist").glob("overwinter-*.whl")
    (second,) = (root / "dist").glob("acme_plans-2.0.0-*.whl")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _all_succeed([*pip, f"{first}[cli]", second])
    return root, python


@pytest.fixture
def machine(installed: tuple[Path, Path]) -> Machine:
    """Return the virtual environment, its home and caches empty."""
    root, python = installed
    for name in ("home", "acme", "torchinductor", "elsewhere"):
        shutil.rmtree(root / name, ignore_errors=True)
    return Machine(root, python)


@pytest.fixture
def tiny(machine: Machine) -> Iterator[Callable[..., None]]:
    """Return what installs a distribution of one module; it is gone afterwards."""
    made: set[Path] = set()

    def install(
        dist: str, kind: str, *, source: str = CLASS, field: str = "size"
    ) -> None:
        package, schema = machine.site / dist, machine.site / f"{dist}_schema"
        metadata = machine.site / f"{dist}-1.5.dist-info"
        folder = schema / kind
        for path in (package, folder, metadata):
            path.mkdir(parents=True, exist_ok=True)
        made.update((package, schema, metadata))
        text = source.format(name=dist.title(), dist=dist, kind=kind, field=field)
        (package / "__init__.py").write_text(text, encoding="utf-8")
        # Written twice within a second: the first one's bytecode would be taken.
        shutil.rmtree(package / "__pycache__", ignore_errors=True)
        fields = [
            {"id": 1, "name": "key", "type": "str"},
            {"id": 2, "name": "size", "type": "i64", "default": 0},
        ]
        plain = {"kind": kind, "version": 1, "cardinality": "one", "fields": fields}
        (schema / "__init__.py").touch()
        (folder / "v1.json").write_text(json.dumps(plain), encoding="utf-8")
        (metadata / "METADATA").write_text(f"Name: {dist}\nVersion: 1.5\n")
        points = f"[{GROUP}]\n{dist} = {dist}:PACK\n"
        (metadata / "entry_points.txt").write_text(points)

    yield install
    for path in made:
        shutil.rmtree(path)


def test_the_installed_contract_keeps_every_rule(machine):
    """Its schema files, HEAD, RELEASED and step all travelled in the wheel."""
    shown = machine.overwinter("schema", "check", "acme/plan", "--corpus", GOLDEN)
    assert shown.splitlines()[1].split() == ["acme/plan", "2", "2", "2", "0"]
    every = json.loads(machine.overwinter("schema", "check", "--json"))
    owners = {each["kind"]: each["owners"] for each in every["kinds"]}
    assert owners["acme/plan"] == ["acme-plans 2.0.0"]
    assert owners["inductor"] == [f"overwinter {VERSION}"]


def test_a_plan_of_version_1_is_populated_by_who_never_imports_acme(machine):
    """Out of the cache directory comes what the first version saved."""
    source = """
        import json, sys
        from overwinter import CacheArtifactManager, load

        info = load(sys.argv[1], environment={}, strict=True)
        loaded = CacheArtifactManager.deserialize(sys.argv[1], environment={})
        print(json.dumps({
            "artifacts": info.artifacts,
            "migrated": [note.reason for note in info.migrated],
            "plans": {each.key: repr(each) for each in loaded["acme/plan"]},
        }))
    """
    found = machine.script(source, GOLDEN / "1.0.0.owb")
    assert found["artifacts"] == {"acme/plan": ["attention", "empty", "norm_2"]}
    assert found["migrated"] == ["version 1 -> 2"] * 3
    assert found["plans"]["norm_2"] == (
        "Plan(key='norm_2', stages=(Stage(name='norm', work=Copy(n_bytes=0), "
        "warps=4),), median_ns=3000, device='a100')"
    )
    files = {path.name: path.read_bytes() for path in (machine.root / "acme").iterdir()}
    assert files == {
        "attention.bin": b"attention program\x00\x01",
        "empty.bin": b"",
        "norm_2.bin": b"norm program" * 40,
    }


def test_a_bundle_of_version_1_is_upgraded(machine):
    """Planned, then done, with the loss that the step declares."""
    old, new = GOLDEN / "1.0.0.owb", machine.root / "elsewhere" / "new.owb"
    plan = json.loads(machine.overwinter("migrate", "plan", "--json", old))
    (block,) = plan["segments"][0]["blocks"]
    assert (block["kind"], block["version"], block["becomes"]) == ("acme/plan", 1, 2)
    assert block["losses"] == ["fractions of a nanosecond"]
    assert not new.exists()

    machine.overwinter("upgrade", old, "--out", new)
    report = json.loads(machine.overwinter("inspect", "--json", new))
    kinds = [each["kinds"] for each in report["segments"]]
    assert [(k["kind"], k["version"], k["artifacts"]) for k in kinds[0]] == [
        ("acme/plan", 2, 3)
    ]


def test_plans_are_saved_and_loaded(machine):
    """By the class, as its author and users write it."""
    source = """
        import json, sys
        from acme_plans import Copy, Layout, Matmul, Plan, Stage
        from overwinter import CacheArtifactManager, load, save

        matmul = Matmul((1, 2), Layout.COLUMN)
        stages = (Stage("a", Copy(7)), Stage("b", matmul, warps=2))
        one = Plan("one", stages, 5, b"program", device="z9")
        plans = [one, Plan("two", (), 0, b"")]
        saved = save(sys.argv[1], plans)
        loaded = CacheArtifactManager.deserialize(sys.argv[1], strict=True)
        info = load(sys.argv[1], strict=True)
        is_same = loaded["acme/plan"] == plans
        print(json.dumps([is_same, saved.artifacts, info.artifacts]))
    """
    keys = {"acme/plan": ["one", "two"]}
    assert machine.script(source, "plans.owb") == [True, keys, keys]
    assert (machine.root / "acme" / "one.bin").read_bytes() == b"program"


SAVE_ALL = f"""
    SAID = {TORCH!r}
    import json, sys
    from acme_plans import Plan
    from brittle import Brittle
    from drifting import Drifting
    from overwinter import save
    from overwinter.kinds import InductorArtifact, PGOArtifact

    artifacts = [
        Plan("one", (), 5, b"program"), Brittle("two"), Drifting("three"),
        InductorArtifact("f" + "a" * 51, b"graph"), PGOArtifact("job:0:main", b"pgo"),
    ]
    info = save(sys.argv[1], artifacts, environment=SAID, allow_drafts=True)
    print(json.dumps(info.artifacts))
"""

LOAD_ALL = f"""
    SAID = {TORCH!r}
    import json, sys
    from overwinter import CacheArtifactManager, load, save
    from overwinter.kinds import InductorArtifact, PGOArtifact

    info = load(sys.argv[1], environment=SAID)
    ours = [
        InductorArtifact("f" + "b" * 51, b"graph"), PGOArtifact("job:1:main", b"pgo"),
    ]
    save("ours.owb", ours, environment=SAID)
    again = CacheArtifactManager.deserialize("ours.owb", environment=SAID, strict=True)
    print(json.dumps({{
        "artifacts": info.artifacts,
        "opaque": {{note.kind: note.reason for note in info.opaque}},
        "again": [again["inductor"] + again["pgo"] == ours],
        "problems": info.problems,
    }}))
"""

TORCHS = {"inductor": ["f" + "a" * 51], "pgo": ["job:0:main"]}


def test_distributions_that_went_wrong_disable_their_kinds_alone(machine, tiny):
    """Each is named in the report of a load, and torch's kinds go on as before."""
    tiny("brittle", "brittle/plan")
    tiny("drifting", "drifting/plan")
    everything = {
        "acme/plan": ["one"],
        "brittle/plan": ["two"],
        "drifting/plan": ["three"],
        **TORCHS,
    }
    assert machine.script(SAVE_ALL, "all.owb") == everything
    sound = machine.script(LOAD_ALL, "all.owb")
    assert (sound["artifacts"], sound["opaque"]) == (everything, {})

    tiny("brittle", "brittle/plan", source="import nothing_of_this_name\n")
    tiny("drifting", "drifting/plan", field="n_bytes")
    tiny("rival", "acme/plan")
    found = machine.script(LOAD_ALL, "all.owb")

    assert found["artifacts"] == TORCHS
    assert found["again"] == [True]
    assert found["problems"] == []
    words = {
        "acme/plan": (
            "is claimed by acme-plans 2.0.0 and rival 1.5; uninstall one of them",
        ),
        "brittle/plan": (
            "the kinds of brittle 1.5 are disabled",
            "No module named 'nothing_of_this_name'; mend or uninstall brittle 1.5",
        ),
        "drifting/plan": (
            "Drifting has drifted from drifting_schema/drifting/plan/v1.json",
            "mend or uninstall drifting 1.5",
        ),
    }
    assert found["opaque"].keys() == words.keys()
    for kind, parts in words.items():
        for part in parts:
            assert part in found["opaque"][kind]


def _copied(target: Path, source: Path, *names: str) -> Path:
    # A copy: a build leaves files in the tree, and takes up those it finds there.
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in names:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=ignored)
        else:
            target.mkdir(exist_ok=True)
            shutil.copy(path, target / name)
    return target


def _all_succeed(*commands: list[Any]) -> None:
    """Run all *commands* at once."""
    running = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for command in commands
    ]
    for process in running:
        told, _ = process.communicate()
        assert process.returncode == 0, told
