"""
Authoring: the next version of a kind drafted, its step drafted, and released.

What is released is never written again; a draft is, until it is released.
"""

from collections.abc import Collection
from pathlib import Path

import attrs

from ..errors import BrokenRulesError, StoreError
from ..files import create_once, make_directory, replacing, write_all
from ..migration.draft import draft_step
from ..schema import InvalidSchemaError, Schema
from ..schema.catalog import parse_schema
from ..schema.draft import as_file, draft
from ..schema.model import MANY
from ..schema.released import (
    RELEASED,
    Released,
    parse_released,
    release_line,
    version_line,
)
from .checking import check
from .contract import HEAD, Contract, head_line, source_folder, step_name

__all__ = ["draft_version", "name_release", "release", "write_draft", "write_step"]


def draft_version(contract: Contract, cardinality: str | None = None) -> Schema:
    """
    Return the newest schema as the class of *contract* says it.

    It is that of the newest version where that is no different or still a draft,
    and otherwise of the version after it.

    Args:
        contract: A contract with a class.
        cardinality: ``many`` or ``one``; as it was, or ``many``, if not given.

    Raises:
        DriftError: An annotation has no word in the schema language.
        InvalidSchemaError: An earlier version cannot be read.
    """
    assert contract.cls is not None
    schemas = [_read(contract, version) for version in range(1, contract.newest + 1)]
    newest = schemas[-1] if schemas else None
    given = cardinality or (newest.cardinality if newest else MANY)
    if newest is None:
        return draft(contract.cls, contract.kind, given)
    is_frozen = (contract.kind, newest.version) in _released(contract)
    if not is_frozen:
        # Ids that its author has changed, which make a rename, are kept; and words.
        return draft(contract.cls, contract.kind, given, schemas[:-1], newest)
    drafted = draft(contract.cls, contract.kind, given, schemas)
    again = attrs.evolve(drafted, version=newest.version)
    return newest if again == newest else drafted


def write_draft(contract: Contract, schema: Schema) -> list[Path]:
    """
    Write a drafted schema and ``HEAD``; return the files that changed.

    Raises:
        InvalidSchemaError: The version is released.
        StoreError: The schema package cannot be written into.
    """
    version = schema.version
    content = as_file(schema).encode()
    before = contract.schemas.get(version)
    if (contract.kind, version) in _released(contract):
        content = before or content
    folder = source_folder(contract.schema_root, contract.kind)
    make_directory(folder)
    changed = []
    for name, found, wanted in (
        (f"v{version}.json", before, content),
        (HEAD, contract.head, head_line(version, schema.fingerprint)),
    ):
        if found != wanted:
            with replacing(folder / name) as file:
                write_all(file, [wanted])
            changed.append(folder / name)
    return changed


def write_step(
    contract: Contract, *, drop: Collection[str] = (), write: bool = True
) -> tuple[Path, str]:
    """
    Draft the step to the newest version; return its path and text.

    Args:
        contract: The contract.
        drop: Fields that are gone for good.
        write: Write the file, which must not be there yet.

    Raises:
        UndecidedError: The schemas do not say what becomes of some values.
        InvalidSchemaError: There is no version before the newest, or one cannot be
            read.
        StoreError: There is such a file, or it cannot be written.
    """
    newest = contract.newest
    if newest < 2:
        raise InvalidSchemaError(
            contract.schema_file(newest or 1),
            "version",
            f"{newest} versions",
            "two of them, to lead from one to the other: run 'overwinter schema draft'",
        )
    text = draft_step(_read(contract, newest - 1), _read(contract, newest), drop=drop)
    folder = source_folder(contract.migrations_root, contract.kind)
    path = folder / step_name(newest)
    if write:
        make_directory(folder)
        root = source_folder(contract.migrations_root, "")
        for parent in (folder, *folder.parents):
            if parent == root:
                break
            create_once(
                parent / "__init__.py", b'"""Steps, one for each version."""\n',
                mode=0o644,
            )  # fmt: skip
        if not create_once(path, text.encode(), mode=0o644):
            raise StoreError(str(path), "write the step", "there is one already")
    return path, text


def release(contract: Contract) -> list[str]:
    """
    Freeze every version that is not yet released; return the lines that do.

    Raises:
        BrokenRulesError: The contract breaks a rule; nothing is released.
        StoreError: ``RELEASED`` cannot be written.
    """
    checked = check(contract)
    if checked.violations:
        raise BrokenRulesError(contract.kind, tuple(map(str, checked.violations)))
    released, lines = checked.released, []
    text = contract.released.decode("utf-8")
    for version in range(released.newest(contract.kind) + 1, contract.newest + 1):
        step = contract.steps[step_name(version)] if version > 1 else None
        lines.append(
            version_line(
                released, contract.kind, version, contract.schemas[version], step
            )
        )
        text += lines[-1]
        released = parse_released(text, RELEASED)
    if lines:
        _write_released(contract.schema_root, text)
    return lines


def name_release(schema_root: str, name: str) -> str:
    """
    Name everything that a schema package has released a release; return the line.

    Raises:
        InvalidSchemaError: There is one of this name.
        StoreError: ``RELEASED`` cannot be written.
    """
    path = source_folder(schema_root, "") / RELEASED
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    line = release_line(parse_released(text, str(path)), name)
    parse_released(text + line, str(path))  # whole, or it is not written
    _write_released(schema_root, text + line)
    return line


def _write_released(schema_root: str, text: str) -> None:
    with replacing(source_folder(schema_root, "") / RELEASED) as file:
        write_all(file, [text.encode()])


def _read(contract: Contract, version: int) -> Schema:
    name = contract.schema_file(version)
    content = contract.schemas.get(version)
    if content is None:
        raise InvalidSchemaError(name, "file", "a gap", f"v{version}.json")
    return parse_schema(content, contract.kind, version, name)


def _released(contract: Contract) -> Released:
    name = f"{contract.schema_root}/{RELEASED}"
    return parse_released(contract.released.decode("utf-8"), name)
