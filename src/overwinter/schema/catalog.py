"""
The schema files of one package: ``<kind>/v<N>.json``, and nothing else.
"""

import json
import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from .model import InvalidSchemaError, Schema, read_schema
from .validation import fits

__all__ = ["Catalog"]

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
        folder = files(package)
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

    def __getitem__(self, version: int) -> Schema:
        if version not in self._schemas:
            name = f"{self.name}/v{version}.json"
            self._schemas[version] = _load(self._files[version], name, self.kind)
        return self._schemas[version]

    def __contains__(self, version: object) -> bool:
        return version in self._files

    def __len__(self) -> int:
        return len(self._files)


def _load(file: Traversable, name: str, kind: str) -> Schema:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidSchemaError(name, "file", str(error), "JSON") from error
    schema = read_schema(plain, name)
    stated = f"{schema.kind} version {schema.version}"
    if (schema.kind, f"v{schema.version}.json") != (kind, file.name):
        raise InvalidSchemaError(name, "kind, version", stated, "those of its path")
    for index, field in enumerate(schema.fields):
        if field.has_default and not fits(field.type, field.default):
            found, path = repr(field.default), f"fields[{index}].default"
            raise InvalidSchemaError(name, path, found, f"a value of {field.type}")
    return schema
