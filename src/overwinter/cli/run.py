"""
``overwinter run --bundle FILE -- COMMAND``: warm caches, with no code to change.
"""

import json
import re
from pathlib import Path

import click

from .output import print_words

__all__ = ["run"]


def _directories(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    from ..kinds.file import CACHE_NAME
    from ..observing import VARIABLES

    found: dict[str, str] = {}
    for value in values:
        name, _, path = value.partition("=")
        if not re.fullmatch(CACHE_NAME, name) or not path:
            raise click.BadParameter(
                f"expected NAME=PATH, with a name such as acme_2, got {value!r}"
            )
        if name in VARIABLES or name in found:
            raise click.BadParameter(f"{name} has a directory already; name another")
        found[name] = path
    return found


@click.command()
@click.option(
    "--bundle",
    required=True,
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Fills the caches if it is there, and gains what is new in them.",
)
@click.option(
    "--dir",
    "directories",
    multiple=True,
    metavar="NAME=PATH",
    callback=_directories,
    help="A further cache directory, under its name in the bundle; made if need be.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    metavar="JSON",
    help="Write a report there; its layout is versioned.",
)
@click.option("--keep", is_flag=True, help="Keep the directories, and say where.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    bundle: str,
    directories: dict[str, str],
    report: str | None,
    keep: bool,
    command: tuple[str, ...],
) -> int:
    """
    Run COMMAND with caches of its own that are filled from a bundle.

    Torch (TORCHINDUCTOR_CACHE_DIR), Triton (TRITON_CACHE_DIR) and jax
    (JAX_COMPILATION_CACHE_DIR) get fresh directories, as in: overwinter run --bundle
    model.owb -- python train.py. What is new in them afterwards, and in each --dir, is
    appended to the bundle. For jax, JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES is set to
    none if it is not set: else its keys hold the directory's path.

    Signals are passed on. The exit code is that of COMMAND, 128 and its number where a
    signal ended it, 127 where there is none such, 126 where it cannot be run.
    """
    from ..files import is_url
    from ..running import run as run_with_caches

    if is_url(bundle):
        raise click.BadParameter(
            f"expected a file, to which new artifacts are appended, got {bundle}; copy "
            "it, or load it in the program with overwinter.torch.warm()"
        )
    done = run_with_caches(bundle, command, directories=directories, keep=keep)
    for line in done.lines():
        print_words(line)
    if report is not None:
        try:
            Path(report).write_text(json.dumps(done.as_dict(), indent=2) + "\n")
        except OSError as error:
            print_words(f"{report}: could not write it: {error.strerror}")
    return done.exit_code
