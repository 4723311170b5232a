"""
What every Python process of an observed command runs before anything else.

It notes which programs the process starts and what it reads of the caches, and calls
`overwinter.torch.inside` when torch has what reads its caches, and at the end. The
interpreter may be any, so this holds to the standard library; the program must not
feel it, so whatever fails here is noted, if that can be done, and dropped.

No global may be called ``torch``: a key of torch's holds the name of the module that
has it first.

Source:
    PEP 578, and ``site`` of the standard library for ``sitecustomize``.
"""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # the name is enough, and its module takes a millisecond
    from typing import Any

_ROOT = os.environ.get("OVERWINTER_OBSERVED", "")
_CACHES = os.path.join(_ROOT, "caches", "")
_MOMENT = "torch._inductor.codecache"
_LONGEST = 4096  # characters of one argument: some are whole programs

_read: set[str] = set()
_lost: list[str] = []


def note(name: str, *facts: object) -> None:
    """Write an event down, as a line of Python values in ASCII."""
    try:
        pid = os.getpid()
        line = ascii((name, pid, *facts)).encode() + b"\n"
        # Opened each time: a program may close descriptors that it does not know, and
        # then the number is that of a file of its own.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.open(os.path.join(_ROOT, "events", str(pid)), flags, 0o600)
        try:
            os.write(file, line)
        finally:
            os.close(file)
    except Exception as error:  # the directory is full, or gone
        _lost.append(repr(error))


def _hear(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
    hear = _HEARD.get(event)
    if hear is None:  # as most are of no interest, such as every call of `id`
        return
    try:
        hear(*arguments)
    except Exception as error:  # a program gives its own functions what it likes
        note("failed", f"tell of {event}", repr(error))


def _hear_open(path: object, _: object, flags: int) -> None:
    if not flags & (os.O_WRONLY | os.O_RDWR):
        _note_read(path)


def _hear_start(program: Any, words: Any, *_: object) -> None:
    words = [words] if isinstance(words, (str, bytes)) else words
    note("start", _text(program), [_text(word) for word in words])


def _hear_spawn(program: Any, words: Any, *_: object) -> None:
    # From 3.13 on ``subprocess`` starts by it what it has told of already.
    if sys._getframe(2).f_globals.get("__name__") != "subprocess":
        _hear_start(program, words)


_HEARD: dict[str, Any] = {
    "open": _hear_open,
    "ctypes.dlopen": lambda path: _note_read(path),
    "import": lambda _, path, *__: _note_read(path),
    "subprocess.Popen": _hear_start,
    "os.posix_spawn": _hear_spawn,
    "os.exec": _hear_start,
    "os.system": lambda line: _hear_start("sh", ["sh", "-c", _text(line)]),
}


def _note_read(path: object) -> None:
    if type(path) is str and path.startswith(_CACHES) and path not in _read:
        _read.add(path)
        note("read", path[len(_CACHES) :])


def _text(value: Any) -> str:
    return os.fsdecode(value)[:_LONGEST]


class _Moment:
    """Finds what reads torch's caches as others do, and has them filled behind it."""

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> object:
        if name != _MOMENT:
            return None
        try:
            sys.meta_path.remove(self)  # type: ignore[arg-type]
            from importlib.util import find_spec

            spec = find_spec(name)
            loader = spec.loader  # type: ignore[union-attr]
            execute = loader.exec_module  # type: ignore[union-attr]

            def exec_module(module: object) -> None:
                execute(module)  # type: ignore[arg-type]
                _inside("fill")

            loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]
        except Exception as error:
            note("failed", "wait for torch", repr(error))
            return None
        return spec


def _inside(task: str) -> None:
    try:
        from importlib import import_module

        try:
            import_module("overwinter")
        except ImportError:
            # Last, for beside it may be everything else that its environment has.
            sys.path.append(os.environ["OVERWINTER_PACKAGES"])
        getattr(import_module("overwinter.torch.inside"), task)(_ROOT, note)
    except Exception as error:
        note("failed", task, repr(error))


def _end() -> None:
    if _lost:  # there may be space again
        note("failed", f"note {len(_lost)} events", _lost[0])
    if _MOMENT in sys.modules:
        _inside("report")


def _go_on() -> None:
    """Run the ``sitecustomize`` that would have been found without this one."""
    from importlib.machinery import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))
    # This folder stays in `sys.path`, which torch hands to its workers.
    path = [each for each in sys.path if os.path.abspath(each) != here]
    spec = PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if _ROOT and hasattr(sys, "addaudithook"):
    words = getattr(sys, "orig_argv", [])
    note("python", sys.executable, [_text(word) for word in words])
    if os.environ.get("OVERWINTER_OBSERVED_STARTS"):
        sys.addaudithook(_hear)
    sys.meta_path.insert(0, _Moment())  # type: ignore[arg-type]
    atexit.register(_end)  # the first to be registered is the last to be called
if __name__ == "sitecustomize":
    _go_on()
