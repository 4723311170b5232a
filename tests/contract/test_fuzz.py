"""The fuzz of the checker: a sample of it, and that it would notice."""

import os
import random

import pytest
from edits import EDITS
from fuzz import Result, WrongVerdictError, run, run_one

from overwinter.contract import checking
from overwinter.migration import operations
from overwinter.schema import compatibility
from overwinter.schema.rules import RULES

# Rules that are no matter of two schemas and the step between them.
ELSEWHERE = {
    "SCHEMA_VALID",
    "RELEASED_FILE_IMMUTABLE",
    "MIGRATION_EXISTS",
    "MIGRATION_PURE",
    "SINGLE_HEAD",
    "CORPUS_HAS_VERSION",
    "CLASS_MATCHES_SCHEMA",
}


def test_the_checker_calls_nothing_safe_that_is_not(capsys):
    """A sample with a new seed each time; ``make fuzz-checker`` runs 100,000."""
    seed = int(os.environ.get("FUZZ_SEED", random.randrange(2**32)))
    result = run(3_000, seed, seconds=5)
    with capsys.disabled():
        print(f"\n{str(result).partition(chr(10))[0]}")
    assert result.n_edits > 100
    assert result.n_safe > result.n_edits // 10


def test_the_fuzz_reaches_every_rule_of_two_versions():
    """And what is safe, and what nobody knows beforehand."""
    result = run(800, 1)
    assert set(result.by_expected) == RULES.keys() - ELSEWHERE | {"safe", "unknown"}
    assert result.n_read_back > 50
    assert len(EDITS) > 30


def test_a_case_is_the_same_again():
    """By its seed and number, so that what was found can be looked into alone."""
    first, second = Result(1), Result(1)
    run_one(1, 7, first)
    run_one(1, 7, second)
    assert first == second


@pytest.mark.parametrize(
    ("module", "name", "blind"),
    [
        (compatibility, "same_value", lambda *_: True),
        (checking, "_astray", lambda *_: []),
        (checking, "_keeps_default", lambda *_: True),
        (checking, "compare_history", lambda *_: []),
        (operations, "_holds_null", lambda *_: True),
        (compatibility, "_reads", lambda *_: True),
        (compatibility, "_accepts_record", lambda *_: True),
    ],
    ids=["frozen", "effect", "default", "history", "null", "reader", "records"],
)
def test_the_fuzz_notices_a_checker_that_is_blind(monkeypatch, module, name, blind):
    """In one thing only; within a few hundred edits."""
    monkeypatch.setattr(module, name, blind)
    with pytest.raises(WrongVerdictError, match=r"case 1:\d+: |no draft: "):
        run(1_500, 1)
