"""
What is fuzzed: each part of a bundle by itself, and whole bundles at every door.

A target takes bytes and returns; whatever it raises is a fault, as is a file that it
leaves where none may be. Errors of ours are the right answer to nearly everything.
"""

import contextlib
import io
import os
import posixpath
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import attrs
import msgpack
from acme.plans import Plan
from bundles import KEY, sample_of_two
from forging import file_listing, file_of, prefix_of
from sealing import Parts, layout_of, parts_of, seal, with_block
from trees import mutated

from overwinter import (
    Bundle,
    CacheArtifact,
    CacheArtifactFactory,
    CacheArtifactManager,
    load,
)
from overwinter.bundle import verify
from overwinter.bundle.trailer import SegmentEntry
from overwinter.cli.main import main
from overwinter.codec import Columns
from overwinter.diff import diff
from overwinter.errors import OverwinterError
from overwinter.kinds import (
    AOTAutogradArtifact,
    AutotuneArtifact,
    InductorArtifact,
    NativeArtifact,
    PGOArtifact,
)
from overwinter.migrate import migrate
from overwinter.repack import repack
from overwinter.save import save_to_bytes
from overwinter.torch.megacache import read_megacache
from overwinter.trust import Policy, SigningKey
from overwinter.trust.configuration import read_line
from overwinter.union import union
from overwinter.upgrade import plan_upgrade, upgrade

__all__ = ["TARGETS", "Target", "prepare"]

MACHINE: Any = {
    "os": "linux",
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx2"],
    "python_tag": "cpython-311",
    "torch_version": "2.13.0",
    "torch_key": "t",
    "vector_isa": "avx2",
    "torch_prefix": "/torch",
    "compiler": "g++",
    "libc": "glibc 2.36",
}
SIGNERS = {KEY.public, SigningKey(bytes(32)).public}
POLICY = Policy(SIGNERS)
ARTIFACTS = [
    InductorArtifact("f" + "a" * 51, b"a graph" * 9),
    AOTAutogradArtifact("a" + "b" * 51, b"a joint graph" * 9),
    NativeArtifact("torchinductor/aa/x.so", b"\x7fELF" * 9),
    NativeArtifact("torchinductor/aa/y.so", b""),
    AutotuneArtifact.from_content(
        f"aa/{'b' * 30}.best_config",
        b'{"XBLOCK": 1, "num_warps": 4, "num_stages": 1, "configs_hash": "x"}',
    ),
    PGOArtifact("job:0:tag", b"a state" * 9),
]


