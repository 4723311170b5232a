"""
Rescuing: artifacts out of containers of any torch, without torch.

Its own loader keeps the last group of a kind, refuses another version's file, and
unpickles; here every entry is read, checked against the grammar of its kind, and kept
byte for byte. Nothing is run, and nothing is trusted by it: that whoever rescues also
signs is the act of trust.
"""

import re
from collections import Counter

import attrs

from ..artifact import CacheArtifact
from ..environment import Environment
from ..errors import OverwinterError
from ..factory import CacheArtifactFactory
from ..files import PathLike
from ..info import Note
from ..kinds import MegaCacheArtifact
from .containers import read_container
from .latest import latest
from .megacache import MegaCacheEntry, read_megacache
from .versions import TABLE, row

__all__ = ["Rescued", "rescue"]

_KINDS = frozenset(kind for each in TABLE.values() for kind in each.kinds)


@attrs.frozen
class Rescued:
    """
    What was in a file of containers.

    Args:
        form: What the file is, for people.
        artifacts: Everything in it that a bundle can hold.
        facts: What it says of the torch that wrote it, as fields of an environment.
        dropped_by_torch: Of each kind, how many of these torch's own loader drops.
        superseded: What a later entry of the same place replaced, as it would in
            torch's cache.
        left_out: What no torch could have written, and why.
        layouts: Of its containers, each named by the first torch that wrote it.
    """

    form: str
    artifacts: list[CacheArtifact]
    facts: Environment
    dropped_by_torch: dict[str, int]
    superseded: list[Note]
    left_out: list[Note]
    layouts: frozenset[str] = frozenset()

    def may_be_of(self, torch: str) -> bool:
        """Return whether a version of torch writes such containers."""
        found = re.match(r"(\d{1,4})\.(\d{1,4})", torch)
        if found is None:
            return True
        try:
            known = row((int(found[1]), int(found[2])))
        except KeyError:  # earlier than all that wrote any
            return False
        return self.layouts <= {known.container}


def rescue(path: PathLike) -> Rescued:
    """
    Return the artifacts in a file that torch, SimpleTuner or unsloth wrote.

    Args:
        path: A Mega-Cache container of torch 2.7 or later, a standalone file, or
            another's around them: see ``containers``.

    Raises:
        NotFoundError: There is no such file.
        MegaCacheError: It is cut, changed, or something else.
        StoreError: It cannot be read.
    """
    container = read_container(path)
    entries: list[MegaCacheEntry] = []
    dropped: set[MegaCacheEntry] = set()
    loaded: set[MegaCacheEntry] = set()
    forms = []
    layouts = set()
    for name, data in container.blobs:
        blob = read_megacache(data, source=name)
        entries += blob.entries
        layouts.add(blob.layout)
        dropped |= set(blob.dropped)
        loaded |= (Counter(blob.entries) - Counter(blob.dropped)).keys()
        forms.append("torch 2.7" if blob.layout == "2.7" else "torch 2.8 or later")
    entries = list(dict.fromkeys(entries))  # two saves of a process share most
    kept = latest(entries)
    stay = set(map(id, kept))
    superseded = [
        Note(each.kind, each.key, "a later entry has its place")
        for each in entries
        if id(each) not in stay
    ]
    artifacts, left_out = [], []
    for entry in kept:
        try:
            artifacts.append(_artifact(entry))
        except OverwinterError as error:
            left_out.append(Note(entry.kind, entry.key, str(error)))
    writers = " and ".join(dict.fromkeys(forms))
    return Rescued(
        f"{container.form}, of {writers}",
        artifacts,
        container.facts,
        dict(Counter(each.kind for each in dropped - loaded)),
        superseded,
        left_out,
        frozenset(layouts),
    )


def _artifact(entry: MegaCacheEntry) -> CacheArtifact:
    if entry.kind in _KINDS:
        artifact = CacheArtifactFactory.create(entry.kind, entry.key, entry.content)
    else:
        # Also one that is a kind of ours: torch writes none such, and what it holds
        # was never meant to be a file in a cache.
        artifact = MegaCacheArtifact(f"{entry.kind}/{entry.key}", entry.content)
    artifact.check_key(artifact.key)
    return artifact
