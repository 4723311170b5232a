"""The corpus, at every entry point: nothing runs, nothing is written elsewhere."""

import pytest

from attacks.attack import Attack, account, cases, violations
from attacks.corpus import FAMILIES, OPEN, is_tried, of_name
from attacks.entry_points import ENTRY_POINTS
from attacks.graphs import graphs
from attacks.harness import Sandbox, tried
from attacks.warming import warm

ATTACKS = [each for family in FAMILIES.values() for each in family.attacks]


@pytest.fixture(scope="module", autouse=True)
def _warmed(tmp_path_factory):
    """Have everything imported that sound bundles need."""
    sandbox = Sandbox.below(tmp_path_factory.mktemp("warm"))
    with account(sandbox):
        warm(sandbox)


@pytest.fixture
def read_by_both():
    """Hold nothing against the second reader: its own tests try what lies."""


@pytest.fixture
def sandbox(tmp_path):
    """Give the folders of one attack, and an account that lives there."""
    sandbox = Sandbox.below(tmp_path / "sandbox")
    with account(sandbox):
        yield sandbox


TRIED = [
    (each, [name for name in ENTRY_POINTS if is_tried(each, name)]) for each in ATTACKS
] + [
    pytest.param(
        of_name(name), [entry], marks=pytest.mark.xfail(strict=True, reason=reason)
    )
    for (name, entry), reason in OPEN.items()
]


@pytest.mark.parametrize(
    ("attack", "entries"),
    TRIED,
    ids=lambda each: each.name if isinstance(each, Attack) else f"{len(each)} ways",
)
def test_an_attack_gets_nowhere(attack, entries, sandbox):
    """No code, no import, no write elsewhere, no memory; and the outcome it has."""
    case = cases(attack, sandbox)
    found = {entry: violations(attack, case, entry) for entry in entries}
    assert not {entry: each for entry, each in found.items() if each}


SCENES = [each for family in FAMILIES.values() for each in family.scenes]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_a_scene_ends_well(scene, sandbox):
    """Somebody acts while we work: what is in the cache was signed, or is not there."""
    scene.run(sandbox)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_has_its_attacks(family):
    """Ten at least, each under a name of its own and with a sentence."""
    held = FAMILIES[family]
    each = [*held.attacks, *held.scenes]
    assert len(held) >= 10
    assert len({one.name for one in each}) == len(each)
    assert all(one.says.endswith((".", ")", "…")) for one in each)


@pytest.mark.torch
@pytest.mark.parametrize(
    "family", [each for each in FAMILIES if FAMILIES[each].attacks]
)
def test_torchs_ways_in_hold_too(family, sandbox):
    """A few of each family, by path and by bytes, in a process with torch."""
    import overwinter.torch

    def ways(path):
        overwinter.torch.load(path)
        overwinter.torch.load_cache_artifacts(path.read_bytes())

    path = sandbox.given / "sound.owb"
    path.write_bytes(graphs().file())
    ways(path)  # torch imports what it needs for it
    for attack in [each for each in FAMILIES[family].attacks if not each.writes][:10]:
        case = cases(attack, sandbox)
        found = tried(lambda path=case.path: ways(path), sandbox.cache)
        assert not found.violations, attack.name
        files = sandbox.cached() if sandbox.cache.exists() else {}
        assert set(files.values()) <= set(attack.signed), attack.name
