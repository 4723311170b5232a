"""A bundle in a real S3 server: what opening and fetching ask of it."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from datetime import timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from bundles import TORCH, appended, built, plans

from overwinter import Bundle, load, remote, save
from overwinter.bundle import verify
from overwinter.cli.main import main
from overwinter.environment import capture
from overwinter.errors import ChangedError, FormatError, NotFoundError, StoreError
from overwinter.kinds import InductorArtifact
from overwinter.kinds.torchinductor import CACHE, content_name
from overwinter.save import save_to_bytes

obstore = pytest.importorskip("obstore", reason="there is no S3 server to try it on")

ACCESS = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "secretkey"}
PLANS = [InductorArtifact("f" + "a" * 51, b"graph")]
PATIENCE = 60  # seconds for the server to begin


class Remote:
    """An object as a source: its size is told by the first answer."""

    def __init__(self, store, path) -> None:
        self.store, self.name, self.requests = store, path, 0
        self.size = None

    def read(self, offset, size):
        """Ask for one range."""
        self.requests += 1
        wanted = {"range": (offset, offset + size)}
        answer = obstore.get(self.store, self.name, options=wanted)
        self.size = answer.meta["size"]
        return bytes(answer.bytes())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Start SeaweedFS on free ports of 127.0.0.1; give a client of its S3 server."""
    program = Path(sys.executable).parent / "weed"
    if not program.exists():
        pytest.skip("there is no SeaweedFS for this system")
    folder = tmp_path_factory.mktemp("weed")
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(10):
            free = held.enter_context(socket.socket())
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    parts = ["master", "volume", "filer", "s3"]
    options = [f"-{part}.port={ports[n]}" for n, part in enumerate(parts)]
    options += [f"-{part}.port.grpc={ports[4 + n]}" for n, part in enumerate(parts)]
    command = [
        str(program), "mini", f"-dir={folder}",
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false",
        "-master.telemetry=false", f"-s3.port.iceberg={ports[8]}", *options,
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={**os.environ, **ACCESS, "S3_BUCKET": "test"},
        )
    client = obstore.store.S3Store(
        "test",
        endpoint=f"http://127.0.0.1:{ports[3]}",
        access_key_id="admin",
        secret_access_key="secretkey",
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=20)},
    )
    begin = time.monotonic()
    try:
        while True:
            try:
                obstore.put(client, "probe", b"x")
                break
            except Exception:
                if server.poll() is not None or time.monotonic() - begin > PATIENCE:
                    raise
                time.sleep(0.2)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {
                **ACCESS,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports[3]}",
                "AWS_ALLOW_HTTP": "true",
                "AWS_REGION": "us-east-1",
            }.items():
                patch.setenv(name, value)
            yield client
    finally:
        server.kill()
        server.wait()


def test_a_bundle_in_an_object_store_is_opened_by_two_requests(store):
    """One artifact of 10,000 takes two or three more, and every byte is verified."""
    rows = [(f"{n:05d}", os.urandom(1000)) for n in range(10_000)]
    data = built(plans(*rows))
    obstore.put(store, "bundle.owb", data)
    source = Remote(store, "bundle.owb")
    with Bundle(source) as bundle:
        assert len(bundle.segments) == 1
        assert source.requests == 2
        (record,) = bundle.fetch("acme/plan", "04321")
        assert record.fields["content"] == rows[4321][1]
        assert source.requests <= 5
        assert list(verify(bundle)) == []


def test_a_bundle_of_appends_in_an_object_store_is_read_whole(store):
    """Threads ask for ranges at once."""
    data = built(plans(("a", os.urandom(3_000_000))))
    data = appended(data, plans(("b", os.urandom(3_000_000))), level=3)
    obstore.put(store, "appended.owb", data)
    with Bundle(Remote(store, "appended.owb")) as bundle:
        assert list(verify(bundle)) == []
        assert bundle.keys() == {"acme/plan": ["a", "b"]}


def test_an_object_that_is_not_there_is_told(store):
    """By an error of ours: nothing else leaves the library."""
    with pytest.raises(NotFoundError, match=r"none\.owb"):
        Bundle(Remote(store, "none.owb"))


# --- by a URL -----------------------------------------------------------------


def test_a_bundle_is_read_by_its_url(store):
    """Wherever a path will do; a store's place and keys are in its tools' variables."""
    data = built(plans(("a", b"x"), ("b", b"y")))
    obstore.put(store, "folder/by url.owb", data)
    with Bundle("s3://test/folder/by url.owb") as bundle:
        assert bundle.keys() == {"acme/plan": ["a", "b"]}
        assert bundle.name == "s3://test/folder/by url.owb"


def test_a_load_takes_a_url(store, tmp_path):
    """What it populates are the same bytes."""
    key = "f" + "a" * 51
    here = {**capture(), **TORCH}
    saved, _ = save_to_bytes([InductorArtifact(key, b"graph")], environment=here)
    obstore.put(store, "graph.owb", saved)
    info = load(
        "s3://test/graph.owb",
        environment=here,
        directories={CACHE: lambda: str(tmp_path / "cache")},
    )
    assert (info.inductor_artifacts, info.problems) == ([key], [])
    (file,) = (tmp_path / "cache").rglob(content_name(b"graph"))
    assert file.read_bytes() == b"graph"


def test_an_object_that_is_replaced_meanwhile_is_told(store):
    """Half of one bundle and half of another would be called damage."""
    rows = [(f"{n}", os.urandom(2_000_000)) for n in range(2)]
    obstore.put(store, "changing.owb", built(plans(rows[0])))
    with Bundle("s3://test/changing.owb") as bundle:
        assert bundle.segments
        obstore.put(store, "changing.owb", built(plans(rows[1])))
        with pytest.raises(ChangedError, match="changing"):
            bundle.fetch("acme/plan", "0")


