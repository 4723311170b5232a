"""
Hostile migrations and kind packs: code that is installed, and that does what it may
not. It runs as whoever installed it; but it takes nothing along when it fails, and a
bundle never decides that any of it is imported.
"""

import os
import sys
from typing import Any

import attrs
from acme.plans import Plan, records_of, registered
from bundles import built

from attacks.scenes import Scenario, Scene, scenario
from overwinter import CacheArtifactFactory, KindPack
from overwinter.artifact import CacheEntry
from overwinter.encode import encode
from overwinter.errors import KindError
from overwinter.kinds import InductorArtifact
from overwinter.migration import Steps, migration, replace
from overwinter.migration.purity import find_impurities
from overwinter.registry import Registry

from attacks.graphs import CANARIES, GRAPHS, MACHINE, TRUSTING  # isort: skip

SCENES: list[Scenario] = []
_add = scenario(SCENES)

GRAPH = InductorArtifact(GRAPHS[0], CANARIES[0])


# --- steps that are not pure ------------------------------------------------

STEPS = {
    "step_exec": "exec('x')",
    "step_eval": "eval('x')",
    "step_open": "open('/etc/passwd')",
    "step_import": "import os",
    "step_import_inside": "def up(x):\n    import os\n    return x",
    "step_from_import": "from os import system",
    "step_dunder_import": "__import__('os')",
    "step_subclasses": "().__class__.__base__.__subclasses__()",
    "step_globals": "up.__globals__",
    "step_frames": "(x for x in ()).gi_frame.f_back",
    "step_builtins": "__builtins__['open']",
    "step_getattr": "getattr(x, 'y')",
    "step_through_a_module": "import json\njson.codecs",
    "step_attrgetter": "from operator import attrgetter",
    "step_ours": "from overwinter.files import replacing",
    "step_state": "def up(x):\n    global seen\n    seen = x\n    return x",
    "step_traceback": "error.__traceback__.tb_frame",
    "step_star": "from json import *",
    "step_no_python": "def (",
}


def _found(source: str) -> Any:
    def play(scene: Scene) -> None:
        # To parse is to compile, and nothing is run.
        assert find_impurities(source, "v1_to_v2.py")

    return play


SCENES += [
    Scenario(name, f"A step that says {source.splitlines()[0]!r}.", _found(source))
    for name, source in STEPS.items()
]


# --- steps and classes that fail --------------------------------------------


def _plan(**members: Any) -> type[Plan]:
    """Return acme's class with other methods."""
    return attrs.frozen(type("Plan", (Plan,), {"__module__": __name__, **members}))


def _load(scene: Scene, cls: type[Plan], *, old: bool = False) -> Any:
    """Load a plan and a graph, with *cls* for acme's kind; the graph is populated."""
    acme = scene.sandbox.root / "acme"
    plans = (
        [records_of(1, key=["a"], program=[CANARIES[1]], median_us=[1.5])]
        if old
        else encode([Plan("a", CANARIES[1])], MACHINE)
    )
    data = built(*plans, *encode([GRAPH], MACHINE))
    info = scene.load(
        scene.cache,
        acme,
        target=data,
        directories={
            "torchinductor": lambda: str(scene.cache),
            "acme": lambda: str(acme),
        },
    )
    assert info.inductor_artifacts == [GRAPH.key]
    assert len(scene.only_signed()) == 1
    if acme.exists():
        for path in acme.rglob("*"):
            assert path.is_dir() or path.read_bytes() == CANARIES[1]
    assert cls
    return info


def _with_step(scene: Scene, *operations: Any) -> Any:
    """Load a plan of version 1 by a step of these operations."""
    with registered(Plan):
        kind = CacheArtifactFactory.kind("acme/plan")
        step = migration("acme/plan", 1, 2, *operations)
        kind.steps = Steps("acme/plan", 3, {1: step, 2: kind.steps.plan(2).steps[0]})
        _load_warm(scene)
        return _load(scene, Plan, old=True)


def _load_warm(scene: Scene) -> None:
    """Build one plan, so that nothing is compiled for the first of them."""
    from overwinter import load

    data = built(*encode([Plan("warm", b"x")], MACHINE))
    load(data, policy=TRUSTING, environment=MACHINE, directories={})


def _up(function: Any) -> Any:
    return replace("median_us", "median_ns", up=function, down=float)


def _raising(error: BaseException) -> Any:
    def raising(*args: Any) -> Any:
        raise error

    return raising


for _name, _says, _function in [
    ("step_raises", "A step raises.", _raising(ZeroDivisionError())),
    ("step_recurses", "A step recurses without end.",
     lambda value: _forever(value)),
    ("step_returns_text", "A step gives a text for a number.", lambda value: "x"),
    ("step_returns_itself", "A step gives a value that is no plain one.",
     lambda value: object()),
    ("step_returns_huge", "A step gives a number of 1,000 bits.",
     lambda value: 2**1000),
    ("step_returns_nan", "A step gives a number that is none.",
     lambda value: float("nan")),
]:  # fmt: skip

    def _play(scene: Scene, function: Any = _function) -> None:
        info = _with_step(scene, _up(function))
        assert [note.kind for note in info.quarantined] == ["acme/plan"]

    SCENES.append(Scenario(_name, _says, _play))


def _forever(value: Any) -> Any:
    return _forever(value)


