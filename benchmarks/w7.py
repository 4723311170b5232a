"""
W7: torch, really: one transformer started cold, by Mega-Cache, by ours, untouched.

The starts are those of ``examples/warm_start.py``. Each is a process of its own;
for Mega-Cache and for ours HOME, TMPDIR and cache directory are new in every round.
It also says how long importing overwinter takes in a new process, and in another
what of a warm start is owed to signatures.
"""

import base64
import importlib.util
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

from . import ours, running
from .goals import AtLeast, AtMost, Found, Goal, Never, Share, Within
from .running import Options, Workload
from .timing import Figures, say

__all__ = ["GOALS", "WORKLOAD", "import_seconds", "signing_seconds"]

_EXAMPLE = Path(__file__).parent.parent / "examples" / "warm_start.py"

COLD, MEGA_CACHE, OURS, UNTOUCHED = "cold", "Mega-Cache", "overwinter", "untouched"
IMPORT = "import overwinter"
BUNDLE = "model.owb"  # as the example calls it
SIGNING = "signing and verifying"
_IMPORTS = 5  # in each round, and as often signing
# A version query is allowed: torch asks for it whatever is in its caches.
BUILDS = ("compile", "preprocess", "precompile header", "link")


def _start(how: str) -> str:
    return f"populate and first step, {how}"


def _builds(step: str) -> str:
    return f"runs of g++ by ours to {step}"


GOALS: tuple[Goal, ...] = (
    AtLeast(_start(OURS), _start(MEGA_CACHE), 5, 4, against=MEGA_CACHE),
    AtMost(_start(OURS), (_start(UNTOUCHED),), 1.3, 1.6, against=UNTOUCHED),
    *(Never(_builds(step)) for step in BUILDS),
    Within(IMPORT, 0.1, 0.13),
    Share(SIGNING, _start(OURS), 1, 2, of="a warm start"),
)


def example() -> ModuleType:
    """Return the example, whose file is in no package."""
    spec = importlib.util.spec_from_file_location("warm_start", _EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def starts(rounds: int, home: Path) -> Found:
    """
    Return the seconds of each start and import, and how often ours ran the compiler.

    Raises:
        AssertionError: A start computed something else than the cold one, or ours
            missed a graph.
    """
    warm_start = example()
    warm_start.write_counting_compiler(home / "bin")
    secret = base64.b64encode(ours.SEED).decode()
    (home / "signing.key").write_text(f"overwinter-secret-key-ed25519:{secret}\n")
    say("cold start")
    cold = warm_start.run(COLD, home)
    found: dict[str, list[float]] = defaultdict(list)
    found[_start(COLD)].append(warm_start.total(cold))
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        found[IMPORT] += import_seconds(_IMPORTS)
        found[SIGNING] += signing_seconds(_IMPORTS, home / BUNDLE, home / "signing.key")
        for how in (MEGA_CACHE, OURS, UNTOUCHED):
            # What a start leaves behind must not warm the next; but "untouched" is
            # what the cold one left.
            shutil.rmtree(home / how, ignore_errors=True)
            (home / f"{how}.log").unlink(missing_ok=True)
            report = warm_start.run(how, home)
            check(how, report, cold)
            found[_start(how)].append(warm_start.total(report))
            if how == OURS:
                for step in BUILDS:
                    found[_builds(step)].append(report["steps"][step])
    counted = set(map(_builds, BUILDS))
    return {
        name: Figures(name, tuple(each), "" if name in counted else "s")
        for name, each in found.items()
    }


def check(how: str, report: dict[str, Any], cold: dict[str, Any]) -> None:
    """Refuse a start that computed or compiled something else than the cold one."""
    if report["outputs"] != cold["outputs"]:
        raise AssertionError(f"{how}: its outputs differ from those of the cold start")
    expected = {"hit": cold["graphs"]["miss"], "miss": 0, "bypass": 0}
    if how == OURS and report["graphs"] != expected:
        raise AssertionError(f"{how}: {report['graphs']}, expected {expected}")


def import_seconds(times: int) -> list[float]:
    """Return the seconds that ``import overwinter`` takes in new processes."""
    code = (
        "from time import perf_counter as now; begin = now(); import overwinter; "
        "print(now() - begin)"
    )
    # As it is once installed: bytecode is written by the first import, and read then.
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds = []
    for _ in range(times + 1):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            stdout=subprocess.PIPE,
            check=True,
        )
        seconds.append(float(done.stdout))
    return seconds[1:]


# All that load and save do because segments are signed: reading key and policy,
# importing what verifies, verifying; and signing, which a warm start leaves to the
# next save. What the segments say was read before, as it would be without signatures.
_SIGNING = """
import sys
from time import perf_counter as now
from overwinter.bundle import Bundle
from overwinter.judging import judge
from overwinter.trust import Policy, own_key

with Bundle(sys.argv[1]) as bundle:
    statements = [each.statement.pack() for each in bundle.segments]
    assert "cryptography" not in sys.modules
    begin = now()
    judged = judge(bundle, Policy.of_this_machine())
    key = own_key()
    signatures = [key.sign(each) for each in statements]
    seconds = now() - begin
assert signatures and not any(each.refused for each in judged)
print(seconds)
"""


def signing_seconds(times: int, bundle: Path, key: Path) -> list[float]:
    """
    Return the seconds that signatures cost new processes that load and save.

    Args:
        times: How many processes.
        bundle: What they load.
        key: The file of the key that signed it.

    Raises:
        CalledProcessError: The bundle would not be populated.
    """
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OVERWINTER_", "XDG_"))
    }
    environ = {**clean, "HOME": str(key.parent), "OVERWINTER_SIGNING_KEY": str(key)}
    command = [sys.executable, "-c", _SIGNING, str(bundle)]
    seconds = []
    for _ in range(times):
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True)
        seconds.append(float(done.stdout))
    return seconds


def run(options: Options) -> Found:
    """Measure W7."""
    return starts(options.rounds, options.directory)


WORKLOAD = Workload("W7", "torch on the CPU: populate and first step", GOALS, run)


if __name__ == "__main__":
    sys.exit(running.main([WORKLOAD]))
