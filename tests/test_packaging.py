"""The wheel holds what the tree holds: no file forgotten, none brought along."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
FOLDERS = {
    "overwinter": "src/overwinter",
    "overwinter_schema": "schema",
    "overwinter_migrations": "migrations",
}
SHIPPED = {
    "overwinter": ("*.py", "py.typed"),
    "overwinter_schema": ("*.py", "*.json", "*.md", "HEAD", "RELEASED"),
    "overwinter_migrations": ("*.py",),
}


@pytest.mark.parametrize("options", [["--wheel"], []], ids=["tree", "sdist"])
def test_the_wheel_holds_what_the_tree_holds(options, tmp_path):
    """Built from the tree or from its sdist, a wheel ships each file byte for byte."""
    expected = {
        f"{package}/{path.relative_to(TREE / folder).as_posix()}": path.read_bytes()
        for package, folder in FOLDERS.items()
        for pattern in SHIPPED[package]
        for path in (TREE / folder).rglob(pattern)
    }
    assert {"overwinter/py.typed", "overwinter_schema/RELEASED"} < expected.keys()

    with zipfile.ZipFile(_build(tmp_path, options)) as wheel:
        found = {
            name: wheel.read(name)
            for name in wheel.namelist()
            if ".dist-info/" not in name
        }

    assert sorted(found) == sorted(expected)
    assert found == expected


def _build(tmp_path: Path, options: list[str]) -> Path:
    # A copy: what an earlier build left in the tree would find its way in.
    tree = tmp_path / "tree"
    for folder in FOLDERS.values():
        shutil.copytree(
            TREE / folder,
            tree / folder,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(TREE / name, tree)

    # No isolation: the backend of `dev` serves, and nothing is fetched.
    command = [sys.executable, "-m", "build", "--no-isolation", *options]
    done = subprocess.run(
        [*command, "--outdir", tmp_path / "dist", tree],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout

    (wheel,) = (tmp_path / "dist").glob("*.whl")
    return wheel
