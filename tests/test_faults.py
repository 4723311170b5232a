"""A save or a union that fails, whatever fails in it: the old file is whole."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from contextlib import suppress

import pytest
from bundles import built, delivered, environ_of_child, plans

from overwinter import Bundle, save
from overwinter.bundle import verify
from overwinter.errors import OverwinterError, StoreError
from overwinter.kinds import InductorArtifact
from overwinter.sources import BytesSource
from overwinter.union import union

# Large payloads and small, twice the writes that are gathered.
SAVING = """
    import hashlib, json, os, resource, signal, sys
    from overwinter import Bundle, save
    from overwinter.errors import StoreError
    from overwinter.kinds import InductorArtifact
    from overwinter.union import union

    def artifacts(letter, size):
        sizes = [size, 100, 5_000, 70_000, size]
        return [
            InductorArtifact(
                "f" + letter + c * (51 - len(letter)),
                hashlib.shake_256(c.encode()).digest(size),
            )
            for c, size in zip("abcde", sizes)
        ]

    def saved(path, letter, size, **options):
        save(path, artifacts(letter, size), environment={"os": "linux"}, **options)

    def attempt(how, folder, level):
        old, new = folder + "/old.owb", folder + "/new.owb"
        if how == "new":
            saved(new, "n", 9_000_000, level=level)
        elif how == "replace":
            saved(old, "n", 9_000_000, level=level, replace=True)
        elif how == "append":
            saved(old, "n", 9_000_000, level=level)
        else:
            union([sys.argv[1] + "/part.owb", old], new)

    def told(how, folder, level):
        old = open(folder + "/old.owb", "rb").read()
        names = sorted(os.listdir(folder))
        try:
            attempt(how, folder, level)
        except StoreError as error:
            reason = error.reason
        else:
            reason = "no error"
        assert open(folder + "/old.owb", "rb").read() == old
        assert sorted(os.listdir(folder)) == names, os.listdir(folder)
        print(reason)
"""
WAYS = ["new", "replace", "append", "union"]


def run(code, *arguments, alone=()):
    """Run *code* behind `SAVING` in a process of its own; return what it printed."""
    program = textwrap.dedent(SAVING) + textwrap.dedent(code)
    done = subprocess.run(
        [*alone, sys.executable, "-c", program, *map(str, arguments)],
        env=environ_of_child(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path):
    """Return a folder that a child fills."""
    path = tmp_path / "folder"
    path.mkdir()
    return path


def test_a_save_that_the_system_cuts_short_leaves_the_old_file(tmp_path, folder):
    """A gathered write takes what fits and succeeds; only the next one fails."""
    code = """
        parts, folder = sys.argv[1:]
        saved(parts + "/part.owb", "p", 9_000_000)
        saved(folder + "/old.owb", "o", 300_000)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (2_000_001, 7_000_000, 17_900_000):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for how in ("new", "replace", "append", "union"):
                for level in (0, 3):
                    told(how, folder, level)
    """
    assert run(code, tmp_path, folder) == ["File too large"] * 24


def test_a_save_to_a_full_disk_leaves_the_old_file(tmp_path, folder):
    """On a real file system of 12 MiB, in a mount namespace of its own."""
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    code = """
        import subprocess
        parts, folder, mount = sys.argv[1:]
        command = [mount, "-t", "tmpfs", "-o", "size=12m", "none", folder]
        if subprocess.run(command).returncode:
            sys.exit("no mounts here")
        saved(parts + "/part.owb", "p", 9_000_000)
        saved(folder + "/old.owb", "o", 300_000)
        for how in ("new", "replace", "append", "union"):
            for level in (0, 3):
                told(how, folder, level)
    """
    if unshare is None or mount is None:
        pytest.skip("no unshare or mount here")
    alone = [unshare, "-Urm"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of our own here")
    found = run(code, tmp_path, folder, mount, alone=alone)
    assert found == ["No space left on device"] * 8


def test_a_load_into_a_full_disk_leaves_it_as_it_was(tmp_path, folder):
    """The job needs what is left, and half a bundle makes nothing warm."""
    unshare, mount = shutil.which("unshare"), shutil.which("mount")
    code = """
        import subprocess
        parts, folder, mount = sys.argv[1:]
        from overwinter import load
        command = [mount, "-t", "tmpfs", "-o", "size=4m", "none", folder]
        if subprocess.run(command).returncode:
            sys.exit("no mounts here")
        facts = dict.fromkeys(InductorArtifact.environment_rules, "known")
        save(parts + "/m.owb", artifacts("m", 3_000_000), environment=facts)
        cache = folder + "/cache"
        where = {"torchinductor": lambda: cache}
        info = load(parts + "/m.owb", environment=facts, directories=where)
        assert info.empty() and info.n_bytes == 0, str(info)
        assert os.listdir(cache) == []
        print(len(info.failed), len({note.key for note in info.failed}))
        print(*{note.reason.partition(": ")[2] for note in info.failed})
    """
    if unshare is None or mount is None:
        pytest.skip("no unshare or mount here")
    alone = [unshare, "-Urm"]
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no mounts of our own here")
    count, reason = run(code, tmp_path, folder, mount, alone=alone)
    assert count == "5 5"
    assert reason.startswith("could not write it: No space left on device; ")
    assert reason.endswith("; nothing more is put into caches")


ENVIRONMENT = {"os": "linux"}


def artifact(letter, size=100):
    """Return an artifact of *size* bytes."""
    return InductorArtifact("f" + letter * 51, letter.encode() * size)


@pytest.mark.parametrize("how", WAYS)
def test_an_error_of_a_sync_is_told_and_never_tried_again(tmp_path, how, monkeypatch):
    """After it nobody knows what is on the disk: a second success would say nothing."""
    old, new, part = (tmp_path / f"{name}.owb" for name in ("old", "new", "part"))
    save(old, [artifact("a")], environment=ENVIRONMENT)
    save(part, [artifact("b")], environment=ENVIRONMENT)
    before = old.read_bytes(), sorted(os.listdir(tmp_path))
    calls = []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync, raising=False)
    with pytest.raises(StoreError, match="Input/output error"):
        if how == "union":
            union([old, part], new)
        else:
            target = new if how == "new" else old
            save(
                target,
                [artifact("c", 2**20)],
                environment=ENVIRONMENT,
                replace=how == "replace",
            )
    assert len(calls) == 1
    assert (old.read_bytes(), sorted(os.listdir(tmp_path))) == before


@pytest.mark.parametrize("missing", [1, 2**40])
@pytest.mark.parametrize("level", [0, 3])
def test_a_source_that_gives_less_gives_no_wrong_value(level, missing):
    """Any one read comes short: an error, a finding, or what was written."""

    rows = {f"{n:03d}": os.urandom(n * 100) for n in range(50)}
    rows["large"] = os.urandom(9_000_000)  # in pieces, which are read as one
    data = built(plans(*rows.items()), level=level)

    class Short(BytesSource):
        short, asked, view = 0, 0, None

        def read(self, offset, size):
            self.asked += 1
            found = super().read(offset, size)
            return found[: -min(missing, size)] if self.asked == self.short else found

    def check(source):
        with Bundle(source) as bundle:
            for ask in (bundle.fetch, bundle.view):
                for key in ("000", "003", "049", "large"):
                    with suppress(OverwinterError):
                        records = ask("acme/plan", key)
                        contents = [bytes(each.fields["content"]) for each in records]
                        assert contents == [rows[key]] or bundle.refused
            for _, (_, key, record) in delivered(bundle):
                assert dict(record)["content"] == rows[key]
            list(verify(bundle))
            assert bundle.keys() == {"acme/plan": sorted(rows)} or bundle.refused

    source = Short(data)
    check(source)
    assert source.asked > 10
    for short in range(1, source.asked + 1):
        source = Short(data)
        source.short = short
        with suppress(OverwinterError):
            check(source)


REPLACING = """
    folder, me = sys.argv[1:]
    import time
    saved(folder + "/warm-" + me, "w", 10)
    open(folder + "/ready-" + me, "w").close()
    while not os.path.exists(folder + "/go"):
        pass
    for letter in "abcdefghij":
        begin = time.monotonic()
        saved(folder + "/b.owb", me + letter, 1_500_000, level=0, replace=me == "r")
        print(json.dumps([begin, time.monotonic(), me + letter]))
