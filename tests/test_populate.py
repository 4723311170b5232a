"""Populating: everything staged first, then published, and nothing clobbered."""

import errno
import os
from pathlib import Path
from typing import Any

import attrs
import pytest
from acme.plans import Plan, registered
from bundles import TORCH

from overwinter import CacheArtifact, CacheEntry, CacheInfo, load, save
from overwinter.cache_directory import CacheDirectory, Staged
from overwinter.errors import KeyGrammarError, KindCodeError, NotFoundError, StoreError
from overwinter.factory import CacheArtifactFactory
from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
)
from overwinter.limits import MAX_VARIANTS
from overwinter.populate import Staging, populate_order
from overwinter.repack import repack

GRAPH = "f" + "a" * 51


@pytest.fixture(autouse=True)
def _acme():
    with registered(Plan):
        yield


@pytest.fixture
def cache(tmp_path):
    """Return acme's cache directory, which is not there yet."""
    return tmp_path / "cache"


def _staging(cache: Path, info: CacheInfo, **options: Any) -> Staging:
    return Staging({"acme": lambda: str(cache)}, info, **options)


def _populate(cache: Path, *artifacts: CacheArtifact, **options: Any) -> CacheInfo:
    info = CacheInfo()
    with _staging(cache, info, **options) as staging:
        staging.stage(artifacts)
        staging.publish()
    return info


def _tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below *folder*, with what the files hold."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@attrs.frozen
class Placed(Plan):
    """A plan whose entry a test decides."""

    entry: CacheEntry | None = None

    def cache_entry(self) -> CacheEntry | None:
        """Return what the test gave."""
        return self.entry


# --- staged, then published -------------------------------------------------


def test_an_artifact_that_becomes_no_file_is_passed_over(cache):
    """It is kept in bundles, and no cache has a place for it."""
    info = _populate(cache, Placed("a", b"x"), Plan("b", b"y"))
    assert (info.artifacts, info.failed) == ({"acme/plan": ["b"]}, [])
    Placed("a", b"x").populate_cache()


def test_entries_of_one_kind_may_have_an_order(cache):
    """Who sees the last finds the others there."""
    late = Placed("a", b"x", entry=CacheEntry("acme", "late", b"x", order=1))
    early = Placed("b", b"y", entry=CacheEntry("acme", "early", b"y"))
    info = _populate(cache, late, early)
    assert info.artifacts == {"acme/plan": ["b", "a"]}


def test_an_entry_may_name_the_directory_that_it_is_in(cache):
    """Known only where it is populated."""

    def restored(directory):
        return directory.encode()

    entry = CacheEntry("acme", "a", b"@", restore=restored)
    info = _populate(cache, Placed("a", b"x", entry=entry))
    assert (cache / "a").read_bytes() == str(cache).encode()
    assert info.n_bytes == len(str(cache))


def test_an_artifact_is_put_into_its_cache_and_counted(cache):
    """The cache holds its file, and nothing of ours beside it."""
    info = _populate(cache, Plan("a", b"program"), Plan("b", b"other"))
    assert _tree(cache) == {"plans": None, "plans/a": b"program", "plans/b": b"other"}
    assert info.artifacts == {"acme/plan": ["a", "b"]}
    assert info.n_bytes == len(b"program") + len(b"other")
    assert not info.failed


