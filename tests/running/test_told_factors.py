"""What processes told of their graphs' keys; any of them may have been killed."""

import pytest

from overwinter.kinds import AOTAutogradArtifact, FactorsArtifact, PGOArtifact
from overwinter.running.factors import told_factors

KEY = "a" + "b" * 51
GRAPH = AOTAutogradArtifact(KEY, b"x")
FACTORS = FactorsArtifact(f"aot_autograd/{KEY}", {"gm": "q"}, {"gm": "code"})


@pytest.fixture
def told(tmp_path):
    """Return the folder where a process told of one graph."""
    (tmp_path / f"aot_autograd-{KEY}.json").write_bytes(FACTORS.content)
    return tmp_path


def test_factors_of_what_was_harvested_are_found(told):
    """Once, also of a graph of several variants."""
    variants = [GRAPH, AOTAutogradArtifact(KEY, b"y"), PGOArtifact("job:0:", b"z")]
    assert told_factors(told, variants) == [FACTORS]


def test_factors_of_other_graphs_stay_behind(told):
    """The bundle has them already."""
    assert told_factors(told, []) == []
    assert told_factors(told, [AOTAutogradArtifact("a" + "c" * 51, b"x")]) == []


@pytest.mark.parametrize(
    "content",
    [b"", b'{"digests": {', b'{"digests": [1], "texts": {}}', b"\xff\xfe", b"[" * 9999],
    ids=["empty", "torn", "other types", "no text", "nested"],
)
def test_what_is_none_costs_nothing(told, content):
    """The graphs are kept all the same."""
    (told / f"aot_autograd-{KEY}.json").write_bytes(content)
    assert told_factors(told, [GRAPH]) == []
