"""Runs: the second start finds what the first one left, whatever happened to it."""

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from bundles import TORCH

from overwinter import Bundle, load, save
from overwinter.bundle import verify
from overwinter.cache_directory import CacheDirectory
from overwinter.cli.main import main
from overwinter.environment import capture
from overwinter.errors import StoreError
from overwinter.kinds import FileArtifact, InductorArtifact
from overwinter.kinds.torchinductor import content_name
from overwinter.running import Report, Told, command
from overwinter.running.told import Torch

FRAMEWORK = str(Path(__file__).with_name("framework.py"))
JAX = "JAX_COMPILATION_CACHE_DIR"
CLI = [sys.executable, "-m", "overwinter.cli.main", "run"]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work below the test's own directory."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.glob("overwinter-*")) == []  # nothing is left, ever


def program(*arguments):
    """Return the command of the framework."""
    return [sys.executable, FRAMEWORK, *arguments]


@pytest.fixture
def run(capfd):
    """Return what runs the framework with a bundle: its code, words and our words."""

    def run_framework(*arguments, options=()):
        command = ["run", "--bundle", "model.owb", *options, "--"]
        code = main([*command, *program(*arguments)])
        out, err = capfd.readouterr()
        return code, out, err

    return run_framework


def keys():
    """Return the keys of the bundle, each as often as it is there."""
    with Bundle("model.owb") as bundle:
        assert list(verify(bundle)) == []
        return sorted(
            key
            for segment in bundle.segments
            for block in segment.blocks
            for key in block.read_columns()[0]["key"]
        )


def test_the_second_start_is_warm(run):
    """Without a line of code; what was made is in the bundle, and found again."""
    code, out, err = run(JAX, "a", "deep/er/b")
    assert (code, out) == (0, "a:miss deep/er/b:miss\n")
    assert "kept file 2" in err
    code, out, err = run(JAX, "a", "deep/er/b")
    assert (code, out) == (0, "a:hit deep/er/b:hit\n")
    assert "loaded file 2; graphs: none; kept none" in err
    assert keys() == ["jax/a", "jax/deep/er/b"]


def test_a_run_without_anything_new_leaves_the_bundle(run):
    """Byte for byte; and one with something new appends just that."""
    run(JAX, "a")
    before = Path("model.owb").read_bytes()
    run(JAX, "a")
    assert Path("model.owb").read_bytes() == before
    run(JAX, "a", "b")
    assert Path("model.owb").read_bytes().startswith(before[:100])
    assert keys() == ["jax/a", "jax/b"]


@pytest.mark.parametrize(("then", "code"), [("fail", 7), ("die", 137)])
def test_the_code_of_the_command_is_ours(run, then, code):
    """However it ended."""
    assert run(JAX, "a", "then", then)[0] == code


def test_a_command_that_fails_leaves_what_it_made(run):
    """It will be started again."""
    run(JAX, "a", "then", "fail")
    assert run(JAX, "a")[1] == "a:hit\n"


def test_what_a_killed_command_wrote_last_is_left_out(run):
    """It may be a half, and a bundle would keep it for ever."""
    _, _, err = run(JAX, "a", "then", "die")
    assert "jax: 1 files left out: a signal ended the command just after" in err
    assert not Path("model.owb").exists()


def test_what_a_killed_command_wrote_before_is_kept(run, monkeypatch):
    """As it was not changed for a while."""
    monkeypatch.setattr("overwinter.running.harvest._SETTLED", 0)
    run(JAX, "a", "then", "die")
    assert keys() == ["jax/a"]


def test_a_command_that_is_none_has_the_code_of_a_shell(capfd):
    """And nothing is written."""
    assert main(["run", "--bundle", "model.owb", "--", "/no/such"]) == 127
    assert not Path("model.owb").exists()


def test_links_pipes_and_hidden_files_are_no_artifacts(run):
    """A link could bring any file of this machine into the bundle."""
    code, _, _ = run(JAX, "a", "then", "link")
    assert (code, keys()) == (0, ["jax/a"])


def test_a_cache_that_vanishes_leaves_nothing(run):
    """And costs the command nothing."""
    code, _, err = run(JAX, "a", "then", "vanish")
    assert code == 0
    assert "kept none" in err


