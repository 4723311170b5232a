"""Ten real models of different shape: each restarts with hits alone, and the same."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

MODELS = Path(__file__).with_name("models.py")
NAMES = [
    *("mlp", "convolution", "attention", "recurrent", "embedding"),
    *("dynamic", "broken", "custom", "autocast", "training"),
]


@pytest.fixture(scope="module")
def started(run, tmp_path_factory):
    """Return a cold start, and one from what it saved, with nothing else there."""
    bundle = tmp_path_factory.mktemp("models") / "models.owb"
    return [run(str(bundle), program=MODELS) for _ in range(2)]


@pytest.mark.parametrize("name", NAMES)
def test_a_model_restarts_with_hits_alone(started, name):
    """A count above zero, no miss and no bypass; and every bit is the same."""
    cold, warm = (each["models"][name] for each in started)
    assert cold["miss"] > 0 and cold["hit"] == cold["bypass"] == 0
    assert warm["hit"] > 0 and warm["miss"] == warm["bypass"] == 0
    assert warm["output"] == cold["output"]


def test_the_compiler_does_not_run_for_any_of_them(started):
    """Kernels, headers and probes are there as well."""
    cold, warm = started
    assert cold.steps["compile"] > 0
    assert warm.steps == {}


def test_a_warm_start_adds_nothing(started):
    """What it hit is in the bundle already."""
    cold, warm = started
    assert warm["size"] == cold["size"]
    assert (warm["load"]["failed"], warm["load"]["skipped"]) == ([], [])
