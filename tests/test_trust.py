"""Trust: keys made once and never shown, signatures that repeat, refusals that help."""

import base64
import os
import subprocess
import sys
import textwrap

import pytest

from overwinter.errors import StoreError, TrustError
from overwinter.trust import (
    STATEMENT_TYPE,
    Policy,
    Signature,
    SigningKey,
    _encoded_for_signing,
    _holds,
    existing_key,
    own_key,
    public_text,
    valid_signers,
)

SEED = bytes(range(32))
PREFIX = "overwinter-secret-key-ed25519:"
OTHER = SigningKey(bytes(32)).public
TEXT = PREFIX + base64.b64encode(SEED).decode()


@pytest.fixture
def key_file(home):
    """Return where this machine's key is kept."""
    return home / "data" / "overwinter" / "signing.key"


# --- keys -------------------------------------------------------------------


def test_a_key_is_made_on_first_use_and_kept(key_file):
    """The second use finds the first one's key."""
    assert not key_file.exists()
    first = own_key()
    assert own_key().public == first.public
    assert key_file.read_text(encoding="ascii").startswith(PREFIX)


def test_only_its_owner_can_read_a_key(key_file):
    """The directory too: a name in it cannot be swapped by others."""
    before = os.umask(0)
    try:
        own_key()
    finally:
        os.umask(before)
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert key_file.parent.stat().st_mode & 0o777 == 0o700


def test_every_machine_makes_a_key_of_its_own(monkeypatch, tmp_path):
    """Nothing but chance decides about it."""
    first = own_key()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "other"))
    assert own_key().public != first.public


def test_processes_that_start_at_once_end_with_one_key(key_file):
    """One of them makes it, and all of them sign with it."""
    code = """
        import os, sys, time
        from overwinter.trust import own_key, public_text, SigningKey
        SigningKey(bytes(32))
        open(sys.argv[1] + f"/ready-{os.getpid()}", "w").close()
        while not os.path.exists(sys.argv[1] + "/go"):
            pass
        print(public_text(own_key().public))
    """
    meeting = key_file.parents[2]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(meeting)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    while len(list(meeting.glob("ready-*"))) < len(processes):
        assert all(process.poll() is None for process in processes)
    (meeting / "go").touch()
    said = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert said == {public_text(own_key().public)}
    assert [path.name for path in key_file.parent.iterdir()] == ["signing.key"]


def test_a_key_can_be_given_as_itself(monkeypatch, key_file):
    """For containers that live an hour, and have no home worth a file."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", f" {TEXT}\n")
    assert own_key().public == SigningKey(SEED).public
    assert not key_file.exists()


def test_a_key_can_be_given_as_a_file(monkeypatch, tmp_path, key_file):
    """Secrets are mounted as files, with a newline at the end or without."""
    for ending in ("", "\n", "\r\n"):
        (tmp_path / "secret").write_bytes((TEXT + ending).encode())
        monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(tmp_path / "secret"))
        assert own_key().public == SigningKey(SEED).public
    assert not key_file.exists()


def test_an_empty_variable_is_no_variable(monkeypatch, key_file):
    """As compose files and shells give one that is not set."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", "")
    own_key()
    assert key_file.exists()


def test_a_key_is_kept_in_the_home_directory_without_other_advice(monkeypatch, home):
    """XDG's default; a relative directory is none, says XDG."""
    for value in ("", "relative/path"):
        monkeypatch.setenv("XDG_DATA_HOME", value)
        own_key()
        assert (home / ".local/share/overwinter/signing.key").exists()


def test_a_home_is_the_one_that_was_given(tmp_path, home):
    """And the process's own where none was."""
    own_key({"HOME": str(tmp_path / "other")})
    assert (tmp_path / "other/.local/share/overwinter/signing.key").exists()
    own_key({})
    assert (home / ".local/share/overwinter/signing.key").exists()


def test_a_key_that_cannot_be_read_is_an_error_of_the_store(key_file):
    """Its path is ours, so it is told."""
    key_file.mkdir(parents=True)
    with pytest.raises(StoreError, match=r"signing\.key: could not open it: it is not"):
        own_key()


