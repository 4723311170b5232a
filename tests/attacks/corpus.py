"""The families of the corpus, and what of it is still open."""

from collections.abc import Mapping
from types import ModuleType

import attrs

from attacks import (
    bombs,
    changing,
    confusion,
    duplicates,
    errors,
    layouts,
    lengths,
    links,
    nesting,
    packs,
    partial,
    paths,
    unsigned,
)
from attacks.attack import Attack
from attacks.scenes import Scenario

__all__ = ["FAMILIES", "OPEN", "Family", "is_tried", "of_name"]


@attrs.frozen
class Family:
    """Attacks of one sort."""

    module: ModuleType

    @property
    def attacks(self) -> list[Attack]:
        """Those by a file alone."""
        return getattr(self.module, "ATTACKS", [])

    @property
    def scenes(self) -> list[Scenario]:
        """Those in which somebody acts."""
        return getattr(self.module, "SCENES", [])

    def __len__(self) -> int:
        return len(self.attacks) + len(self.scenes)


FAMILIES = {
    "decompression bombs": Family(bombs),
    "huge lengths": Family(lengths),
    "deep nesting": Family(nesting),
    "error amplification": Family(errors),
    "duplicates and coercion": Family(duplicates),
    "path escapes by key": Family(paths),
    "symlink races in the cache directory": Family(links),
    "kind and environment confusion": Family(confusion),
    "unsigned union": Family(unsigned),
    "forged checksums and layouts": Family(layouts),
    "hostile migrations and kind packs": Family(packs),
    "files changed under reading": Family(changing),
    "partial populate": Family(partial),
}

# Attack and entry point to why what should hold does not hold yet.
OPEN: Mapping[tuple[str, str], str] = {}


def of_name(name: str) -> Attack:
    """Return the attack that is called so."""
    return next(
        each
        for family in FAMILIES.values()
        for each in family.attacks
        if each.name == name
    )


def is_tried(attack: Attack, entry: str) -> bool:
    """Return whether *attack* must hold at *entry* today."""
    return entry not in attack.without and (attack.name, entry) not in OPEN
