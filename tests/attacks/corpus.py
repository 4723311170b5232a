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
from attacks.entry_points import ENTRY_POINTS
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

READING = (
    "keys", "fetch", "view", "verify", "diff", "diff, other side", "inspect --keys",
    "verify, command", "diff, command",
)  # fmt: skip
POPULATING = ("load", "load, strict", "manager")
_UNKNOWN = "what nobody asked for is built: 72 bytes for each of a bundle"
# Attack to the entry points where what should hold does not hold yet, and why.
_OPEN = {
    "maps_block": ((*READING, *POPULATING), _UNKNOWN),
    "maps_key_column": ((*READING, *POPULATING), _UNKNOWN),
    "maps_unknown_column": (
        ("verify", "diff", "diff, other side", "verify, command", "diff, command"),
        _UNKNOWN,
    ),
    "wide_and_deep": (
        tuple(each for each in ENTRY_POINTS if each not in ("save", "read_megacache")),
        _UNKNOWN,
    ),
    "sparse_layout_512g": (("verify", "verify, command"), "a layout is built whole"),
}
OPEN: Mapping[tuple[str, str], str] = {
    (name, entry): reason
    for name, (entries, reason) in _OPEN.items()
    for entry in entries
}


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
