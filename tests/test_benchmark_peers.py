"""Each peer of W1 to W4 and W6 gives back what ours gives back."""

import hashlib
import os
from copy import copy

import pytest

from benchmarks import (
    ours,
    raw,
    w1,
    w1_peers,
    w2,
    w2_peers,
    w3,
    w4,
    w5_files,
    w6,
    workloads,
)
from benchmarks.timing import check_agreement
from overwinter import CacheArtifactFactory
from overwinter.bundle import Bundle
from overwinter.bundle.blocks import compress
from overwinter.errors import OverwinterError

ROWS = 40
W1 = workloads.w1_columns(ROWS, median=300)
W2 = workloads.w2_columns(ROWS)


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Have the kind of W2 registered, for these tests alone."""
    registry = copy(CacheArtifactFactory.registry)
    registry._kinds, registry._claims = dict(registry._kinds), dict(registry._claims)
    monkeypatch.setattr(CacheArtifactFactory, "registry", registry)
    ours.register()


def test_w1_is_the_same_in_every_run():
    """Else two runs could not be compared."""
    assert workloads.w1_columns(ROWS, median=300) == W1
    assert W1["key"] == sorted(set(W1["key"]))


def test_w1_has_the_sizes_that_it_is_said_to_have():
    """From small ones to the largest, around the median, and half compressible."""
    sizes = sorted(map(len, workloads.w1_columns(1_000, median=200)["payload"]))
    assert sizes[500] in range(195, 206)
    assert sizes[-1] in range(150_000, 200_001)
    columns = workloads.w1_columns(ROWS, median=20_000)
    large = [each for each in columns["payload"] if len(each) > 50_000]
    kept = [len(compress(each, 3)[0]) / len(each) for each in large]
    assert abs(sum(part < 0.4 for part in kept) - len(large) / 2) <= 0.5
    assert abs(sum(part > 0.99 for part in kept) - len(large) / 2) <= 0.5


def test_the_common_row_is_neither_small_nor_large():
    """What is fetched must not cost what its payload happens to cost."""
    sizes = sorted(map(len, W1["payload"]))
    assert len(W1["payload"][workloads.common_row(W1)]) == sizes[ROWS // 2]


def test_whoever_keeps_w1_gives_it_back(tmp_path):
    """Saved or loaded, by ours at either level, raw, and by every peer."""
    for each in w1.contestants(W1, w1_peers.peers(W1), tmp_path):
        check_agreement(each)


@pytest.mark.torch
def test_torch_gives_w1_back(tmp_path):
    """By the functions that its Mega-Cache calls."""
    others = [*w1_peers.peers(W1)[:1], w1_peers.torch_peer(W1)]
    for each in w1.contestants(W1, others, tmp_path):
        check_agreement(each)


def test_both_sizes_of_w1_are_found(tmp_path):
    """A goal without its figure would end the run."""
    assert set(w1.sizes(W1, tmp_path)) == {w1.SIZE, w1.SIZE_WHOLE}


def test_whoever_keeps_w2_gives_it_back(tmp_path):
    """To the same values, in whatever class."""
    records = ours.w2_artifacts(W2)
    for each in w2.contestants(records, w2_peers.peers(records), tmp_path):
        check_agreement(each)
    check_agreement(w2.lazy_contestants(W2, tmp_path))


@pytest.mark.torch
def test_torch_gives_w2_back(tmp_path):
    """Its content is opaque, so the record is pickled."""
    records = ours.w2_artifacts(W2)
    for each in w2.contestants(records, [w2_peers.torch_peer(records)], tmp_path):
        check_agreement(each)


@pytest.mark.torch
@pytest.mark.parametrize("workload", ["W1", "W2"])
def test_whoever_fetches_one_artifact_or_all_keys_finds_the_same(workload, tmp_path):
    """Ours reads a block or two, torch's format everything."""
    columns = {"W1": W1, "W2": W2}
    name, *each = next(
        each for each in w3.files(tmp_path, columns) if each[0] == workload
    )
    for pair in w3.contestants(name, *each):
        check_agreement(pair)


def test_the_artifact_that_is_fetched_is_the_same_in_bundles_of_every_size(tmp_path):
    """Only the size differs, so only the size can cost."""
    check_agreement(w3.size_contestants(tmp_path, {"2 MB": 2, "3 MB": 3}))
    assert (tmp_path / "3").stat().st_size > 3_000_000
    with Bundle(tmp_path / "3") as bundle:
        assert len(ours.keys(bundle)["inductor"]) == 4


