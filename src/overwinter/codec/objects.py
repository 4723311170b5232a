"""
attrs objects and columns of plain values: cattrs, a column at a time.

Only where a field is not plain already is there a hook, and only then is cattrs
imported.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import starmap
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import attrs

from ..schema.types import Tagged
from .columns import Column

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["columns_of", "objects_of"]

T = TypeVar("T")


def columns_of(cls: type, objects: Sequence[Any]) -> dict[str, Column]:
    """Return the fields of *objects*, all of the attrs class *cls*, as columns."""
    columns: dict[str, Column] = {}
    for name, hint in _annotations(cls).items():
        column = [getattr(each, name) for each in objects]
        unstructure = _hooks(hint)[0]
        columns[name] = (
            column if unstructure is None else list(map(unstructure, column))
        )
    return columns


def objects_of(cls: type[T], columns: Mapping[str, Column]) -> list[T]:
    """
    Return one *cls* for each row; the columns were checked against the schema.

    Source:
        The collector visits every young object again and again while a large
        list of objects grows (3-5 times slower), so it pauses for the loop.
    """
    structured = []
    for name, hint in _annotations(cls).items():  # type: ignore[arg-type]
        column = columns[name]
        structure = _hooks(hint)[1]
        structured.append(column if structure is None else list(map(structure, column)))
    rows = zip(*structured, strict=True)
    fields = attrs.fields(cls)  # type: ignore[arg-type]
    with _collector_paused():
        if any(field.kw_only for field in fields):
            names = [field.alias for field in fields]
            return [cls(**dict(zip(names, row, strict=True))) for row in rows]
        return list(starmap(cls, rows))


Hook = Callable[[Any], Any]


@cache
def _annotations(cls: type) -> dict[str, Any]:
    """Return field to annotation, also where the module keeps them as text."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in attrs.fields(cls)}


@cache
def _hooks(annotation: Any) -> tuple[Hook | None, Hook | None]:
    """Return how to take values of *annotation* apart and to build them."""
    if _is_plain(annotation):
        return None, None
    converter = _converter()
    unstructure = converter.get_unstructure_hook(annotation)
    structure = converter.get_structure_hook(annotation)

    def take_apart(value: Any) -> Any:
        try:
            return unstructure(value)
        except Exception:
            # Of another class than annotated: validation names it, with its path.
            return value

    return take_apart, lambda value: structure(value, annotation)


def _is_plain(annotation: Any) -> bool:
    """Return whether values are plain already: no hook, no call."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _tagged(annotation) is None and _is_plain(args[0])
    if origin in (list, dict, Union, UnionType):
        return all(map(_is_plain, args))
    return annotation in _PLAIN


_PLAIN = frozenset([str, int, float, bool, bytes, None, type(None), Any])


def _tagged(annotation: Any) -> Tagged | None:
    """Return what says which class stands for which case, of a union."""
    if get_origin(annotation) is not Annotated:
        return None
    words = annotation.__metadata__
    return next((each for each in words if isinstance(each, Tagged)), None)


@cache
def _converter() -> "Converter":
    # cattrs takes 66 ms to import; most processes never need a hook.
    # Values were validated against the schema, and detailed validation costs
    # 1.3 GB on 2 MB of bad integers.
    from cattrs import Converter

    converter = Converter(detailed_validation=False, forbid_extra_keys=True)

    @converter.register_unstructure_hook_factory(_is_union)
    def _untag(annotation: Any) -> Hook:
        tag, cases = _cases(annotation)
        names = {cls: name for name, cls in cases.items()}
        hooks = {cls: converter.get_unstructure_hook(cls) for cls in names}

        def unstructure(value: Any) -> Any:
            cls = type(value)
            return {tag: names[cls], **hooks[cls](value)}

        return unstructure

    @converter.register_structure_hook_factory(_is_union)
    def _tag(annotation: Any) -> Callable[[Any, Any], Any]:
        tag, cases = _cases(annotation)
        hooks = {name: converter.get_structure_hook(cls) for name, cls in cases.items()}

        def structure(value: Any, _: Any) -> Any:
            record = dict(value)
            name = record.pop(tag)
            if name not in hooks:
                raise ValueError(f"no case {name!r:.60} of {tag!r}")
            return hooks[name](record, cases[name])

        return structure

    return converter


def _is_union(annotation: Any) -> bool:
    return _tagged(annotation) is not None


def _cases(annotation: Any) -> tuple[str, dict[str, type]]:
    tagged = _tagged(annotation)
    assert tagged is not None
    return tagged.tag, tagged.cases


@contextmanager
def _collector_paused() -> Iterator[None]:
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
