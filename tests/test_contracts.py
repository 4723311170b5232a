"""
Every kind that is shipped keeps every rule, and its golden bundles say what they said.

A digest that somebody seals again is no proof. So nothing here asks for digests
alone: what old bundles hold is compared with the files, and with literals.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.graphs import Graph
from acme.plans import Plan, registered
from example import EXAMPLE, example_class

from overwinter import Bundle, CacheArtifact, CacheArtifactManager
from overwinter.bundle import KindStamp
from overwinter.codec import columns_of
from overwinter.contract import Contract, check, corpus_of
from overwinter.kind import Kind
from overwinter.kinds import PACK
from overwinter.schema import read_released
from overwinter.schema.catalog import parse_schema
from overwinter.trust import Policy, SigningKey
from overwinter.version import VERSION

TESTS = Path(__file__).parent
POLICY = Policy([SigningKey(bytes(range(32))).public])


@attrs.frozen
class Shipped:
    """A kind, and the folder with its golden bundles."""

    cls: type[CacheArtifact]
    golden: Path

    @property
    def name(self) -> str:
        """The kind with its schema package: two of them have one name."""
        return f"{self.cls.schema_package}:{self.cls.type()}"

    def stamps(self) -> Iterator[tuple[str, KindStamp]]:
        """Give what golden bundles say of the kind, with their names."""
        for path in sorted(self.golden.rglob("*.owb")):
            with Bundle(path) as bundle:
                for segment in bundle.segments:
                    for stamp in segment.statement.kinds:
                        if stamp.kind == self.cls.type():
                            yield path.relative_to(TESTS.parent).as_posix(), stamp


EXAMPLE_PLAN = Shipped(example_class(), EXAMPLE / "golden")
ACME_PLAN = Shipped(Plan, TESTS / "packages" / "acme" / "golden")
ACME_GRAPH = Shipped(Graph, TESTS / "packages" / "acme" / "golden")
OURS = {cls.type(): Shipped(cls, TESTS / "golden") for cls in PACK.classes}
SHIPPED = [*OURS.values(), ACME_PLAN, ACME_GRAPH, EXAMPLE_PLAN]

EVERY_KIND = pytest.mark.parametrize("shipped", SHIPPED, ids=lambda each: each.name)


FOLDERS = {path.parent.name for path in (TESTS / "golden").glob("*/bundle.owb")}


def awaited() -> set[tuple[str, int]]:
    """
    Return what was released since the last release that has a golden bundle.

    That of a version is written by the release that introduces it, once.
    """
    released = read_released("overwinter_schema")
    named = [each for name, each in released.releases.items() if name in FOLDERS]
    if not named:
        return set()
    return {
        (kind, version)
        for kind, version in released.digests
        if version > named[-1].get(kind, 0)
    }


# --- the contract -----------------------------------------------------------


def test_a_named_release_holds_what_its_golden_bundle_holds():
    """Which version a release knows, its readers prove."""
    releases = read_released("overwinter_schema").releases
    # The release of today is named before it can write its bundle.
    assert releases.keys() >= FOLDERS, f"RELEASED names {sorted(releases)}"
    assert releases.keys() - {VERSION} <= FOLDERS, f"RELEASED names {sorted(releases)}"
    for release in FOLDERS:
        versions = releases[release]
        with Bundle(TESTS / "golden" / release / "bundle.owb") as bundle:
            found = {
                stamp.kind: stamp.version
                for segment in bundle.segments
                for stamp in segment.statement.kinds
            }
        assert versions == found, f"RELEASED, release {release}"


@EVERY_KIND
def test_a_shipped_kind_keeps_every_rule(shipped):
    """Files, HEAD, steps, history, class and corpus; a bundle may be awaited."""
    checked = check(Contract.of(shipped.cls), corpus_of(shipped.golden))
    allowed = (
        {f"{kind} {version}" for kind, version in awaited()}
        if shipped.cls.type() in OURS and shipped is OURS[shipped.cls.type()]
        else set()
    )
    broken = [
        str(each)
        for each in checked.violations
        if each.rule != "CORPUS_HAS_VERSION" or each.path not in allowed
    ]
    assert broken == [], "\n".join(broken)


@EVERY_KIND
def test_every_version_of_a_shipped_kind_is_released(shipped):
    """No draft is shipped, and no line of RELEASED is gone."""
    contract = Contract.of(shipped.cls)
    released = check(contract).released
    drafts = [
        f"{contract.schema_root}/RELEASED has no {contract.kind} {version}"
        for version in range(1, contract.newest + 1)
        if (contract.kind, version) not in released
    ]
    assert drafts == []
    assert released.newest(contract.kind) == contract.newest, contract.kind


def test_the_versions_are_these():
    """A literal: a version that is gone with all its traces is missed."""
    found = {each.name: Contract.of(each.cls).newest for each in SHIPPED}
    assert found == {
        "overwinter_schema:aot_autograd": 1,
        "overwinter_schema:autotune": 2,
        "overwinter_schema:factors": 1,
        "overwinter_schema:file": 1,
        "overwinter_schema:inductor": 1,
        "overwinter_schema:megacache": 1,
        "overwinter_schema:native": 1,
        "overwinter_schema:pgo": 1,
        "overwinter_schema:precompile": 1,
        "overwinter_schema:triton": 1,
        "acme.schema:acme/plan": 3,
        "acme.schema:acme/graph": 1,
        "acme_plans_schema:acme/plan": 2,
    }


# --- schema files -----------------------------------------------------------


@EVERY_KIND
def test_a_schema_file_says_what_golden_bundles_say(shipped):
    """A bundle carries the schema of its records, with every word of it."""
    contract = Contract.of(shipped.cls)
    for bundle, stamp in shipped.stamps():
        name = contract.schema_file(stamp.version)
        content = contract.schemas.get(stamp.version)
        assert content is not None, f"{name} is gone, and {bundle} has records of it"
        schema = parse_schema(content, contract.kind, stamp.version, name)
        assert schema.as_plain() == dict(stamp.schema), (
            f"{name} is not that of {bundle}"
        )
        assert schema.fingerprint == stamp.fingerprint, (
            f"{name} is not that of {bundle}"
        )


# Of what no golden bundle holds yet.
FINGERPRINTS = {
    ("factors", 1): "fba87d79e23d5c76a1ac3d87556956bc2b260776056c5600c65eda29b01bbba2",
    (
        "megacache",
        1,
    ): "aefdf45a1cf0f3cdbd0605be0978d0f812253036a7222875660204c3d76a7e2f",
    ("triton", 1): "e0a62a5efb6dd40b6ca7a46f71a943aade460b29238111a784bbc8bab192b72e",
    ("autotune", 2): "fb7e3ae95482d00b98c8b3b50ad843b172bf5439dfdaa0aeef01386b3228ffe9",
}


@pytest.mark.parametrize(("kind", "version"), FINGERPRINTS)
def test_a_schema_whose_golden_bundle_is_awaited_has_this_fingerprint(kind, version):
    """A literal, for the time between a version and the release that introduces it."""
    contract = Contract.of(OURS[kind].cls)
    name = contract.schema_file(version)
    schema = parse_schema(contract.schemas[version], kind, version, name)
    assert schema.fingerprint.hex() == FINGERPRINTS[kind, version], name


# --- steps ------------------------------------------------------------------

EVERYWHERE = {"cpu_arch": "x86_64", "torch_key": "00" * 32}


def loaded(shipped: Shipped, path: Path) -> dict[str, Any]:
    """Return the artifacts of a bundle by key, as the newest version has them."""
    with registered(shipped.cls, without=(shipped.cls.type(),)):
        found = CacheArtifactManager.deserialize(
            path, policy=POLICY, environment=EVERYWHERE
        )
    return {each.key: each for each in found[shipped.cls.type()]}


def lowered(shipped: Shipped, artifacts: list[Any], version: int) -> dict[str, Any]:
    """Return the columns of *artifacts*, written for readers of *version*."""
    kind = Kind(shipped.cls)
    return kind.lowered(columns_of(kind.cls, artifacts), version)


def test_autotune_is_migrated_to_these_values():
    """A literal: milliseconds in release 0.1.0, nanoseconds now, and back."""
    autotune = OURS["autotune"]
    found = loaded(autotune, TESTS / "golden" / "0.1.0" / "bundle.owb")
    values = {key[:2]: (v.time_taken_ns, v.device) for key, v in found.items()}
    assert values == {
        "0a": (12_000_000, "unknown"),
        "1a": (0, "unknown"),
        "2a": (None, "unknown"),
        "3a": (None, "unknown"),
    }, "autotune 1 -> 2"
    back = lowered(autotune, sorted(found.values(), key=lambda each: each.key), 1)
    assert back["time_taken_ms"] == [12, 0, None, None], "autotune 2 -> 1"


def test_acme_plans_of_tests_are_migrated_to_these_values():
    """A literal: records of all three versions, and back to the first two."""
    found = loaded(ACME_PLAN, ACME_PLAN.golden / "bundle.owb")
    assert found == {
        "a": Plan("a", b"program a", 1_500, "unknown", ()),
        "b": Plan("b", b"", None, "unknown", ()),
        "c": Plan("c", b"program c" * 20, 0, "unknown", ()),
        "d": Plan("d", b"program d", 7, "unknown", ()),
        "e": Plan("e", b"program e", None, "unknown", ()),
        "f": Plan("f", b"program f", 9, "cpu", (4, 8)),
        "g": Plan("g", b"", None, "unknown", ()),
    }, "acme/plan 1 -> 2 -> 3"
    first = lowered(ACME_PLAN, [found["a"], found["b"], found["f"]], 1)
    assert first["median_us"] == [1.5, None, 0.009], "acme/plan 3 -> 1"
    second = lowered(ACME_PLAN, [found["f"]], 2)
    assert {name: column[0] for name, column in second.items()} == {
        "key": "f",
        "program": b"program f",
        "median_ns": 9,
    }, "acme/plan 3 -> 2"


def test_the_graph_of_tests_is_as_it_was():
    """A literal of every type that there is."""
    found = loaded(ACME_GRAPH, ACME_GRAPH.golden / "bundle.owb")
    assert repr(found["g"]) == (
        "Graph(key='g', program=b'graph program', mode=<Mode.BEST: 'best'>, "
        "target='tpu', source=Source(name='m.py', lines=(1, 2)), "
        "sources=(Source(name='a.py', lines=()), Source(name='b.py', lines=(3,))), "
        "by_name={'x': Source(name='x.py', lines=(4,))}, spare=None, "
        "action=Compile(source=Source(name='c.py', lines=()), flags=['-O2']), "
        "actions=(Link(flags=['-l']), "
        "Compile(source=Source(name='d.py', lines=(5,)), flags=[])), "
        "modes={'m': <Mode.FAST: 'fast'>}, seen=1700000000000000000, "
        "size=9223372036854775808, score=0.25, nothing=None, is_done=True, "
        "digest=b'\\x00\\xff', more={'a': [1, None, 'b']}, grid={'k': [1, 2]})"
    ), "acme/graph"


def test_plans_of_the_example_are_migrated_to_these_values():
    """A literal: what version 1 saved, what version 2 saved, and back to the first."""
    attention = (
        "stages=(Stage(name='load', work=Copy(n_bytes=65536), warps=4), "
        "Stage(name='scores', work=Matmul(tiles=(64, 64, 32), "
        "layout=<Layout.COLUMN: 'column'>), warps=4), "
        "Stage(name='out', work=Matmul(tiles=(128, 64), "
        "layout=<Layout.ROW: 'row'>), warps={warps})), median_ns=12500, device='a100')"
    )
    norm = "stages=(Stage(name='norm', work=Copy(n_bytes=0), warps=4),), median_ns=3000"
    for release, warps, device in (("1.0.0", 4, "a100"), ("2.0.0", 8, "b200")):
        found = loaded(EXAMPLE_PLAN, EXAMPLE / "golden" / f"{release}.owb")
        assert {key: repr(each) for key, each in found.items()} == {
            "attention": f"Plan(key='attention', {attention.format(warps=warps)}",
            "empty": "Plan(key='empty', stages=(), median_ns=0, device='a100')",
            "norm_2": f"Plan(key='norm_2', {norm}, device='{device}')",
        }, "acme/plan 1 -> 2"
        assert {key: each.program for key, each in found.items()} == {
            "attention": b"attention program\x00\x01",
            "empty": b"",
            "norm_2": b"norm program" * 40,
        }
    back = lowered(EXAMPLE_PLAN, list(found.values()), 1)
    assert sorted(back.pop("median_us")) == [0.0, 3.0, 12.5], "acme/plan 2 -> 1"
    assert back["stages"][0][0] == {
        "name": "load",
        "work": {"does": "copy", "n_bytes": 65_536},
    }, "acme/plan 2 -> 1"
    assert back.keys() == {"key", "stages", "program"}


def test_steps_declare_these_losses():
    """A literal: who decides whether to upgrade reads them."""
    found = {
        f"{each.cls.schema_package}:{step.name}": step.losses
        for each in SHIPPED
        for step in Kind(each.cls).steps.plan(1).steps
    }
    assert found == {
        "overwinter_schema:autotune 1 -> 2": (
            "fractions of a millisecond, for readers of version 1",
        ),
        "acme.schema:acme/plan 1 -> 2": ("fractions of a nanosecond",),
        "acme.schema:acme/plan 2 -> 3": (),
        "acme_plans_schema:acme/plan 1 -> 2": ("fractions of a nanosecond",),
    }