@pytest.mark.parametrize(
    "url", ["s3://test", "s3://test/", "https://example.org/a.owb?key=1", "s3://"]
)
def test_a_url_that_names_no_object_is_refused(url):
    """And what stands behind a question mark, which may be a secret, is not shown."""
    with pytest.raises(StoreError, match="ends with an object's name") as caught:
        Bundle(url)
    assert "key=1" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"no bundle", b"x" * 100_000])
def test_an_object_that_is_no_bundle_is_told(store, content):
    """Also an empty one, of which no range can be asked."""
    obstore.put(store, "other.owb", content)
    with pytest.raises(FormatError, match=r"s3://test/other\.owb"):
        Bundle("s3://test/other.owb")


def test_a_file_is_named_by_its_path(tmp_path):
    """There, it can be appended to."""
    with pytest.raises(StoreError, match="a file is named by its path"):
        Bundle(f"file://{tmp_path}/a.owb")


def test_an_object_that_is_not_there_is_no_file(store):
    """The words are those of a path."""
    with pytest.raises(NotFoundError, match=r"s3://test/none\.owb: no such"):
        Bundle("s3://test/none.owb")


def test_a_store_that_is_not_known_is_told():
    """By an error of ours, in the words of obstore."""
    with pytest.raises(StoreError, match=r"gopher://test/a\.owb: could not open it"):
        Bundle("gopher://test/a.owb")


def test_a_plain_web_server_is_read_whole(tmp_path):
    """It knows no ranges."""
    (tmp_path / "a.owb").write_bytes(built(plans(("a", b"x"))))
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        where = f"127.0.0.1:{server.server_port}/a.owb"
        with Bundle(f"http://{where}") as bundle:
            assert bundle.keys() == {"acme/plan": ["a"]}
            assert list(verify(bundle)) == []
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    """A web server that writes no log."""

    def log_message(self, *_):
        """Say nothing."""


class Liar(Quiet):
    """A web server that claims to have a tebibyte, and talks to the terminal."""

    def do_GET(self):
        """Answer with more than there is, or with words."""
        if self.path == "/words.owb":
            self.send_response(403, "\x1b]0;title\x07")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(1 << 40))
        self.end_headers()
        self.wfile.write(b"x" * 5000)


@pytest.fixture
def liar():
    """Give the address of one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_server_claims_to_have_is_not_allocated(liar, monkeypatch):
    """It would end the process: what has come is held, and no more."""
    monkeypatch.setattr(remote, "MAX_OBJECT", 2**60)
    with pytest.raises(StoreError, match="could not read"):
        Bundle(f"{liar}/a.owb")


def test_an_object_beyond_what_is_held_is_refused(liar, monkeypatch):
    """Before the rest of it comes."""
    monkeypatch.setattr(remote, "MAX_OBJECT", 1000)
    words = "expected 1,000 bytes at most, it has 1,099,511,627,776"
    with pytest.raises(StoreError, match=words):
        Bundle(f"{liar}/a.owb")


def test_a_servers_words_do_not_reach_the_terminal(liar):
    """Neither in the error nor in what it came of."""
    with pytest.raises(StoreError) as caught:
        Bundle(f"{liar}/words.owb")
    shown = "".join(traceback.format_exception(caught.value))
    assert "\x1b" not in shown + str(caught.value)


def test_a_server_that_does_not_answer_is_told():
    """After some tries, which a job can wait for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}/a.owb"
        with pytest.raises(StoreError, match="could not read"):
            Bundle(f"http://{where}")


@pytest.mark.parametrize("use", [Bundle, lambda url: save(url, PLANS)])
def test_who_enters_is_not_said_in_a_url(use):
    """It would be in logs and reports; and it is not shown here either."""
    with pytest.raises(StoreError) as caught:
        use("https://me:secret@example.org/a.owb")
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret" not in shown.replace('me:secret@example.org/a.owb"', "")


def test_an_object_is_not_written():
    """A file would be made by its name otherwise, in a folder called s3:."""
    words = "could not write it: it is the URL of an object, and this takes a file"
    with pytest.raises(StoreError, match=words):
        save("s3://test/a.owb", PLANS)


def test_what_copies_bundles_takes_files(tmp_path, capsys):
    """A union reads its parts twice and holds them to what they were."""
    command = ["union", "s3://test/a.owb", "-o", str(tmp_path / "b.owb")]
    assert main(command) == 1
    words = "s3://test/a.owb: could not open it: it is the URL of an object, and this"
    assert words in capsys.readouterr().err


def test_what_looks_at_bundles_takes_urls(store, capsys):
    """By the same words as a path."""
    obstore.put(store, "seen.owb", built(plans(("a", b"x"))))
    url = "s3://test/seen.owb"
    for command in (["inspect"], ["verify"], ["forecast"], ["diff", url]):
        assert main([*command, url]) == 0, command
    assert "s3://test/seen.owb" in capsys.readouterr().out


def test_without_obstore_it_is_said_what_to_install(monkeypatch):
    """Only who names a URL needs it."""
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(StoreError, match=r"pip install 'overwinter\[object\]'"):
        Bundle("s3://test/a.owb")


def test_a_run_needs_a_file(store, capsys):
    """It appends, and an object cannot be appended to."""
    command = ["run", "--bundle", "s3://test/a.owb", "--", sys.executable, "-c", "1"]
    assert main(command) == 2
    assert "expected a file" in capsys.readouterr().err