def test_nothing_is_in_its_place_before_it_is_published(cache):
    """All are written first, into a directory that only we can enter."""
    with _staging(cache, CacheInfo()) as staging:
        staging.stage([Plan("a", b"program")])
        (area,) = cache.iterdir()
        assert area.name.startswith(".overwinter-")
        assert area.stat().st_mode & 0o777 == 0o700
        assert _tree(area) == {"1": b"program"}
        staging.publish()
        assert _tree(area) == {}
    assert list(cache.iterdir()) == [cache / "plans"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_exception_leaves_the_cache_as_it_was(cache, error):
    """A job that is stopped while loading leaves no half of it behind."""
    with pytest.raises(error, match="stop"), _staging(cache, CacheInfo()) as staging:
        staging.stage([Plan("a", b"program")])
        raise error("stop")
    assert _tree(cache) == {}


def test_an_interrupt_between_two_files_leaves_whole_files_only(cache, monkeypatch):
    """The first is in its place, the second is not, and no staging is left."""
    publish = CacheDirectory.publish

    def once(directory: CacheDirectory, staged: Staged, path: str) -> bool:
        if path.endswith("/b"):
            raise KeyboardInterrupt
        return publish(directory, staged, path)

    monkeypatch.setattr(CacheDirectory, "publish", once)
    with pytest.raises(KeyboardInterrupt):
        _populate(cache, Plan("b", b"2"), Plan("a", b"1"))
    assert _tree(cache) == {"plans": None, "plans/a": b"1"}


def test_leaving_without_publishing_leaves_the_cache_as_it_was(cache):
    """Nothing happens by itself."""
    info = CacheInfo()
    with _staging(cache, info) as staging:
        staging.stage([Plan("a", b"program")])
    assert _tree(cache) == {}
    assert info.empty()


def test_a_directory_is_asked_for_when_it_is_needed():
    """Torch's question makes the directory; without an artifact it is not asked."""

    def directory() -> str:
        raise AssertionError("nobody needs it")

    with Staging({"acme": directory}, CacheInfo()) as staging:
        staging.stage([])
        staging.publish()


def test_a_file_has_the_bits_of_its_entry(cache, tmp_path):
    """A library is loaded, a script is run: torch looks at them."""
    directories = {"torchinductor": lambda: str(cache)}
    before = os.umask(0o022)
    try:
        with Staging(directories, CacheInfo()) as staging:
            staging.stage([NativeArtifact("torchinductor/a.so", b"x")])
            staging.stage([InductorArtifact(GRAPH, b"x")])
            staging.publish()
    finally:
        os.umask(before)
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in cache.rglob("*.*")}
    assert modes == {".so": 0o755}
    (graph,) = (path for path in cache.rglob("fxgraph/*/*/*") if path.is_file())
    assert graph.stat().st_mode & 0o777 == 0o644


# --- nothing clobbered ------------------------------------------------------


def test_what_is_there_stays_and_is_reported(cache):
    """Somebody may be reading it; the cache has that entry, so it counts."""
    (cache / "plans").mkdir(parents=True)
    (cache / "plans" / "a").write_bytes(b"old")
    info = _populate(cache, Plan("a", b"new"), Plan("b", b"other"))
    assert (cache / "plans" / "a").read_bytes() == b"old"
    assert info.artifacts == {"acme/plan": ["a", "b"]}
    (note,) = info.present
    assert (note.kind, note.key) == ("acme/plan", "a")
    assert note.reason == "the cache holds it already"


def test_what_appears_meanwhile_stays(cache):
    """Ranks populate one directory at once."""
    info = CacheInfo()
    with _staging(cache, info) as staging:
        staging.stage([Plan("a", b"mine")])
        (cache / "plans").mkdir()
        (cache / "plans" / "a").write_bytes(b"another's")
        staging.publish()
    assert (cache / "plans" / "a").read_bytes() == b"another's"
    assert [note.key for note in info.present] == ["a"]


def test_of_two_artifacts_for_one_file_the_preferred_one_is_put_there(cache):
    """In whatever order they come out of the segments."""
    slow, fast = Plan("a", b"slow", 9), Plan("a", b"fast", 3)
    for name, plans in {"forth": (slow, fast), "back": (fast, slow)}.items():
        info = _populate(cache / name, *plans)
        assert (cache / name / "plans" / "a").read_bytes() == b"fast"
        assert info.artifacts == {"acme/plan": ["a"]}
        assert not info.present


def test_of_two_equal_in_preference_the_same_one_is_put_there(cache):
    """The digest decides: every machine ends with the same file."""
    plans = [Plan("a", b"x", 3), Plan("a", b"y", 3), Plan("a", b"z", 3)]
    found = set()
    for number, turned in enumerate((plans, plans[::-1], plans[1:] + plans[:1])):
        _populate(cache / str(number), *turned)
        found.add((cache / str(number) / "plans" / "a").read_bytes())
    assert len(found) == 1


