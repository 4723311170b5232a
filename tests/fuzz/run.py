"""
Fuzz the readers with atheris: count, seed, and each violation with how to see it again.

Each target is a process of its own; together they make at least so many executions
as were asked for. A violation ends with 1: its input is kept in ``tests/fuzz/found``,
where the tests replay it from then on.

Run: ``python tests/fuzz/run.py --executions 1000000 --seed 1``.
"""

import argparse
import hashlib
import importlib
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOUND = HERE / "found"
for folder in (HERE, HERE.parent, HERE.parent / "packages"):
    sys.path.insert(0, str(folder))

_DONE = re.compile(r"Done (\d+) (?:runs|in)")
# One execution, in seconds and in MiB; the machine may be busy.
_TIMEOUT, _MEMORY = 20, 2048


def main() -> int:
    """Fuzz the targets, or one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("--only", nargs="*", default=[], metavar="TARGET")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--found", type=Path, default=FOUND, metavar="FOLDER")
    parser.add_argument("--targets", default="targets", help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return fuzz_here(options.targets, options.child, options.rest)
    return fuzz(options)


def fuzz(options: argparse.Namespace) -> int:
    """Run every target in a process of its own, and tell what came of it."""
    try:
        import atheris  # noqa: F401
    except ImportError:
        print("fuzz: skipped, for atheris is not installed (Linux on x86_64 has it)")
        return 0
    targets = targets_of(options.targets)
    names = options.only or list(targets)
    weight = sum(1 / targets[name].share for name in names)
    print(f"fuzz: seed {options.seed}, {len(names)} targets", flush=True)
    started = time.monotonic()
    with ThreadPoolExecutor(options.jobs) as pool:
        jobs = {
            name: pool.submit(
                fuzz_one,
                options,
                name,
                int(options.executions / weight / targets[name].share) + 1,
            )
            for name in names
        }
    results = {name: job.result() for name, job in jobs.items()}
    executions = sum(count for count, _ in results.values())
    violations = [found for _, found in results.values() if found]
    idle = [name for name, (count, found) in results.items() if not (count or found)]
    print(
        f"fuzz: {executions:,} executions, seed {options.seed}, "
        f"{len(violations)} violations, {time.monotonic() - started:.0f} s"
    )
    for found in violations:
        print(f"fuzz: {found}")
    for name in idle:
        print(f"fuzz: {name} made no execution")
    return 1 if violations or idle else 0


def fuzz_one(
    options: argparse.Namespace, name: str, executions: int
) -> tuple[int, str]:
    """Return how many executions were made, and what was found."""
    with tempfile.TemporaryDirectory() as temporary:
        corpus = Path(temporary, "corpus")
        corpus.mkdir()
        command = [
            *(sys.executable, str(HERE / "run.py"), "--child", name),
            *("--targets", options.targets, "--", str(corpus)),
            *(f"-runs={executions}", f"-seed={options.seed}", f"-timeout={_TIMEOUT}"),
            *(f"-rss_limit_mb={_MEMORY}", f"-artifact_prefix={temporary}/"),
            *("-max_len=8192", "-verbosity=1"),
        ]
        environ = {**os.environ, "HOME": temporary, "PYTHONHASHSEED": "0"}
        environ = {k: v for k, v in environ.items() if not k.startswith("XDG_")}
        result = subprocess.run(
            command, capture_output=True, text=True, errors="replace", env=environ
        )
        counts = _DONE.findall(result.stderr)
        count = int(counts[-1]) if counts else 0
        inputs = [each for each in Path(temporary).iterdir() if "-" in each.name]
        if result.returncode == 0 and not inputs:
            print(f"fuzz: {name:12} {count:>9,} executions", flush=True)
            return count, ""
        print(result.stdout[-3000:])
        told = [
            line for line in result.stderr.splitlines() if not line.startswith("INFO: ")
        ]
        print("\n".join(told[-80:]), flush=True)
        if not inputs:
            return count, f"{name} ended with {result.returncode} and left no input"
        data = inputs[0].read_bytes()
        kept = options.found / f"{name}-{hashlib.sha256(data).hexdigest()[:8]}"
        options.found.mkdir(exist_ok=True)
        kept.write_bytes(data)
        return count, (
            f"{name}: {inputs[0].name}; to see it again: "
            f"python -m pytest tests/fuzz -k {kept.name}"
        )


def fuzz_here(module: str, name: str, arguments: list[str]) -> int:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=["overwinter"]):
        target = targets_of(module)[name]
    for number, seed in enumerate(target.seeds()):
        Path(arguments[0], f"seed{number}").write_bytes(seed)

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        if target.is_tree and seed % 4:
            changed = target.mutated(data, seed)
            if changed != data and len(changed) <= max_size:
                return changed
        mutated: bytes = atheris.Mutate(data, max_size)
        return mutated

    atheris.Setup([sys.argv[0], *arguments], target, custom_mutator=mutate)
    atheris.Fuzz()
    return 0


def targets_of(module: str) -> dict[str, "targets.Target"]:  # type: ignore[name-defined]  # noqa: F821
    """Return the targets of a module, with every kind registered that they use."""
    found = importlib.import_module(module)
    found.prepare()
    targets: dict[str, Any] = found.TARGETS
    return targets


if __name__ == "__main__":
    sys.exit(main())
