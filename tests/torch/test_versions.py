"""Versions: what is known of each torch, and what of one that is later."""

import attrs
import pytest

from overwinter import CacheArtifactFactory
from overwinter.torch.megacache import MegaCacheEntry, write_megacache
from overwinter.torch.versions import TABLE, row


def test_a_later_torch_is_taken_for_the_last_but_not_for_tested():
    """What it can be asked, it is asked."""
    last = TABLE[max(TABLE)]
    assert row((2, 99)) == attrs.evolve(last, is_tested=False)
    assert row((3, 0)) == row((2, 99))
    assert row((2, 13)).is_tested and row((2, 13)) is TABLE[2, 13]


def test_nothing_is_known_of_a_torch_before_the_first():
    """It wrote no such container."""
    with pytest.raises(KeyError):
        row((2, 6))


@pytest.mark.parametrize("version", TABLE)
def test_every_row_names_kinds_and_a_container_that_we_know(version):
    """Whoever writes for that torch uses both."""
    names = set(CacheArtifactFactory.kinds())
    found = TABLE[version]
    assert set(found.kinds) <= names
    for kind in found.kinds:
        entry = MegaCacheEntry(kind, "key", b"content")
        assert write_megacache([entry], layout=found.container)
