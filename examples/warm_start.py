"""
Four starts of one small transformer, its backward pass included, on the CPU.

    python examples/warm_start.py

Each start is a process of its own, as after a reboot: cold; with the artifacts of
torch's Mega-Cache; with a bundle of overwinter; and with the cache directory that
the cold start left behind. The first step is timed, every run of the C++ compiler
is counted, and at the end all four must have computed the very same bits.

The part to copy is `start`, and of it the lines that name overwinter.
"""

import base64
import hashlib
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

STARTS = ("cold", "Mega-Cache", "overwinter", "untouched")
STEPS = ("compile", "preprocess", "precompile header", "link", "version")
FLOOR = 5  # times as fast as Mega-Cache, or the demo fails


# --- one start, in a process of its own ---------------------------------------


def start(how: str, bundle: Path, blob: Path) -> dict[str, Any]:
    """Populate the caches, compile, make one step, and save if it was cold."""
    import torch

    import overwinter.torch

    model, batch = make_model()

    # Before the first compile:
    began = time.perf_counter()
    if how == "overwinter":
        overwinter.torch.load(bundle)
    elif how == "Mega-Cache":
        torch.compiler.load_cache_artifacts(blob.read_bytes())
    populated = time.perf_counter()

    model = torch.compile(model)
    result = model(batch)
    result.square().mean().backward()
    stepped = time.perf_counter()

    # Whenever it suits:
    if how == "cold":
        overwinter.torch.save(bundle)
        saved = torch.compiler.save_cache_artifacts()
        assert saved is not None
        blob.write_bytes(saved[0])

    gradients = {name: each.grad for name, each in model.named_parameters()}
    return {
        "populate": populated - began,
        "first step": stepped - populated,
        "graphs": count_graphs(),
        "outputs": {
            name: hashlib.sha256(tensor.detach().numpy().tobytes()).hexdigest()
            for name, tensor in {"result": result, **gradients}.items()
        },
    }


def make_model() -> tuple[Any, Any]:
    """Return a transformer of four layers, and a batch for it; the same each time."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self, width: int, heads: int) -> None:
            super().__init__()
            self.heads = heads
            self.before_attention = nn.LayerNorm(width)
            self.queries_keys_values = nn.Linear(width, 3 * width)
            self.after_attention = nn.Linear(width, width)
            self.before_mixing = nn.LayerNorm(width)
            self.mixing = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x: Any) -> Any:
            projected = self.queries_keys_values(self.before_attention(x))
            split = projected.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
            queries, keys, values = split
            scores = queries @ keys.transpose(-1, -2) / keys.shape[-1] ** 0.5
            hidden = torch.ones_like(scores, dtype=torch.bool).triu(1)
            weights = scores.masked_fill(hidden, -torch.inf).softmax(-1)
            attended = (weights @ values).transpose(1, 2).flatten(2)
            x = x + self.after_attention(attended)
            return x + self.mixing(self.before_mixing(x))

    torch.manual_seed(0)
    widths = (16, 32, 64, 96, 128)  # different ones: each layer has its own kernels
    layers = [
        nn.Sequential(nn.Linear(before, width), Layer(width, heads=4))
        for before, width in itertools.pairwise(widths)
    ]
    return nn.Sequential(*layers, nn.LayerNorm(128)), torch.randn(2, 32, 16)


def count_graphs() -> dict[str, int]:
    """Return how often torch's two caches of graphs hit, missed and were bypassed."""
    from torch._dynamo.utils import counters

    return {
        outcome: counters["aot_autograd"][f"autograd_cache_{outcome}"]
        + counters["inductor"][f"fxgraph_cache_{outcome}"]
        for outcome in ("hit", "miss", "bypass")
    }


# --- the compiler, counted ----------------------------------------------------


def write_counting_compiler(directory: Path) -> None:
    """Put a ``g++`` into *directory* that notes its arguments and runs the real one."""
    real = shutil.which("g++")
    if real is None:
        sys.exit("warm_start.py: no g++ on PATH, and torch cannot compile without one")
    directory.mkdir()
    wrapper = directory / "g++"
    wrapper.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$*" >>"$COMPILER_LOG"
