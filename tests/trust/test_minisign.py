"""minisign's texts: the stock tool reads them, and says of ours what we say."""

import base64
import subprocess
from hashlib import blake2b, sha256

import pytest
from bundles import KEY, part, sample

from overwinter import Bundle
from overwinter.trust import SigningKey, key_id, key_id_text
from overwinter.trust.minisign import public_key_text, signature_text


@pytest.fixture
def minisign(tmp_path):
    """Return what has the stock tool verify a file, and gives its code and words."""

    def verify(name, *options):
        command = ["minisign", "-V", "-m", name, "-p", "key.pub", *options]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        return run.returncode, run.stdout + run.stderr

    (tmp_path / "key.pub").write_text(public_key_text(KEY.public), encoding="ascii")
    return verify


def test_the_stock_tool_verifies_what_is_signed(tmp_path, minisign):
    """Prehashed, which it asks for with -H; the comment is signed with the file."""
    (tmp_path / "file").write_bytes(b"words")
    text = signature_text(KEY, blake2b(b"words").digest(), "file:file\tsegments:1")
    (tmp_path / "file.minisig").write_text(text, encoding="ascii")
    code, said = minisign("file", "-H")
    assert code == 0, said
    assert "Trusted comment: file:file\tsegments:1" in said


def test_the_stock_tool_refuses_what_was_changed(tmp_path, minisign):
    """The file, the comment, or the key: each is bound."""
    (tmp_path / "file").write_bytes(b"words")
    text = signature_text(KEY, blake2b(b"words").digest(), "segments:1")
    changed = {
        "the file": signature_text(KEY, blake2b(b"wordz").digest(), "segments:1"),
        "the comment": text.replace("segments:1", "segments:2"),
        "the key": signature_text(
            SigningKey(bytes(32)), blake2b(b"words").digest(), ""
        ),
    }
    for what, other in changed.items():
        (tmp_path / "file.minisig").write_text(other, encoding="ascii")
        assert minisign("file")[0] != 0, what


def test_the_stock_tool_verifies_the_signature_in_a_segment(tmp_path, minisign):
    """The same 64 bytes, over DSSE's encoding of the statement, spelt out here."""
    data = sample()
    statement = part(data, "statement 0")
    (of_segment,) = Bundle(data).segments[0].signatures
    of_file = b"Ed" + key_id(KEY.public) + of_segment.signature
    comment = KEY.sign_bare(of_segment.signature + b"a segment")
    (tmp_path / "encoded.minisig").write_text(
        "untrusted comment: a segment\n"
        f"{base64.b64encode(of_file).decode()}\n"
        "trusted comment: a segment\n"
        f"{base64.b64encode(comment).decode()}\n",
        encoding="ascii",
    )
    encoded = b"DSSEv1 45 application/vnd.overwinter.segment.v1+msgpack %d %b"
    message = encoded % (len(statement), statement)
    (tmp_path / "encoded").write_bytes(message)
    code, said = minisign("encoded")
    assert code == 0, said
    for other in (message[:-1], message + b"x", statement):
        (tmp_path / "encoded").write_bytes(other)
        assert minisign("encoded")[0] != 0


def test_a_key_has_the_number_that_minisign_shows(tmp_path, minisign):
    """Eight bytes that follow from the key, read as a little-endian number."""
    assert key_id(KEY.public) == sha256(KEY.public).digest()[:8]
    (tmp_path / "file").write_bytes(b"words")
    other = SigningKey(bytes(32))
    text = signature_text(other, blake2b(b"words").digest(), "")
    (tmp_path / "file.minisig").write_text(text, encoding="ascii")
    code, said = minisign("file")
    assert code != 0
    assert key_id_text(KEY.public) in said
    assert key_id_text(other.public) in said


def test_the_texts_are_exactly_these():
    """Literals, so that they cannot change unnoticed."""
    assert public_key_text(KEY.public) == (
        "untrusted comment: overwinter public key 4C476354A75A4756\n"
        "RWRWR1qnVGNHTAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4\n"
    )
    lines = signature_text(KEY, bytes(64), "a comment").splitlines()
    assert lines[0] == "untrusted comment: signature by overwinter key 4C476354A75A4756"
    assert base64.b64decode(lines[1])[:10] == b"ED" + key_id(KEY.public)
    assert lines[2] == "trusted comment: a comment"
    assert [len(base64.b64decode(lines[at])) for at in (1, 3)] == [74, 64]


@pytest.mark.parametrize("comment", ["a\nb", "a\rb", "\x1b[31m", "ä", "a\x00"])
def test_a_comment_is_one_line_of_ascii(comment):
    """A second line would be read as another part of the file."""
    with pytest.raises(ValueError, match="one line of ASCII"):
        signature_text(KEY, bytes(64), comment)


def test_only_a_digest_is_signed():
    """64 bytes are no statement: nothing here can be passed off as one."""
    with pytest.raises(ValueError, match="64 bytes, got 5"):
        signature_text(KEY, b"words", "")
