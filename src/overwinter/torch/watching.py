"""
Watching torch: the functions of it that are wrapped, so that an observer sees them.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .observer import AOT, BYPASS, GUARDS, HIT, INDUCTOR, MISS, Observer
from .versions import private_parts
from .wrapping import Original, wrap

__all__ = ["watch"]

Wrapper = Callable[[Original], Original]

_CACHE = "torch._inductor.codecache"
_AUTOGRAD = "torch._functorch._aot_autograd.autograd_cache"


def watch(observer: Observer) -> None:
    """
    Have noted from now on what torch looks up.

    A second call changes nothing, but for what could not be done the first time: a
    module of torch's may have been on its way into the process.

    Args:
        observer: Takes it, and what cannot be seen of this torch.
    """
    observer.is_on = True
    problems: list[str] = []
    for module, owner, name, around in (
        (_CACHE, "FxGraphCache", "load_with_key", _loads),
        (_CACHE, "FxGraphCache", "prepare_key", _prepares),
        (_AUTOGRAD, "AOTAutogradCache", "try_load", _tries),
        (_AUTOGRAD, "AOTAutogradCache", "find_guarded_entry", _finds),
        (_AUTOGRAD, "", "autograd_cache_key", _makes_key),
        (_AUTOGRAD, "", "_get_debug_lines_for_cache_key", _prints),
    ):
        with private_parts(problems, f"observe {name}", "some misses stay a riddle"):
            found = import_module(module)
            wrap(getattr(found, owner) if owner else found, name, around(observer))
    observer.unseen = problems


# Each wrapper hands on what torch made, whatever it is, and looks at it afterwards.


def _loads(observer: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def load_with_key(key: str, debug_lines: Any, *args: Any, **more: Any) -> Any:
            result = original(key, debug_lines, *args, **more)
            with observer.safely():
                observer.keep(INDUCTOR, key, debug_lines)
                observer.note(INDUCTOR, key, *_outcome(*result))
            return result

        return load_with_key

    return around


def _prepares(observer: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def prepare_key(*args: Any, **more: Any) -> Any:
            result = original(*args, **more)
            with observer.safely():
                key, info = result
                if key is None:
                    observer.note(INDUCTOR, "", BYPASS, info.get("cache_bypass_reason"))
            return result

        return prepare_key

    return around


def _tries(observer: Observer) -> Wrapper:
    """Around what decides: a graph that was found may be refused, or need another."""

    def around(original: Original) -> Original:
        def try_load(*args: Any, **more: Any) -> Any:
            n, observer.made, observer.unmade = len(observer.lookups), "", ""
            result = original(*args, **more)
            with observer.safely():
                function = result[0] if isinstance(result, tuple) else result
                if function is None:
                    observer.correct(n)
            return result

        return try_load

    return around


def _finds(observer: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def find_guarded_entry(cls: Any, key: str, *args: Any, **more: Any) -> Any:
            result = original(cls, key, *args, **more)
            with observer.safely():
                observer.note(AOT, key, *_outcome(result[0], result[-1]))
            return result

        return find_guarded_entry

    return around


def _makes_key(observer: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def autograd_cache_key(*args: Any, **more: Any) -> Any:
            try:
                result = original(*args, **more)
            except Exception as error:
                observer.unmade = str(error) or type(error).__name__
                raise
            with observer.safely():
                observer.made, lines = result
                observer.keep(AOT, observer.made, lines)
            return result

        return autograd_cache_key

    return around


def _prints(observer: Observer) -> Wrapper:
    def around(original: Original) -> Original:
        def debug_lines(pickler: Any, details: Any, key: str) -> Any:
            lines = original(pickler, details, key)
            with observer.safely():
                # Torch makes them for its log only.
                observer.keep(AOT, key, lines or pickler.debug_lines(details))
            return lines

        return debug_lines

    return around


def _outcome(found: object, info: Any) -> tuple[str, str]:
    if found is not None:
        return HIT, ""
    status = info.get("cache_status_detailed") if isinstance(info, dict) else None
    if status == GUARDS:
        return GUARDS, str(info.get("cache_status_guard_expr") or "")
    return MISS, ""
