"""Rescue and export, against files that torch 2.7.1, 2.9.1 and 2.13.0 wrote."""

import hashlib
import json
import struct
import zlib
from pathlib import Path

import attrs
import pytest

from overwinter import CacheArtifactManager, save
from overwinter.bundle import Bundle
from overwinter.errors import (
    FormatError,
    ManyEnvironmentsError,
    NotFoundError,
    OverwinterError,
)
from overwinter.kinds import (
    InductorArtifact,
    MegaCacheArtifact,
    NativeArtifact,
    PGOArtifact,
)
from overwinter.save import save_to_bytes
from overwinter.torch import export, rescue
from overwinter.torch.megacache import MegaCacheEntry, read_megacache, write_megacache
from overwinter.trust import Policy, SigningKey

FILES = Path(__file__).parent / "megacache"
VERSIONS = ["2.7.1", "2.9.1", "2.13.0"]
EVERY_TORCH = pytest.mark.parametrize("version", VERSIONS)
GRAPH = MegaCacheEntry("inductor", "f" + "a" * 51, b"a graph")
STATE = MegaCacheEntry("pgo", "job:0:", b"first")
LATER = attrs.evolve(STATE, content=b"later")
STRANGE = MegaCacheEntry("inductor_triton", "0/k", b"a kernel")
FACTS = {
    "python_tag": "cpython-311",
    "torch_key": "00" * 32,
    "torch_version": "2.13.0",
    "vector_isa": "avx2",
}


def real(version, saves="two-saves"):
    """Return the path of a container that torch wrote."""
    return FILES / f"torch-{version}-{saves}.bin"


def recorded(version):
    """Return kind, key, size and SHA-256 of what had been recorded."""
    text = (FILES / f"torch-{version}-expected.json").read_text(encoding="utf-8")
    return sorted(json.loads(text)["two_saves"])


def rows(entries):
    """Return the same of entries."""
    return sorted(
        [e.kind, e.key, len(e.content), hashlib.sha256(e.content).hexdigest()]
        for e in entries
    )


def bundled(found, facts=FACTS):
    """Return the bytes of a bundle with what was rescued."""
    return save_to_bytes(found.artifacts, environment=facts)[0]


@pytest.fixture
def put(tmp_path):
    """Return what writes a file and gives its path."""

    def write(data, name="blob.bin"):
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write


# --- rescue -----------------------------------------------------------------


@EVERY_TORCH
def test_everything_that_was_recorded_is_rescued(version):
    """Also what torch's loader drops, and each byte as it was."""
    found = rescue(real(version))
    as_entries = [MegaCacheEntry(a.type(), a.key, a.content) for a in found.artifacts]
    assert rows(as_entries) == recorded(version)
    assert (found.left_out, found.superseded) == ([], [])


def test_what_torchs_loader_drops_is_counted():
    """All groups of a kind but the last; 2.7 has none, and one save drops nothing."""
    assert rescue(real("2.7.1")).dropped_by_torch == {}
    assert rescue(real("2.9.1", "one-save")).dropped_by_torch == {}
    dropped = rescue(real("2.9.1")).dropped_by_torch
    assert dropped == {"aot_autograd": 2, "autotune": 2, "inductor": 2, "pgo": 2}


@pytest.mark.torch
def test_torchs_loader_drops_what_we_say(monkeypatch, tmp_path):
    """Its own count of what it populated says the same."""
    import torch

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    path = real("2.13.0")
    data = path.read_bytes()
    read = torch.compiler._cache.CacheArtifactManager.deserialize(data)
    kept = sum(map(len, read.values()))
    found = rescue(path)
    assert kept + sum(found.dropped_by_torch.values()) == len(found.artifacts)


def test_of_what_has_one_place_the_last_stays(put):
    """As torch's own populating would leave it; what it replaced is named."""
    found = rescue(put(write_megacache([STATE, GRAPH, LATER])))
    assert [each.content for each in found.artifacts] == [b"later", b"a graph"]
    assert [(note.kind, note.key) for note in found.superseded] == [("pgo", "job:0:")]


