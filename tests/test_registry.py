"""Kind packs: found by entry point; what is wrong with one disables it alone."""

import json
import logging
import subprocess
import sys
import textwrap
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan
from bundles import environ_of_child

from overwinter import CacheArtifact, CacheArtifactFactory, KindPack
from overwinter.errors import DriftError, KindError
from overwinter.kinds import PACK
from overwinter.registry import GROUP, Registry
from overwinter.version import VERSION

CLASS = """
import attrs
from overwinter import CacheArtifact, CacheArtifactFactory, KindPack

{decorator}
@attrs.frozen
class {name}(CacheArtifact):
    schema_package = "{module}_schema"
    migrations_package = "{module}_schema"
    key: str
    {field}: int = 0

    @staticmethod
    def type():
        return "{kind}"

PACK = KindPack([{name}])
"""


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Return what installs a distribution that brings one kind."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    made: list[str] = []

    def install(
        dist: str,
        kind: str = "",
        *,
        source: str = CLASS,
        field: str = "size",
        decorator: str = "",
    ) -> Path:
        module = f"pack_{dist}"
        made.append(module)
        text = source.format(
            name=dist.title(), module=module, kind=kind, field=field,
            decorator=decorator,
        )  # fmt: skip
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
        schema = {
            "kind": kind,
            "version": 1,
            "cardinality": "one",
            "fields": [
                {"id": 1, "name": "key", "type": "str"},
                {"id": 2, "name": "size", "type": "i64", "default": 0},
            ],
        }
        where = folder / f"{module}_schema" / kind
        where.mkdir(parents=True)
        (folder / f"{module}_schema" / "__init__.py").touch()
        (where / "v1.json").write_text(json.dumps(schema), encoding="utf-8")
        metadata = folder / f"{dist}-1.5.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {dist}\nVersion: 1.5\n")
        points = f"[{GROUP}]\n{dist} = {module}:PACK\n"
        (metadata / "entry_points.txt").write_text(points)
        return folder

    yield install
    for module in made:
        for name in (module, f"{module}_schema"):
            sys.modules.pop(name, None)


@pytest.fixture
def discovered(monkeypatch):
    """Return what discovers the packs of the distributions of some names."""

    def discover(*dists: str) -> Registry:
        registry = Registry(
            lambda: [
                point
                for point in entry_points(group=GROUP)
                if point.dist is not None and point.dist.name in dists
            ]
        )
        monkeypatch.setattr(CacheArtifactFactory, "registry", registry)
        registry.discover()
        return registry

    return discover


def test_an_installed_pack_brings_its_kind(site, discovered):
    """Nobody has to import it."""
    site("good", "acme/good")
    registry = discovered("good")
    assert registry.names == ("acme/good",)
    assert registry.kind("acme/good").cls.__qualname__ == "Good"
    (claim,) = registry.claims("acme/good")
    assert (claim.owner, claim.error) == ("good 1.5", None)


def test_the_builtin_kinds_come_through_the_same_door(discovered):
    """The entry point of overwinter's own distribution names their pack."""
    (point,) = entry_points(group=GROUP, name="builtin")
    assert point.load() is PACK
    registry = discovered("overwinter")
    assert registry.names == tuple(sorted(cls.type() for cls in PACK.classes))
    assert registry.failed == ()


def test_a_pack_that_fails_on_import_disables_itself_alone(site, discovered, caplog):
    """What it would have brought is told where one of its kinds is missed."""
    site("broken", "acme/broken", source="import nothing_of_this_name\n")
    site("good", "acme/good")
    with caplog.at_level(logging.WARNING, "overwinter"):
        registry = discovered("broken", "good")
    assert registry.names == ("acme/good",)
    words = (
        "the kinds of broken 1.5 are disabled: pack_broken:PACK raised "
        "ModuleNotFoundError: No module named 'nothing_of_this_name'; mend or "
        "uninstall broken 1.5"
    )
    assert registry.failed == (words,)
    assert [record.getMessage() for record in caplog.records] == [words]
    with pytest.raises(KindError) as caught:
        registry.kind("acme/broken")
    assert words in str(caught.value)


