"""What is read here is hostile: the two readers need not call its damage alike."""

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def read_by_both() -> Iterator[None]:
    """Compare nothing."""
    yield
