"""Exit codes: one for each family of errors, by who must act."""

import pytest

from overwinter.cli.codes import exit_code
from overwinter.errors import (
    DamagedError,
    KindError,
    MigrationError,
    NotFoundError,
    OverwinterError,
    StoreError,
    TooNewError,
    TrustError,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("a", "b", "c"), 3),
        (StoreError("a", "b", "c"), 1),
        (DamagedError("a", "b", "c", "d"), 4),
        (TrustError("a", "b", "c", "d"), 4),
        (TooNewError("a", "b", 2, 1), 5),
        (MigrationError("a", "b", "c", "d"), 1),
        (KindError("a", "b", ()), 1),
        (OverwinterError("a"), 1),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_family_of_errors_has_one_code(error, code):
    """As the design lists them: scripts ask for the code, people read the words."""
    assert exit_code(error) == code