"""


def test_what_was_saved_while_another_replaces_is_there_or_replaced(folder):
    """Nothing is lost but what was saved before a later replacing ended."""
    code = textwrap.dedent(SAVING) + textwrap.dedent(REPLACING)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), me],
            env=environ_of_child(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for me in "rst"
    ]
    while len(list(folder.glob("ready-*"))) < len(processes):
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (folder / "go").touch()
    calls = []
    for process in processes:
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        calls += map(json.loads, printed.splitlines())
    replaced = max(end for _, end, name in calls if name[0] == "r")
    with Bundle(folder / "b.owb") as bundle:
        assert list(verify(bundle)) == []
        found = {key[1:3] for key in bundle.keys()["inductor"]}
    assert "rj" in found
    assert found >= {name for begin, _, name in calls if begin > replaced}
    assert found <= {name for _, _, name in calls}
    assert found & {"r" + letter for letter in "abcdefghi"} == set()
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


@pytest.mark.parametrize("how", ["new", "replace", "append"])
def test_an_interrupted_save_leaves_the_old_file(folder, how):
    """At any moment: no temporary file, and no half of an append."""
    code = """
        import signal, threading, time
        # What runs in the background inherits that it is ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        folder, how = sys.argv[1:]
        saved(folder + "/old.owb", "o", 300_000)
        old = open(folder + "/old.owb", "rb").read()
        written = os.writev

        for number in range(1, 5):
            calls = []

            def writev(descriptor, views):
                calls.append(descriptor)
                if len(calls) == number:
                    os.kill(os.getpid(), signal.SIGINT)
                return written(descriptor, views)

            os.writev = writev
            try:
                attempt(how, folder, 0)
            except KeyboardInterrupt:
                print("interrupted")
            assert open(folder + "/old.owb", "rb").read() == old
            assert os.listdir(folder) == ["old.owb"], os.listdir(folder)
            assert threading.active_count() == 1
    """
    assert run(code, folder, how) == ["interrupted"] * 4
