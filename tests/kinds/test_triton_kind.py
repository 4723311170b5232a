"""Kernels of Triton, on trees as Triton 3 lays them out: untested on a GPU."""

import json
import os
from pathlib import Path

import pytest

from overwinter import load, save
from overwinter.environment import capture
from overwinter.errors import KeyGrammarError, WrongShapeError
from overwinter.kinds import TritonArtifact
from overwinter.kinds.triton import named, triton_directory
from overwinter.torch.triton import triton_artifacts

HASH = "A" * 51 + "7"
STAGES = ["k.ttir", "k.ttgir", "k.llir", "k.ptx", "k.cubin", "k.json"]
LAUNCHER = "__triton_launcher.cpython-311-x86_64-linux-gnu.so"
GROUP = "__grp__k.json"
HERE = capture({"triton_version": "3.4.0"})


@pytest.fixture(autouse=True)
def _own_cache(home, monkeypatch):
    for name in ("TRITON_CACHE_DIR", "TRITON_HOME"):
        monkeypatch.delenv(name, raising=False)


def tree(directory: Path) -> Path:
    """Write what Triton leaves of one kernel and its launcher."""
    folder = directory / HASH
    folder.mkdir(parents=True)
    for name in STAGES:
        (folder / name).write_bytes(b"\x7f" + name.encode())
    children = {name: str(folder / name) for name in STAGES}
    (folder / GROUP).write_text(json.dumps({"child_paths": children}))
    (folder / LAUNCHER).write_bytes(b"\x7fELF")
    (folder / LAUNCHER).chmod(0o755)
    return folder


def swept(directory: Path, problems: list[str]) -> list[TritonArtifact]:
    """Return what is found in the tree."""
    return triton_artifacts(str(directory), "triton", problems)


def test_a_kernel_moves_to_another_directory(tmp_path, monkeypatch):
    """Its group names the files where they are now, and all of them are there."""
    old = tree(tmp_path / "old")
    problems: list[str] = []
    artifacts = swept(tmp_path / "old", problems)
    assert (len(artifacts), problems) == (8, [])
    save(tmp_path / "a.owb", artifacts, environment=HERE)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "new"))
    info = load(tmp_path / "a.owb", environment=HERE)
    assert (len(info.artifacts["triton"]), info.warnings()) == (8, [])
    new = tmp_path / "new" / HASH
    assert sorted(os.listdir(new)) == sorted(os.listdir(old))
    for name in [*STAGES, LAUNCHER]:
        assert (new / name).read_bytes() == (old / name).read_bytes()
    assert (new / LAUNCHER).stat().st_mode & 0o111
    written = json.loads((new / GROUP).read_text())
    assert written == {"child_paths": {name: str(new / name) for name in STAGES}}


def test_a_kernel_put_where_it_was_is_the_same_to_the_byte(tmp_path, monkeypatch):
    """The group, too: spacing and order are Triton's."""
    folder = tree(tmp_path / "cache")
    before = (folder / GROUP).read_bytes()
    save(tmp_path / "a.owb", swept(tmp_path / "cache", []), environment=HERE)
    (folder / GROUP).unlink()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    load(tmp_path / "a.owb", environment=HERE)
    assert (folder / GROUP).read_bytes() == before


def test_a_bundle_names_no_directory(tmp_path):
    """Nothing of where a kernel was compiled is in it, and its bytes do not depend."""
    contents = []
    for name in ("old", "other"):
        tree(tmp_path / name)
        contents.append(sorted(map(str, swept(tmp_path / name, []))))
        groups = [each.content for each in swept(tmp_path / name, [])]
        assert not any(str(tmp_path).encode() in each for each in groups)
    assert contents[0] == contents[1]


def test_a_group_comes_last(tmp_path, monkeypatch):
    """Whoever finds it looks for all that it names; so does one who is killed."""
    from overwinter import cache_directory

    tree(tmp_path / "old")
    save(tmp_path / "a.owb", swept(tmp_path / "old", []), environment=HERE)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "new"))
    published = []
    publish = cache_directory.CacheDirectory.publish

    def watched(self, staged, path):
        published.append(path.rpartition("/")[2])
        return publish(self, staged, path)

    monkeypatch.setattr(cache_directory.CacheDirectory, "publish", watched)
    load(tmp_path / "a.owb", environment=HERE)
    assert len(published) == 8
    assert published[-1] == GROUP