def test_a_process_without_a_home_is_told_what_to_do(monkeypatch):
    """There is no place for a key, and none is made somewhere else."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(StoreError, match="no HOME and no OVERWINTER_SIGNING_KEY"):
        own_key({})


def test_a_key_that_cannot_be_put_down_is_an_error_of_the_store(home, monkeypatch):
    """The path tells where room must be made."""
    (home / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "file"))
    with pytest.raises(
        StoreError, match=r"signing\.key: could not .*: Not a directory"
    ):
        own_key()


DAMAGED = {
    "empty": "",
    "cut": TEXT[:-4],
    "long": PREFIX + base64.b64encode(SEED + SEED).decode(),
    "not base64": PREFIX + "S3cretS3cret!!!",
    "a letter too many": TEXT[:40] + "!" + TEXT[40:],
    "another kind": "overwinter-secret-key-rsa:" + "S3cret" * 8,
    "no words": base64.b64encode(SEED).decode(),
    "bytes": "S3cret\ufffd\x00",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_key_file_is_refused_and_never_shown(key_file, content):
    """What stands there may be a key that was pasted wrongly: a secret."""
    key_file.parent.mkdir(parents=True)
    key_file.write_text(content, encoding="utf-8")
    key_file.chmod(0o600)
    words = rf"signing.key: {len(content.strip())} characters that are no signing key"
    with pytest.raises(TrustError, match=words) as caught:
        own_key()
    for shown in (str(caught.value), repr(caught.value.args)):
        assert "S3cret" not in shown
        assert "AAEC" not in shown
    assert caught.value.__cause__ is None
    assert "move the file away and a new key is made" in str(caught.value)
    assert key_file.read_text(encoding="utf-8") == content


@pytest.mark.parametrize(
    "given",
    [content for content in DAMAGED.values() if content and "\0" not in content],
)
def test_a_damaged_key_in_the_variable_is_refused_and_never_shown(monkeypatch, given):
    """Without its first words a key looks like a path: it is not shown as one."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", given)
    with pytest.raises(
        TrustError, match=r"^OVERWINTER_SIGNING_KEY: \d+ char"
    ) as caught:
        own_key()
    for shown in (str(caught.value), repr(caught.value.args)):
        assert "S3cret" not in shown
        assert "AAEC" not in shown
    assert "unset" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_key_file_that_is_not_there_is_told_without_its_name(home, monkeypatch):
    """The variable is named, and the reason; what it holds is not."""
    monkeypatch.setenv("OVERWINTER_SIGNING_KEY", str(home / "missing" / "S3cret"))
    with pytest.raises(TrustError, match=r"no file to read .No such file") as caught:
        own_key()
    assert "S3cret" not in str(caught.value)


def test_a_key_shows_its_public_half_only():
    """Whoever logs a key logs a name."""
    key = SigningKey(SEED)
    assert repr(key) == f"<SigningKey {public_text(key.public)}>"
    assert base64.b64encode(SEED).decode() not in repr(key)


def test_a_public_key_is_text_that_people_exchange():
    """Base64 of its 32 bytes; the pair is that of RFC 8032's first test."""
    seed = bytes.fromhex(
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
    )
    public = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    assert public_text(SigningKey(seed).public) == public


# --- signatures -------------------------------------------------------------


