"""Detached signatures: over a whole bundle, by who signed all of it."""

import hashlib
import os
import subprocess

import pytest
from bundles import (
    KEY,
    appended,
    built,
    flipped,
    plans,
    regions,
    sample,
    sample_of_two,
)
from forging import file_of

from overwinter import detached
from overwinter.detached import detached_signature
from overwinter.errors import ChangedError, NotABundleError, NotFoundError, TrustError
from overwinter.trust import SigningKey, minisign

OTHER = SigningKey(bytes(32))


@pytest.fixture
def path(tmp_path):
    """Return where a bundle of two segments lies, both signed by one key."""
    path = tmp_path / "model.owb"
    path.write_bytes(sample_of_two())
    (tmp_path / "key.pub").write_text(
        minisign.public_key_text(KEY.public), encoding="ascii"
    )
    return path


def verified(path):
    """Return what the stock tool says of a bundle: its code and its words."""
    command = ["minisign", "-V", "-H", "-m", path.name, "-p", "key.pub"]
    run = subprocess.run(command, cwd=path.parent, capture_output=True, text=True)
    return run.returncode, run.stdout + run.stderr


def test_the_stock_tool_verifies_a_bundle(path, tmp_path):
    """And shows what was signed with it: name, digest, segments."""
    text = detached_signature(path, KEY)
    (tmp_path / "model.owb.minisig").write_text(text, encoding="ascii")
    code, said = verified(path)
    assert code == 0, said
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"file:model.owb\tsha256:{digest}\tsegments:2" in said


def test_the_stock_tool_refuses_a_bundle_of_which_one_byte_changed(path, tmp_path):
    """Whichever it is: the signature is over all of them."""
    text = detached_signature(path, KEY)
    (tmp_path / "model.owb.minisig").write_text(text, encoding="ascii")
    data = path.read_bytes()
    for position in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(flipped(data, position, 0))
        code, said = verified(path)
        assert code != 0
        assert "Signature verification failed" in said


@pytest.mark.parametrize(
    "data",
    [
        built(plans(("a", b"1")), key=OTHER),
        built(plans(("a", b"1")), key=None),
        appended(sample(), plans(("e", b"1")), key=OTHER),
    ],
    ids=["another's", "nobody's", "partly another's"],
)
def test_nobody_signs_for_others(path, data):
    """Each segment must have the key's own signature already."""
    path.write_bytes(data)
    with pytest.raises(TrustError, match=r"1 of [12] segments that this key"):
        detached_signature(path, KEY)


def test_a_bundle_without_segments_is_nobodys(path):
    """All of none are signed by anybody."""
    path.write_bytes(file_of())
    with pytest.raises(TrustError, match="0 of 0 segments"):
        detached_signature(path, KEY)


@pytest.mark.parametrize("part", ["blocks 0", "statement 0", "signatures 0"])
def test_damage_is_not_signed(path, part):
    """The segments' signatures do not vouch for such bytes; nor does this one."""
    data = sample()
    path.write_bytes(flipped(data, regions(data)[part][-1], 0))
    with pytest.raises(TrustError, match=r"is damaged \((refused|quarantined)\)"):
        detached_signature(path, KEY)


def test_a_torn_append_is_not_signed(path):
    """Bytes that belong to no segment are nobody's word."""
    path.write_bytes(sample() + b"torn")
    with pytest.raises(TrustError, match="tail ignored"):
        detached_signature(path, KEY)


def test_a_bundle_that_changes_meanwhile_is_not_signed(path, monkeypatch):
    """What was hashed must be what was verified."""
    check = detached._check

    def changing(*arguments):
        check(*arguments)
        os.utime(path, ns=(0, 0))

    monkeypatch.setattr(detached, "_check", changing)
    with pytest.raises(ChangedError):
        detached_signature(path, KEY)


def test_what_is_no_bundle_is_not_signed(path, tmp_path):
    """This key signs bundles, and no other files."""
    path.write_bytes(b"words" * 100)
    with pytest.raises(NotABundleError):
        detached_signature(path, KEY)
    with pytest.raises(NotFoundError):
        detached_signature(tmp_path / "missing.owb", KEY)


def test_a_name_stays_on_its_line(tmp_path):
    """A file may be called anything; what is signed is shown on a terminal."""
    path = tmp_path / "a\n\x1b[31mä\\.owb"
    path.write_bytes(sample())
    line = detached_signature(path, KEY).split("\n")[2]
    assert line.startswith("trusted comment: file:a\\n\\x1b[31m\\xe4\\\\.owb\tsha256:")
