"""Every command is tried on a file in the folder where the process is."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def put(tmp_path, monkeypatch) -> Callable[[bytes], str]:
    """Return what writes bytes to ``model.owb``, and says its name."""
    monkeypatch.chdir(tmp_path)

    def write(data: bytes) -> str:
        Path("model.owb").write_bytes(data)
        return "model.owb"

    return write