def test_of_two_kinds_for_one_file_the_first_by_name_is_put_there(cache):
    """What they prefer cannot be compared; the choice is the same everywhere."""
    path = "2x/" + "c" * 52 + ".best_config"
    pair = [
        AutotuneArtifact.from_content(path, b"{}"),
        NativeArtifact(f"torchinductor/{path}", b"native"),
    ]
    for number, turned in enumerate((pair, pair[::-1])):
        info = CacheInfo()
        root = cache / str(number)
        with Staging({"torchinductor": lambda root=root: str(root)}, info) as staging:
            staging.stage(turned)
            staging.publish()
        assert (root / path).read_bytes() == b"{}"
        assert not info.failed


def test_variants_of_one_key_are_files_side_by_side(cache):
    """Torch looks at all of them and asks their guards."""
    info = CacheInfo()
    with Staging({"torchinductor": lambda: str(cache)}, info) as staging:
        staging.stage([InductorArtifact(GRAPH, b"a"), InductorArtifact(GRAPH, b"b")])
        staging.publish()
    assert len([path for path in cache.rglob("*") if path.is_file()]) == 2
    assert info.inductor_artifacts == [GRAPH, GRAPH]


def _graphs(cache: Path) -> set[bytes]:
    """Return the contents of the graphs in a cache."""
    return {each.read_bytes() for each in cache.rglob("fxgraph/*/*/*")}


def test_of_many_variants_the_preferred_are_put_there(cache):
    """Torch tries each in turn; whatever the order, the same eight, and it is said."""
    other = InductorArtifact("f" + "b" * 51, b"alone")
    variants = [InductorArtifact(GRAPH, b"%d" % n) for n in range(MAX_VARIANTS + 4)]
    turned = [variants, variants[::-1], variants[5:] + variants[:5]]
    for number, order in enumerate(turned):
        info = CacheInfo()
        root = cache / str(number)
        with Staging({"torchinductor": lambda root=root: str(root)}, info) as staging:
            staging.stage([*order[:3], other])
            staging.stage(order[3:])
            staging.publish()
        kind = CacheArtifactFactory.kind("inductor")
        best = sorted(variants, key=kind.digest)[:MAX_VARIANTS]
        assert _graphs(root) == {each.content for each in [*best, other]}
        assert sorted(info.inductor_artifacts) == [GRAPH] * MAX_VARIANTS + [other.key]
        assert [note.key for note in info.surplus] == [GRAPH] * 4
        assert info.surplus[0].reason == (
            "8 other variants of its key are preferred; overwinter repack writes the "
            "bundle again without such"
        )
        assert not info.failed
        assert info.n_bytes == sum(len(each.content) for each in [*best, other])


def test_a_repacked_bundle_fills_a_cache_as_it_did_before(cache, tmp_path):
    """What a load leaves out is what a repack leaves out."""
    variants = [InductorArtifact(GRAPH, b"%d" % n) for n in range(MAX_VARIANTS + 4)]
    save(tmp_path / "a.owb", variants, environment=TORCH)
    repack(tmp_path / "a.owb", tmp_path / "b.owb")
    for name in ("a", "b"):
        load(
            tmp_path / f"{name}.owb",
            environment=TORCH,
            directories={"torchinductor": lambda name=name: str(cache / name)},
            strict=True,
        )
    assert _graphs(cache / "a") == _graphs(cache / "b")
    assert len(_graphs(cache / "a")) == MAX_VARIANTS


def test_a_variant_whose_place_another_kind_has_leaves_room(cache, monkeypatch):
    """It is not there, so it is not counted; the other's file is never taken away."""
    variants = [InductorArtifact(GRAPH, b"%d" % n) for n in range(MAX_VARIANTS + 1)]
    kind = CacheArtifactFactory.kind("inductor")
    ranked = sorted(variants, key=kind.digest)
    entry = CacheEntry("torchinductor", ranked[3].cache_entry().path, b"another's")
    monkeypatch.setattr(Plan, "cache_entry", lambda _: entry)
    info = CacheInfo()
    with Staging({"torchinductor": lambda: str(cache)}, info) as staging:
        staging.stage(ranked[:-1])
        staging.stage([Plan("a", b"")])
        staging.stage([ranked[-1], ranked[3]])
        staging.publish()
    there = {each.content for each in variants} - {ranked[3].content}
    assert _graphs(cache) == {*there, b"another's"}
    assert not info.surplus