exec {shlex.quote(os.path.abspath(real))} "$@"
"""
    )
    wrapper.chmod(0o755)


def purpose(arguments: list[str]) -> str:
    """Return for what the compiler was run."""
    if set(arguments) <= {"-v", "--version"}:
        return "version"
    if "-E" in arguments:
        return "preprocess"
    if "c++-header" in arguments:
        return "precompile header"
    # Torch compiles and links most kernels with one command: that is a compile.
    return "compile" if any(each.endswith(".cpp") for each in arguments) else "link"


# --- the four starts ----------------------------------------------------------


def run(how: str, home: Path) -> dict[str, Any]:
    """Start a process that only shares the compiler, the key and what was saved."""
    # "untouched" has all that the cold start left: no reboot, no other machine.
    own = home / ("cold" if how == "untouched" else how)
    for name in ("home", "tmp"):
        (own / name).mkdir(parents=True, exist_ok=True)
    log, report = home / f"{how}.log", home / f"{how}.json"
    log.touch()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TORCH", "OVERWINTER_"))
    }
    done = subprocess.run(
        [sys.executable, __file__, how, str(home)],
        env={
            **clean,
            "PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "CXX": "g++",
            "COMPILER_LOG": str(log),
            "HOME": str(own / "home"),
            "TMPDIR": str(own / "tmp"),
            "TORCHINDUCTOR_CACHE_DIR": str(own / "cache"),
            # Segments are signed, and a machine trusts its own key: share one.
            "OVERWINTER_SIGNING_KEY": str(home / "signing.key"),
        },
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"warm_start.py: the {how} start failed; its words are above")
    commands = [line.split() for line in log.read_text().splitlines()]
    found: dict[str, Any] = json.loads(report.read_text())
    return {**found, "steps": Counter(purpose(command) for command in commands)}


def table(reports: dict[str, dict[str, Any]]) -> str:
    """Return what was measured, one line for each start."""
    rows = [["start", "populate", "1st step", "   sum", "hit/miss/bypass", *STEPS]]
    for how, report in reports.items():
        seconds = (report["populate"], report["first step"], total(report))
        graphs = "/".join(str(number) for number in report["graphs"].values())
        steps = (str(report["steps"][step]) for step in STEPS)
        rows.append([how, *(f"{each:.2f}" for each in seconds), graphs, *steps])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    )


def total(report: dict[str, Any]) -> float:
    """Return the seconds from an empty process with torch to the first step's end."""
    seconds: float = report["populate"] + report["first step"]
    return seconds


def faults(reports: dict[str, dict[str, Any]]) -> list[str]:
    """Return what does not hold of that which this demo is to show."""
    cold, ours = reports["cold"], reports["overwinter"]
    found = [
        f"{how}: {name} differs from that of the cold start"
        for how, report in reports.items()
        for name, digest in cold["outputs"].items()
        if report["outputs"][name] != digest
    ]
    n_graphs = cold["graphs"]["miss"]
    if n_graphs == 0 or ours["graphs"] != {"hit": n_graphs, "miss": 0, "bypass": 0}:
        found.append(f"overwinter: {ours['graphs']}, expected a hit on all {n_graphs}")
    for step in STEPS:
        if step != "version" and ours["steps"][step]:
            found.append(f"overwinter: g++ ran {ours['steps'][step]} times to {step}")
    if speedup(reports) < FLOOR:
        found.append(f"overwinter: not {FLOOR} times as fast as Mega-Cache")
    return found


def speedup(reports: dict[str, dict[str, Any]]) -> float:
    """Return how many times as fast overwinter's start is as Mega-Cache's."""
    return total(reports["Mega-Cache"]) / total(reports["overwinter"])


def main() -> int:
    """Run the starts one after another; print the table and what follows from it."""
    reports = {}
    with tempfile.TemporaryDirectory(prefix="overwinter-demo-") as directory:
        home = Path(directory)
        write_counting_compiler(home / "bin")
        secret = base64.b64encode(os.urandom(32)).decode()
        key = home / "signing.key"
        key.write_text(f"overwinter-secret-key-ed25519:{secret}\n")
        for how in STARTS:
            print(f"{how} start …", file=sys.stderr, flush=True)
            reports[how] = run(how, home)

    print(CAPTION)
    print(table(reports))
    found = faults(reports)
    n_outputs = len(reports["cold"]["outputs"])
    if not found:
        print(f"All {n_outputs} outputs (result and gradients) are equal bit for bit.")
    print(f"overwinter starts {speedup(reports):.1f} times as fast as Mega-Cache.")
    for fault in found:
        print(f"warm_start.py: {fault}", file=sys.stderr)
    return 1 if found else 0


CAPTION = """\
Seconds to populate the caches and to make the first step; graphs that torch's caches
hit, missed and bypassed; and how often g++ ran, for what. Each start has an empty
HOME, TMPDIR and cache directory; "untouched" has those that the cold start left.
"""


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    _, how, directory = sys.argv
    home = Path(directory)
    report = start(how, home / "model.owb", home / "model.mega-cache")
    (home / f"{how}.json").write_text(json.dumps(report))
