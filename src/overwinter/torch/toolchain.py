"""
The toolchain: for what a program that a process started was run.
"""

import os
import re
import shlex
from collections.abc import Sequence

import attrs

__all__ = ["Step", "purpose"]


@attrs.frozen
class Step:
    """
    A run of a compiler, or of a program like it.

    Args:
        purpose: ``preprocess``, ``precompile header``, ``compile`` or ``link``.
        command: What was run.
        pid: Number of the process that started it.
    """

    purpose: str
    command: tuple[str, ...]
    pid: int


_COMPILERS = re.compile(
    r"(?:[\w.]+-)*"  # what it compiles for
    r"(?:g\+\+|gcc|c\+\+|cc|cpp|clang|clang\+\+|icx|icpx|icpc|nvcc|nvc\+\+|hipcc|ptxas|"
    r"cicc|as)(?:-[\d.]+)?"
)
_LINKERS = re.compile(r"(?:[\w.]+-)*(?:ld|ld\.\w+|lld|nvlink|fatbinary)(?:-[\d.]+)?")
_SHELLS = frozenset(["sh", "bash", "dash", "zsh"])
_LAUNCHERS = frozenset(
    "ccache distcc env icecc nice nohup sccache setarch stdbuf taskset time timeout "
    "xcrun".split()
)
_SOURCES = (".c", ".cc", ".cpp", ".cu", ".cxx", ".hip", ".ll", ".ptx", ".s", ".S")
_QUESTION = re.compile(r"-v|-V|--version|-dump[a-z]+|-print-.*|--print-.*|--help|-\?")


def purpose(command: Sequence[str]) -> str | None:
    """
    Return for what the compiler was run, ``None`` where none was.

    Asking it for its version is no step: torch does that also in a warm start.

    Args:
        command: A program, and its arguments.
    """
    if not command:
        return None
    [*words] = command
    name = os.path.basename(words[0])
    if name in _SHELLS and "-c" in words:
        return _purpose_of_text(words[words.index("-c") + 1 :])
    if name in _LAUNCHERS:
        return next(
            filter(None, (purpose(words[i:]) for i in range(1, len(words)))), None
        )
    arguments = words[1:]
    if _LINKERS.fullmatch(name):
        return None if _is_question(arguments) else "link"
    has_source = any(each.endswith(_SOURCES) for each in arguments)
    if not _COMPILERS.fullmatch(name):
        # Whatever it is called, torch can be told to compile with it.
        return "compile" if has_source and "-o" in arguments else None
    if _is_question(arguments):
        return None
    if "-E" in arguments:
        return "preprocess"
    if "c++-header" in arguments:
        return "precompile header"
    # Torch compiles and links most kernels with one command: that is a compile.
    return "compile" if has_source else "link"


def _is_question(arguments: Sequence[str]) -> bool:
    return all(map(_QUESTION.fullmatch, arguments))


def _purpose_of_text(texts: Sequence[str]) -> str | None:
    """Return the purpose of the first compiler in a line for a shell."""
    if not texts:
        return None
    lexer = shlex.shlex(texts[0], posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        [*words] = lexer
    except ValueError:  # a quote that nobody closed
        words = texts[0].split()
    command: list[str] = []
    for word in [*words, ";"]:
        if not set(word) <= set("();<>|&\n"):
            # Its own variables come before a command.
            if command or not re.match(r"\w+=", word):
                command.append(word)
            continue
        if found := purpose(command):
            return found
        command = []
    return None
