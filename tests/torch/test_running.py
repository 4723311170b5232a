"""Runs of a real torch and a real jax: one bundle, and the second start is warm."""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import attrs
import pytest
from compilers import LOG_VARIABLE, steps

from overwinter import Bundle
from overwinter.bundle import verify
from overwinter.running import Report, run
from overwinter.torch.certifying import certify_command

pytestmark = pytest.mark.torch

HERE = Path(__file__).parent


@attrs.frozen
class Start:
    """A start of the program: what it said, what we said, and what was built."""

    said: dict
    report: Report
    steps: Counter


@pytest.fixture(scope="module")
def variables(compilers, signing_key, tmp_path_factory) -> dict[str, str]:
    """Return the variables of a user who has set nothing about caches."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TORCH", "JAX", "OVERWINTER_"))
    }
    own = tmp_path_factory.mktemp("user")
    return {
        **clean,
        "PATH": f"{compilers / 'new'}{os.pathsep}{os.environ['PATH']}",
        "CXX": "g++",
        "HOME": str(own),
        "TMPDIR": str(own),
        LOG_VARIABLE: str(own / "compiler.log"),
        "OVERWINTER_SIGNING_KEY": str(signing_key),
        # So small a program is compiled too fast to be worth a file, to jax.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }


@pytest.fixture(scope="module")
def starts(variables, signing_key, tmp_path_factory) -> tuple[Start, Start, Path]:
    """Return the first start of a program and its second, and their bundle."""
    place = tmp_path_factory.mktemp("run")
    bundle, log = place / "model.owb", Path(variables[LOG_VARIABLE])

    def start(number: int) -> Start:
        log.unlink(missing_ok=True)
        said = place / f"{number}.json"
        report = run(
            bundle,
            [sys.executable, str(HERE / "both.py"), str(said)],
            environ=variables,
        )
        assert report.exit_code == 0
        return Start(json.loads(said.read_text()), report, steps(log))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OVERWINTER_SIGNING_KEY", str(signing_key))
        return start(1), start(2), bundle


def in_caches(saved):
    """Return what of *saved* a cache has a place for."""
    return {kind: n for kind, n in saved.items() if kind != "factors"}


def test_the_first_start_compiles_and_all_of_it_is_kept(starts):
    """Of torch by the kinds that it has, of jax as files."""
    first, _, bundle = starts
    assert first.said["torch"]["graphs"]["miss"] == 3
    assert first.said["jax"]["hits"] == 0
    assert first.steps["compile"] >= 3
    assert first.report.loaded == {}
    saved = first.report.saved
    assert {"inductor", "aot_autograd", "native", "factors", "file"} == set(saved)
    assert (saved["inductor"], saved["aot_autograd"]) == (2, 1)
    with Bundle(bundle) as opened:
        assert list(verify(opened)) == []


def test_the_second_start_of_both_is_warm(starts):
    """Torch and jax hit, nothing is built, and the results are the same."""
    first, second, _ = starts
    assert second.said["torch"]["graphs"] == {"hit": 3, "miss": 0, "bypass": 0}
    assert second.said["jax"]["hits"] > 0
    assert second.said["jax"]["misses"] == 0
    assert second.steps == {}
    assert second.said["torch"]["outputs"] == first.said["torch"]["outputs"]
    assert second.said["jax"]["total"] == first.said["jax"]["total"]


def test_the_second_start_loads_what_the_first_one_kept(starts):
    """All of it, and there is nothing new, and nothing to say."""
    first, second, _ = starts
    assert second.report.loaded == in_caches(first.report.saved)
    assert second.report.saved == {}
    assert second.report.graphs["hit"] == 3
    assert (first.report.problems, second.report.problems) == ([], [])


def test_why_a_graph_missed_is_told(starts, variables, tmp_path):
    """A setting that somebody changed is named, in the report and in its lines."""
    bundle = shutil.copy(starts[2], tmp_path)
    command = [sys.executable, str(HERE / "both.py"), str(tmp_path / "report.json")]
    changed = {**variables, "TORCHINDUCTOR_LOOP_ORDERING_AFTER_FUSION": "0"}
    report = run(bundle, command, environ=changed)
    (line,) = report.missed
    assert line.endswith(
        "and 2 more: torch._inductor.config.loop_ordering_after_fusion: False here, "
        "True in the bundle"
    )
    assert f"missed: {line}" in report.lines()
    assert report.as_dict()["missed"] == [line]


def test_a_bundle_of_both_is_certified(starts, variables, tmp_path):
    """What jax found counts as much as what torch did."""
    command = [sys.executable, str(HERE / "both.py"), str(tmp_path / "report.json")]
    certificate = certify_command(starts[2], command, environ=variables)
    assert certificate.reasons == ()
    assert certificate.loaded == in_caches(starts[0].report.saved)
    assert certificate.unused == ()


KERNELS = """
import importlib.metadata, json, os
import torch._inductor.codecache
places = [os.environ["TRITON_CACHE_DIR"]]
places.append(os.path.join(os.environ["TORCHINDUCTOR_CACHE_DIR"], "triton", "0"))
for place in places:
    folder = os.path.join(place, "A" * 52)
    kernel, group = (os.path.join(folder, n) for n in ("k.cubin", "__grp__k.json"))
    if os.path.exists(group):
        with open(group) as file:
            assert json.load(file) == {"child_paths": {"k.cubin": kernel}}
        with open(kernel, "rb") as file:
            assert file.read() == b"a kernel"
        print("found")
    else:
        os.makedirs(folder)
        with open(kernel, "wb") as file:
            file.write(b"a kernel")
        with open(group, "w") as file:
            json.dump({"child_paths": {"k.cubin": kernel}}, file)
        print("made")
