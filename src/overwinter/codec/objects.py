"""
attrs objects and columns of plain values: cattrs, a column at a time.

Only where a field is not plain already is there a hook, and only then is cattrs
imported.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from inspect import getattr_static
from itertools import starmap
from operator import attrgetter
from types import FunctionType, MemberDescriptorType, UnionType
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
from .collector import collector_paused
from .columns import Column

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["columns_of", "objects_of"]

T = TypeVar("T")


def columns_of(cls: type, objects: Sequence[Any]) -> dict[str, Column]:
    """Return the fields of *objects*, all of the attrs class *cls*, as columns."""
    columns: dict[str, Column] = {}
    for name, hint in _annotations(cls).items():
        column = list(map(attrgetter(name), objects))
        unstructure = _hooks(hint)[0]
        columns[name] = (
            column if unstructure is None else list(map(unstructure, column))
        )
    return columns


def objects_of(cls: type[T], columns: Mapping[str, Column]) -> list[T]:
    """Return one *cls* for each row; the columns were checked against the schema."""
    structured = []
    for name, hint in _annotations(cls).items():  # type: ignore[arg-type]
        column = columns[name]
        structure = _hooks(hint)[1]
        structured.append(column if structure is None else list(map(structure, column)))
    rows = zip(*structured, strict=True)
    fields = attrs.fields(cls)  # type: ignore[arg-type]
    with collector_paused(max(map(len, structured), default=0)):
        if (fill := _filler(cls)) is not None:  # type: ignore[arg-type]
            return fill(rows)
        if any(field.kw_only for field in fields):
            names = [field.alias for field in fields]
            return [cls(**dict(zip(names, row, strict=True))) for row in rows]
        return list(starmap(cls, rows))


@attrs.frozen
class _Frozen:
    """Shows what the classes that attrs froze have in common."""


_FROZEN: Any = _Frozen.__setattr__
_NEW: Any = object.__new__


@cache
def _filler(cls: type[T]) -> Callable[[Iterable[tuple[Any, ...]]], list[T]] | None:
    """
    Return what makes one *cls* for each row, or ``None`` where only it can itself.

    The constructor of a frozen class sets each field through a call of
    ``object.__setattr__``: 97 ms for 200,000 objects of 6 fields. Here the fields
    are set in plain statements while the object is of a subclass that is not frozen,
    which leaves the very same object: 35 ms.
    """
    if not _only_sets_fields(cls):
        return None
    thawed = type(
        cls.__name__,
        (cls,),
        {
            "__slots__": (),
            "__setattr__": object.__setattr__,
            "__delattr__": object.__delattr__,
        },
    )
    names = [field.name for field in attrs.fields(cls)]  # type: ignore[arg-type]
    values = [f"value_{number}" for number in range(len(names))]
    lines = [
        "def fill(rows):",
        " made = []",
        f" for {', '.join(values)}, in rows:",
        "  each = new(thawed)",
        *(f"  each.{n} = {v}" for n, v in zip(names, values, strict=True)),
        "  each.__class__ = cls",
        "  made.append(each)",
        " return made",
    ]
    found: dict[str, Any] = {"new": _NEW, "thawed": thawed, "cls": cls}
    exec("\n".join(lines), found)
    fill: Callable[[Iterable[tuple[Any, ...]]], list[T]] = found["fill"]
    return fill


def _only_sets_fields(cls: type) -> bool:
    """Return whether making a *cls* is nothing but to set each field's slot."""
    init, fields = vars(cls).get("__init__"), attrs.fields(cls)
    return (
        # Frozen by attrs, constructed by what attrs wrote for this very class, and
        # without anybody who watches: a metaclass, or subclasses being made.
        type(cls) is type
        and cls.__setattr__ is _FROZEN
        and cls.__new__ is _NEW
        and type(init) is FunctionType
        and init.__code__.co_filename.startswith("<attrs generated ")
        and not any("__init_subclass__" in vars(each) for each in cls.__mro__[:-1])
        # What a constructor does besides, as attrs names it.
        and not hasattr(cls, "__attrs_pre_init__")
        and not hasattr(cls, "__attrs_post_init__")
        and not hasattr(cls, "_attrs_cached_hash")
        and bool(fields)
        and all(
            each.init
            and each.validator is None
            and each.converter is None
            and type(getattr_static(cls, each.name, None)) is MemberDescriptorType
            for each in fields
        )
    )


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

    def take_apart(value: Any) -> Any:
        try:
            return unstructure(value)
        except Exception:
            # Of another class than annotated: validation names it, with its path.
            return value

    if _is_plain_tuple(annotation):
        # What is in it was validated; cattrs asks again, a value at a time: 100,000
        # artifacts of autotune are built in 31 ms instead of 103.
        return take_apart, tuple
    structure = converter.get_structure_hook(annotation)
    return take_apart, lambda value: structure(value, annotation)


def _is_plain_tuple(annotation: Any) -> bool:
    args = get_args(annotation)
    return get_origin(annotation) is tuple and args[1:] == (...,) and _is_plain(args[0])


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
