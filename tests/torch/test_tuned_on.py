"""Times are saved with the device that they were taken on."""

from overwinter.kinds import AutotuneArtifact, InductorArtifact
from overwinter.torch.draining import tuned_on

TUNING = AutotuneArtifact("2x/c2xx" + "a" * 48 + ".best_config", time_taken_ns=5)
GRAPH = InductorArtifact("f" + "a" * 51, b"graph")


def test_a_tuning_names_its_device():
    """Torch writes none; who compares two times must know that they compare."""
    tuning, graph = tuned_on("NVIDIA H100", [TUNING, GRAPH])
    assert tuning.device == "NVIDIA H100"
    assert tuning.content == TUNING.content
    assert graph is GRAPH


def test_without_a_device_nothing_is_claimed():
    """A process that used no device does not know which it would have been."""
    assert tuned_on(None, [TUNING, GRAPH]) == [TUNING, GRAPH]
