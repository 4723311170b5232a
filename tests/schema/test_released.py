"""``RELEASED``: no line of it can be changed, moved or taken out unseen."""

import hashlib

import pytest

from overwinter.schema import InvalidSchemaError
from overwinter.schema.released import (
    Digests,
    Released,
    parse_released,
    release_line,
    version_line,
)

FILES = [("plan", 1, b"one", None), ("acme/graph", 1, b"two", None)]
LATER = ("plan", 2, b"three", b"a step")


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text() -> str:
    text = ""
    for file in FILES:
        text += version_line(_parsed(text), *file)
    text += release_line(_parsed(text), "1.0")
    return text + version_line(_parsed(text), *LATER)


def _parsed(text: str) -> Released:
    return parse_released(text, "RELEASED")


def test_what_was_released_is_read_back():
    """Kind and version to the digests of its files, and releases to versions."""
    released = _parsed(_text())
    assert released.digests == {
        ("plan", 1): Digests(_sha(b"one"), None),
        ("acme/graph", 1): Digests(_sha(b"two"), None),
        ("plan", 2): Digests(_sha(b"three"), _sha(b"a step")),
    }
    assert released.releases == {"1.0": {"plan": 1, "acme/graph": 1}}
    assert ("plan", 2) in released
    assert ("plan", 3) not in released
    assert [released.newest(kind) for kind in ("plan", "acme/graph", "x")] == [2, 1, 0]


def test_a_line_is_exactly_this():
    """A literal, since every later line is sealed with it."""
    seal = _sha(f"{'0' * 64} plan 1 {_sha(b'one')} -".encode())
    lines = _text().splitlines()
    assert lines[0] == f"plan 1 {_sha(b'one')} - {seal}"
    before = lines[1].split()[-1]
    assert lines[2] == f"= 1.0 {_sha(f'{before} = 1.0'.encode())}"


def test_nothing_released_is_an_empty_file():
    """The first line is sealed with zeros."""
    assert _parsed("") == Released()


@pytest.mark.parametrize(
    ("line", "word"),
    [(n, w) for n, size in enumerate([5, 5, 3, 5]) for w in range(size)],
)
def test_changing_any_word_of_any_line_breaks_the_seal(line, word):
    """Who edits a released file must edit its line, which is seen."""
    lines = [each.split(" ") for each in _text().splitlines()]
    changed = "7" if len(lines[line]) == 5 and word == 1 else "changed"
    if lines[line][word] != "=":
        lines[line][word] = changed
    else:
        lines[line] = ["plan", "3", "f" * 64, "-", lines[line][-1]]
    text = "".join(" ".join(words) + "\n" for words in lines)
    words = rf"RELEASED: line {line + 1}: found RELEASED_FILE_IMMUTABLE: the seal"
    with pytest.raises(InvalidSchemaError, match=words):
        _parsed(text)


@pytest.mark.parametrize(
    "order", [[1, 2, 3], [0, 1, 3], [1, 0, 2, 3], [0, 2, 1], [0, 0, 1, 2, 3]]
)
def test_taking_out_moving_or_doubling_a_line_breaks_the_seal(order):
    """Each line is sealed with all before it."""
    lines = _text().splitlines(keepends=True)
    with pytest.raises(InvalidSchemaError, match="RELEASED_FILE_IMMUTABLE: the seal"):
        _parsed("".join(lines[each] for each in order))


@pytest.mark.parametrize(
    "text",
    ["plan 1\n", "plan one a b c\n", "\n", "plan 1 a  b c d\n", "= 1 2 3\n",
     "<<<<<<< HEAD\n", "plan 0 a b c\n"],
)  # fmt: skip
def test_what_is_no_line_is_refused(text):
    """Such as what a merge leaves behind."""
    with pytest.raises(InvalidSchemaError, match=r"line 1: found .*, expected kind"):
        _parsed(text)


@pytest.mark.parametrize(("kind", "version"), [("plan", 1), ("acme/graph", 1)])
def test_a_version_is_released_once(kind, version):
    """A second line with a seal of its own would say that the file is another."""
    with pytest.raises(InvalidSchemaError, match=r"RELEASED_FILE_IMMUTABLE: .* twice"):
        version_line(_parsed(_text()), kind, version, b"other", None)


def test_no_version_is_left_out():
    """A gap could never be filled: lines are only added."""
    with pytest.raises(InvalidSchemaError, match=r"plan 4: .*, expected version 3 bef"):
        version_line(_parsed(_text()), "plan", 4, b"other", b"step")


def test_a_sealed_list_without_a_version_is_refused():
    """Who seals it again must not leave one out."""
    text = version_line(Released(), "plan", 1, b"one", None)
    seal = _sha(
        f"{'0' * 64} {text.rpartition(' ')[0].replace('plan 1', 'plan 2')}".encode()
    )
    line = f"{text.rpartition(' ')[0].replace('plan 1', 'plan 2')} {seal}\n"
    with pytest.raises(InvalidSchemaError, match=r"plan 2, expected plan 1: each"):
        _parsed(line)


@pytest.mark.parametrize("name", ["1.0", "", "two words"])
def test_a_release_has_a_name_of_its_own(name):
    """Two of one name would hold different versions."""
    with pytest.raises(InvalidSchemaError, match="expected a word that is new"):
        release_line(_parsed(_text()), name)