def test_what_is_signed_is_the_statement_behind_its_type():
    """The pre-authentication encoding of DSSE, as a literal."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signature = SigningKey(SEED).sign(b"statement")
    message = b"DSSEv1 45 application/vnd.overwinter.segment.v1+msgpack 9 statement"
    Ed25519PublicKey.from_public_bytes(signature.key).verify(
        signature.signature, message
    )
    assert len(STATEMENT_TYPE) == 45


def test_a_signature_is_the_same_every_time():
    """Equal input gives equal bundles, signatures included."""
    first, again = SigningKey(SEED).sign(b"x"), SigningKey(SEED).sign(b"x")
    assert first == again
    assert first.signature != SigningKey(SEED).sign(b"y").signature


def test_only_signatures_that_hold_count():
    """Of many, those over these very bytes by the key that they name."""
    one, two = SigningKey(SEED), SigningKey(bytes(32))
    good = one.sign(b"statement")
    assert valid_signers(b"statement", [good, two.sign(b"statement")]) == (
        one.public,
        two.public,
    )
    for bad in (
        one.sign(b"statement "),
        Signature("ed25519", two.public, good.signature),
        Signature("ed25519", one.public, good.signature[:-1]),
        Signature("ed25519", one.public[:-1], good.signature),
        Signature("ed25519", b"", b""),
        Signature("rsa", one.public, good.signature),
    ):
        assert valid_signers(b"statement", [bad]) == ()
        assert valid_signers(b"statement", [bad, good]) == (one.public,)


def test_a_key_that_somebody_else_could_know_is_not_ours(key_file):
    """It would sign as us, and we would trust whoever else has it."""
    own_key()
    key_file.chmod(0o644)
    with pytest.raises(
        TrustError, match=r"others may read or write \(mode 0644\)"
    ) as it:
        own_key()
    assert f"chmod 600 {key_file}" in str(it.value)
    key_file.chmod(0o600)
    assert own_key()


def test_a_key_that_somebody_planted_is_not_ours(key_file, monkeypatch):
    """Whoever put it there would be trusted."""
    own_key()
    monkeypatch.setattr(os, "geteuid", lambda: key_file.stat().st_uid + 1)
    with pytest.raises(TrustError, match="a key that belongs to user"):
        own_key()
    with pytest.raises(TrustError, match="a key that belongs to user"):
        Policy.of_this_machine()


# --- policy -----------------------------------------------------------------


def test_a_machine_trusts_its_own_key():
    """And, without any configuration, no other."""
    key = own_key()
    policy = Policy.of_this_machine()
    assert policy.trusted == {key.public}
    assert policy.refusal("s", (own_key().public,)) is None
    assert policy.refusal("s", (SigningKey(SEED).public, own_key().public)) is None


def test_a_machine_that_never_saved_trusts_nobody_and_makes_no_key(home):
    """A load needs no secret; making one would hide who signed, and may fail."""
    policy = Policy.of_this_machine()
    assert policy.trusted == frozenset()
    assert list(home.iterdir()) == []
    refusal = policy.refusal("s", (SigningKey(SEED).public,))
    assert "it has none of its own yet" in str(refusal)


def test_a_foreign_signature_is_refused_with_both_ways_out():
    """Trust the signer by sharing a key, or make the artifacts here."""
    foreign = SigningKey(SEED).public
    refusal = Policy([OTHER]).refusal("model.owb, segment 0", (foreign,))
    assert str(refusal) == (
        f"model.owb, segment 0: signed by {public_text(foreign)}, expected a key that "
        "this machine trusts; if you trust that signer: export "
        'OVERWINTER_TRUSTED_KEYS="'
        f'$OVERWINTER_TRUSTED_KEYS key-{foreign[:4].hex()}:{public_text(foreign)}"; '
        "else save the bundle again here"
    )


def test_an_unsigned_segment_is_refused_with_what_to_do():
    """Nobody said that what is in it may run."""
    refusal = Policy([OTHER]).refusal("model.owb, segment 0", ())
    assert str(refusal) == (
        "model.owb, segment 0: no valid signature, expected one by a key that this "
        "machine trusts; ask for a signed bundle, or save it again here"
    )


def test_a_policy_that_trusts_nobody_refuses_everybody():
    """There is no switch that trusts everything, and none by accident."""
    assert Policy([]).refusal("s", ()) is not None
    assert Policy([]).refusal("s", (OTHER,)) is not None


def test_many_signers_are_counted_and_not_listed():
    """A stranger may sign 480 times; the line stays one that somebody reads."""
    signers = tuple(SigningKey(bytes([n]) * 32).public for n in range(1, 9))
    refusal = Policy([OTHER]).refusal("s", signers)
    assert f"signed by {public_text(min(signers))} and 7 more, expected" in str(refusal)
    assert len(str(refusal)) < 300


# --- keys that are named ----------------------------------------------------

CI = SigningKey(SEED).public
NAMED = f"ci:{public_text(CI)}"


@pytest.mark.parametrize(
    "given",
    [NAMED, f" {NAMED} ", f"{NAMED},lab:{public_text(OTHER)}", f"{NAMED}\n{NAMED}"],
    ids=["one", "blanks", "two", "the same again"],
)
def test_a_named_key_is_trusted_beside_ones_own(given):
    """Who only reads needs the public half."""
    own = own_key()
    policy = Policy.of_this_machine({**os.environ, "OVERWINTER_TRUSTED_KEYS": given})
    assert {own.public, CI} <= policy.trusted
    assert policy.refusal("s", (CI,)) is None
    assert (OTHER in policy.trusted) is ("lab" in given)


@pytest.mark.parametrize(
    "bad",
    [
        public_text(CI),
        f"ci={public_text(CI)}",
        f":{public_text(CI)}",
        f"CI:{public_text(CI)}",
        f"*:{public_text(CI)}",
        f"ci:{public_text(CI)[:-1]}",
        f"ci:{public_text(CI)[:-2]}9=",  # other bits where base64 has none
        f"ci:{public_text(CI + CI)}",
        "ci:*",
        f"ci:{public_text(OTHER)}",
        f"zero:{public_text(bytes(32))}",
        "ci:\x1b[31m",
    ],
    ids=ascii,
)
def test_of_keys_that_cannot_be_read_none_counts(bad):
    """No half policy: a slip must not look as if the rest were meant."""
    environ = {**os.environ, "OVERWINTER_TRUSTED_KEYS": f"{NAMED} {bad}"}
    with pytest.raises(TrustError) as caught:
        Policy.of_this_machine(environ)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("given", [TEXT, f"ci:{TEXT}", TEXT[:-4]])
def test_a_secret_among_the_trusted_keys_is_refused_and_not_shown(given):
    """It has the form of a named key: its seed would be trusted as a public one."""
    environ = {**os.environ, "OVERWINTER_TRUSTED_KEYS": f"{NAMED} {given}"}
    with pytest.raises(TrustError, match="a secret signing key") as it:
        Policy.of_this_machine(environ)
    assert "AAEC" not in f"{it.value} {it.value.args}"
    assert "overwinter inspect shows" in str(it.value)


# --- keys by which anybody can sign -----------------------------------------

_FIELD = 2**255 - 19
_D = -121665 * pow(121666, -1, _FIELD) % _FIELD


def _sum(one, other):
    """Return the sum of two points of edwards25519."""
    (a, b), (c, d) = one, other
    k = _D * a * b * c * d
    return (
        (a * d + b * c) * pow(1 + k, -1, _FIELD) % _FIELD,
        (b * d + a * c) * pow(1 - k, -1, _FIELD) % _FIELD,
    )


def _point(y):
    """Return the point at *y*, or nothing where none is."""
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _FIELD) % _FIELD
    x = pow(square, (_FIELD + 3) // 8, _FIELD)
    if x * x % _FIELD != square:
        x = x * pow(2, (_FIELD - 1) // 4, _FIELD) % _FIELD
    return (x, y) if x * x % _FIELD == square else None


def _small_order():
    """Return where the points lie that eight times themselves are nothing."""
    found, chance = set(), 2
    while len(found) < 5:  # the eight of them, without the signs of x
        chance += 1
        point = _point(chance)
        if point is None:
            continue
        # The order of the curve is eight times a prime.
        point = _times(point, 2**252 + 27742317777372353535851937790883648493)
        for n in range(1, 9):
            found.add(_times(point, n)[1])
    return sorted(found)


def _times(point, n):
    total = (0, 1)
    while n:
        if n & 1:
            total = _sum(total, point)
        point, n = _sum(point, point), n >> 1
    return total


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("order", range(5))
def test_a_key_that_signs_everything_is_no_key(order, sign):
    """A constant holds as its signature over many statements, and OpenSSL agrees."""
    y = _small_order()[order]
    key = (y | sign << 255).to_bytes(32, "little")
    neutral = (1).to_bytes(32, "little") + bytes(32)
    statements = [b"%d" % n for n in range(64)]
    forged = Signature("ed25519", key, neutral)
    # The forgery is real: so the check is ours to make.
    assert any(_holds(forged, _encoded_for_signing(each)) for each in statements)
    for statement in statements:
        assert valid_signers(statement, [forged]) == ()
    with pytest.raises(TrustError, match="by which anybody can sign anything"):
        Policy([OTHER, key])


def test_a_key_that_is_written_in_a_second_way_is_no_key():
    """What no maker writes: 1 as 1 + 2**255 - 19."""
    key = (1 + _FIELD).to_bytes(32, "little")
    with pytest.raises(TrustError, match="by which anybody can sign"):
        Policy([key])


# --- where no key can be ----------------------------------------------------


def test_a_place_that_no_file_can_have_is_named(monkeypatch, tmp_path):
    """An error of the system would end a job that only wanted to load."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / ("x" * 300)))
    with pytest.raises(StoreError, match="File name too long"):
        existing_key()
