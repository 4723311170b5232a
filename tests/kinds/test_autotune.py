"""Autotune records: typed fields inside, torch's very bytes outside."""

import json
import math
from typing import Any

import attrs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from overwinter import CacheArtifactFactory, CacheArtifactManager
from overwinter.errors import WrongShapeError
from overwinter.kinds import AutotuneArtifact
from overwinter.save import save_to_bytes
from overwinter.trust import Policy, SigningKey

KEY = "2x/c2xx" + "a" * 48 + ".best_config"
SIGNER = SigningKey(bytes(32))
ENVIRONMENT = {"torch_key": "0" * 64}

TORCH = {
    "XBLOCK": 1024,
    "R0_BLOCK": 8,
    "num_warps": 8,
    "num_stages": 1,
    "configs_hash": "9f86d081",
    "found_by_coordesc": False,
    "time_taken_ms": 12,
    "triton_cache_hash": "QUJD",
}


def _written(value: Any) -> bytes:
    """Return *value* as torch writes it."""
    return json.dumps(value).encode("ascii")


def _through_a_bundle(*artifacts: AutotuneArtifact) -> list[AutotuneArtifact]:
    saved = save_to_bytes(artifacts, environment=ENVIRONMENT, key=SIGNER)
    assert saved is not None
    loaded = CacheArtifactManager.deserialize(
        saved[0],
        policy=Policy([SIGNER.public]),
        environment=ENVIRONMENT,
        strict=True,
    )
    return loaded["autotune"]  # type: ignore[return-value]


def test_what_torch_writes_is_held_in_typed_fields():
    """Fields can be compared and migrated; kept bytes could only be kept."""
    artifact = AutotuneArtifact.from_content(KEY, _written(TORCH))
    assert artifact.verbatim is None
    assert artifact.config == {"XBLOCK": 1024, "R0_BLOCK": 8}
    assert (artifact.num_warps, artifact.num_stages) == (8, 1)
    assert (artifact.configs_hash, artifact.triton_cache_hash) == ("9f86d081", "QUJD")
    assert artifact.found_by_coordesc is False
    assert artifact.time_taken_ns == 12_000_000
    assert artifact.device == "unknown"
    assert artifact.order == tuple(TORCH)
    assert artifact.content == _written(TORCH)


def test_the_order_of_members_is_given_back():
    """Two torches write them in two orders, and neither is sorted."""
    turned = dict(reversed(TORCH.items()))
    artifact = AutotuneArtifact.from_content(KEY, _written(turned))
    assert artifact.verbatim is None
    assert artifact.content == _written(turned) != _written(TORCH)


def test_a_member_that_is_missing_stays_missing():
    """Missing and null are two things; torch writes both."""
    artifact = AutotuneArtifact.from_content(KEY, _written({"num_warps": None}))
    assert artifact.verbatim is None
    assert artifact.content == b'{"num_warps": null}'
    assert AutotuneArtifact.from_content(KEY, b"{}").content == b"{}"


@pytest.mark.parametrize(
    "member",
    [
        {"num_warps": "8"},
        {"num_warps": True},
        {"num_warps": 8.0},
        {"found_by_coordesc": 0},
        {"configs_hash": 9},
        {"configs_hash": ["9f"]},
    ],
    ids=str,
)
def test_a_member_of_another_type_stays_in_the_open_map(member):
    """Nothing is coerced, and nothing is lost."""
    artifact = AutotuneArtifact.from_content(KEY, _written(member))
    assert artifact.verbatim is None
    assert artifact.config == member
    assert artifact.content == _written(member)


@pytest.mark.parametrize(
    "name", ["key", "config", "order", "verbatim", "content", "type", ""]
)
def test_a_member_named_like_a_field_of_ours_is_a_member(name):
    """A tuner may call its parameters what it likes."""
    written = _written({name: 1, "num_warps": 2})
    artifact = AutotuneArtifact.from_content(KEY, written)
    assert artifact.verbatim is None
    assert artifact.content == written
    (again,) = _through_a_bundle(artifact)
    assert again.content == written


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON at all",
        b"\xff\xfe{}",
        b"null",
        b"[1, 2]",
        b'"text"',
        b"3",
        b'{"a":1}',
        b' {"a": 1}',
        b'{"a": 1}\n',
        b'{"a": 1e3}',
        b'{"a": 1.0e0}',
        b'{"a": 0.10}',
        b'{"a": -0}',
        b'{"a": 1E400}',
        b'{"a": 1, "a": 2}',
        b'{"num_warps": 1, "num_warps": 2}',
        b'{"a": {"c": 1, "b": 2}}',
        b'{"a": [{"c": 1, "b": 2}]}',
        b'{"a": 18446744073709551616}',
        b'{"num_warps": 9223372036854775808}',
        b'{"a": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": {"\\ud800": [1]}}',
        b'{"a": ["\\udfff"]}',
        b'{"a": "\xc3\xa9"}',
        b'{"a": "\\u0041"}',
        b'{"a": "\\/"}',
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"[" * 100_000,
        b'{"a": ' + b"[" * 990 + b"]" * 990 + b"}",
        b'{"a": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda content: ascii(content[:30]),
)
def test_what_torch_would_not_write_is_kept_as_it_is(content):
    """Its fields would give back other bytes, so the bytes themselves are held."""
    artifact = AutotuneArtifact.from_content(KEY, content)
    assert artifact == AutotuneArtifact(KEY, verbatim=content)
    assert artifact.content == content
    (again,) = _through_a_bundle(artifact)
    assert again == artifact


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1.5, "b": -0.0, "c": 1e+16, "d": 1e-07}',
        b'{"a": NaN, "b": Infinity, "c": -Infinity}',
        b'{"a": 18446744073709551615, "b": -9223372036854775808}',
        b'{"a": "\\u00e9\\ud83d\\ude00\\u0000"}',
        b'{"b": {"a": 1, "b": [{}, [], {"x": null}]}, "a": true}',
        b'{"z": 1, "a": 2, "m": 3}',
    ],
    ids=ascii,
)
def test_numbers_text_and_nesting_come_back_from_typed_fields(content):
    """Whatever Python writes in one way only needs no bytes kept beside it."""
    artifact = AutotuneArtifact.from_content(KEY, content)
    assert artifact.verbatim is None
    (again,) = _through_a_bundle(artifact)
    assert again.verbatim is None
    assert again.content == content