"""


@pytest.fixture
def with_triton(variables, tmp_path):
    """Return the variables of a user whose environment says that it has a Triton."""
    metadata = tmp_path / "packages/triton-3.4.0.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: triton\nVersion: 3.4.0\n")
    before = variables.get("PYTHONPATH", "")
    paths = [str(metadata.parent.parent), *filter(None, [before])]
    return {**variables, "PYTHONPATH": os.pathsep.join(paths)}


def test_tritons_kernels_are_found_elsewhere(with_triton, tmp_path, capfd):
    """In both caches, with the paths of the new ones; on trees made by hand."""
    bundle, command = tmp_path / "model.owb", [sys.executable, "-c", KERNELS]
    first = run(bundle, command, environ=with_triton)
    assert (first.exit_code, first.problems) == (0, [])
    assert first.saved == {"triton": 4}
    second = run(bundle, command, environ=with_triton)
    assert (second.exit_code, second.problems) == (0, [])
    assert second.loaded == {"triton": 4}
    assert second.saved == {}
    assert capfd.readouterr().out == "made\nmade\nfound\nfound\n"


def test_kernels_compiled_before_torchs_compiler_are_kept_once(with_triton, tmp_path):
    """A program's own kernels come first, and are not what the bundle brought."""
    early = KERNELS.replace("import torch._inductor.codecache\n", "")
    command = [sys.executable, "-c", f"{early}\nimport torch._inductor.codecache"]
    bundle = tmp_path / "model.owb"
    first = run(bundle, command, environ=with_triton)
    assert (first.problems, first.saved) == ([], {"triton": 4})
    before = bundle.read_bytes()
    assert run(bundle, command, environ=with_triton).problems == []
    assert bundle.read_bytes() == before


def test_kernels_are_left_out_where_there_is_no_triton(variables, tmp_path):
    """Nobody knows for which they are, so that they could be used nowhere."""
    bundle, command = tmp_path / "model.owb", [sys.executable, "-c", KERNELS]
    report = run(bundle, command, environ=variables)
    (problem,) = report.problems
    assert problem.startswith("triton: 4 files left out: the version of its Triton")
    assert not bundle.exists()


def test_a_process_that_cannot_tell_its_torch_is_asked_in_another(
    cold, variables, tmp_path
):
    """It was killed, or left by ``os._exit``: what it compiled is kept all the same."""
    bundle = tmp_path / "model.owb"
    program = (
        "import os, shutil\n"
        "import torch._inductor.codecache\n"
        f"shutil.copytree({str(cold.job.cache)!r}, "
        "os.environ['TORCHINDUCTOR_CACHE_DIR'], dirs_exist_ok=True)\n"
        "os._exit(3)\n"
    )
    report = run(bundle, [sys.executable, "-c", program], environ=variables)
    assert (report.exit_code, report.problems) == (3, [])
    expected = cold.job["save"]["artifacts"]
    assert report.saved == {kind: len(keys) for kind, keys in expected.items()}

    def environments(path):
        with Bundle(path) as opened:
            return [dict(e) for s in opened.segments for e in s.statement.environments]

    assert environments(bundle) == environments(cold.bundle)
