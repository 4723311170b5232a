"""A bundle in a real S3 server: what opening and fetching ask of it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from bundles import appended, built, plans

from overwinter import Bundle
from overwinter.bundle import verify
from overwinter.errors import NotFoundError

obstore = pytest.importorskip("obstore", reason="there is no S3 server to try it on")

ACCESS = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "secretkey"}
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
    try:
        begin = time.monotonic()
        while True:
            try:
                obstore.put(client, "probe", b"x")
                break
            except Exception:
                if server.poll() is not None or time.monotonic() - begin > PATIENCE:
                    raise
                time.sleep(0.2)
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
