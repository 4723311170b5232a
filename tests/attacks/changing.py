"""Files changed under reading: what was verified is what is used, or nothing is."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from bundles import KEY

from attacks.graphs import GRAPHS, LARGE, MACHINE, STRANGER, TRUSTING, graphs
from attacks.harness import as_attacker
from attacks.scenes import Scenario, Scene, scenario
from overwinter import Bundle, save
from overwinter.bundle import verify
from overwinter.diff import diff
from overwinter.errors import OverwinterError, StoreError
from overwinter.kinds import InductorArtifact
from overwinter.repack import repack
from overwinter.sources import FileSource
from overwinter.union import union
from overwinter.upgrade import upgrade

SCENES: list[Scenario] = []
_add = scenario(SCENES)


def _each_read(
    scene: Scene, change: Callable[[bytes], bytes], work: Callable[[], Any]
) -> int:
    """Do *work* once for each read that it makes, with that one changed."""
    read, calls, at = FileSource.read, [0], [-1]

    def changed(source: FileSource, offset: int, size: int) -> bytes:
        data = read(source, offset, size)
        calls[0] += 1
        return change(data) if calls[0] - 1 == at[0] and data else data

    scene.patched(FileSource, "read", changed)
    work()
    n_reads = calls[0]
    for number in range(n_reads):
        calls[0], at[0] = 0, number
        work()
    assert n_reads >= 3
    return n_reads


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _flipped_first(data: bytes) -> bytes:
    return bytes([data[0] ^ 0x80]) + data[1:]


def _load(scene: Scene) -> None:
    scene.load()
    scene.only_signed()
    for path in scene.sandbox.cached():
        (scene.cache / path).unlink()


@_add
def bit_flipped(scene: Scene) -> None:
    """The last bit of any one read of a load differs."""
    _each_read(scene, _flipped, lambda: _load(scene))


@_add
def bit_flipped_at_the_start(scene: Scene) -> None:
    """The first bit of any one read of a load differs."""
    _each_read(scene, _flipped_first, lambda: _load(scene))


@_add
def read_cut(scene: Scene) -> None:
    """Any one read of a load ends a byte early."""
    _each_read(scene, lambda data: data[:-1], lambda: _load(scene))


@_add
def read_empty(scene: Scene) -> None:
    """Any one read of a load gives nothing."""
    _each_read(scene, lambda data: b"", lambda: _load(scene))


@_add
def read_zeroed(scene: Scene) -> None:
    """Any one read of a load gives zeros, as a hole does."""
    _each_read(scene, lambda data: bytes(len(data)), lambda: _load(scene))


@_add
def read_of_another(scene: Scene) -> None:
    """Any one read of a load comes from another bundle of the same size."""
    other = graphs(*(each.swapcase() for each in LARGE), signers=[STRANGER]).file()
    ours = scene.bundle.read_bytes()
    assert len(other) == len(ours)

    def change(data: bytes) -> bytes:
        at = ours.find(data)
        return other[at : at + len(data)]

    _each_read(scene, change, lambda: _load(scene))


def _writes(scene: Scene, write: Callable[[Path], Any]) -> None:
    """Have *write* make a new bundle while reads change: it is whole, or is not."""
    count = [0]

    def work() -> None:
        count[0] += 1
        out = scene.sandbox.out / f"{count[0]}.owb"
        with suppress(OverwinterError):
            found = scene.call(lambda: write(out), scene.sandbox.out)
            if found.error is None:
                with Bundle(out.read_bytes()) as bundle:
                    for segment in bundle.segments:
                        for block in segment.blocks:
                            with suppress(OverwinterError):
                                contents = block.read().columns["content"]
                                assert set(contents) <= {None, *LARGE}

    _each_read(scene, _flipped, work)


@_add
def union_of_changing(scene: Scene) -> None:
    """Any one read of a union differs: no other bytes pass for what was signed."""
    _writes(scene, lambda out: union([scene.bundle], out))


@_add
def repack_of_changing(scene: Scene) -> None:
    """Any one read of a repack differs: nothing else is signed."""
    _writes(scene, lambda out: repack(scene.bundle, out, policy=TRUSTING, key=KEY))


@_add
def upgrade_of_changing(scene: Scene) -> None:
    """Any one read of an upgrade differs: nothing else is signed."""
    _writes(scene, lambda out: upgrade(scene.bundle, out, policy=TRUSTING, key=KEY))


@_add
def verify_of_changing(scene: Scene) -> None:
    """Any one read of verifying differs: it is found, or it was not needed."""

    def work() -> None:
        def verified() -> None:
            with Bundle(scene.bundle) as bundle:
                list(verify(bundle))

        scene.call(verified)

    _each_read(scene, _flipped, work)


@_add
def diff_of_changing(scene: Scene) -> None:
    """Any one read of comparing a file with itself differs."""
    _each_read(
        scene, _flipped, lambda: scene.call(lambda: diff(scene.bundle, scene.bundle))
    )


def _once_open(scene: Scene, act: Callable[[], None]) -> None:
    """Have somebody *act* when a bundle has been opened, and its statement read."""
    blocks = Bundle.__init__

    def opened(bundle: Bundle, *args: Any, **kwargs: Any) -> None:
        blocks(bundle, *args, **kwargs)
        with as_attacker():
            act()

    scene.patched(Bundle, "__init__", opened)


@_add
def cut_after_open(scene: Scene) -> None:
    """The file is cut to nothing once it is open."""
    _once_open(scene, lambda: os.truncate(scene.bundle, 0))
    assert scene.load().empty()


@_add
def zeroed_after_open(scene: Scene) -> None:
    """The blocks become zeros once the statement is read."""

    def act() -> None:
        size = scene.bundle.stat().st_size
        with scene.bundle.open("r+b") as file:
            file.write(bytes(size - 9000))

    _once_open(scene, act)
    info = scene.load()
    assert info.empty()
    assert info.quarantined or info.problems


@_add
def rewritten_after_open(scene: Scene) -> None:
    """Other graphs, signed by somebody else, are written over it once it is open."""
    other = graphs(*(each.swapcase() for each in LARGE), signers=[STRANGER]).file()
    bundle = scene.bundle
    _once_open(scene, lambda: _overwrite(bundle, other))
    assert scene.load().empty()


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


@_add
def replaced_after_open(scene: Scene) -> None:
    """Another file has its name once it is open: the open one is read."""
    other = scene.sandbox.given / "other.owb"
    other.write_bytes(graphs(b"evil", b"more evil").file())
    bundle = scene.bundle
    _once_open(scene, lambda: os.replace(other, bundle))
    assert len(scene.load().inductor_artifacts) == 2
    assert len(scene.only_signed()) == 2


@_add
def grown_after_open(scene: Scene) -> None:
    """Something is appended once it is open: that is for the next reader."""
    bundle = scene.bundle
    more = graphs(b"evil", b"more evil").segment()
    data = bundle.read_bytes()
    _once_open(scene, lambda: bundle.write_bytes(data + more))
    assert len(scene.load().inductor_artifacts) == 2
    assert len(scene.only_signed()) == 2


@_add
def appended_by_halves(scene: Scene) -> None:
    """A file is loaded after any part of an append."""
    first = scene.bundle.read_bytes()
    save(scene.bundle, [InductorArtifact(GRAPHS[0], LARGE[1])], key=KEY,
         environment=MACHINE)  # fmt: skip
    whole = scene.bundle.read_bytes()
    for size in range(len(first), len(whole), 1999):
        scene.bundle.write_bytes(whole[:size])
        assert len(set(scene.load().inductor_artifacts)) == 2
        scene.only_signed()


class _Odd:
    """A source that answers a read with whatever *answer* gives."""

    name = "odd"

    def __init__(self, data: bytes, answer: Callable[[bytes, int], Any]) -> None:
        self.size, self._data, self._answer = len(data), data, answer

    def read(self, offset: int, size: int) -> Any:
        return self._answer(self._data[offset : offset + size], size)


def _asked(scene: Scene, answer: Callable[[bytes, int], Any]) -> list[Any]:
    data = graphs(*LARGE).file()

    def work() -> list[Any]:
        with Bundle(_Odd(data, answer)) as bundle:
            list(verify(bundle))
            return [
                each.fields["content"] for each in bundle.fetch("inductor", GRAPHS[0])
            ]

    found = scene.call(work)
    assert found.value in (None, [], [LARGE[0]])
    return found.value


@_add
def source_short(scene: Scene) -> None:
    """A source gives half of what is asked for."""
    assert not _asked(scene, lambda data, size: data[: size // 2])


@_add
def source_long(scene: Scene) -> None:
    """A source gives more than is asked for."""
    _asked(scene, lambda data, size: data + b"more")


@_add
def source_raises_ours(scene: Scene) -> None:
    """A source says that it cannot."""

    def answer(data: bytes, size: int) -> bytes:
        raise StoreError("odd", "read it", "the store is away")

    assert not _asked(scene, answer)


@_add
def bytes_changed_under_reading(scene: Scene) -> None:
    """Bytes that the caller changes between two reads."""
    data = bytearray(graphs(*LARGE).file())
    bundle = Bundle(data)
    at = data.index(LARGE[0])
    data[at : at + 4] = b"evil"

    def work() -> Any:
        return bundle.fetch("inductor", GRAPHS[0])

    assert isinstance(scene.call(work).error, OverwinterError)
