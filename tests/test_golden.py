"""Golden bundles: what a release wrote, every later release reads."""

import hashlib
import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from overwinter import Bundle, CacheArtifactManager, load
from overwinter.bundle import verify
from overwinter.trust import Policy

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(path.parent.name for path in GOLDEN.glob("*/bundle.owb"))
WRITE = runpy.run_path(str(GOLDEN / "write.py"))
POLICY = Policy([WRITE["KEY"].public])
GRAPHS = ("inductor", "aot_autograd", "precompile")


def expected(release: str) -> list[list[Any]]:
    """Return kind, key, size and SHA-256 of everything in a golden bundle."""
    text = (GOLDEN / release / "expected.json").read_text(encoding="utf-8")
    found: list[list[Any]] = json.loads(text)
    return found


def usable(release: str) -> list[list[Any]]:
    """
    Return what of it may be populated on its own machine.

    The releases 0.1 and 0.2 did not record for which vectors a graph was written.
    """
    if release >= "0.3":
        return expected(release)
    return [each for each in expected(release) if each[0] not in GRAPHS]


def test_there_is_a_golden_bundle():
    """The tests below run over what the folder holds, so it must hold something."""
    assert "0.1.0" in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_a_golden_folder_names_the_commit_of_its_release(release):
    """A tag may not travel with a branch; a file does."""
    text = (GOLDEN / release / "COMMIT").read_text(encoding="utf-8")
    assert re.fullmatch(r"[0-9a-f]{40}\n", text)
    tree = GOLDEN.parent.parent
    if (tree / ".git").exists():
        found = subprocess.run(
            ["git", "-C", tree, "merge-base", "--is-ancestor", text.strip(), "HEAD"],
            check=False,
        )
        assert found.returncode == 0


@pytest.mark.parametrize("release", RELEASES)
def test_a_golden_bundle_is_sound(release):
    """Every byte of it is as it was signed."""
    with Bundle(GOLDEN / release / "bundle.owb") as bundle:
        assert list(verify(bundle)) == []
        assert [segment.signers for segment in bundle.segments] == [
            (WRITE["KEY"].public,)
        ] * len(bundle.segments)


@pytest.mark.parametrize("release", RELEASES)
def test_every_graph_of_a_golden_bundle_gives_its_bytes_back(release):
    """For whoever asks by its key, also where it may not be populated."""
    graphs = [each for each in expected(release) if each[0] in GRAPHS]
    assert graphs
    with Bundle(GOLDEN / release / "bundle.owb") as bundle:
        for kind, key, size, digest in graphs:
            contents = [each.fields["content"] for each in bundle.fetch(kind, key)]
            found = [(len(each), hashlib.sha256(each).hexdigest()) for each in contents]
            assert (size, digest) in found


@pytest.mark.parametrize("release", RELEASES)
def test_what_fits_a_machine_is_loaded_from_a_golden_bundle(release):
    """Through whatever migrations: kinds, keys and contents are those of then."""
    loaded = CacheArtifactManager.deserialize(
        GOLDEN / release / "bundle.owb",
        policy=POLICY,
        environment=WRITE["ENVIRONMENT"],
        strict=True,
    )
    found = sorted(
        [
            kind,
            artifact.key,
            len(artifact.content),
            hashlib.sha256(artifact.content).hexdigest(),
        ]
        for kind, artifacts in loaded.items()
        for artifact in artifacts
    )
    assert found == usable(release)
    assert all("vector_isa: not recorded" in n.reason for n in loaded.info.skipped)
    assert len(found) + len(loaded.info.skipped) == len(expected(release))


@pytest.mark.parametrize("release", RELEASES)
def test_a_golden_bundle_populates_caches(release, tmp_path):
    """What was written then is put into today's caches, every file of it."""
    info = load(
        GOLDEN / release / "bundle.owb",
        policy=POLICY,
        environment=WRITE["ENVIRONMENT"],
        directories={"torchinductor": lambda: str(tmp_path)},
        strict=True,
    )
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert digests == {digest for _, _, _, digest in usable(release)}
    assert sum(map(len, info.artifacts.values())) == len(usable(release))
