"""Keys and cache entries of the built-in kinds, as torch has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from overwinter import CacheArtifactFactory, CacheEntry
from overwinter.environment import EXACT_REQUIRED
from overwinter.errors import KeyGrammarError, WrongShapeError
from overwinter.kinds import PACK
from overwinter.kinds.torchinductor import content_name

MEGACACHE = Path(__file__).parents[1] / "torch" / "megacache"

GRAPH = "fieqh746yng7by3a4rogubbbayn3bo47owoo5sb2glshv3mts7zc"
GOOD = {
    "aot_autograd": "a" + GRAPH[1:],
    "autotune": "v3/cv3uda4vvko7azcs3asjiza37jmhu73euwnen2h2iy2356p3pebu.best_config",
    "factors": f"inductor/{GRAPH}",
    "file": "jax/jit_step-0123-cache",
    "inductor": GRAPH,
    "megacache": "inductor_triton/0/abc",
    "native": f"torchinductor/2x/c{GRAPH}.main.so",
    "pgo": "job-17:0:main",
    "precompile": "0123456789abcdef" * 4,
    "triton": f"triton/{GRAPH.upper()}/kernel.cubin",
}
EVERY_KIND = pytest.mark.parametrize("kind", GOOD)
EVERY_FILE = pytest.mark.parametrize(
    "kind", [k for k in GOOD if k not in ("factors", "megacache", "triton")]
)
OTHERS = [kind for kind in GOOD if kind not in ("file", "megacache", "native", "pgo")]


def _check(kind: str, key: str) -> None:
    CacheArtifactFactory.kind(kind).cls.check_key(key)


def _recorded() -> list[tuple[str, str]]:
    """Return kind and key of everything that real torch recorded."""
    found = set()
    for file in sorted(MEGACACHE.glob("*-expected.json")):
        expected: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        for value in expected.values():
            if isinstance(value, list):
                found.update((kind, key) for kind, key, *_ in value)
    return sorted(found)


def test_the_built_in_kinds_are_registered():
    """Importing the library is enough to read what torch leaves behind."""
    assert set(GOOD) == {cls.type() for cls in PACK.classes}
    assert set(GOOD) <= set(CacheArtifactFactory.kinds())


@EVERY_KIND
def test_a_key_of_torchs_shape_is_accepted(kind):
    """A grammar that is too narrow would lose what torch compiled."""
    _check(kind, GOOD[kind])


@pytest.mark.parametrize(("kind", "key"), _recorded())
def test_every_key_that_torch_recorded_is_accepted(kind, key):
    """Keys out of containers that torch 2.7.1, 2.9.1 and 2.13.0 wrote."""
    _check(kind, key)


def test_recorded_keys_are_of_every_kind_that_torch_records():
    """The test above runs over what files hold, so they must hold something."""
    kinds = {kind for kind, _ in _recorded()}
    assert {"aot_autograd", "autotune", "inductor", "pgo"} <= kinds


BAD = {
    "absolute": ("/etc/cron.d/x", "is an absolute path"),
    "parent": ("../x", "leads out of the cache directory"),
    "parent inside": ("x/../../y", "leads out of the cache directory"),
    "parent at the end": ("x/..", "leads out of the cache directory"),
    "parent behind backslashes": ("x\\..\\y", "leads out of the cache directory"),
    "backslash": ("x\\y", "holds a backslash"),
    "NUL": ("x\0y", "holds a NUL"),
    "NUL in a path": ("/x\0", "holds a NUL"),
    "empty": ("", "is empty"),
    "newline": ("x\ny", "holds a character that cannot be shown"),
    "escape": ("\x1b[2J", "holds a character that cannot be shown"),
    "surrogate": ("\ud800", "holds a character that cannot be shown"),
}


@EVERY_KIND
@pytest.mark.parametrize(("key", "reason"), BAD.values(), ids=BAD)
def test_a_key_that_no_cache_has_is_refused_with_the_reason(kind, key, reason):
    """Keys become paths inside torch, and torch does not check them."""
    with pytest.raises(KeyGrammarError, match=f"^{kind}: key .* {reason}; expected "):
        _check(kind, key)


@EVERY_KIND
@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("\n", "holds a character that cannot be shown"),
        ("\0", "holds a NUL"),
        ("/../x", "leads out of the cache directory"),
        ("\\..", "leads out of the cache directory"),
        ("\\", "holds a backslash"),
    ],
    ids=ascii,
)
def test_a_good_key_with_a_bad_end_is_refused(kind, ending, reason):
    r"""``$`` matches before a last newline; the whole key is what must match."""
    with pytest.raises(KeyGrammarError, match=f"^{kind}: key .* {reason}; expected "):
        _check(kind, GOOD[kind] + ending)


@EVERY_KIND
def test_a_good_key_behind_a_bad_beginning_is_refused(kind):
    """Neither is a path that becomes one of ours by what stands before it."""
    for beginning in ("/", "../", "\n"):
        with pytest.raises(KeyGrammarError, match=f"^{kind}: key "):
            _check(kind, beginning + GOOD[kind])


@EVERY_KIND
def test_an_overlong_key_is_refused_with_its_length(kind):
    """Longer than any file system's name: no cache could have had it."""
    prefix = "torchinductor/" if kind == "native" else ""
    with pytest.raises(KeyGrammarError, match=r"is \d+ (characters|bytes) long;"):
        _check(kind, prefix + "x" * 256)


