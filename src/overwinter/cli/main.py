"""
``overwinter``: the entry point, and the only place where errors become words.

Standard output is data, standard error is words. Exit codes: 0 done, 1 failed,
2 usage, 3 not found, 4 damaged or untrusted, 5 version out of reach, 6 conflict.
"""

import io
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from ..errors import BrokenRulesError, DriftError, OverwinterError
from .codes import FAILED, INTERRUPTED, exit_code

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        import click
    except ImportError:
        _say("the command line needs click: pip install 'overwinter[cli]'")
        return FAILED
    for stream in (sys.stdout, sys.stderr):
        # What a bundle holds may be text that the terminal's encoding has not.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        from .commands import overwinter
        from .output import print_words, without_secrets

        with _warnings_told():
            code = overwinter.main(
                args=None if arguments is None else list(arguments),
                prog_name="overwinter",
                standalone_mode=False,
            )
    except click.ClickException as error:
        words = io.StringIO()
        error.show(file=words)
        with suppress(OSError):
            click.echo(without_secrets(words.getvalue()), nl=False, err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except (BrokenRulesError, DriftError) as error:
        # A list, of files of this machine: no line of it is a bundle's.
        for line in str(error).splitlines():
            print_words(line)
        return exit_code(error)
    except OverwinterError as error:
        print_words(error)
        return exit_code(error)
    except OSError as error:
        print_words(f"could not print the result: {error}")
        return FAILED
    return code if isinstance(code, int) else 0


class _Words(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from .output import print_words

        for line in record.getMessage().splitlines():
            print_words(line)


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Have the library's warnings printed as all words are."""
    handler = _Words(logging.WARNING)
    log = logging.getLogger("overwinter")
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)


def _say(words: str) -> None:
    print(f"overwinter: {words}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