def test_an_entry_point_must_name_a_pack(site, discovered):
    """A module or a class there is a mistake that its author should read."""
    site("odd", "acme/odd", source="PACK = 7\n")
    registry = discovered("odd")
    assert registry.names == ()
    assert "TypeError: a int where a KindPack belongs" in registry.failed[0]


@pytest.mark.parametrize("decorator", ["", "@CacheArtifactFactory.register"])
def test_a_pack_whose_class_drifted_disables_that_kind(site, discovered, decorator):
    """Also where the class registers itself as its module is imported."""
    site("drifted", "acme/drifted", field="n_bytes", decorator=decorator)
    site("good", "acme/good")
    registry = discovered("drifted", "good")
    assert registry.names == ("acme/good",)
    with pytest.raises(KindError) as caught:
        registry.kind("acme/drifted")
    message = str(caught.value)
    for words in (
        "kind 'acme/drifted' of ",
        " is disabled: Drifted has drifted from ",
        "pack_drifted_schema/acme/drifted/v1.json",
        "add     size: i64 = 0",
        "mend or uninstall drifted 1.5",
    ):
        assert words in message


def test_two_packs_that_claim_one_kind_disable_it_for_both(site, discovered):
    """Which of them wrote a bundle nobody can tell; the other kinds stay."""
    site("one", "acme/shared")
    site("two", "acme/shared")
    site("good", "acme/good")
    registry = discovered("one", "two", "good")
    assert registry.names == ("acme/good",)
    words = (
        "kind 'acme/shared' is disabled: it is claimed by one 1.5 and two 1.5; "
        "uninstall one of them"
    )
    with pytest.raises(KindError) as caught:
        registry.kind("acme/shared")
    assert str(caught.value) == words


def test_a_pack_does_not_take_a_builtin_kind(site, discovered):
    """Plain names are overwinter's own: nobody can switch its kinds off."""
    site("thief", "inductor")
    registry = discovered("thief", "overwinter")
    assert registry.kind("inductor").cls.__module__ == "overwinter.kinds.inductor"
    registry = discovered("thief")
    with pytest.raises(KindError, match=r"a plain name.*thief 1\.5 must .*org/"):
        registry.kind("inductor")


def test_a_class_that_cannot_say_its_kind_is_told():
    """Its neighbours in the pack come all the same."""

    class Nameless(CacheArtifact):
        pass

    registry = Registry(lambda: ())
    registry.add_pack(KindPack([Nameless, Plan]), "both 2.0")
    assert registry.names == ("acme/plan",)
    assert "Nameless" in registry.failed[0]
    assert "mend or uninstall both 2.0" in registry.failed[0]


def test_a_class_made_again_takes_the_place_of_the_first():
    """A notebook's cell is run twice, and a module reloaded."""

    def made() -> Any:
        @attrs.frozen
        class Again(Plan):
            pass

        return Again

    registry = Registry(lambda: ())
    first, second = made(), made()
    registry.register(first, "me")
    registry.register(second, "me")
    assert registry.kind("acme/plan").cls is second
    assert len(registry.claims("acme/plan")) == 1


def test_a_class_that_was_mended_is_registered():
    """What was wrong with it the first time is forgotten."""

    def made(default: str) -> Any:
        @attrs.frozen
        class Mended(Plan):
            device: str = default
            tiles: tuple[int, ...] = ()

        return Mended

    registry = Registry(lambda: ())
    with pytest.raises(DriftError):
        registry.register(made("unset"), "me")
    with pytest.raises(KindError, match="kind 'acme/plan' of me is disabled"):
        registry.kind("acme/plan")
    registry.register(made("unknown"), "me")
    assert registry.kind("acme/plan").name == "acme/plan"


