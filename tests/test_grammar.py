"""The grammar of keys: as data, asked of one key or of all at once."""

import pytest
from packages.acme.plans import Plan

from overwinter import CacheArtifact, CacheArtifactFactory, KeyGrammar
from overwinter.errors import KeyGrammarError
from overwinter.kind import Kind

WORDS = KeyGrammar("[a-z]+", "small letters")
BAD = ["", "B", "a\n", "a\nb", "../a"]


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_one_bad_key_among_many_is_found(bad):
    """Also behind a line's end: a whole key must match, and nothing else."""
    assert WORDS.fits_all(["a", "bc"])
    assert not WORDS.fits_all(["a", bad, "b"])
    with pytest.raises(KeyGrammarError, match="expected small letters;"):
        WORDS.check("acme/plan", bad)


@pytest.mark.parametrize("kind", CacheArtifactFactory.kinds())
def test_a_bad_key_is_refused_among_many_too(kind):
    """A kind may match all of them at once, and must name the one."""
    with pytest.raises(KeyGrammarError, match=f"^{kind}: key '../a' leads out of"):
        CacheArtifactFactory.kind(kind).check_keys(["../a"])


def test_a_kind_that_asks_more_than_its_grammar_is_heard():
    """Who overrides ``check_key`` has a reason."""

    class Strict(Plan):
        key_grammar = WORDS

        @classmethod
        def check_key(cls, key):
            super(Plan, cls).check_key(key)
            if key == "bad":
                raise KeyGrammarError("acme/plan", key, "is bad", "good ones")

    kind = Kind(Plan)
    kind.cls = Strict
    kind.check_keys(["a", "b"])
    with pytest.raises(KeyGrammarError, match="is bad"):
        kind.check_keys(["a", "bad"])
    with pytest.raises(KeyGrammarError, match="expected small letters"):
        kind.check_keys(["a", "B"])


def test_a_class_without_any_grammar_says_so():
    """Keys become paths: no kind goes unasked."""
    with pytest.raises(NotImplementedError, match="a kind knows its keys"):
        CacheArtifact.check_key("a")