def test_inductors_kernels_lie_in_its_own_cache(tmp_path, home):
    """A folder for each device."""
    tree(tmp_path / "old")
    found = triton_artifacts(str(tmp_path / "old"), "torchinductor/triton/0", [])
    save(tmp_path / "a.owb", found, environment=HERE)
    load(tmp_path / "a.owb", environment=HERE)
    folder = home / "torchinductor" / "triton" / "0" / HASH
    children = json.loads((folder / GROUP).read_text())["child_paths"]
    assert children["k.cubin"] == str(folder / "k.cubin")
    assert (folder / "k.cubin").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"child_paths": {"k": "/elsewhere/k"}}, "'k' is in '/elsewhere', and the"),
        ({"child_paths": {"k": "k"}}, "'k' is in '', and the group in"),
        ({"child_paths": {"k": "@/../k"}}, "'k' is in"),
        ({"child_paths": {"k": "@/"}}, "expected the name of a file in the same"),
        ({"child_paths": {"k": "@/.."}}, "expected the name of a file in the same"),
        ({"child_paths": {"k": 1}}, "expected names and paths"),
        ({"child_paths": []}, "expected names and paths"),
        ({"child_paths": {}, "root": "/x"}, "an object of child_paths alone"),
        ([], "an object of child_paths alone"),
        (b"\x80", "no JSON"),
        (b"[" * 100_000, "no JSON"),
    ],
    ids=str,
)
def test_a_group_of_files_elsewhere_is_left_out_and_named(tmp_path, content, words):
    """Its files are kept: without it Triton compiles the kernel again."""
    folder = tree(tmp_path / "old")
    if not isinstance(content, bytes):
        content = json.dumps(content).replace("@", str(folder)).encode()
    (folder / GROUP).write_bytes(content)
    problems: list[str] = []
    found = swept(tmp_path / "old", problems)
    assert len(found) == 7
    (problem,) = problems
    assert words in problem
    assert GROUP in problem


@pytest.mark.parametrize("path", ["../k", "/etc/k", "a/k", "..", "", ".k"])
def test_a_stored_group_leads_nowhere_else(path):
    """Also one that somebody else wrote into a bundle."""
    content = json.dumps({"child_paths": {"k": path}}).encode()
    with pytest.raises(WrongShapeError, match="the name of a file in the same folder"):
        TritonArtifact(f"triton/{HASH}/{GROUP}", content).cache_entry()


@pytest.mark.parametrize(
    "key",
    [
        f"triton/{HASH}",
        f"triton/{HASH}/a/b",
        f"triton/{HASH}/.hidden",
        "triton/short/k.cubin",
        f"other/{HASH}/k.cubin",
        f"torchinductor/triton/{HASH}/k.cubin",
        f"torchinductor/triton/../{HASH}/k.cubin",
    ],
)
def test_a_key_is_a_cache_a_hash_and_a_name(key):
    """Two levels, as Triton has them, and nothing above."""
    with pytest.raises(KeyGrammarError, match="expected a cache's name, a hash"):
        TritonArtifact(key, b"").cache_entry()


def test_halves_links_and_strays_are_not_taken(tmp_path):
    """Nor what is no kernel's folder; a name that no key can be is named."""
    folder = tree(tmp_path / "old")
    (folder / "tmp.pid_1_2").mkdir()
    (folder / "x.lock").touch()
    (folder / ".nfs1").touch()
    (folder / "link").symlink_to("/etc/passwd")
    (tmp_path / "old" / "stray").touch()
    (tmp_path / "old" / "link").symlink_to(folder)
    (folder / "ké.cubin").touch()
    problems: list[str] = []
    assert len(swept(tmp_path / "old", problems)) == 8
    (problem,) = problems
    assert "expected a cache's name, a hash" in problem
    assert swept(tmp_path / "nothing", problems) == []


@pytest.mark.parametrize(
    "field", ["os", "cpu_arch", "libc", "python_tag", "triton_version"]
)
def test_a_launcher_is_for_one_machine(tmp_path, field):
    """A library for another Python or system is found by its hash, and crashes."""
    tree(tmp_path / "old")
    save(tmp_path / "a.owb", swept(tmp_path / "old", []), environment=HERE)
    info = load(tmp_path / "a.owb", environment={**HERE, field: "other"})
    assert info.artifacts == {}
    assert len(info.skipped) == 8
    assert f"{field}: made for" in info.skipped[0].reason


def test_tritons_directory_is_found_as_it_finds_it(home, monkeypatch):
    """By its own variable, by that of its home, or in the user's."""
    assert triton_directory() == str(home / ".triton" / "cache")
    monkeypatch.setenv("TRITON_HOME", "/home/of/triton")
    assert triton_directory() == "/home/of/triton/.triton/cache"
    monkeypatch.setenv("TRITON_CACHE_DIR", "relative")
    assert triton_directory() == os.path.abspath("relative")


def test_a_group_is_named_by_its_folder():
    """The inverse of what populating does."""
    content = b'{"child_paths": {"k": "/c/h/k"}}'
    assert named("key", content, "/c/h") == b'{"child_paths": {"k": "k"}}'