def test_kinds_that_each_come_after_the_other_are_refused():
    """A load would find out, in somebody's training job."""

    @attrs.frozen
    class Circular(Plan):
        populate_after = ("acme/plan",)

    registry = Registry(lambda: ())
    with pytest.raises(KindError, match=r"in a circle: acme/plan after acme/plan"):
        registry.register(Circular, "me")


def test_reading_discovers_nothing(site, tmp_path):
    """What an untrusted file holds must not decide what is imported."""
    folder = site("good", "acme/good")
    script = textwrap.dedent(
        """
        import sys
        from overwinter import Bundle, CacheArtifactFactory, load, save
        from overwinter.bundle import verify
        from overwinter.kinds import PGOArtifact

        path = sys.argv[1]
        save(path, [PGOArtifact("job:0:main", b"x")])
        CacheArtifactFactory.registry = type(CacheArtifactFactory.registry)(
            CacheArtifactFactory.registry._points
        )
        sys.modules.pop("pack_good")
        with Bundle(path) as bundle:
            list(verify(bundle))
            for block in bundle.segments[0].blocks:
                block.read()
        print("pack_good" in sys.modules)
        load(path)
        print("pack_good" in sys.modules)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.owb"],
        capture_output=True,
        text=True,
        env=environ_of_child(PYTHONPATH=f"{folder}:{environ_of_child()['PYTHONPATH']}"),
    )
    assert done.stdout.split() == ["False", "True"], done.stderr


def test_the_owner_of_the_builtin_kinds_is_this_release():
    """An error about one of them says whose it is."""
    (claim,) = CacheArtifactFactory.registry.claims("inductor")
    assert claim.owner == f"overwinter {VERSION}"


def test_three_packs_that_claim_one_kind_are_all_disabled(site, discovered):
    """The third is no less a rival for being late."""
    for dist in ("one", "two", "three"):
        site(dist, "acme/shared")
    registry = discovered("one", "two", "three")
    assert registry.names == ()
    words = "is claimed by one 1.5 and three 1.5 and two 1.5"
    with pytest.raises(KindError, match=words):
        registry.kind("acme/shared")


def test_a_pack_that_exits_disables_itself(site, discovered):
    """A training job must not end because a package is installed."""
    site("quitter", "acme/quitter", source="raise SystemExit(3)\n")
    registry = discovered("quitter")
    assert "raised SystemExit: 3" in registry.failed[0]


def test_an_interrupted_discovery_goes_on_the_next_time(site, monkeypatch):
    """Ctrl-C once must not disable every pack of the process."""
    site("good", "acme/good")
    points = [KeyboardInterrupt(), list(entry_points(group=GROUP, name="good"))]

    def find() -> Any:
        found = points.pop(0)
        if isinstance(found, BaseException):
            raise found
        return found

    registry = Registry(find)
    with pytest.raises(KeyboardInterrupt):
        registry.discover()
    registry.discover()
    assert registry.names == ("acme/good",)


def test_a_pack_that_another_thread_imports_is_no_deadlock(site, tmp_path):
    """That thread waits to register a class, and discovery for its module."""
    source = "import time\ntime.sleep(0.5)\n" + CLASS.replace(
        "{decorator}", "@CacheArtifactFactory.register"
    )
    folder = site("slow", "acme/slow", source=source)
    script = textwrap.dedent(
        """
        import threading
        from overwinter import CacheArtifactFactory

        def run():
            import pack_slow

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        import time
        time.sleep(0.1)
        CacheArtifactFactory.discover()
        thread.join(20)
        print(thread.is_alive(), CacheArtifactFactory.kind("acme/slow").name)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=environ_of_child(PYTHONPATH=f"{folder}:{environ_of_child()['PYTHONPATH']}"),
    )
    assert done.stdout.split() == ["False", "acme/slow"], done.stderr