# --- order ------------------------------------------------------------------


def test_what_others_need_comes_first():
    """Kernels, then the graphs that call them, then what names the graphs."""
    order = populate_order()
    place = {kind: order.index(kind) for kind in order}
    assert max(place["native"], place["autotune"]) < place["inductor"]
    assert place["inductor"] < place["aot_autograd"]
    assert place["native"] < place["precompile"]
    assert set(order) >= {"acme/plan", "pgo"}


def test_files_are_published_in_that_order(cache, monkeypatch):
    """However they came, and within a kind by their keys."""
    published: list[str] = []
    publish = CacheDirectory.publish

    def noting(directory: CacheDirectory, staged: Staged, path: str) -> bool:
        published.append(path.rpartition("/")[2])
        return publish(directory, staged, path)

    monkeypatch.setattr(CacheDirectory, "publish", noting)
    record = "2x/" + "c" * 52 + ".best_config"
    artifacts = [
        AOTAutogradArtifact("a" * 52, b"aot"),
        InductorArtifact("f" + "b" * 51, b"b"),
        InductorArtifact(GRAPH, b"a"),
        AutotuneArtifact.from_content(record, b"{}"),
        NativeArtifact("torchinductor/b.so", b"b"),
        NativeArtifact("torchinductor/a.so", b"a"),
    ]
    info = CacheInfo()
    with Staging({"torchinductor": lambda: str(cache)}, info) as staging:
        staging.stage(artifacts)
        staging.publish()
    names = [Path(artifact.cache_entry().path).name for artifact in artifacts]
    aot, b, a, tuned, b_so, a_so = (published.index(name) for name in names)
    assert max(tuned, a_so, b_so) < a < b < aot
    assert a_so < b_so


def test_a_kind_may_need_one_that_is_not_registered():
    """It may be part of a plug-in that is not installed here."""

    @attrs.frozen
    class Needy(Plan):
        populate_after = ("acme/nowhere",)

    with registered(Needy, without=("acme/plan",)):
        order = populate_order()
        assert order.index("acme/nowhere") < order.index("acme/plan")


# --- what fails -------------------------------------------------------------


def test_an_artifact_with_a_bad_key_fails_alone(cache):
    """Nothing is written for it, and the others are populated."""
    info = _populate(cache, Plan("../../a", b"x"), Plan("b", b"y"))
    assert _tree(cache.parent)["cache/plans/b"] == b"y"
    assert not [path for path in cache.parent.rglob("*") if path.name == "a"]
    (note,) = info.failed
    assert (note.kind, note.key) == ("acme/plan", "../../a")
    assert "is no name; expected a graph's name" in note.reason
    assert info.artifacts == {"acme/plan": ["b"]}


def test_a_cache_that_nobody_uses_here_fails_its_artifacts(cache):
    """A library of a framework that this process has not loaded."""
    info = _populate(cache, NativeArtifact("triton/a.so", b"x"), Plan("b", b"y"))
    (note,) = info.failed
    assert note.reason.startswith(
        "triton: could not find this cache's directory: nobody uses such a cache here"
    )
    assert info.artifacts == {"acme/plan": ["b"]}


def test_a_cache_that_is_a_file_fails_its_artifacts(cache):
    """Each is reported; the job goes on cold."""
    cache.write_bytes(b"not a directory")
    info = _populate(cache, Plan("a", b"x"), Plan("b", b"y"))
    assert [note.key for note in info.failed] == ["a", "b"]
    assert "could not open it as a cache: Not a directory" in info.failed[0].reason
    assert info.empty()
    assert cache.read_bytes() == b"not a directory"