@pytest.mark.torch
def test_whoever_appends_has_all_that_was_there_and_one_more(tmp_path):
    """Turn by turn, in a file of ours and in torch's memory."""
    contestants = w4.contestants(W1, tmp_path)
    for added in (1, 2):
        check_agreement(contestants)
        with Bundle(tmp_path / "bundle") as bundle:
            assert len(ours.keys(bundle)["inductor"]) == ROWS + added


def test_the_raw_append_writes_as_many_bytes_as_ours(tmp_path):
    """What is appended to a file of payloads is a segment and a trailer long."""
    contestant = w4.raw_contestant(W1, tmp_path)
    size = (tmp_path / "raw").stat().st_size
    contestant.run()
    assert (tmp_path / "raw").stat().st_size - size > 20_000


def test_raw_bytes_come_back_in_the_pieces_that_went_out(tmp_path):
    """Also more of them than one call takes."""
    payloads = [bytes([n % 251]) * (n % 7) for n in range(3_000)]
    for durably in (False, True):
        path = raw.write(tmp_path / "raw", payloads, durably=durably)
        assert raw.read(path, list(map(len, payloads))) == payloads


def test_a_short_write_loses_nothing(tmp_path, monkeypatch):
    """A system may take less than it is given, in the middle of a payload."""
    monkeypatch.setattr(
        os, "writev", lambda file, views: os.write(file, b"".join(views)[:5])
    )
    path = raw.write(tmp_path / "raw", [b"four", b"", b"and seven", b"x"])
    assert path.read_bytes() == b"fourand sevenx"


def test_two_threads_hash_every_byte():
    """L would be too small by what they left out."""
    payloads = [b"a" * 30, b"b" * 20, b"c" * 10]
    digests = raw.sha256_on_two_threads(payloads)
    for row in range(3):
        changed = [*payloads]
        changed[row] = b"x" * len(payloads[row])
        assert raw.sha256_on_two_threads(changed) != digests


def test_the_bare_loops_hash_and_move_every_byte(tmp_path, monkeypatch):
    """They are the least that a verified format can take, and no less."""
    hashed = []
    sha256 = hashlib.sha256

    class Counted:
        def __init__(self, data=b""):
            hashed.append(len(data))
            self._digest = sha256(data)

        def update(self, data):
            hashed.append(len(data))
            self._digest.update(data)

        def digest(self):
            return self._digest.digest()

    monkeypatch.setattr(hashlib, "sha256", Counted)
    payloads = [b"a" * 30, b"b" * 5_000_000, b"c" * 10]
    path = raw.write_and_hash(tmp_path / "bare", payloads)
    assert path.read_bytes() == b"".join(payloads)
    assert sum(hashed) == 5_000_040
    hashed.clear()
    assert b"".join(raw.read_and_hash(path)) == b"".join(payloads)
    assert sum(hashed) == 5_000_040


def test_memory_that_is_used_and_given_back_is_seen():
    """The peak counts, not what is left."""
    assert w6.beyond(lambda: b"x" * 64 * w6.MIB and None) >= 60
    assert w6.beyond(lambda: None) < 8


@pytest.mark.parametrize("case", [w6.FETCH, w6.APPEND, w6.STREAM, w6.PAYLOADS])
def test_what_w6_measures_is_done(case, tmp_path):
    """A fetch that finds nothing needs no memory."""
    w6.write_files(tmp_path, W1, workloads.w1_columns(3, median=100))
    size = (tmp_path / "W1").stat().st_size
    assert 0 <= w6.CASES[case](tmp_path) < 64
    assert ((tmp_path / "W1").stat().st_size > size) == (case == w6.APPEND)
    (tmp_path / "W1").write_bytes(b"no bundle")
    with pytest.raises(OverwinterError):
        w6.CASES[case](tmp_path)


def test_every_case_of_w6_has_a_goal():
    """But that whose figure counts what the caller holds, which no goal does."""
    assert {goal.ours for goal in w6.GOALS} == set(w6.CASES) - {w6.PAYLOADS}


@pytest.mark.torch
def test_whoever_migrates_a_file_writes_the_same_records(tmp_path):
    """Payloads included; and the raw copy is of all that ours wrote."""
    check_agreement(w5_files.file_contestants(W2, tmp_path))
    w5_files.raw_contestant(tmp_path).run()
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "old").read_bytes()
