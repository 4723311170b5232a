"""
The schema files of one package: ``<kind>/v<N>.json``, and what is released.
"""

import hashlib
import json
import re
from functools import cached_property
from importlib.resources import files

from .compatibility import walk
from .model import InvalidSchemaError, Schema, read_schema
from .released import RELEASED, Released, parse_released
from .types import ListOf, MapOf, OptionalOf, Scalar, Type
from .validation import fits

__all__ = ["Catalog", "parse_schema", "read_released"]

_FILE = re.compile(r"v([1-9][0-9]*)\.json")


class Catalog:
    """
    The schemas of one kind, by version.

    Args:
        package: Import name of the data package, such as ``overwinter_schema``.
        kind: The kind; ``acme/plan`` is looked for in ``acme/plan/``.

    Raises:
        InvalidSchemaError: There is no schema, a gap between versions, or a
            file that is no schema of this kind and version.
    """

    def __init__(self, package: str, kind: str) -> None:
        self.package, self.kind = package, kind
        try:
            folder = files(package)
        except ModuleNotFoundError as error:
            raise InvalidSchemaError(
                package, "package", str(error), "schema files in it; install it"
            ) from error
        for part in kind.split("/"):
            folder = folder / part
        self.name = f"{package}/{kind}"
        if not folder.is_dir():
            raise InvalidSchemaError(
                self.name, "folder", "nothing", f"a folder with v1.json for {kind}"
            )
        self._schemas: dict[int, Schema] = {}
        self._files = {
            int(match[1]): file
            for file in folder.iterdir()
            if (match := _FILE.fullmatch(file.name))
        }
        versions = sorted(self._files)
        if versions != list(range(1, len(versions) + 1)) or not versions:
            raise InvalidSchemaError(
                self.name, "versions", str(versions), "1, 2, 3 … without a gap"
            )

    @property
    def newest(self) -> Schema:
        """The schema of the newest version."""
        return self[len(self._files)]

    @cached_property
    def released(self) -> Released:
        """
        What the package says that it has released.

        Raises:
            InvalidSchemaError: ``RELEASED`` was changed.
        """
        return read_released(self.package)

    def is_released(self, version: int) -> bool:
        """
        Return whether *version* is frozen, and its file as it was then.

        Raises:
            InvalidSchemaError: The file was changed since, or ``RELEASED`` was.
        """
        if (self.kind, version) not in self.released:
            return False
        wanted = self.released.digests[self.kind, version].schema
        found = hashlib.sha256(self._files[version].read_bytes()).hexdigest()
        if found != wanted:
            raise InvalidSchemaError(
                f"{self.name}/v{version}.json",
                "file",
                f"RELEASED_FILE_IMMUTABLE: SHA-256 {found[:16]}…",
                f"{wanted[:16]}…, as it was released; restore it from version "
                "control, and put the change into the next version",
            )
        return True

    def __getitem__(self, version: int) -> Schema:
        if version not in self._schemas:
            name = f"{self.name}/v{version}.json"
            content = self._files[version].read_bytes()
            self._schemas[version] = parse_schema(content, self.kind, version, name)
        return self._schemas[version]

    def __contains__(self, version: object) -> bool:
        return version in self._files

    def __len__(self) -> int:
        return len(self._files)


def read_released(package: str) -> Released:
    """
    Return what the data package *package* says that it has released.

    Raises:
        InvalidSchemaError: ``RELEASED`` was changed.
    """
    file = files(package) / RELEASED
    if not file.is_file():
        return Released()
    text = file.read_bytes().decode("utf-8", "replace")
    return parse_released(text, f"{package}/{RELEASED}")


def parse_schema(content: bytes, kind: str, version: int, name: str) -> Schema:
    """
    Return the schema in a file's *content*, and nothing but that.

    Args:
        content: The file, JSON.
        kind: The kind of its folder.
        version: The version of its name.
        name: The file's name, for errors.

    Raises:
        InvalidSchemaError: It is no JSON, no schema, or that of something else; or
            a default is not of its field's type.
    """
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError) as error:
        found = str(error) or "levels without end"
        raise InvalidSchemaError(name, "file", found, "JSON") from error
    schema = read_schema(plain, name)
    if (schema.kind, schema.version) != (kind, version):
        found = f"{schema.kind} version {schema.version}"
        raise InvalidSchemaError(name, "kind, version", found, "those of its path")
    for _, path, field in walk(schema):
        if not field.is_payload and _holds_payload(field.type):
            where = f"{path.partition('.')[2]}.type"
            expected = "payload or optional payload: only those are stored apart"
            raise InvalidSchemaError(name, where, str(field.type), expected)
        if field.has_default and not fits(field.type, field.default):
            where = f"{path.partition('.')[2]}.default"
            expected = f"a value of {field.type}"
            raise InvalidSchemaError(name, where, repr(field.default), expected)
    return schema


def _holds_payload(kind: Type) -> bool:
    while isinstance(kind, ListOf | MapOf | OptionalOf):
        kind = kind.item
    return kind == Scalar("payload")