def test_a_kind_without_a_schema_is_kept(put, tmp_path):
    """It goes into a container again, and into no cache."""
    native = MegaCacheEntry("native", "torchinductor/aa/x.so", b"code")
    found = rescue(put(write_megacache([GRAPH, STRANGE, native])))
    assert found.artifacts[1:] == [
        MegaCacheArtifact("inductor_triton/0/k", b"a kernel"),
        MegaCacheArtifact("native/torchinductor/aa/x.so", b"code"),
    ]
    bundle = put(bundled(found), "m.owb")
    loaded = CacheArtifactManager.deserialize(bundle, environment=FACTS)
    loaded.directories = {"torchinductor": lambda: str(tmp_path / "cache")}
    info = CacheArtifactManager.populate_caches(loaded)
    assert dict(info.artifacts) == {"inductor": [GRAPH.key]}
    assert info.failed == []


def test_an_entry_that_no_torch_writes_is_left_out(put):
    """Its key would lead out of the cache; the others are rescued."""
    bad = MegaCacheEntry("inductor", "../../etc/passwd", b"x")
    strange = attrs.evolve(STRANGE, key="../k")
    found = rescue(put(write_megacache([bad, GRAPH, strange])))
    assert [each.key for each in found.artifacts] == [GRAPH.key]
    note, other = found.left_out
    assert (other.kind, other.key) == ("inductor_triton", "../k")
    assert (note.kind, note.key) == ("inductor", "../../etc/passwd")
    assert "leads out of the cache directory" in note.reason


# --- the files of others ----------------------------------------------------


def sized(data):
    """Return *data* behind its length."""
    return struct.pack(">Q", len(data)) + data


def checked(data):
    """Return *data* behind its CRC-32."""
    return struct.pack(">I", zlib.crc32(data)) + data


BLOB = write_megacache([GRAPH, LATER])
KEY = bytes(range(32))
STANDALONE = checked(sized(KEY) + sized(b"YWJj") + sized(BLOB))
LATER_STANDALONE = checked(
    sized(b"CacheCompiledArtifact") + sized(KEY) + sized(b"YWJj") + sized(BLOB)
)
MAGIC = b"SIMPLETUNER_DYNAMO_MEGACACHE\0\x02"
SIMPLETUNER = MAGIC + struct.pack(">I", 2) + sized(BLOB) + sized(BLOB)
FORMS = pytest.mark.parametrize(
    "data", [STANDALONE, LATER_STANDALONE, SIMPLETUNER], ids=["2.9", "2.10", "tuner"]
)


@FORMS
def test_a_container_in_a_container_is_found(data, put):
    """What another wrote twice comes once."""
    found = rescue(put(data))
    assert [each.key for each in found.artifacts] == [GRAPH.key, LATER.key]
    is_tuner = data.startswith(MAGIC)
    assert found.facts == ({} if is_tuner else {"torch_key": KEY.hex()})


@FORMS
def test_every_cut_is_refused(data, put):
    """Wherever it was cut off."""
    for end in range(len(data)):
        with pytest.raises(FormatError):
            rescue(put(data[:end]))


@FORMS
def test_bytes_behind_it_are_refused(data, put):
    """They would be lost unnoticed."""
    with pytest.raises(FormatError):
        rescue(put(data + b"\0"))


@FORMS
def test_whatever_changes_only_our_errors_come(data, put):
    """Each bit flipped: an error of ours, or what its own checksums let pass."""
    for place in range(len(data)):
        for bit in (0, 7):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            try:
                rescue(put(changed))
            except OverwinterError as error:
                assert "blob.bin" in str(error)


def test_a_pickle_is_refused_by_its_name(put):
    """What torch calls AOTCompiledArtifact holds nothing of its caches."""
    data = checked(sized(b"AOTCompiledArtifact") + sized(b"\x80\x05N."))
    with pytest.raises(FormatError, match="AOTCompiledArtifact, which is a pickle"):
        rescue(put(data))


