"""Every test has a home of its own: no key, cache or setting of this machine."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty home directory, and return it."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("XDG_DATA_HOME", str(path / "data"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(path / "torchinductor"))
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY", raising=False)
    return path