@attrs.frozen
class Target:
    """
    One thing to fuzz.

    Args:
        run: Reads bytes; raises only where something is wrong.
        seeds: What to begin with.
        is_tree: Whether the bytes are msgpack behind *head* bytes that choose.
        head: How many bytes choose; of fewer nothing is made.
        share: Of as many executions as others have, one is made: it is slow.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    is_tree: bool = False
    head: int = 0
    share: int = 1

    def __call__(self, data: bytes) -> None:
        """Read *data*."""
        if len(data) >= self.head:
            self.run(data)

    def mutated(self, data: bytes, seed: int) -> bytes:
        """Return *data* with values changed, where it is msgpack."""
        if len(data) < self.head:
            return data
        return data[: self.head] + mutated(data[self.head :], seed)


def saved(*artifacts: CacheArtifact, target: str | None = None) -> bytes:
    """Return a bundle that this machine would populate from, with stored blocks."""
    data, _ = save_to_bytes(
        list(artifacts), key=KEY, environment=MACHINE, target=target, level=0
    )
    return data


@cache
def bundles() -> list[bytes]:
    """Return sound bundles of all kinds, as this release and two before write them."""
    targets = (None, "0.2.0", "0.1.0")
    return [sample_of_two(), *(saved(*ARTIFACTS, target=each) for each in targets)]


@cache
def templates() -> list[Parts]:
    """Return the parts of small bundles, each of one kind: they are read fast."""
    return [parts_of(data) for data in [sample_of_two(), *map(saved, ARTIFACTS)]]


def looked_at(data: bytes) -> None:
    """Open *data*, and ask everything of it that nothing is written for."""
    with contextlib.suppress(OverwinterError), Bundle(data) as bundle:
        for segment in bundle.segments:
            assert set(segment.signers) <= SIGNERS, "somebody else is a signer"
        for _ in verify(bundle):
            pass
        with contextlib.suppress(OverwinterError):
            bundle.keys()
    loaded = CacheArtifactManager.deserialize(data, policy=POLICY, environment=MACHINE)
    str(loaded.info)


# --- parts ------------------------------------------------------------------


def prepare() -> None:
    """Register the kinds that the targets use; nothing is asked of the disk later."""
    CacheArtifactFactory.discover()
    if "acme/plan" not in CacheArtifactFactory.kinds():
        CacheArtifactFactory.register(Plan)
    os.fsync = lambda _: None
    bundles(), templates()


def _header(data: bytes) -> None:
    looked_at(file_of(bundles()[0][len(prefix_of()) :], prefix=prefix_of(data)))


def _statement(data: bytes) -> None:
    looked_at(seal(_template(data), words=data[1:], is_signed=data[0] % 4 > 0))


def _signatures(data: bytes) -> None:
    looked_at(seal(templates()[1], signatures=data))


def _layout(data: bytes) -> None:
    looked_at(seal(_template(data), layout=data[1:]))


def _block(data: bytes) -> None:
    parts = _template(data)
    looked_at(seal(with_block(parts, data[0] % parts.n_record_blocks, data[1:])))


def _column(data: bytes) -> None:
    parts = _template(data)
    number = data[0] % parts.n_record_blocks
    block = msgpack.unpackb(parts.blocks[number])
    names = sorted(block["columns"])
    at = data[1] % (len(names) + 1)
    payloads = msgpack.packb(block["payloads"])
    if at < len(names):
        block["columns"][names[at]] = data[2:]
    else:
        payloads = data[2:]
    # The table as it is, also where it is no msgpack.
    pack = msgpack.packb
    packed = b"\x83" + pack("columns") + pack(block["columns"])
    packed += pack("payloads") + payloads + pack("rows") + pack(block["rows"])
    looked_at(seal(with_block(parts, number, packed)))


def _stored(data: bytes) -> None:
    parts = _template(data)
    stored = [(block, 0) for block in parts.blocks]
    stored[data[0] % len(stored)] = data[1:], 1
    looked_at(seal(parts, stored=stored))


def _trailer(data: bytes) -> None:
    body = bundles()[0]
    if data[:1] < b"\x80":
        looked_at(body + data[1:])
        return
    places = [data[at : at + 8] for at in range(1, len(data) - 7, 8)]
    numbers = [int.from_bytes(each, "little") for each in places]
    entries = [
        SegmentEntry(offset, size, bytes(32))
        for offset, size in zip(numbers[::2], numbers[1::2], strict=False)
    ]
    looked_at(file_listing(body, *entries))


def zstd_of(data: bytes) -> bytes:
    """Return *data* compressed, as blocks are stored."""
    from overwinter.bundle.blocks import zstd

    return zstd.compress(data, 3)


def _template(data: bytes) -> Parts:
    """Return the segment that the first byte chooses."""
    return templates()[data[0] % len(templates())]


def _of_parts(part: Callable[[Parts], bytes], head: int = 1) -> list[bytes]:
    return [
        bytes([number]) * head + part(parts) for number, parts in enumerate(templates())
    ]


def _columns_of(parts: Parts) -> Iterator[tuple[int, int, bytes]]:
    for number in range(parts.n_record_blocks):
        block = msgpack.unpackb(parts.blocks[number])
        for at, name in enumerate(sorted(block["columns"])):
            yield number, at, block["columns"][name]
        yield number, len(block["columns"]), msgpack.packb(block["payloads"])


# --- beside bundles ---------------------------------------------------------


def _megacache(data: bytes) -> None:
    with contextlib.suppress(OverwinterError):
        read_megacache(data)


def _blobs() -> list[bytes]:
    from overwinter.torch.megacache import MegaCacheEntry, write_megacache

    entries = [
        MegaCacheEntry(each.type(), each.key, each.content)
        for each in ARTIFACTS
        if not isinstance(each, NativeArtifact)
    ]
    return [write_megacache(entries, layout=layout) for layout in ("2.7", "2.8")]


def _key(data: bytes) -> None:
    kinds = CacheArtifactFactory.kinds()
    kind = CacheArtifactFactory.kind(sorted(kinds)[data[0] % len(kinds)])
    key = data[1:].decode("utf-8", "surrogateescape" if data[0] & 128 else "replace")
    try:
        kind.check_keys([key])
    except OverwinterError:
        return
    try:
        entry = kind.cls.from_content(key, b"{}").cache_entry()
    except OverwinterError:
        return
    if entry is None:  # no cache has a place for it
        return
    path = posixpath.normpath(entry.path)
    assert path == entry.path, f"{path!a} and {entry.path!a} are two names"
    assert not path.startswith(("/", "..", ".overwinter-")), f"{path!a} leads out"
    assert "\0" not in path, "no path has a NUL"
    os.fsencode(path)
    assert max(len(os.fsencode(part)) for part in path.split("/")) <= 255


PLAN = Plan("a-plan", b"runs", 12, "cpu", (1, 2))


def _migration(data: bytes) -> None:
    names = sorted(CacheArtifactFactory.kinds())
    kind = CacheArtifactFactory.kind(names[data[0] % len(names)])
    version = 1 + data[0] // len(names) % kind.schema.version
    try:
        plain = msgpack.unpackb(data[1:], strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException):
        return
    if not isinstance(plain, dict) or type(plain.get("key")) is not list:
        return
    # What a record block gives: columns by name, of one value for each row.
    rows = len(plain["key"])
    columns = {
        name: values
        for name, values in plain.items()
        if type(name) is str and type(values) is list and len(values) == rows
    }
    with contextlib.suppress(OverwinterError):
        migrate(kind, version, Columns(rows, columns))


def _records() -> list[bytes]:
    names = sorted(CacheArtifactFactory.kinds())
    found = []
    for each in [*ARTIFACTS, PLAN]:
        kind = CacheArtifactFactory.kind(each.type())
        columns = kind.columns([each])
        for version in range(1, kind.schema.version + 1):
            head = names.index(kind.name) + len(names) * (version - 1)
            found.append(bytes([head]) + msgpack.packb(kind.lowered(columns, version)))
    return found


def _rules(data: bytes) -> None:
    for line in data.decode("utf-8", "replace").splitlines():
        with contextlib.suppress(OverwinterError):
            for each in read_line(line, "w").trusted:
                assert read_line(f"trust {each}", "w").trusted == (each,)


def _lines() -> list[bytes]:
    page = Path(__file__).parents[2] / "docs" / "trust.md"
    text = page.read_text(encoding="utf-8")
    (block,) = [each for each in text.split("```") if each.startswith("\ntrust ")]
    return [line.encode() for line in block.strip().splitlines()]


# --- whole bundles ----------------------------------------------------------


def _bundle(data: bytes) -> None:
    """Read a tree of parts, and give the bundle to everything that takes one."""
    try:
        words, records, payloads = msgpack.unpackb(data, strict_map_key=False)
        parts = Parts(words, tuple([*map(_packed, records), *payloads]))
        for number in range(len(records)):
            parts = with_block(parts, number, parts.blocks[number])
        sealed = seal(parts)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return  # no parts of a bundle
    except msgpack.UnpackException:
        return
    _file(sealed)


def _file(data: bytes) -> None:
    with _sandbox() as folder:
        _every_door(data, folder)


def _packed(block: Any) -> bytes:
    """Return the bytes of a record block whose columns are trees."""
    columns = {name: msgpack.packb(each) for name, each in block["columns"].items()}
    packed: bytes = msgpack.packb({**block, "columns": columns})
    return packed


def _unpacked(block: bytes) -> dict[str, Any]:
    plain: dict[str, Any] = msgpack.unpackb(block)
    columns = {name: msgpack.unpackb(each) for name, each in plain["columns"].items()}
    return {**plain, "columns": columns}


def _every_door(data: bytes, folder: Path) -> None:
    looked_at(data)
    good = bundles()[1]
    path = folder / "in.owb"
    path.write_bytes(data)
    for door in (
        lambda: diff(data, good).as_dict(),
        lambda: plan_upgrade(data, policy=POLICY).as_dict(),
        lambda: upgrade(path, folder / "upgraded.owb", policy=POLICY, key=KEY),
        lambda: repack(path, folder / "repacked.owb", policy=POLICY, key=KEY),
        lambda: union([path, good], folder / "united.owb"),
        lambda: load(data, policy=POLICY, strict=True, **_caches(folder, "strict")),
    ):
        with contextlib.suppress(OverwinterError):
            door()
    for name, policy in (("trusted", POLICY), ("stranger", Policy())):
        info = load(path, policy=policy, **_caches(folder, name))
        str(info), info.as_dict()
    assert not (folder / "stranger").exists(), "populated what nobody trusted signed"
    for command in (["inspect", "--keys"], ["inspect", "--json"], ["trust", "why"]):
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            main([*command, str(path)])
    allowed = {"in.owb", "upgraded.owb", "repacked.owb", "united.owb"}
    for found in folder.iterdir():
        assert found.name in allowed or found.name in ("trusted", "strict"), found
    for cached in folder.glob("*/**/*"):
        assert cached.is_dir() or (cached.is_file() and not cached.is_symlink())


def _caches(folder: Path, name: str) -> dict[str, Any]:
    where = {each: lambda: str(folder / name) for each in ("torchinductor", "acme")}
    return {"environment": MACHINE, "directories": where}


@contextlib.contextmanager
def _sandbox() -> Iterator[Path]:
    memory = "/dev/shm"
    root = tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None)
    try:
        yield Path(root)
    finally:
        shutil.rmtree(root)


def _trees() -> list[bytes]:
    found = []
    for parts in map(parts_of, bundles()):
        middle = parts.n_record_blocks
        records = [_unpacked(block) for block in parts.blocks[:middle]]
        payloads = list(parts.blocks[middle:])
        found.append(msgpack.packb([parts.statement, records, payloads]))
    return found


TARGETS: dict[str, Target] = {
    "prefix": Target(looked_at, lambda: [each[:200] for each in bundles()]),
    "header": Target(_header, lambda: [prefix_of()[32:]], is_tree=True),
    "statement": Target(
        _statement,
        lambda: _of_parts(lambda parts: msgpack.packb(parts.statement)),
        is_tree=True,
        head=1,
    ),
    "signatures": Target(
        _signatures,
        lambda: [msgpack.packb([attrs.asdict(KEY.sign(b"x"))])],
        is_tree=True,
    ),
    "layout": Target(
        _layout,
        lambda: _of_parts(lambda parts: layout_of([(b, 0) for b in parts.blocks])),
        head=1,
    ),
    "block": Target(
        _block, lambda: _of_parts(lambda parts: parts.blocks[0]), is_tree=True, head=1
    ),
    "column": Target(
        _column,
        lambda: [
            bytes([number, at]) + column
            for parts in templates()
            for number, at, column in _columns_of(parts)
        ],
        is_tree=True,
        head=2,
    ),
    "stored": Target(
        _stored, lambda: _of_parts(lambda parts: zstd_of(parts.blocks[0])), head=1
    ),
    "trailer": Target(
        _trailer, lambda: [b"\0" + bundles()[0][-200:], b"\x80" + bytes(64)], head=1
    ),
    "megacache": Target(_megacache, _blobs),
    "key": Target(
        _key,
        lambda: [
            bytes([sorted(CacheArtifactFactory.kinds()).index(each.type())])
            + each.key.encode()
            for each in [*ARTIFACTS, PLAN]
        ],
        head=1,
    ),
    "migration": Target(_migration, _records, is_tree=True, head=1),
    "rules": Target(_rules, _lines),
    "file": Target(_file, bundles, share=50),
    "bundle": Target(_bundle, _trees, is_tree=True, share=50),
}