def test_a_bundle_needs_no_rescue(put):
    """Whoever gives one is told what it is."""
    path = put(save_to_bytes([InductorArtifact(GRAPH.key, b"x")])[0])
    with pytest.raises(FormatError, match="a bundle of overwinter, which needs no"):
        rescue(path)


def manifest(put, data=BLOB, **members):
    """Write unsloth's manifest beside a container."""
    put(data, "megacache-0123456789abcdef.bin")
    plain = {
        "bundle": "megacache-0123456789abcdef.bin",
        "sha256": hashlib.sha256(BLOB).hexdigest(),
        "env": {"torch": "2.9.1+cu128"},
        **members,
    }
    return put(json.dumps(plain).encode(), "manifest.json")


def test_a_manifest_names_its_container(put):
    """By itself, or by the folder; it says which torch wrote it."""
    path = manifest(put)
    for given in (path, path.parent):
        found = rescue(given)
        assert len(found.artifacts) == 2
        assert found.facts == {"torch_version": "2.9.1+cu128"}


@pytest.mark.parametrize(
    "members",
    [
        {"bundle": "../megacache-0123456789abcdef.bin"},
        {"bundle": "/etc/passwd"},
        {"bundle": ""},
        {"bundle": 7},
        {"sha256": "0" * 64},
        {"sha256": 7},
        {"data": BLOB + b"x"},
    ],
    ids=str,
)
def test_a_manifest_that_says_something_else_is_refused(members, put):
    """It names a file beside it, and its digest."""
    with pytest.raises(FormatError):
        rescue(manifest(put, **members))


@pytest.mark.parametrize("text", [b"", b"[]", b"[" * 100_000, b"\xff", b'{"a": 1'])
def test_a_manifest_that_is_none_is_refused(text, put):
    """Whatever a parser of JSON raises is ours."""
    manifest(put)
    with pytest.raises(FormatError):
        rescue(put(text, "manifest.json"))


@pytest.mark.parametrize("data", [BLOB, SIMPLETUNER], ids=["one", "several"])
def test_a_manifest_beside_a_container_is_held_against_it(data, put):
    """SimpleTuner's, which says the torch; it writes one beside either form."""
    path = put(data)
    plain = {"sha256": hashlib.sha256(data).hexdigest(), "runtime": {"torch": "2.9.0"}}
    put(json.dumps(plain).encode(), "blob.bin.manifest.json")
    assert rescue(path).facts == {"torch_version": "2.9.0"}
    put(json.dumps({"sha256": "0" * 64}).encode(), "blob.bin.manifest.json")
    with pytest.raises(FormatError, match=r"SHA-256 .*as .*blob.bin.manifest.json"):
        rescue(path)


def test_a_manifest_that_vouches_for_nothing_is_refused(put):
    """Unsloth never writes one without a digest."""
    path = manifest(put)
    plain = json.loads(path.read_text())
    del plain["sha256"]
    path.write_text(json.dumps(plain))
    with pytest.raises(FormatError, match="found no sha256, expected that of the file"):
        rescue(path)


def test_a_folder_without_a_manifest_is_not_found(tmp_path):
    """Its name says what was looked for."""
    with pytest.raises(NotFoundError, match=r"manifest\.json: no such file"):
        rescue(tmp_path)


# --- export -----------------------------------------------------------------


@EVERY_TORCH
def test_from_container_to_bundle_to_container_every_byte_is_the_same(version):
    """For the same torch; one group of each kind, so that its loader drops nothing."""
    found = rescue(real(version))
    facts = {**FACTS, "torch_version": version}
    exported = export(bundled(found, facts), version)
    blob = read_megacache(exported.blob)
    assert rows(blob.entries) == recorded(version)
    assert blob.dropped == ()
    assert (exported.left_out, exported.problems) == ([], [])
    assert sum(exported.kinds.values()) == len(recorded(version))