@pytest.mark.parametrize("kind", [k for k in GOOD if k not in ("megacache", "pgo")])
@pytest.mark.parametrize("change", ["é", "/", " ", "//x", "/.x", "\u2028", "\uff0f"])
def test_a_key_with_anything_else_at_its_end_is_refused(kind, change):
    """Trailing slashes, hidden files and look-alikes are of no kind of torch's."""
    with pytest.raises(KeyGrammarError, match=f"^{kind}: key .* expected "):
        _check(kind, GOOD[kind] + change)


@pytest.mark.parametrize("kind", OTHERS)
def test_the_keys_of_other_kinds_are_refused(kind):
    """A kind's grammar is its own: files do not land in another's place."""
    for other, key in GOOD.items():
        if other != kind:
            with pytest.raises(
                KeyGrammarError, match="is none of this kind's; expected"
            ):
                _check(kind, key)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_key_in_capitals_is_refused(kind):
    """Torch writes lower case, and some file systems know no difference."""
    with pytest.raises(KeyGrammarError, match="is none of this kind's; expected"):
        _check(kind, GOOD[kind].upper())


@pytest.mark.parametrize("kind", ["inductor", "aot_autograd", "precompile"])
@pytest.mark.parametrize("change", [slice(None, -1), slice(1, None)])
def test_a_hash_that_is_cut_is_refused(kind, change):
    """A hash has one length."""
    with pytest.raises(KeyGrammarError, match="is none of this kind's; expected"):
        _check(kind, GOOD[kind][change])


def test_the_key_in_an_error_is_short_and_plain():
    """A key may come from anybody: shown, it must neither flood nor command."""
    with pytest.raises(KeyGrammarError) as caught:
        _check("inductor", "\x1b[31m" + "x" * 10**6)
    assert str(caught.value) == (
        r"inductor: key '\x1b[31m" + "x" * 71 + "… (1000005 characters) holds a "
        "character that cannot be shown; expected 'f' and 51 characters of base 32; "
        "do not populate this artifact, and ask who wrote it"
    )


def test_a_job_may_be_called_almost_anything():
    """Jobs are named by people; torch makes the name of the file safe."""
    for key in ("mast:job:3:0:", "team/run 7:None:", "работа:0:é", 'a<b>"c"|?*:0:'):
        _check("pgo", key)


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_a_jobs_file_has_a_name_of_255_bytes_at_most(letter):
    """File systems count bytes, and not characters."""
    limit = 240 // len(letter.encode())
    cls = CacheArtifactFactory.kind("pgo").cls
    entry = cls.from_content(letter * limit, b"").cache_entry()
    assert len(entry.path.removeprefix("dynamo/").encode()) == 255
    with pytest.raises(KeyGrammarError, match=r"is 24\d bytes long; expected .* 240"):
        _check("pgo", letter * (limit + 1))


CONTENT = b'{"XBLOCK": 1}'
FACTORS = b'{"digests": {"gm": "q"}, "texts": {}}'
NAME = content_name(CONTENT)


@pytest.mark.parametrize(
    ("kind", "path", "mode"),
    [
        ("inductor", f"fxgraph/{GRAPH[1:3]}/{GRAPH}/{NAME}", 0o644),
        ("aot_autograd", f"aotautograd/{GOOD['aot_autograd']}/{NAME}", 0o644),
        ("autotune", GOOD["autotune"], 0o644),
        ("pgo", "dynamo/code_state_job-17_0_main.pkl", 0o644),
        ("precompile", f"dynamo/{GOOD['precompile']}/entry", 0o644),
        ("native", f"2x/c{GRAPH}.main.so", 0o755),
    ],
)
def test_an_artifact_becomes_the_file_that_torch_looks_for(kind, path, mode):
    """Paths relative to the cache directory, as torch 2.13 places its own files."""
    artifact = CacheArtifactFactory.create(kind, GOOD[kind], CONTENT)
    assert artifact.cache_entry() == CacheEntry("torchinductor", path, CONTENT, mode)


