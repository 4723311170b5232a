"""
The registry: kinds by name, and whose classes claim to be them.

A distribution brings kinds of its own by an entry point of the group
``overwinter.kinds`` that names a `KindPack`; the built-in kinds come the same way.
A kind that cannot be registered is disabled, it alone, and says whose it is.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

import attrs

from .artifact import CacheArtifact
from .errors import KindError
from .kind import Kind

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["GROUP", "OURS", "Claim", "KindPack", "Registry", "installed"]

log = logging.getLogger("overwinter")

GROUP = "overwinter.kinds"
OURS = "overwinter"


def _as_tuple(
    classes: Iterable[type[CacheArtifact]],
) -> tuple[type[CacheArtifact], ...]:
    return tuple(classes)


@attrs.frozen
class KindPack:
    """
    The kinds that one distribution brings.

    Args:
        classes: Their classes, each for the newest version of its kind; each
            names the packages that hold its schema files and steps.
    """

    classes: tuple[type[CacheArtifact], ...] = attrs.field(converter=_as_tuple)


@attrs.frozen
class Claim:
    """
    A class that wants to be the class of a kind.

    Args:
        cls: The class.
        owner: The distribution that brings it and its version, or the module.
        error: Why it is not registered, if it is not.
        is_pack: Whether a distribution's pack brings it.
    """

    cls: type[CacheArtifact]
    owner: str
    error: Exception | None = None
    is_pack: bool = False


class Registry:
    """
    Kinds by name, and what claims to be one.

    Args:
        points: Finds the entry points of the installed distributions.
    """

    def __init__(self, points: "Callable[[], Iterable[EntryPoint]]") -> None:
        self._points = points
        self._lock = threading.RLock()
        self._kinds: dict[str, Kind] = {}
        self._claims: dict[str, list[Claim]] = {}
        self._failed: list[str] = []
        self._is_discovered = False
        # Held while packs are imported, when the other must be free: an import in
        # another thread may wait for that one to register its class.
        self._discovering = threading.RLock()
        self._collecting = threading.local()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the registered kinds, sorted."""
        return tuple(sorted(self._kinds))

    @property
    def failed(self) -> tuple[str, ...]:
        """Packs that bring no kind at all, and why."""
        return tuple(self._failed)

    def claims(self, name: str) -> tuple[Claim, ...]:
        """Return the classes that want to be kind *name*, registered or not."""
        return tuple(self._claims.get(name, ()))

    @property
    def claimed(self) -> tuple[str, ...]:
        """Names that a class has claimed, with success or without, sorted."""
        return tuple(sorted(self._claims))

    def kind(self, name: str) -> Kind:
        """
        Return the registered kind of this name.

        Raises:
            KindError: There is none, or it is disabled, which it explains.
        """
        kind = self._kinds.get(name)
        if kind is not None:
            return kind
        for claim in reversed(self.claims(name)):
            if claim.error is not None:
                raise self._disabled(name, claim)
        found = "is not registered"
        if self._failed:
            found += f" (and {'; '.join(self._failed)})"
        raise KindError(name, found, self.names)

    def register(self, cls: type[CacheArtifact], owner: str) -> None:
        """
        Make *cls* the class of its kind; doing so again changes nothing.

        Raises:
            KindError: The name is taken, or not for this owner.
            DriftError: The class is not what its schema file says.
            InvalidSchemaError: A schema file is missing or is none.
            MigrationError: A step is missing.
        """
        name = cls.type()
        with self._lock:
            known = self._kinds.get(name)
            if known is not None and known.cls is cls:
                return
            # The same class again, from a notebook's cell or a reload.
            again = known is not None and _place(known.cls) == _place(cls)
            claims = self._claims.setdefault(name, [])
            claims[:] = [each for each in claims if _place(each.cls) != _place(cls)]
            try:
                kind = Kind(cls)
                if known is not None and not again:
                    raise self._taken(name, cls, owner)
                if "/" not in name and owner.split()[0] != OURS:
                    raise KindError(
                        name,
                        "has a plain name, as only overwinter's own kinds have",
                        self.names,
                        f"{owner} must name it org/{name}",
                    )
                self._expect_order(kind)
            except Exception as error:
                claims.append(Claim(cls, owner, error))
                if not getattr(self._collecting, "is_on", False):
                    raise
            else:
                claims.append(Claim(cls, owner))
                self._kinds[name] = kind

    def add_pack(self, pack: KindPack, owner: str) -> None:
        """
        Register the kinds of *pack*; one that cannot be is disabled, and only it.

        A kind that two packs claim is disabled for both: which of them wrote a
        bundle nobody can tell.
        """
        with self.collecting():
            for cls in pack.classes:
                try:
                    self.register(cls, owner)
                except Exception as error:  # a class that cannot name its kind
                    self._failed.append(_blame(f"{cls!r}", owner, error))
                    continue
                with self._lock:
                    self._settle(cls.type(), cls, owner)

    def _settle(self, name: str, cls: type[CacheArtifact], owner: str) -> None:
        """Have what a pack claims be told with its owner, and disable rivals."""
        claims = self._claims[name]
        mine = next(each for each in claims if each.cls is cls)
        mine = attrs.evolve(mine, owner=owner, is_pack=True)
        others = [each for each in claims if each.cls is not cls]
        rivals = [each for each in others if each.is_pack]
        claims[:] = [*others, mine]
        if rivals and OURS not in (each.owner.split()[0] for each in [mine, *rivals]):
            owners = " and ".join(sorted([owner, *(each.owner for each in rivals)]))
            error = KindError(
                name, f"is claimed by {owners}", self.names, "uninstall one of them"
            )
            claims[:] = [attrs.evolve(each, error=error) for each in claims]
            self._kinds.pop(name, None)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note what this thread cannot register, instead of raising, for a while."""
        before = getattr(self._collecting, "is_on", False)
        self._collecting.is_on = True
        try:
            yield
        finally:
            self._collecting.is_on = before

    def discover(self, *, quiet: bool = False) -> None:
        """
        Register the packs of the installed distributions, once.

        Args:
            quiet: Log nothing of what is disabled: the caller says it.
        """
        with self._discovering, self.collecting():
            if self._is_discovered:
                return
            # First: a pack's module may ask for a kind while it is imported.
            self._is_discovered = True
            before = set(self._claims)
            try:
                for point in sorted(self._points(), key=lambda e: (_owner(e), e)):
                    self._add_point(point)
            except BaseException:
                self._is_discovered = False  # interrupted: the next one goes on
                raise
        if quiet:
            return
        for words in self._failed:
            log.warning("%s", words)
        for name in sorted(set(self._claims) - before):
            for claim in self.claims(name):
                if claim.error is not None:
                    log.warning("%s", self._disabled(name, claim))
                    break

    def _add_point(self, point: "EntryPoint") -> None:
        owner = _owner(point)
        try:
            pack = point.load()
        except (Exception, SystemExit) as error:  # whatever a foreign module raises
            self._failed.append(_blame(point.value, owner, error))
            return
        if isinstance(pack, KindPack):
            self.add_pack(pack, owner)
        else:
            found = TypeError(f"a {type(pack).__name__} where a KindPack belongs")
            self._failed.append(_blame(point.value, owner, found))

    def _disabled(self, name: str, claim: Claim) -> KindError:
        error = claim.error
        if isinstance(error, KindError):
            found, remedy = f"is disabled: it {error.found}", error.remedy
        else:
            found = f"of {claim.owner} is disabled: {error}"
            remedy = f"mend or uninstall {claim.owner}"
        return KindError(name, found, self.names, remedy)

    def _taken(self, name: str, cls: type[CacheArtifact], owner: str) -> KindError:
        other = next(each for each in self._claims[name] if not each.error)
        taken = f"is registered already, by {other.cls.__qualname__} of {other.owner}"
        remedy = f"give the kind of {cls.__qualname__} of {owner} another name"
        return KindError(name, taken, self.names, remedy)

    def _expect_order(self, kind: Kind) -> None:
        """Refuse kinds that each want to be populated after the other."""
        after = {
            name: each.cls.populate_after
            for name, each in {**self._kinds, kind.name: kind}.items()
        }
        try:
            TopologicalSorter(after).prepare()
        except CycleError as error:
            circle = " after ".join(error.args[1])
            raise KindError(
                kind.name,
                f"would be populated in a circle: {circle}",
                self.names,
                "take one of them out of populate_after",
            ) from None


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


def _owner(point: "EntryPoint") -> str:
    dist = point.dist
    return f"{dist.name} {dist.version}" if dist is not None else point.value


def _blame(what: str, owner: str, error: BaseException) -> str:
    return (
        f"the kinds of {owner} are disabled: {what} raised {type(error).__name__}: "
        f"{error}; mend or uninstall {owner}"
    )


def installed() -> "Iterable[EntryPoint]":
    """Return the entry points of the installed distributions."""
    from importlib.metadata import entry_points  # 10 ms, only where packs matter

    return entry_points(group=GROUP)
