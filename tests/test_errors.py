"""An error is an instruction: evidence, one sentence, and it pickles."""

import inspect
import pickle

import pytest

from overwinter import errors
from overwinter.errors import OverwinterError
from overwinter.schema.model import InvalidSchemaError

DAMAGED = ("x.owb", "segment 2, foot", "CRC-32 00000001", "00000002")

# One of each class, and the words that say what was found, what was expected, and
# what to do next.
EXAMPLES = {
    errors.NotABundleError: (
        ("x.owb", b"PK\x03\x04", ""),
        "x.owb|starts with 50 4b 03 04|starts with 89 4f 57 42|fetch the file again",
    ),
    errors.DamagedError: (
        DAMAGED,
        "x.owb: segment 2, foot|found CRC-32 00000001|expected 00000002|fetch the",
    ),
    errors.NoTrailerError: (DAMAGED, "found CRC|expected 0|fetch the file again"),
    errors.TailIgnoredError: (
        DAMAGED,
        "segment 2, foot: CRC|what the trailer lists is used|the next save goes on",
    ),
    errors.SegmentDamagedError: (DAMAGED, "found CRC|expected 0|fetch the file again"),
    errors.BlockDamagedError: (DAMAGED, "found CRC|expected 0|fetch the file again"),
    errors.TooLargeError: (
        ("x.owb", "header", 2**31, 65536),
        "x.owb: header|claims 2,147,483,648 bytes|at most 65,536|fetch the file again",
    ),
    errors.OutOfMemoryError: (
        ("x.owb", "segment 0, record block 1"),
        "record block 1: found it to need more memory|expected less|raise the limit",
    ),
    errors.KeyGrammarError: (
        ("pgo", "../up", "leads out of the cache directory", "'job_id:rank:tag'"),
        "pgo|'../up' leads out|expected 'job_id:rank:tag'|do not populate",
    ),
    errors.TooNewError: (
        ("x.owb", "container version", 3, 1, "readers of 2"),
        "x.owb: container version 3|needs readers of 2|reads up to 1|upgrade",
    ),
    errors.UnknownFeatureError: (
        ("x.owb", ("a", "b"), "read"),
        "x.owb: to read it|must know a, b|which this release does not|upgrade",
    ),
    errors.WrongShapeError: (
        ("saving pgo", ("pgo[3].key: expected str, got null",)),
        "saving pgo|expected str|got null|mend the program",
    ),
    errors.ManyEnvironmentsError: (
        ("x.owb", "vector_isa"),
        "x.owb: found artifacts for several environments, which differ in vector_isa|"
        "expected one|export where it will be used, with --here",
    ),
    errors.ConflictError: (
        ("x.owb",),
        "x.owb: found something there already|expected nothing|choose another path",
    ),
    errors.ChangedError: (
        ("x.owb",),
        "x.owb: found it changed|expected it to stay|try again when nobody writes",
    ),
    errors.BrokenRulesError: (
        ("acme/plan", ("SINGLE_HEAD: two",)),
        "acme/plan: found 1 broken rules|expected none|SINGLE_HEAD: two|mend them",
    ),
    errors.DraftError: (
        ("acme/plan", 2, "acme_schema/acme/plan/v2.json"),
        "acme/plan: version 2 is a draft|v2.json is not released|release it with",
    ),
    errors.TargetError: (
        ("release 0.0.1", "one of 0.1.0"),
        "target release 0.0.1: cannot|expected one of 0.1.0|upgrade what reads",
    ),
    errors.DriftError: (
        ("acme/plan", "Plan", "acme/plan/v2.json", ("size: class i64, file str",)),
        "Plan has drifted from acme/plan/v2.json|class i64, file str|change these",
    ),
    errors.KindError: (
        ("acme/plan", "is not registered", ("autotune", "pgo")),
        "'acme/plan' is not registered|registered are autotune, pgo|register its class",
    ),
    errors.KindCodeError: (
        ("acme/plan", "a", "put into its cache", "KeyError('b')"),
        "acme/plan: could not put into its cache 'a'|its own code raised KeyError('b')|"
        "report it to whoever maintains that kind",
    ),
    errors.MigrationError: (
        ("autotune", "v1 -> v2", "no column 'us'", "a column 'us'"),
        "autotune: v1 -> v2|found no column 'us'|expected a column 'us'|mend the step",
    ),
    errors.UndecidedError: (
        ("acme/plan", "acme/plan 1 -> 2", "size is new", "write v1_to_v2.py by hand"),
        "acme/plan 1 -> 2: size is new|then write v1_to_v2.py by hand",
    ),
    errors.TrustError: (
        ("x.owb", "no valid signature", "one by a trusted key", "sign it"),
        "x.owb: no valid signature|expected one by a trusted key|sign it",
    ),
    errors.StoreError: (
        ("x.owb", "open it", "Permission denied"),
        "x.owb|could not open it|Permission denied|check the path",
    ),
    errors.NotFoundError: (
        ("x.owb", "open it", "No such file or directory"),
        "x.owb|no such file|check the path, or save a bundle there",
    ),
    errors.UnsafeDirectoryError: (
        ("/a cache", "is writable by others (mode 0777)", "chmod go-w '/a cache'"),
        "/a cache: is writable by others (mode 0777)|expected to be yours|"
        "runs as you|chmod go-w '/a cache'",
    ),
    InvalidSchemaError: (
        ("v1.json", "fields[0].type", "'i32'", "one of i64"),
        "v1.json: fields[0].type|found 'i32'|expected one of i64|mend the schema file",
    ),
}

FAMILIES = (
    errors.FormatError,
    errors.VersionError,
    errors.SchemaError,
    errors.MigrationError,
    errors.TrustError,
    errors.StoreError,
)


def test_every_error_has_an_example():
    """A class that is added to the module must be added here."""
    classes = {
        each
        for _, each in inspect.getmembers(errors, inspect.isclass)
        if "__init__" in vars(each) or "__str__" in vars(each)
    }
    kept = {errors.NoTrailerError, errors.SegmentDamagedError, errors.BlockDamagedError}

    assert classes | kept | {InvalidSchemaError} == EXAMPLES.keys()
    assert {each.__name__ for each in classes | kept | set(FAMILIES)} == (
        set(errors.__all__) - {"OverwinterError"}
    )


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_an_error_says_what_was_found_what_was_expected_and_what_to_do(cls):
    """One sentence, of which each part of the evidence is a part."""
    arguments, words = EXAMPLES[cls]
    text = str(cls(*arguments))

    for part in words.split("|"):
        assert part in text


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_an_error_pickles(cls):
    """It crosses to another process with its evidence and its sentence."""
    arguments, _ = EXAMPLES[cls]
    error = cls(*arguments)
    copied = pickle.loads(pickle.dumps(error))

    assert type(copied) is cls
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_an_error_keeps_its_evidence_as_attributes(cls):
    """A caller that must act need not read the sentence."""
    arguments, _ = EXAMPLES[cls]
    names = list(inspect.signature(cls).parameters)

    assert [getattr(cls(*arguments), name) for name in names[: len(arguments)]] == list(
        arguments
    )


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_an_error_belongs_to_one_family(cls):
    """The family says who must act, so it is exactly one."""
    assert issubclass(cls, OverwinterError)
    assert sum(issubclass(cls, family) for family in FAMILIES) == 1