@EVERY_KIND
def test_an_artifact_with_a_bad_key_becomes_no_file(kind):
    """Whoever asks for the file, the grammar is asked first."""
    content = FACTORS if kind == "factors" else CONTENT
    artifact = CacheArtifactFactory.create(kind, "../../x", content)
    with pytest.raises(KeyGrammarError, match="leads out of the cache directory"):
        artifact.cache_entry()


def test_factors_are_of_one_graph_and_become_no_file():
    """They are JSON where somebody asks for one content, and nothing else is."""
    artifact = CacheArtifactFactory.create("factors", GOOD["factors"], FACTORS)
    assert artifact.graph == ("inductor", GRAPH)
    assert (artifact.digests, artifact.texts) == ({"gm": "q"}, {})
    assert artifact.content == FACTORS
    assert artifact.cache_entry() is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"digests": {}}'])
def test_factors_of_another_layout_are_refused(content):
    """A process that was killed leaves half of them."""
    with pytest.raises(WrongShapeError, match="no factors"):
        CacheArtifactFactory.create("factors", GOOD["factors"], content)


def test_what_has_no_place_in_a_cache_becomes_no_file():
    """It is kept in bundles for a container, and populates nothing."""
    artifact = CacheArtifactFactory.create("megacache", GOOD["megacache"], CONTENT)
    assert artifact.cache_entry() is None
    assert artifact.entry == ("inductor_triton", "0/abc")


@EVERY_FILE
def test_an_artifact_finds_its_cache_by_itself(kind, home, monkeypatch):
    """Each of the classes says where its files belong."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(home / "torchinductor"))
    artifact = CacheArtifactFactory.create(kind, GOOD[kind], CONTENT)
    artifact.populate_cache()
    file = home / "torchinductor" / artifact.cache_entry().path
    assert file.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("inductor", {"native", "autotune", "triton"}),
        ("aot_autograd", {"inductor"}),
        ("precompile", {"native", "autotune", "triton"}),
        ("native", set()),
        ("autotune", set()),
        ("pgo", set()),
    ],
)
def test_a_kind_names_the_kinds_that_must_be_there_first(kind, needed):
    """A graph that is found without its kernels builds them again."""
    assert set(CacheArtifactFactory.kind(kind).cls.populate_after) == needed


def test_the_name_of_a_jobs_file_is_made_safe():
    """The characters that torch replaces, each by an underscore."""
    artifact = CacheArtifactFactory.create("pgo", 'a/b<c>d:e"f|g?h*i:0:', b"")
    assert artifact.cache_entry().path == "dynamo/code_state_a_b_c_d_e_f_g_h_i_0_.pkl"


@EVERY_KIND
def test_the_content_is_what_the_framework_wrote(kind):
    """Whatever a kind does with it inside, the same bytes come out."""
    content = FACTORS if kind == "factors" else CONTENT
    artifact = CacheArtifactFactory.create(kind, GOOD[kind], content)
    assert artifact.content == content


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "autotune"])
def test_these_kinds_are_recorded_as_bytes(kind):
    """A value that is no bytes would be somebody's mistake, and is refused."""
    cls = CacheArtifactFactory.kind(kind).cls
    assert cls.encode(b"\x80") == b"\x80"
    with pytest.raises(WrongShapeError, match="content: expected bytes, got str"):
        cls.encode("\x80")


@EVERY_KIND
def test_the_content_stays_out_of_an_artifacts_name(kind):
    """Logs show artifacts; megabytes of a pickle do not belong there."""
    content = b'{"XBLOCK": 7654321}'
    if kind == "factors":
        content = FACTORS.replace(b"gm", b"7654321")
    artifact = CacheArtifactFactory.create(kind, GOOD[kind], content)
    if kind != "autotune":
        assert "7654321" not in repr(artifact)
    assert GOOD[kind] in repr(artifact)


@pytest.mark.parametrize("kind", ["inductor", "aot_autograd", "pgo", "precompile"])
def test_pickles_are_for_the_torch_and_python_that_wrote_them(kind):
    """A pickle of another torch, or of nobody knows which, could be loaded."""
    rules = CacheArtifactFactory.kind(kind).cls.environment_rules
    names = ["python_tag", "torch_version", "torch_key"]
    if kind != "pgo":  # it holds no code for a CPU
        names.append("vector_isa")
    assert rules == dict.fromkeys(names, EXACT_REQUIRED)