for _name, _says, _members in [
    ("entry_raises", "A class cannot say where its file belongs.",
     {"cache_entry": _raising(ZeroDivisionError("no"))}),
    ("entry_leads_out", "A class says that its file belongs outside.",
     {"cache_entry": lambda self: CacheEntry("acme", "../beside/new", self.program)}),
    ("entry_absolute", "A class says that its file is an absolute path.",
     {"cache_entry": lambda self: CacheEntry("acme", "/outside", self.program)}),
    ("entry_nul", "A class says that its file has a NUL.",
     {"cache_entry": lambda self: CacheEntry("acme", "a\0b", self.program)}),
    ("entry_dot", "A class says that its file is the cache itself.",
     {"cache_entry": lambda self: CacheEntry("acme", ".", self.program)}),
    ("entry_of_no_cache", "A class says that its cache is one that nobody has.",
     {"cache_entry": lambda self: CacheEntry("nobody", "a", self.program)}),
    ("entry_is_a_number", "A class gives a number for an entry.",
     {"cache_entry": lambda self: 7}),
    ("entry_of_text", "A class gives text for the content.",
     {"cache_entry": lambda self: CacheEntry("acme", "a", "text")}),
    ("preference_raises", "A class cannot say which it prefers.",
     {"preference": _raising(RuntimeError("no"))}),
]:  # fmt: skip

    def _play_class(scene: Scene, members: Any = _members) -> None:
        cls = _plan(**members)
        with registered(cls):
            _load_warm(scene)
            info = _load(scene, cls)
        assert [note.kind for note in info.failed] == ["acme/plan"]

    SCENES.append(Scenario(_name, _says, _play_class))


@_add
def keys_check_raises(scene: Scene) -> None:
    """A class that checks keys raises what is none of ours."""
    with registered(Plan):
        _load_warm(scene)
        data = built(*encode([Plan("a", CANARIES[1]), GRAPH], MACHINE))
    with registered(_plan(check_key=classmethod(_raising(ZeroDivisionError("no"))))):
        info = scene.load(target=data)
    assert not info.artifacts.get("acme/plan")


# --- packs ------------------------------------------------------------------


class _Point:
    """An entry point of a distribution that somebody installed."""

    value, name, group, dist = "evil:PACK", "evil", "overwinter.kinds", None

    def __init__(self, pack: Any) -> None:
        self._pack = pack

    def __lt__(self, other: Any) -> bool:
        return id(self) < id(other)

    def load(self) -> Any:
        if isinstance(self._pack, BaseException):
            raise self._pack
        return self._pack


def _registry(*packs: Any) -> Registry:
    registry = Registry(lambda: [_Point(pack) for pack in packs])
    registry.register(InductorArtifact, "overwinter 1")
    registry.discover(quiet=True)
    assert registry.kind("inductor").cls is InductorArtifact
    return registry


@_add
def pack_raises(scene: Scene) -> None:
    """A pack raises while it is imported."""
    assert "ZeroDivisionError" in _registry(ZeroDivisionError()).failed[0]


@_add
def pack_exits(scene: Scene) -> None:
    """A pack ends the process while it is imported."""
    assert "SystemExit" in _registry(SystemExit(3)).failed[0]


@_add
def pack_is_none(scene: Scene) -> None:
    """A pack is something else."""
    assert "NoneType" in _registry(None).failed[0]


@_add
def pack_of_no_classes(scene: Scene) -> None:
    """A pack brings what are no classes."""
    assert len(_registry(KindPack([3, None])).failed) == 2  # type: ignore[list-item]


@_add
def pack_claims_inductor(scene: Scene) -> None:
    """A pack brings a class for a kind of ours."""
    cls = _plan(type=staticmethod(lambda: "inductor"))
    assert _registry(KindPack([cls])).kind("inductor").cls is InductorArtifact


@_add
def pack_takes_a_plain_name(scene: Scene) -> None:
    """A pack takes a name that only ours may have."""
    registry = _registry(KindPack([_plan(type=staticmethod(lambda: "kernels"))]))
    assert "kernels" not in registry.names


@_add
def pack_names_a_path(scene: Scene) -> None:
    """A pack's kind is called as a path is: no schema is looked for there."""
    cls = _plan(type=staticmethod(lambda: "../../etc/passwd"))
    assert "../../etc/passwd" not in _registry(KindPack([cls])).names


@_add
def packs_claim_one_kind(scene: Scene) -> None:
    """Two packs claim one kind: it is disabled, for whose it is nobody knows."""
    registry = _registry(KindPack([Plan]), KindPack([_plan()]))
    try:
        registry.kind("acme/plan")
    except KindError as error:
        assert "is claimed by" in str(error)
    else:
        raise AssertionError("it is somebody's")


@_add
def packs_in_a_circle(scene: Scene) -> None:
    """A pack wants to be populated after itself."""
    cls = _plan(populate_after=("acme/plan",))
    assert "acme/plan" not in _registry(KindPack([cls])).names


@_add
def bundle_names_a_module(scene: Scene) -> None:
    """A kind in a bundle is called as an installed module is: it is not imported."""
    from attacks.graphs import graphs

    (scene.sandbox.root / "cwd" / "evil.py").write_text("raise SystemExit(3)")
    data = graphs(kind={"kind": "evil/plan"}).file()
    assert scene.load(target=data).opaque
    assert "evil" not in sys.modules
    assert os.listdir(scene.sandbox.root / "cwd") == ["evil.py"]
