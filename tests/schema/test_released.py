"""``RELEASED``: no line of it can be changed, moved or taken out unseen."""

import hashlib

import pytest

from overwinter.schema import InvalidSchemaError
from overwinter.schema.released import parse_released, released_line

FILES = [("plan", 1, b"one"), ("acme/graph", 1, b"two"), ("plan", 2, b"three")]


def _text() -> str:
    text = ""
    for kind, version, file in FILES:
        text += released_line(parse_released(text, "RELEASED"), kind, version, file)
    return text


def test_what_was_released_is_read_back():
    """Kind and version to the digest of the file."""
    released = parse_released(_text(), "RELEASED")
    assert released.digests == {
        (kind, version): hashlib.sha256(file).hexdigest()
        for kind, version, file in FILES
    }
    assert ("plan", 2) in released
    assert ("plan", 3) not in released


def test_a_line_is_exactly_this():
    """A literal, since every later line is sealed with it."""
    digest = hashlib.sha256(b"one").hexdigest()
    seal = hashlib.sha256(f"{'0' * 64} plan 1 {digest}".encode()).hexdigest()
    first = _text().splitlines()[0]
    assert first == f"plan 1 {digest} {seal}"


def test_nothing_released_is_an_empty_file():
    """The first line is sealed with zeros."""
    assert parse_released("", "RELEASED").digests == {}


@pytest.mark.parametrize("line", [0, 1, 2])
@pytest.mark.parametrize("word", [0, 1, 2, 3])
def test_changing_any_word_of_any_line_breaks_the_seal(line, word):
    """Who edits a released file must edit its line, which is seen."""
    lines = [each.split(" ") for each in _text().splitlines()]
    changed = {0: "plans", 1: "7", 2: "f" * 64, 3: "f" * 64}
    lines[line][word] = changed[word]
    text = "".join(" ".join(words) + "\n" for words in lines)
    words = rf"RELEASED: line {line + 1}: found RELEASED_FILE_IMMUTABLE: the seal"
    with pytest.raises(InvalidSchemaError, match=words):
        parse_released(text, "RELEASED")


@pytest.mark.parametrize("order", [[1, 2], [0, 2], [1, 0, 2], [0, 2, 1], [0, 0, 1, 2]])
def test_taking_out_moving_or_doubling_a_line_breaks_the_seal(order):
    """Each line is sealed with all before it."""
    lines = _text().splitlines(keepends=True)
    with pytest.raises(InvalidSchemaError, match="RELEASED_FILE_IMMUTABLE: the seal"):
        parse_released("".join(lines[each] for each in order), "RELEASED")


@pytest.mark.parametrize("text", ["plan 1\n", "plan one a b\n", "\n", "plan 1 a  b\n"])
def test_what_is_no_line_is_refused(text):
    """Such as what a merge leaves behind."""
    with pytest.raises(InvalidSchemaError, match=r"line 1: found .*, expected kind"):
        parse_released(text, "RELEASED")


@pytest.mark.parametrize(("kind", "version"), [("plan", 1), ("acme/graph", 1)])
def test_a_version_is_released_once(kind, version):
    """A second line with a seal of its own would say that the file is another."""
    text = _text()
    with pytest.raises(InvalidSchemaError, match=r"RELEASED_FILE_IMMUTABLE: .* twice"):
        released_line(parse_released(text, "RELEASED"), kind, version, b"other")
