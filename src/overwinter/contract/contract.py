"""
A contract as it lies in its files: bytes, by the names that they must have.
"""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import attrs

from ..artifact import CacheArtifact
from ..bundle import Bundle
from ..errors import KindError, NotFoundError
from ..schema.released import RELEASED

__all__ = ["HEAD", "Contract", "Corpus", "corpus_of", "head_line", "step_name"]

HEAD = "HEAD"

_SCHEMA = re.compile(r"v([1-9][0-9]*)\.json")

# Kind, version and fingerprint of records that are kept for ever.
Corpus = frozenset[tuple[str, int, bytes]]


@attrs.frozen
class Contract:
    """
    Everything that one kind promises.

    Args:
        kind: The kind.
        schemas: Version to the content of its schema file.
        steps: File name to the content, of the steps.
        released: Content of ``RELEASED`` of the schema package.
        head: Content of ``HEAD``, if there is one.
        cls: Its class.
        schema_root: The schema package, for messages.
        migrations_root: The migrations package, for messages.
    """

    kind: str
    schemas: Mapping[int, bytes]
    steps: Mapping[str, bytes] = attrs.field(factory=dict)
    released: bytes = b""
    head: bytes | None = None
    cls: type[CacheArtifact] | None = None
    schema_root: str = "schema"
    migrations_root: str = "migrations"

    @classmethod
    def of(cls, artifact_cls: type[CacheArtifact]) -> "Contract":
        """
        Return the contract of a class, from the packages that it names.

        Raises:
            KindError: The class does not say what its kind is, or has no fields.
        """
        kind = _kind_of(artifact_cls)
        schema_root = artifact_cls.schema_package
        migrations_root = artifact_cls.migrations_package
        folder = _files(schema_root, kind)
        schemas = {
            int(match[1]): content
            for name, content in folder.items()
            if (match := _SCHEMA.fullmatch(name))
        }
        steps = {
            name: content
            for name, content in _files(migrations_root, kind).items()
            if name.endswith(".py") and name != "__init__.py"
        }
        return cls(
            kind=kind,
            schemas=schemas,
            steps=steps,
            released=_files(schema_root, "").get(RELEASED, b""),
            head=folder.get(HEAD),
            cls=artifact_cls,
            schema_root=schema_root,
            migrations_root=migrations_root,
        )

    @cached_property
    def newest(self) -> int:
        """The newest version, 0 where there is none."""
        return max(self.schemas, default=0)

    def schema_file(self, version: int) -> str:
        """Return the name of a schema file, for messages."""
        return f"{self.schema_root}/{self.kind}/v{version}.json"

    def step_file(self, name: str) -> str:
        """Return the name of a step's file, for messages."""
        return f"{self.migrations_root}/{self.kind}/{name}"


def step_name(new: int) -> str:
    """Return the file name of the step that leads to version *new*."""
    return f"v{new - 1}_to_v{new}.py"


def head_line(version: int, fingerprint: bytes) -> bytes:
    """
    Return the content of ``HEAD``: the newest version, and its fingerprint.

    One line, so that two branches that each make a version conflict in it.
    """
    return f"{version} {fingerprint.hex()}\n".encode()


def corpus_of(folder: Path) -> Corpus:
    """
    Return what the bundles (``*.owb``) in a folder, and those in it, hold.

    Raises:
        NotFoundError: There is no such folder.
        OverwinterError: A bundle cannot be opened.
    """
    if not folder.is_dir():
        raise NotFoundError(str(folder), "open it", "no such folder")
    found: set[tuple[str, int, bytes]] = set()
    for path in sorted(folder.rglob("*.owb")):
        with Bundle(path) as bundle:
            for _, error in bundle.refused:
                raise error
            for segment in bundle.segments:
                for stamp in segment.statement.kinds:
                    found.add((stamp.kind, stamp.version, stamp.fingerprint))
    return frozenset(found)


def source_folder(package: str, kind: str) -> Path:
    """
    Return the folder of *kind* in a package's source, which may not exist yet.

    Raises:
        KindError: The package is not there, or its files are no folder of this disk.
    """
    remedy = (
        f"make the folder of {package} with an __init__.py in it, and install its "
        "distribution for editing: pip install -e ."
    )
    try:
        root = files(package)
    except ModuleNotFoundError as error:
        found = f"has files in the package {package}, which is not installed"
        raise KindError(kind or package, found, (), remedy) from error
    if not isinstance(root, Path):
        found = f"has files in the package {package}, which is no folder to write into"
        raise KindError(kind or package, found, (), remedy)
    return root.joinpath(*kind.split("/")) if kind else root


def _kind_of(artifact_cls: type[CacheArtifact]) -> str:
    name = artifact_cls.__qualname__
    try:
        kind = artifact_cls.type()
    except NotImplementedError as error:
        remedy = "write a static method 'type' that returns its name"
        raise KindError(name, "does not name itself", (), remedy) from error
    own = artifact_cls.schema_package == CacheArtifact.schema_package
    if own and "/" in kind:
        remedy = "set schema_package and migrations_package on the class"
        raise KindError(kind, "has its schemas among overwinter's own", (), remedy)
    if not attrs.has(artifact_cls):
        found = f"has the class {name}, which is no attrs class"
        raise KindError(kind, found, (), "decorate it with attrs.frozen")
    return kind


def _files(package: str, kind: str) -> dict[str, bytes]:
    try:
        folder: Traversable = files(package)
    except ModuleNotFoundError:
        return {}
    for part in _parts(kind):
        folder = folder / part
    if not folder.is_dir():
        return {}
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def _parts(kind: str) -> Iterable[str]:
    return kind.split("/") if kind else ()
