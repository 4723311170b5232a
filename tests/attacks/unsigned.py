"""Unsigned union: segments that nobody, or the wrong one, vouches for."""

import base64
from datetime import date
from hashlib import blake2b
from typing import Any

import attrs
import msgpack
from bundles import KEY
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from forging import Forgery, file_of

from attacks.attack import SEGMENT_REFUSED, SOUND, UNTRUSTED, Attack
from attacks.graphs import STRANGER, graphs
from attacks.nesting import statement_of
from overwinter.bundle.blocks import digest_of
from overwinter.trust import Policy, Rules, Trusted
from overwinter.trust.signatures import STATEMENT_TYPE

TODAY = date(2026, 11, 23)
ALL_ZERO = bytes(32)
IDENTITY = b"\x01" + bytes(31)
MIXED = attrs.evolve(UNTRUSTED, name="only the trusted part", populates=True)
_PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def _statement() -> bytes:
    return statement_of(graphs().segment())


def _digest() -> bytes:
    return digest_of(_statement())


def _signed(*signatures: dict[str, Any]) -> Forgery:
    return graphs(signatures=msgpack.packb(signatures))


def _by(key: bytes, signature: bytes, algorithm: str = "ed25519") -> Forgery:
    return _signed({"algorithm": algorithm, "key": key, "signature": signature})


def _encoded(type_: bytes, statement: bytes) -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(type_), type_, len(statement), statement)


def _over(message: bytes) -> Forgery:
    """Return graphs with a signature by a trusted key over something else."""
    return _by(KEY.public, _PRIVATE.sign(message))


def _of_other() -> Forgery:
    other = statement_of(graphs(statement={"other": 1}).segment())
    return _signed(attrs.asdict(KEY.sign(other)))


def _malleable() -> Forgery:
    """Return a signature whose scalar is larger by the order of the group."""
    signature = KEY.sign(_statement()).signature
    order = 2**252 + 27742317777372353535851937790883648493
    scalar = int.from_bytes(signature[32:], "little") + order
    return _by(KEY.public, signature[:32] + scalar.to_bytes(32, "little"))


def _other_graphs(**lies: Any) -> Forgery:
    return graphs(b"evil one", b"evil two",
                  keys=("f" + "c" * 51, "f" + "d" * 51), **lies)  # fmt: skip


def _mixed(*, trusted_first: bool) -> bytes:
    ours, theirs = graphs().segment(), _other_graphs(signers=[STRANGER]).segment()
    return file_of(*([ours, theirs] if trusted_first else [theirs, ours]))


def _policy(*trusted: Trusted, **rules: Any) -> Policy:
    return Policy(trusted, Rules(**rules), today=TODAY)


_ONCE = date(2026, 11, 22)

