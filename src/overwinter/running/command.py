"""
Running a command with caches of its own: filled before it, kept after it.

Torch's cache is filled by the first process of the command that has torch, which
alone knows what it is; every other one here, before the command starts.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from ..artifact import CacheArtifact
from ..environment import Environment, capture
from ..errors import OverwinterError
from ..files import PathLike
from ..kinds import AutotuneArtifact, FileArtifact, NativeArtifact, TritonArtifact
from ..kinds.torchinductor import GRAPH_RULES
from ..observing import JAX_SETTING, VARIABLES, Workspace, observed, read_events
from ..observing.listing import Listing, listing
from ..save import save
from .factors import told_factors
from .filling import fill
from .harvest import harvest
from .process import BY_SIGNAL, run_command
from .report import Report
from .told import Told, Torch

__all__ = ["run"]

# Has torch's facts told where the command could not. Torch then asks the compiler what
# it can build for, which the probes in its cache answer.
_ASK_TORCH = """
import torch._inductor.codecache
from torch._inductor.cpu_vec_isa import pick_vec_isa
pick_vec_isa()
"""
_PATIENCE = 120  # seconds; an import of torch takes some


def run(
    bundle: PathLike,
    command: Sequence[str],
    *,
    directories: Mapping[str, PathLike] | None = None,
    environ: Mapping[str, str] = os.environ,
    keep: bool = False,
) -> Report:
    """
    Run *command* with caches of its own, and keep in *bundle* what is new in them.

    Nothing that is wrong with the bundle or the caches keeps the command from
    running, nor changes its exit code.

    Args:
        bundle: Fills the caches if it is there, and gains a segment if there is
            something new.
        command: The program, found on PATH, and its arguments.
        directories: Name of a cache to its directory, for what is told by no
            variable: these are not made anew, and stay.
        environ: The command's variables, but for those of the caches.
        keep: The directories stay.
    """
    report = Report(os.fspath(bundle), tuple(command))
    with _ended_by_signals():
        try:
            workspace = Workspace(keep=keep)
        except OverwinterError as error:
            report.problems.append(f"run without caches of its own: {error}")
            report.exit_code = run_command(command, environ)
            return report
        with workspace:
            _run(workspace, directories or {}, environ, report)
    if keep:
        report.notes.append(f"kept: {workspace.root}")
    if report.saved_jax and not environ.get(JAX_SETTING):
        report.notes.append(
            f"{JAX_SETTING}=none was set, for jax's keys hold its cache's path "
            "otherwise: set it wherever these files are to be found without us"
        )
    return report


def _run(
    workspace: Workspace,
    directories: Mapping[str, PathLike],
    environ: Mapping[str, str],
    report: Report,
) -> None:
    """Run the command with the caches of *workspace*."""
    caches = {name: workspace.cache(name) for name in VARIABLES}
    for name, path in directories.items():
        caches[name] = Path(os.path.abspath(path))
    source = report.bundle if os.path.lexists(report.bundle) else None
    if source is not None:
        with _told_of("loaded before it", report):
            report.take_load(fill(source, caches))
    before = {name: listing(path) for name, path in caches.items()}
    variables = observed(environ, workspace, source, starts=False)
    report.exit_code = run_command(report.command, variables)
    with _told_of("kept of this run", report):
        _harvest(report.bundle, caches, before, variables, workspace, report)


@contextlib.contextmanager
def _told_of(what: str, report: Report) -> Iterator[None]:
    """Go on after any error: neither the command nor its code may suffer from it."""
    try:
        yield
    except Exception as error:
        report.problems.append(f"nothing is {what}: {error!r}")


def _harvest(
    bundle: PathLike,
    caches: Mapping[str, Path],
    before: dict[str, Listing],
    variables: Mapping[str, str],
    workspace: Workspace,
    report: Report,
) -> None:
    """Append what is new in *caches* to the bundle."""
    workspace.close_to_others()
    told = Told.by(read_events(workspace.root))
    report.take(told)
    for name, path in caches.items():
        before[name].update(told.filled.get(str(path), {}))
    new = harvest(
        caches,
        before,
        killed=report.exit_code > BY_SIGNAL,
        pgo_keys={each.pgo_key for each in told.torches.values() if each.pgo_key},
    )
    report.problems += new.problems
    _keep(bundle, new.artifacts, told, variables, workspace, report)


_NOT_TORCHS = (FileArtifact, TritonArtifact)


def _keep(
    bundle: PathLike,
    artifacts: list[CacheArtifact],
    told: Told,
    variables: Mapping[str, str],
    workspace: Workspace,
    report: Report,
) -> None:
    """Append *artifacts* to the bundle."""
    environment: Environment | None = capture()
    if any(not isinstance(each, FileArtifact) for each in artifacts):
        problems: list[str] = []
        environment = _torch_environment(told, variables, workspace, problems)
        of_torch = any(not isinstance(each, _NOT_TORCHS) for each in artifacts)
        if environment is not None or of_torch:
            report.problems += problems
    if environment is None:
        environment = capture()
        artifacts = [each for each in artifacts if isinstance(each, _NOT_TORCHS)]
    if "triton_version" not in environment:
        kept = [each for each in artifacts if not isinstance(each, TritonArtifact)]
        if n := len(artifacts) - len(kept):
            report.problems.append(
                f"triton: {n} files left out: the version of its Triton is not known, "
                "without which they would be used nowhere; only a process with "
                "torch's compiler and a Triton tells it"
            )
        artifacts = kept
    device = environment.get("device_name")
    if isinstance(device, str):
        artifacts = [
            attrs.evolve(each, device=device)
            if isinstance(each, AutotuneArtifact)
            else each
            for each in artifacts
        ]
    if not artifacts:
        return
    artifacts = [*artifacts, *told_factors(workspace.root / "factors", artifacts)]
    try:
        report.take_save(save(bundle, artifacts, environment=environment))
    except OverwinterError as error:
        report.problems.append(f"nothing is kept of this run: {error}")


def _torch_environment(
    told: Told, variables: Mapping[str, str], workspace: Workspace, problems: list[str]
) -> Environment | None:
    """
    Return what torch's artifacts were compiled for, if it can be known.

    Args:
        told: What the processes told.
        variables: Those of the command.
        workspace: Its own.
        problems: Takes why it cannot, and what is missing in it.
    """
    found = [
        each for each in told.torches.values() if each.is_used and each.environment
    ]
    if not found:  # it was killed, or ended by `os._exit`
        found = _asked(told, variables, workspace)
    if not found:
        problems.append(
            "nothing of torch's is kept: no process told which torch it was; is the "
            "command a Python without -I, -E or -S, and can it import overwinter?"
        )
        return None
    said = {
        tuple(str(each.environment.get(field)) for field in _COMPARED) for each in found
    }
    if len(said) > 1:
        problems.append(
            f"nothing of torch's is kept: {len(said)} different ones used one cache"
        )
        return None
    problems += [line for each in found[:1] for line in each.problems]
    return found[0].environment


_COMPARED = (*GRAPH_RULES, *NativeArtifact.environment_rules)


def _asked(
    told: Told, variables: Mapping[str, str], workspace: Workspace
) -> list[Torch]:
    """Ask the torch of a process that could not tell, in another like it."""
    pythons = {
        event.pid: str(event.facts[0])
        for event in read_events(workspace.root)
        if event.name == "python"
    }
    used = next((pid for pid in told.fillers if pid in pythons), None)
    if used is None:
        return []
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            [pythons[used], "-c", _ASK_TORCH],
            env=dict(variables),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
        )
    after = Told.by(read_events(workspace.root)).torches
    return [each for pid, each in after.items() if pid not in told.torches]


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Have signals that would end this process let it clean up."""

    def end(number: int, _: object) -> None:
        raise SystemExit(BY_SIGNAL + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
