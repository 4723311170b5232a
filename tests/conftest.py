"""
Every test has a home of its own, and what it writes is read by two readers.

A home of its own: no key, cache or setting of this machine.
"""

import io
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

import pytest
from both_readers import difference
from bundles import TORCH

from overwinter import files, upgrade
from overwinter.bundle import writer
from overwinter.bundle.trailer import END
from overwinter.environment import capture

# Of one test, so that a search among hundreds does not read all of them twice.
MOST_BUNDLES, MOST_BYTES = 12, 2**23

_compared: set[bytes] = set()


@pytest.fixture(autouse=True)
def home(read_by_both: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test an empty home directory, and return it."""
    path = tmp_path / "home"
    path.mkdir()
    monkeypatch.setenv("HOME", str(path))
    monkeypatch.setenv("XDG_DATA_HOME", str(path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(path / "config"))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(path / "xdg"))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(path / "torchinductor"))
    monkeypatch.delenv("OVERWINTER_SIGNING_KEY", raising=False)
    monkeypatch.delenv("OVERWINTER_TRUSTED_KEYS", raising=False)
    return path


@pytest.fixture
def torch_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine say which torch it has, without one: as `overwinter.torch`."""
    for name in ("save", "load", "manager"):
        module = sys.modules[f"overwinter.{name}"]
        monkeypatch.setattr(module, "capture", lambda: capture(TORCH))


@pytest.fixture(autouse=True)
def read_by_both() -> Iterator[None]:
    """
    Compare what both readers say of each bundle that the test writes.

    `home` asks for it before `monkeypatch`, so that they read without what the test
    had replaced.
    """
    written: dict[bytes, bytes] = {}

    def write_all(file: IO[bytes], chunks: Iterable[files.Buffer]) -> int:
        chunks = list(chunks)
        size = files.write_all(file, chunks)
        # Nothing but a trailer ends so: the bundle is complete.
        if chunks and bytes(chunks[-1][-8:]) == END:
            # Asked first: tests measure what a save of 48 MiB takes in memory.
            n_bytes = file.tell() + sum(map(len, written.values()))
            if n_bytes <= MOST_BYTES and len(written) < MOST_BUNDLES:
                data = _content(file)
                name = sha256(data).digest()
                if name not in _compared:
                    written[name] = data
        return size

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "write_all", write_all)
        patch.setattr(upgrade, "write_all", write_all)
        yield
    for name, data in written.items():
        assert difference(data) == ""
        _compared.add(name)


def _content(file: IO[bytes]) -> bytes:
    if isinstance(file, io.BytesIO):
        return file.getvalue()
    if not isinstance(file.name, str):
        position = file.seek(0, io.SEEK_CUR)
        file.seek(0)
        data = file.read()
        file.seek(position)
        return data
    file.flush()
    return Path(file.name).read_bytes()