ATTACKS = [
    Attack("unsigned", "A segment without a signature.",
           lambda: graphs(signers=[]), UNTRUSTED),
    Attack("by_a_stranger", "A segment that somebody signed.",
           lambda: graphs(signers=[STRANGER]), UNTRUSTED),
    Attack("by_400_strangers", "A segment that one stranger signed 400 times.",
           lambda: graphs(signers=[STRANGER] * 400), SEGMENT_REFUSED),
    Attack("signature_of_other_segment", "A trusted signature over another statement.",
           _of_other, SEGMENT_REFUSED),
    Attack("raw_ed25519", "A trusted signature over the statement without its type.",
           lambda: _over(_statement()), SEGMENT_REFUSED),
    Attack("wrong_type", "A trusted signature under another type.",
           lambda: _over(_encoded(b"application/vnd.in-toto+json", _statement())),
           SEGMENT_REFUSED),
    Attack("no_type", "A trusted signature under no type.",
           lambda: _over(_encoded(b"", _statement())), SEGMENT_REFUSED),
    Attack("over_the_digest", "A trusted signature over the statement's digest.",
           lambda: _over(_digest()), SEGMENT_REFUSED),
    Attack("minisign_as_segment", "A trusted signature as minisign makes one, BLAKE2b.",
           lambda: _over(blake2b(_statement()).digest()),
           SEGMENT_REFUSED),
    Attack("length_shifted", "A trusted signature over words with another border.",
           lambda: _over(_encoded(STATEMENT_TYPE.encode() + b" 1", _statement())),
           SEGMENT_REFUSED),
    Attack("zeros", "A trusted key beside a signature of zeros.",
           lambda: _by(KEY.public, bytes(64)), SEGMENT_REFUSED),
    Attack("malleable", "A trusted signature, written another way.",
           _malleable, SEGMENT_REFUSED),
    Attack("zero_key", "The key of zeros, by which anybody signs now and then.",
           lambda: _by(ALL_ZERO, bytes(64)), SEGMENT_REFUSED),
    Attack("identity_key", "The key by which one signature signs everything.",
           lambda: _by(IDENTITY, IDENTITY + bytes(32)), SEGMENT_REFUSED),
    Attack("other_algorithm", "A trusted key by an algorithm that nobody has.",
           lambda: _by(KEY.public, bytes(64), "none"), UNTRUSTED),
    Attack("algorithm_case", "A trusted key by ED25519 in capital letters.",
           lambda: _by(KEY.public, bytes(64), "ED25519"), UNTRUSTED),
    Attack("key_as_text", "A trusted key in base64.",
           lambda: _signed({"algorithm": "ed25519", "signature": bytes(64),
                            "key": base64.b64encode(KEY.public).decode()}),
           SEGMENT_REFUSED),
    Attack("union_trusted_first", "A trusted segment, and a stranger's behind it.",
           lambda: _mixed(trusted_first=True), MIXED),
    Attack("union_stranger_first", "A stranger's segment, and a trusted one behind it.",
           lambda: _mixed(trusted_first=False), MIXED),
    Attack("union_unsigned", "A trusted segment, and one that nobody signed.",
           lambda: file_of(graphs().segment(), _other_graphs(signers=[]).segment()),
           MIXED),
    Attack("signed_by_both", "A stranger's signature beside a trusted one.",
           lambda: graphs(signers=[STRANGER, KEY]), SOUND),
    Attack("stranger_claims_ours", "A stranger's signature that names a trusted key.",
           lambda: _by(KEY.public, STRANGER.sign(_statement()).signature),
           SEGMENT_REFUSED),
    Attack("revoked_key", "A key that is trusted and revoked.", graphs, UNTRUSTED,
           policy=_policy(Trusted(KEY.public), revoked={KEY.public: "here"})),
    Attack("revoked_segment", "A segment that is revoked, of a trusted key.", graphs,
           UNTRUSTED,
           policy=lambda: _policy(Trusted(KEY.public),
                                  revoked_segments={_digest(): "here"})),
    Attack("revoked_beats_override", "A segment that is named and revoked.", graphs,
           UNTRUSTED,
           policy=lambda: _policy(segments={_digest(): "here"},
                                  revoked_segments={_digest(): "there"})),
    Attack("revoked_and_trusted", "Signed by a key that is revoked, and by a trusted.",
           lambda: graphs(signers=[STRANGER, KEY]), SOUND,
           policy=_policy(Trusted(KEY.public), revoked={STRANGER.public: "here"})),
    Attack("expired", "A key that was trusted until yesterday.", graphs, UNTRUSTED,
           policy=_policy(Trusted(KEY.public, "ci", until=_ONCE))),
    Attack("kind_limit", "A key that is trusted for other kinds.", graphs, UNTRUSTED,
           policy=_policy(Trusted(KEY.public, "ci", kinds=frozenset({"autotune"})))),
    Attack("override_of_other", "Another segment is named.", graphs, UNTRUSTED,
           policy=_policy(segments={bytes(32): "here"})),
    Attack("override_unsigned", "An unsigned segment that is named.",
           lambda: graphs(signers=[]), SOUND,
           policy=lambda: _policy(segments={_digest(): "here"})),
]  # fmt: skip