def test_a_directory_of_the_users_own_is_a_cache_too(run, tmp_path):
    """Filled and kept under its name; what was there stays and is not taken."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/old").write_bytes(b"theirs")
    option = ("--dir", f"acme={tmp_path / 'mine'}")
    run(str(tmp_path / "mine"), "a", options=option)
    assert keys() == ["acme/a"]
    os.unlink("mine/a")
    assert run(str(tmp_path / "mine"), "a", options=option)[1] == "a:hit\n"
    # One that is not there is made.
    option = ("--dir", f"acme={tmp_path / 'new/one'}")
    assert run(str(tmp_path / "new/one"), "a", options=option)[1] == "a:hit\n"
    assert (tmp_path / "mine/old").read_bytes() == b"theirs"
    assert keys() == ["acme/a"]
    # Without a place for them, they stay where they are.
    _, _, err = run(JAX, "b")
    assert "1 files of cache acme were left in the bundle: give" in err


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("acme", "expected NAME=PATH"),
        ("=x", "expected NAME=PATH"),
        ("Acme=x", "expected NAME=PATH"),
        ("a/b=x", "expected NAME=PATH"),
        ("acme=", "expected NAME=PATH"),
        ("jax=x", "jax has a directory already"),
    ],
)
def test_a_directory_needs_a_name_of_its_own(run, value, words):
    """Those of frameworks are taken."""
    code, out, err = run(JAX, "a", options=("--dir", value))
    assert (code, out) == (2, "")
    assert words in err


def test_a_directory_that_others_may_write_is_not_used(run, tmp_path):
    """What is in a cache runs as whoever uses it; the command runs all the same."""
    save("model.owb", [FileArtifact("acme/a", b"code")], environment=capture())
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    option = ("--dir", f"acme={tmp_path / 'open'}")
    code, out, err = run(str(tmp_path / "open"), "b", options=option)
    assert (code, out) == (0, "b:miss\n")
    assert "writable by others" in err
    assert keys() == ["acme/a"]
    assert sorted(os.listdir("open")) == ["b"]


def test_a_link_in_the_place_of_a_directory_is_not_used(run, tmp_path):
    """It may lead to what others write."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    option = ("--dir", f"acme={tmp_path / 'link'}")
    code, out, err = run(str(tmp_path / "link"), "b", options=option)
    assert (code, out) == (0, "b:miss\n")
    assert "is a symbolic link" in err
    assert not Path("model.owb").exists()


@pytest.mark.parametrize("content", [b"no bundle", b""])
def test_a_bundle_that_is_none_costs_the_command_nothing(run, content):
    """It runs cold, and what is there stays; both are said, once."""
    Path("model.owb").write_bytes(content)
    code, out, err = run(JAX, "a")
    assert (code, out) == (0, "a:miss\n")
    assert "but a bundle starts with" in err
    assert "nothing is kept of this run" in err
    assert Path("model.owb").read_bytes() == content


def test_a_bundle_of_strangers_is_not_used(run, monkeypatch):
    """What is in it would run; who it is from is said."""
    run(JAX, "a")
    monkeypatch.setenv("XDG_DATA_HOME", str(Path.cwd() / "other"))
    code, out, err = run(JAX, "a")
    assert (code, out) == (0, "a:miss\n")
    assert "refused: file jax/a" in err


def test_a_cache_that_cannot_be_filled_costs_the_command_nothing(run, monkeypatch):
    """The disk is full, or may not be written: it runs cold, and hears why."""
    run(JAX, "a")

    def full(*_: object, **__: object) -> None:
        raise StoreError("jax/a", "write it", "No space left on device")

    monkeypatch.setattr(CacheDirectory, "stage", full)
    code, out, err = run(JAX, "a")
    assert (code, out) == (0, "a:miss\n")
    assert "failed: file jax/a: jax/a: could not write it: No space left" in err


def test_without_a_place_for_caches_the_command_runs_without(run, monkeypatch):
    """As it would have without us, and it is said."""
    nowhere = SimpleNamespace(
        gettempdir=lambda: "/no/such/place", mkdtemp=tempfile.mkdtemp
    )
    monkeypatch.setattr("overwinter.observing.workspace.tempfile", nowhere)
    monkeypatch.setenv(JAX, "own")
    code, out, err = run(JAX, "a", "then", "fail")
    assert (code, out) == (7, "a:miss\n")
    assert "run without caches of its own: /no/such/place" in err
    assert Path("own/a").exists()
    assert not Path("model.owb").exists()


def test_a_bundle_that_cannot_be_written_costs_the_command_nothing(run):
    """Its folder is not there; nothing else appears in its place."""
    options = ("--bundle", "none/model.owb")
    code, out, err = run(JAX, "a", options=options)
    assert (code, out) == (0, "a:miss\n")
    assert "nothing is kept of this run: none/model.owb: could not write it" in err


def test_a_fault_of_ours_does_not_change_the_code_of_the_command(run, monkeypatch):
    """Whatever goes wrong after it, it ended as it ended."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(command, "harvest", broken)
    code, _, err = run(JAX, "a", "then", "fail")
    assert code == 7
    assert "nothing is kept of this run: ZeroDivisionError('a bug')" in err


def test_an_open_umask_costs_nothing():
    """Nobody else can enter the directories, whatever the bits are below."""
    command = [*CLI, "--bundle", "model.owb", "--", *program(JAX, "deep/a")]
    for words in ("deep/a:miss\n", "deep/a:hit\n"):
        done = subprocess.run(command, umask=0, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, words)


def test_files_keep_their_plain_permissions(run, tmp_path):
    """A program stays one."""
    (tmp_path / "mine").mkdir()
    option = ("--dir", f"acme={tmp_path / 'mine'}")
    script = "import os; open('mine/x', 'w').close(); os.chmod('mine/x', 0o4755)"
    main(["run", "--bundle", "model.owb", *option, "--", sys.executable, "-c", script])
    load("model.owb", directories={"acme": lambda: str(tmp_path / "again")})
    assert stat.S_IMODE((tmp_path / "again/x").stat().st_mode) == 0o755


def test_a_report_is_written_if_asked_for(run):
    """For programs: standard output is the command's."""
    run(JAX, "a", "then", "fail", options=("--report", "report.json"))
    report = json.loads(Path("report.json").read_text())
    assert (report["version"], report["exit_code"]) == (1, 7)
    assert report["saved"] == {"file": 1}


