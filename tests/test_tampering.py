"""Nothing that is released can be deleted or altered without a test that names it."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "tampering.py"
# One of so many is tried here, all of them by `make tamper`. A prime: the variants of
# one field come in a fixed order, of which another number might meet the same ones.
SAMPLE = 11


def test_whatever_is_tampered_with_is_named():
    """By tests/tampering.py: in a copy of the tree, one way after the other."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "--sample", str(SAMPLE)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    tried, _, rest = done.stdout.splitlines()[-1].partition(" of ")
    assert int(tried) >= int(rest.split()[0]) // SAMPLE > 100
