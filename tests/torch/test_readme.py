"""The first screen of the README runs as it stands, and does what it says."""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from compilers import LOG_VARIABLE, steps, write_compiler

README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.torch


def test_the_readmes_program_starts_warm_the_second_time(tmp_path, signing_key):
    """Ten lines, run twice: the second start compiles nothing, in an empty cache."""
    match = re.search(r"^```python\n(.*?)^```", README.read_text(), re.M | re.S)
    assert match is not None
    program = match[1]
    assert len(program.splitlines()) <= 10
    write_compiler(tmp_path / "bin")
    (tmp_path / "project").mkdir()

    def run(name: str) -> Counter[str]:
        own = tmp_path / name
        for folder in ("home", "tmp"):
            (own / folder).mkdir(parents=True)
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path / "project",
            env={
                "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
                "CXX": "g++",
                LOG_VARIABLE: str(own / "compiler.log"),
                "HOME": str(own / "home"),
                "TMPDIR": str(own / "tmp"),
                "OVERWINTER_SIGNING_KEY": str(signing_key),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "inductor" in done.stdout
        return steps(own / "compiler.log")

    assert run("first")["compile"] > 0
    assert run("second") == Counter()