def test_a_cache_that_cannot_be_found_is_looked_for_once(cache):
    """One cause, asked once, is told of each artifact in the same words."""
    asked = []

    def find():
        asked.append(1)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    info = CacheInfo()
    with Staging({"acme": find}, info) as staging:
        staging.stage([Plan("a", b"x"), Plan("b", b"y")])
        staging.publish()
    assert asked == [1]
    assert [note.key for note in info.failed] == ["a", "b"]
    assert {note.reason for note in info.failed} == {
        "acme: could not find this cache's directory: File exists; check the path, "
        "its permissions and the space left"
    }


def test_a_cache_that_may_not_be_written_fails_its_artifacts(cache):
    """A read-only directory in an image, or another user's."""
    cache.mkdir(mode=0o500)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        info = _populate(cache, Plan("a", b"x"), Plan("b", b"y"))
    finally:
        if root:
            os.seteuid(0)
    assert [note.key for note in info.failed] == ["a", "b"]
    assert "Permission denied; check the path, its permissions" in info.failed[0].reason
    assert _tree(cache) == {}


def test_a_place_that_cannot_be_made_fails_its_artifact(cache):
    """A file stands where the folder of the entry must be; the others go on."""
    cache.mkdir()
    (cache / "plans").write_bytes(b"in the way")
    info = CacheInfo()
    directories = {"acme": lambda: str(cache), "torchinductor": lambda: str(cache)}
    with Staging(directories, info) as staging:
        staging.stage([Plan("a", b"x"), InductorArtifact(GRAPH, b"y")])
        staging.publish()
    assert [note.kind for note in info.failed] == ["acme/plan"]
    assert info.artifacts == {"inductor": [GRAPH]}
    assert (cache / "plans").read_bytes() == b"in the way"


def test_whatever_a_kinds_own_code_raises_fails_its_artifact(cache):
    """A third party's mistake must not break the job that loads its artifacts."""

    @attrs.frozen
    class Broken(Plan):
        def cache_entry(self) -> CacheEntry:
            raise ZeroDivisionError("a mistake")

    info = _populate(cache, Broken("a", b"x"), Plan("b", b"y"))
    (note,) = info.failed
    assert note.reason == (
        "acme/plan: could not put into its cache 'a': its own code raised "
        "ZeroDivisionError('a mistake'); report it to whoever maintains that kind"
    )
    assert info.artifacts == {"acme/plan": ["b"]}
    with pytest.raises(KindCodeError, match="ZeroDivisionError") as caught:
        _populate(cache, Broken("a", b"x"), strict=True)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_cache_that_cannot_be_found_fails_its_artifacts(cache):
    """A framework that is half installed raises what it likes."""

    def find() -> str:
        raise KeyError("a setting")

    info = CacheInfo()
    with Staging({"acme": find}, info) as staging:
        staging.stage([Plan("a", b"x")])
    assert "its own code raised KeyError('a setting')" in info.failed[0].reason
    with (
        pytest.raises(KindCodeError, match="a setting"),
        Staging({"acme": find}, info, strict=True) as staging,
    ):
        staging.stage([Plan("a", b"x")])


@pytest.mark.parametrize(
    ("artifact", "error", "words"),
    [
        (Plan("../a", b"x"), KeyGrammarError, "is no name"),
        (NativeArtifact("triton/a.so", b"x"), StoreError, "nobody uses such a cache"),
    ],
    ids=["key", "cache"],
)
def test_strict_raises_at_the_first_that_cannot_be_staged(
    cache, artifact, error, words
):
    """Then nothing at all is published."""
    with pytest.raises(error, match=words):
        _populate(cache, Plan("b", b"y"), artifact, strict=True)
    assert _tree(cache) == {}


def test_strict_raises_at_the_first_that_cannot_be_published(cache, monkeypatch):
    """And leaves no staging behind."""

    def publish(directory: CacheDirectory, staged: Staged, path: str) -> bool:
        raise NotFoundError(path, "publish it", "No such file")

    monkeypatch.setattr(CacheDirectory, "publish", publish)
    with pytest.raises(
        NotFoundError, match="plans/a: could not publish it: no such file"
    ):
        _populate(cache, Plan("a", b"x"), strict=True)
    assert _tree(cache) == {}
