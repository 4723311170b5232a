"""Objects made of columns: whatever the class, they are what its constructor makes."""

import gc
import pickle
import weakref
from typing import ClassVar, Generic, TypeVar

import attrs
import pytest

from overwinter.codec import objects_of
from overwinter.codec.objects import _filler


@attrs.frozen
class Plain:
    """As the classes of kinds are."""

    key: str
    size: int = 4
    names: list[str] = attrs.field(factory=list)


class NoFields:
    """As the base of all artifacts: slots, but none of its own."""

    __slots__ = ()
    kinds: ClassVar[tuple[str, ...]] = ("a",)


@attrs.frozen
class Inherited(Plain, NoFields):
    """Slots of a base, and of its own; a default that the base had none for."""

    size: int = 8
    note: str | None = None


@attrs.frozen
class Private:
    """Arguments of other names than the fields, some only by keyword."""

    _key: str
    __size: int
    cls: str = attrs.field(alias="rows")
    new: int = attrs.field(kw_only=True, default=1)


class WithDict:
    """Its instances take attributes that nobody declared."""


@attrs.frozen
class Mixed(WithDict):
    """Slots beside a ``__dict__``."""

    key: str


@attrs.frozen(order=True, weakref_slot=False)
class Ordered:
    """No weak references, but an order."""

    key: str
    size: int


FILLED = [Plain, Inherited, Private, Mixed, Ordered]


@attrs.frozen
class Checked:
    """A validator that says more than the schema."""

    key: str = attrs.field(validator=attrs.validators.min_len(2))


@attrs.frozen
class Converted:
    """A converter, which schemas know nothing of."""

    key: str = attrs.field(converter=lambda text: text.upper())


@attrs.frozen(cache_hash=True)
class Hashed:
    """Keeps its hash beside its fields."""

    key: str


@attrs.frozen
class Before:
    """Does something before its fields are set."""

    key: str
    seen: ClassVar[list[str]] = []

    def __attrs_pre_init__(self):
        self.seen.append("before")


@attrs.frozen
class After:
    """Does something after its fields are set."""

    key: str
    seen: ClassVar[list[str]] = []

    def __attrs_post_init__(self):
        self.seen.append("after")


@attrs.frozen(init=False)
class Own:
    """A constructor that attrs did not write."""

    key: str

    def __init__(self, key):
        self.__attrs_init__(key + "!")


@attrs.frozen
class Newed:
    """Its objects are made elsewhere."""

    key: str

    def __new__(cls, key):
        made = object.__new__(cls)
        Newed.last = key
        return made


@attrs.frozen(slots=False)
class Open:
    """No slots."""

    key: str


@attrs.frozen
class Raised(Exception):
    """Arguments besides the fields."""

    key: str


@attrs.define
class Mutable:
    """Its constructor is fast already."""

    key: str


class Meta(type):
    """May do anything to a subclass."""


@attrs.frozen
class Watched(metaclass=Meta):
    """A metaclass."""

    key: str


class Registering:
    """Knows all its subclasses."""

    __slots__ = ()
    known: ClassVar[list[str]] = []

    def __init_subclass__(cls):
        Registering.known.append(cls.__name__)


@attrs.frozen
class Registered(Registering):
    """A subclass of it."""

    key: str


T = TypeVar("T")


@attrs.frozen
class Parametrized(Generic[T]):
    """Generic, which watches its subclasses."""

    key: str


class Undecorated(Plain):
    """A subclass that attrs did not see."""


CONSTRUCTED = [
    Checked,
    Converted,
    Hashed,
    Before,
    After,
    Own,
    Newed,
    Open,
    Raised,
    Mutable,
    Watched,
    Registered,
    Parametrized,
    Undecorated,
]


def rows_of(cls):
    """Return two rows of values for the fields of *cls*."""
    return [
        tuple(
            f"{row}-{field.name}" if field.type is str else (row,)
            for field in attrs.fields(cls)
        )
        for row in range(2)
    ]


def columns_for(cls, rows):
    """Return *rows* as columns."""
    names = [field.name for field in attrs.fields(cls)]
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def constructed(cls, row):
    """Return the *cls* of *row* as its constructor makes it."""
    aliases = [field.alias for field in attrs.fields(cls)]
    return cls(**dict(zip(aliases, row, strict=True)))


@pytest.mark.parametrize("cls", [*FILLED, *CONSTRUCTED], ids=lambda cls: cls.__name__)
def test_objects_are_those_that_the_constructor_makes(cls):
    """In type, fields, state and pickle, and as frozen; nothing shows the way."""
    rows = rows_of(cls)
    made = objects_of(cls, columns_for(cls, rows))
    wanted = [constructed(cls, row) for row in rows]

    for found, other in zip(made, wanted, strict=True):
        assert type(found) is cls
        assert attrs.astuple(found) == attrs.astuple(other)
        assert repr(found) == repr(other)
        assert found.__reduce_ex__(4)[1:] == other.__reduce_ex__(4)[1:]
        assert getattr(found, "__dict__", None) == getattr(other, "__dict__", None)
        assert gc.is_tracked(found) is gc.is_tracked(other)
        for name in ("_attrs_cached_hash", "args"):
            assert getattr(found, name, ...) == getattr(other, name, ...)


@pytest.mark.parametrize("cls", FILLED, ids=lambda cls: cls.__name__)
def test_what_was_filled_is_frozen_and_whole(cls):
    """It hashes, compares, pickles, is evolved, and can neither be set nor deleted."""
    rows = rows_of(cls)
    assert _filler(cls) is not None
    made = objects_of(cls, columns_for(cls, rows))[1]
    name = attrs.fields(cls)[0].name

    assert made == constructed(cls, rows[1])
    assert pickle.loads(pickle.dumps(made)) == made
    assert attrs.evolve(made) == made
    assert hash(made) == hash(constructed(cls, rows[1]))
    if cls is not Ordered:
        assert weakref.ref(made)() is made
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(made, name, "other")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        delattr(made, name)


@pytest.mark.parametrize("cls", CONSTRUCTED, ids=lambda cls: cls.__name__)
def test_a_class_that_does_more_than_set_fields_does_it(cls):
    """Only its own constructor knows what it does."""
    assert _filler(cls) is None


def test_what_a_constructor_does_besides_is_done():
    """It refuses, converts, and acts before and after."""
    with pytest.raises(ValueError, match="Length of 'key' must be >= 2"):
        objects_of(Checked, {"key": ["a"]})
    assert objects_of(Converted, {"key": ["a"]})[0].key == "A"
    assert objects_of(Own, {"key": ["a"]})[0].key == "a!"
    for cls in (Before, After):
        cls.seen.clear()
        objects_of(cls, {"key": ["a", "b"]})
        assert len(cls.seen) == 2
    objects_of(Registered, {"key": ["a"]})
    assert set(Registering.known) == {"Registered"}


def test_columns_of_different_lengths_make_no_objects():
    """A row that is not there is not made up."""
    with pytest.raises(ValueError, match="shorter"):
        objects_of(Plain, {"key": ["a", "b"], "size": [1], "names": [[], []]})


def test_no_rows_are_no_objects():
    """A class is not asked to make what is not there."""
    assert objects_of(Plain, {"key": [], "size": [], "names": []}) == []