def test_what_is_set_for_jax_is_said(run, monkeypatch):
    """When it begins to matter, and only if it was not the user's own wish."""
    name = "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"
    monkeypatch.delenv(name, raising=False)
    assert f"{name}=none was set" in run(JAX, "a")[2]
    assert name not in run(JAX, "a")[2]
    monkeypatch.setenv(name, "none")
    assert name not in run(JAX, "b")[2]


def test_a_graph_of_nobody_knows_which_torch_is_not_kept(capfd):
    """Without that it would be populated nowhere; the rest is kept."""
    name = content_name(b"graph")
    script = (
        "import os\n"
        "for variable, path, content in [\n"
        f"    ('TORCHINDUCTOR_CACHE_DIR', 'aotautograd/a{'b' * 51}/{name}', 'graph'),\n"
        "    ('JAX_COMPILATION_CACHE_DIR', 'x-cache', 'xla'),\n"
        "]:\n"
        "    path = os.path.join(os.environ[variable], path)\n"
        "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "    open(path, 'w').write(content)\n"
    )
    command = [sys.executable, "-I", "-c", script]
    assert main(["run", "--bundle", "model.owb", "--", *command]) == 0
    err = capfd.readouterr().err
    assert "nothing of torch's is kept: no process told which torch it was" in err
    assert keys() == ["jax/x-cache"]


def test_kernels_of_nobody_knows_which_triton_are_left_out(capfd):
    """No process with torch told it; and what is no kernel is none anywhere."""
    script = (
        "import os\n"
        f"for path in ('{'A' * 52}/k.cubin', 'k'):\n"
        "    path = os.path.join(os.environ['TRITON_CACHE_DIR'], path)\n"
        "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "    open(path, 'w').close()\n"
    )
    command = [sys.executable, "-c", script]
    assert main(["run", "--bundle", "model.owb", "--", *command]) == 0
    err = capfd.readouterr().err
    assert "triton: 1 files left out: the version of its Triton is not known" in err
    assert "triton: 1 files left out: it is no file of a kernel" in err
    assert "torch's is kept" not in err
    assert not Path("model.owb").exists()


@pytest.mark.parametrize(("others", "kept"), [({}, 1), ({"torch_version": "3"}, 0)])
def test_two_torches_in_one_cache_are_not_told_apart(others, kept, monkeypatch):
    """A file does not say whose it is; of several processes of one, any will do."""
    here = capture(TORCH)
    torches = {
        pid: Torch("/cache", {"miss": 1}, {**here, **more}, "", ())
        for pid, more in ((1, {}), (2, {"cuda_version": "13"}), (3, others))
    }
    report = Report("model.owb", ())
    command._keep(
        "model.owb",
        [InductorArtifact("f" + "a" * 51, b"graph")],
        Told({}, (), {}, (), torches, (), ()),
        {},
        SimpleNamespace(root=Path()),
        report,
    )
    assert sum(report.saved.values()) == kept
    assert bool(report.problems) != bool(kept)


def test_what_the_user_set_for_jax_stays(run, capfd, monkeypatch):
    """Only what nobody set is set, for jax's keys hold a path otherwise."""
    name = "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"
    shows = [sys.executable, "-c", f"import os; print(os.environ['{name}'])"]
    monkeypatch.delenv(name, raising=False)
    main(["run", "--bundle", "model.owb", "--", *shows])
    monkeypatch.setenv(name, "all")
    main(["run", "--bundle", "model.owb", "--", *shows])
    assert capfd.readouterr().out == "none\nall\n"


def test_two_runs_at_once_lose_nothing():
    """Each appends what it made; what both made is there once or twice, and whole."""
    runs = [
        subprocess.Popen(
            [*CLI, "--bundle", "model.owb", "--", *program(JAX, "a", name)]
        )
        for name in ("b", "c", "d")
    ]
    assert [each.wait() for each in runs] == [0, 0, 0]
    assert set(keys()) == {"jax/a", "jax/b", "jax/c", "jax/d"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_command_and_then_us(number):
    """With its number as a shell says it; nothing of ours is left behind."""
    command = [*CLI, "--bundle", "model.owb", "--", *program(JAX, "a", "then", "wait")]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "a:miss\n"
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    _, err = process.communicate()
    # Python ends by SIGINT after it told of it.
    assert process.returncode == 128 + number
    assert "model.owb: loaded none" in err


def test_a_signal_while_it_is_kept_ends_us_cleanly(monkeypatch):
    """A second SIGTERM is meant for us: no directory stays, no half of a bundle."""

    def slow(*_, **__):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("overwinter.running.command.save", slow)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bundle", "model.owb", "--", *program(JAX, "a")])
    assert ended.value.code == 128 + signal.SIGTERM
    assert not Path("model.owb").exists()