_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.floats(),
        st.text(st.characters(), max_size=5),
        st.just("\ud800"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(st.characters(), max_size=3), inner, max_size=3),
    ),
    max_leaves=8,
)
_members = st.dictionaries(
    st.one_of(st.sampled_from([*TORCH, "key", "order"]), st.text(max_size=3)),
    _json,
    max_size=6,
)
_contents = st.one_of(
    st.binary(max_size=20),
    _json.map(_written),
    _members.map(_written),
    _members.map(lambda value: json.dumps(value, separators=(",", ":")).encode()),
    _members.map(lambda value: json.dumps(value, indent=1).encode()),
    _members.map(lambda value: json.dumps(value, sort_keys=True).encode()),
)


@given(_contents)
@example(b'{"a": 1e3}')
@example(b'{"found_by_coordesc": 1, "found_by_coordesc": true}')
@settings(max_examples=400, deadline=None)
def test_any_bytes_come_back(content):
    """Whoever wrote the entry, torch finds what was written."""
    assert AutotuneArtifact.from_content(KEY, content).content == content


@given(st.lists(_contents, min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_bytes_come_back_from_a_bundle(contents):
    """Saved, signed, verified and built again: still what was written."""
    artifacts = [
        AutotuneArtifact.from_content(KEY.replace("2x/", f"{row}x/"), content)
        for row, content in enumerate(contents)
    ]
    again = _through_a_bundle(*artifacts)
    assert [artifact.content for artifact in again] == contents


def test_a_value_is_recorded_and_not_its_bytes():
    """Torch's ``record_artifact`` gives autotune's JSON value, as we ask for it."""
    assert AutotuneArtifact.encode({"num_warps": 8}) == b'{"num_warps": 8}'
    artifact = CacheArtifactFactory.encode_create("autotune", KEY, TORCH)
    assert artifact.content == _written(TORCH)
    with pytest.raises(WrongShapeError, match="expected the JSON value, got its bytes"):
        AutotuneArtifact.encode(b"{}")


@pytest.mark.parametrize("value", [{1, 2}, {"a": b"x"}, object()], ids=str)
def test_a_value_that_is_no_json_is_refused(value):
    """The caller gets our error, whatever the encoder stumbles over."""
    with pytest.raises(WrongShapeError, match=r"autotune: no JSON: .* not JSON serial"):
        AutotuneArtifact.encode(value)


def test_a_value_that_holds_itself_is_refused():
    """Python's encoder notices, and so does the caller."""
    value: dict[str, Any] = {}
    value["self"] = value
    with pytest.raises(WrongShapeError, match="autotune: no JSON: Circular reference"):
        AutotuneArtifact.encode(value)


@pytest.mark.parametrize("name", ["missing", "content", "verbatim", "order", "key"])
def test_an_order_that_names_no_member_is_refused(name):
    """A hand-made record may say anything; the file is not made of that."""
    artifact = AutotuneArtifact(KEY, {"XBLOCK": 1}, order=("XBLOCK", name))
    with pytest.raises(
        WrongShapeError, match=f"expected names of members, got '{name}'"
    ):
        _ = artifact.content


def test_what_coordinate_descent_found_wins():
    """It searched further; between equals the digest decides."""
    found = AutotuneArtifact(KEY, found_by_coordesc=True)
    for other in (False, None):
        tried = AutotuneArtifact(KEY, found_by_coordesc=other)
        assert found.preference() < tried.preference()


def test_a_record_is_for_the_torch_that_measured_it():
    """Kernels of another torch are other kernels, whatever their name."""
    rules = AutotuneArtifact.environment_rules
    assert list(rules) == ["torch_key"]


def test_a_record_is_a_value():
    """Two records of the same fields are one artifact."""
    first = AutotuneArtifact.from_content(KEY, _written({"a": 1.5, "num_warps": 4}))
    again = attrs.evolve(first)
    assert first == again
    assert first != attrs.evolve(first, config={"a": math.pi})
