"""
A ``g++`` that counts: it notes its arguments and runs the real one.

Torch hashes what the compiler says of itself, so it must answer truthfully, and
all processes of a comparison must find it under one path.
"""

import os
import shlex
import shutil
from collections import Counter
from pathlib import Path

__all__ = ["LOG_VARIABLE", "purpose", "steps", "write_compiler"]

LOG_VARIABLE = "COMPILER_LOG"


def write_compiler(directory: Path, *, old: bool = False) -> None:
    """Put a counting ``g++`` into *directory*; an *old* one knows no vectors."""
    real = shutil.which("g++")
    assert real is not None, "no g++ on PATH, and torch cannot compile without one"
    directory.mkdir()
    wrapper = directory / "g++"
    # The real one by its own path: under another name it does not find its parts.
    path = shlex.quote(os.path.abspath(real))
    without_vectors = f"""case " $* " in
*" -v "*) {path} "$@" 2>&1 | sed 's/ version [^ ]*/ version 4.8.5/' >&2; exit ;;
*" -mavx"*) echo "g++: unrecognized command-line option '-mavx'" >&2; exit 1 ;;
esac
"""
    wrapper.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$*" >>"${LOG_VARIABLE}"
{without_vectors if old else ""}exec {path} "$@"
"""
    )
    wrapper.chmod(0o755)


def steps(log: Path) -> Counter[str]:
    """Return for what the compiler was run, and how often; asking it is no step."""
    commands = log.read_text().splitlines() if log.exists() else []
    counted = Counter(purpose(command.split()) for command in commands)
    del counted["version"]
    return counted


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
