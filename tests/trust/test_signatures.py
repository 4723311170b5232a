"""Signatures: over these very bytes, of this type, by the key that they name."""

import pytest

from overwinter.errors import TrustError
from overwinter.trust import (
    STATEMENT_TYPE,
    Policy,
    Signature,
    SigningKey,
    valid_signers,
)
from overwinter.trust.signatures import _holds, encoded_for_signing

SEED = bytes(range(32))
OTHER = SigningKey(bytes(32)).public


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
    assert any(_holds(forged, encoded_for_signing(each)) for each in statements)
    for statement in statements:
        assert valid_signers(statement, [forged]) == ()
    with pytest.raises(TrustError, match="by which anybody can sign anything"):
        Policy([OTHER, key])


def test_a_key_that_is_written_in_a_second_way_is_no_key():
    """What no maker writes: 1 as 1 + 2**255 - 19."""
    key = (1 + _FIELD).to_bytes(32, "little")
    with pytest.raises(TrustError, match="by which anybody can sign"):
        Policy([key])