@pytest.mark.torch
def test_torchs_own_loader_takes_all_of_it(monkeypatch, tmp_path):
    """What it drops of its own file it takes of ours."""
    import torch

    found = rescue(real("2.13.0"))
    exported = export(bundled(found), "2.13")
    read = torch.compiler._cache.CacheArtifactManager.deserialize(exported.blob)
    assert {
        (each.type(), each.key, each.content)
        for group in read.values()
        for each in group
    } == {(each.type(), each.key, each.content) for each in found.artifacts}


def test_what_a_container_has_no_place_for_is_named():
    """Libraries, kinds of a later torch, and what another torch compiled."""
    native = NativeArtifact("torchinductor/aa/x.so", b"code")
    strange = MegaCacheArtifact("inductor_triton/k", b"x")
    found = rescue(real("2.13.0"))
    facts = {**FACTS, "os": "linux", "cpu_arch": "x86_64", "cpu_flags": ["avx"]}
    data = save_to_bytes([*found.artifacts, native, strange], environment=facts)[0]
    exported = export(data, "2.13")
    assert {(note.kind, note.reason) for note in exported.left_out} == {
        (
            "native",
            "no container of torch holds libraries: they are built again where it is "
            "used",
        ),
        ("megacache", "torch 2.13 has no such kind in its containers"),
    }
    exported = export(data, "2.9")
    assert exported.blob == b""
    reasons = {note.reason for note in exported.left_out if note.kind == "inductor"}
    assert reasons == {"torch_version: made for 2.13.0, asked for 2.9"}


def test_what_nobody_trusted_signed_is_not_exported():
    """A container says nothing of signers, and whoever loads it runs it."""
    data = save_to_bytes(
        [InductorArtifact(GRAPH.key, b"x")],
        environment=FACTS,
        key=SigningKey(bytes(32)),
    )[0]
    exported = export(data, "2.13")
    assert (exported.blob, len(exported.left_out)) == (b"", 1)
    assert "overwinter trust add" in exported.problems[0]
    trusted = Policy([SigningKey(bytes(32)).public])
    assert export(data, "2.13", policy=trusted).kinds == {"inductor": 1}


def test_artifacts_of_two_environments_are_not_mixed(tmp_path):
    """A container names none, and graphs for other vectors give wrong results."""
    path = tmp_path / "m.owb"
    other = {**FACTS, "vector_isa": "avx512"}
    save(path, [InductorArtifact(GRAPH.key, b"narrow")], environment=FACTS)
    save(path, [InductorArtifact(GRAPH.key, b"wide")], environment=other)
    with pytest.raises(ManyEnvironmentsError, match=r"differ in vector_isa, expected"):
        export(path, "2.13")
    (entry,) = read_megacache(export(path, "2.13", here=other).blob).entries
    assert entry.content == b"wide"


def test_of_what_has_one_place_the_last_is_exported(tmp_path):
    """As it is in torch's own cache."""
    path = tmp_path / "m.owb"
    for content in (b"first", b"second"):
        save(path, [PGOArtifact("job:0:", content)], environment=FACTS)
    (entry,) = read_megacache(export(path, "2.13").blob).entries
    assert entry.content == b"second"
    with Bundle(path) as bundle:
        assert len(bundle.segments) == 2


@pytest.mark.parametrize("version", ["", "foo", "2", "2.x", "2.5", "-1.2"])
def test_a_version_that_never_was_is_refused(version):
    """With those that are known."""
    with pytest.raises(ValueError, match=r"2\.7 to 2\.14 or a later one"):
        export(save_to_bytes([PGOArtifact("job:0:", b"x")])[0], version)


def test_a_later_torch_is_written_for_as_the_last_known():
    """Its layout has been the same since 2.8."""
    facts = {**FACTS, "torch_version": "2.31.0"}
    data = save_to_bytes([InductorArtifact(GRAPH.key, b"x")], environment=facts)[0]
    assert read_megacache(export(data, "2.31").blob).layout == "2.8"
