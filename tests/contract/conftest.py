"""An author at work: packages of their own on disk, and a class that changes."""

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from overwinter.artifact import CacheArtifact
from overwinter.contract import Contract

_NUMBERS = itertools.count()


@attrs.frozen
class Author:
    """
    Who writes one kind, or several, in packages of their own.

    Args:
        folder: Where the packages are.
        name: Their names begin with it: each author's are new to the process.
    """

    folder: Path
    name: str

    @property
    def schema(self) -> Path:
        """The schema package."""
        return self.folder / f"{self.name}_schema"

    @property
    def migrations(self) -> Path:
        """The migrations package."""
        return self.folder / f"{self.name}_migrations"

    def cls(self, kind: str = "acme/note", /, **fields: Any) -> type[CacheArtifact]:
        """Return a class of the kind with these fields: annotation, or with default."""
        hints: dict[str, Any] = {"key": str}
        body: dict[str, Any] = {
            "__annotations__": hints,
            "schema_package": self.schema.name,
            "migrations_package": self.migrations.name,
            "type": staticmethod(lambda: kind),
            "check_key": classmethod(lambda cls, key: None),
        }
        for name, annotation in fields.items():
            hints[name], *default = (
                annotation if isinstance(annotation, tuple) else (annotation,)
            )
            if default:
                body[name] = default[0]
        made: type[CacheArtifact] = attrs.frozen(type("Note", (CacheArtifact,), body))
        return made

    def contract(self, kind: str = "acme/note", /, **fields: Any) -> Contract:
        """Return the contract of such a class, as it lies on disk."""
        return Contract.of(self.cls(kind, **fields))

    def file(self, name: str, kind: str = "acme/note") -> Path:
        """Return a file of the kind: a schema, ``HEAD``, or a step."""
        root = self.migrations if name.endswith(".py") else self.schema
        return root.joinpath(*kind.split("/"), name)

    def plain(self, version: int) -> dict[str, Any]:
        """Return a schema as its file has it."""
        text = self.file(f"v{version}.json").read_text(encoding="utf-8")
        plain: dict[str, Any] = json.loads(text)
        return plain

    def rewrite(self, version: int, plain: dict[str, Any]) -> None:
        """Write a schema file by hand."""
        self.file(f"v{version}.json").write_text(json.dumps(plain), encoding="utf-8")


@pytest.fixture
def author(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Author]:
    """Return an author whose packages are empty."""
    author = Author(tmp_path, f"author{next(_NUMBERS)}")
    for package in (author.schema, author.migrations):
        package.mkdir()
        (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield author
    for name in [name for name in sys.modules if name.startswith(author.name)]:
        del sys.modules[name]
