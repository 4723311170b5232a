"""
``overwinter schema``: the life of a kind's schema, from draft to release.
"""

from pathlib import Path
from typing import Any

import click

from ..contract import (
    Contract,
    check,
    corpus_of,
    draft_version,
    name_release,
    release,
    write_draft,
)
from ..factory import CacheArtifactFactory
from ..schema import Schema, oldest_reader
from ..schema.catalog import Catalog
from ..schema.draft import as_file, differences
from ..schema.export import as_json_schema, as_markdown
from .codes import FAILED
from .kinds import contract_of
from .options import json_option
from .output import print_json, print_line, print_table, print_words

__all__ = ["schema"]

_JSON_VERSION = 1

_KIND = click.argument("kind", metavar="KIND")
_VERSION = click.option(
    "--version", type=click.IntRange(1), help="That version, not the newest."
)


@click.group()
def schema() -> None:
    """
    Draft, compare, check, release and export the schemas of a kind.

    KIND is the name of a kind, or its class as module:Class.
    """


@schema.command()
@_KIND
@click.option("--write", is_flag=True, help="Write the file, and HEAD.")
@click.option(
    "--cardinality",
    type=click.Choice(["many", "one"]),
    help="How many artifacts of one key the cache holds; as it was, or many.",
)
def draft(kind: str, write: bool, cardinality: str | None) -> int:
    """Draft the newest schema of KIND, as its class says it."""
    contract = contract_of(kind)
    drafted = draft_version(contract, cardinality)
    name = contract.schema_file(drafted.version)
    if write:
        changed = write_draft(contract, drafted)
        for path in changed:
            print_words(f"wrote {path}")
        if not changed:
            print_words(f"{name} says what the class says; nothing was written")
        elif drafted.version > 1:
            print_words(f"next: overwinter migrate new {kind} --write")
        else:
            print_words(
                'next: say in each "doc" what it means, which a release freezes too; '
                f"then: overwinter schema check {kind}"
            )
        return 0
    print_line(as_file(drafted).rstrip())
    print_words(f"this is {name}; --write writes it")
    return 0


@schema.command()
@_KIND
@click.argument("old", type=int, required=False)
@click.argument("new", type=int, required=False)
def diff(kind: str, old: int | None, new: int | None) -> int:
    """Show what differs between two versions of KIND; the last two, if not given."""
    catalog = _catalog(contract_of(kind))
    newest = len(catalog) if new is None else new
    before = newest - 1 if old is None else old
    for line in differences(_at(catalog, before), _at(catalog, newest)):
        print_line(line)
    return 0


@schema.command(name="check")
@click.argument("kinds", metavar="[KIND]...", nargs=-1)
@click.option(
    "--corpus",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with a bundle of every released version."
    " Without KIND, of those kinds that it holds.",
)
@json_option
def check_command(kinds: tuple[str, ...], corpus: Path | None, as_json: bool) -> int:
    """
    Hold each KIND against every rule and all of its versions; all kinds, if not given.

    Exits with 1 where a rule is broken, and says what to write instead.
    """
    kept = corpus_of(corpus) if corpus is not None else None
    named = bool(kinds)
    if not named:
        CacheArtifactFactory.registry.discover(quiet=True)
        kinds = CacheArtifactFactory.registry.claimed
    # Who names no kind asks for the bundles of those that the folder is about.
    about = {kind for kind, _, _ in kept or ()}
    reports = [
        _checked(contract, kept if named or contract.kind in about else None)
        for contract in map(contract_of, kinds)
    ]
    if as_json:
        print_json({"version": _JSON_VERSION, "kinds": reports})
    else:
        print_table(
            ["kind", "version", "released", "oldest reader", "broken rules"],
            [
                (
                    each["kind"],
                    each["newest"],
                    each["released"],
                    each["oldest_reader"] or "-",
                    len(each["violations"]),
                )
                for each in reports
            ],
        )
        for each in reports:
            for found in each["violations"]:
                print_line()
                print_line(f"{found['rule']}: {found['path']}")
                print_line(f"  was  {found['was']}")
                print_line(f"  now  {found['now']}")
                print_line(f"  {found['remedy']}")
    if kept is None:
        print_words("CORPUS_HAS_VERSION was not checked: no --corpus")
    return FAILED if any(each["violations"] for each in reports) else 0


@schema.command(name="release")
@click.argument("kinds", metavar="KIND...", nargs=-1)
@click.option("--name", help="Then name everything that is released so far a release.")
@click.option("--package", help="Whose schemas --name is about, without KIND.")
def release_command(
    kinds: tuple[str, ...], name: str | None, package: str | None
) -> int:
    """Freeze every version of KIND that is not yet released, if no rule is broken."""
    if not kinds and name is None:
        raise click.UsageError("name a KIND, or give a release a --name")
    packages = {contract_of(kind).schema_root for kind in kinds}
    if package is not None:
        packages.add(package)
    if name is not None and len(packages) != 1:
        raise click.UsageError(
            "--name is for one package: give its KINDs, or --package"
        )
    lines = []
    for kind in kinds:
        contract = contract_of(kind)  # anew, with what was released just before
        added = release(contract)
        lines += added
        if added:
            print_words(
                f"next: save a bundle of {contract.kind} and keep it, for "
                "'overwinter schema check --corpus'"
            )
        else:
            print_words(f"{contract.kind}: every version is released already")
    if name is not None:
        lines.append(name_release(packages.pop(), name))
    for line in lines:
        print_line(line.rstrip())
    return 0


@schema.command()
@_KIND
@_VERSION
def export(kind: str, version: int | None) -> int:
    """Print the schema of KIND as JSON Schema."""
    catalog = _catalog(contract_of(kind))
    print_json(as_json_schema(_at(catalog, version or len(catalog))))
    return 0


@schema.command()
@_KIND
@_VERSION
def docs(kind: str, version: int | None) -> int:
    """Print the page of KIND, in Markdown."""
    catalog = _catalog(contract_of(kind))
    print_line(as_markdown(_at(catalog, version or len(catalog))).rstrip())
    return 0


def _checked(contract: Contract, corpus: Any) -> dict[str, Any]:
    checked = check(contract, corpus)
    schemas = checked.schemas
    converted = {step.new: step.converts for step in checked.steps.values()}
    owners = CacheArtifactFactory.registry.claims(contract.kind)
    violations = [
        {
            "rule": each.rule,
            "path": each.path,
            "was": each.was,
            "now": each.now,
            "remedy": each.remedy,
        }
        for each in checked.violations
    ]
    return {
        "kind": contract.kind,
        "owners": [each.owner for each in owners],
        "newest": contract.newest,
        "released": checked.released.newest(contract.kind),
        "oldest_reader": oldest_reader(schemas, converted) if schemas else None,
        "violations": violations,
    }


def _catalog(contract: Contract) -> Catalog:
    return Catalog(contract.schema_root, contract.kind)


def _at(catalog: Catalog, version: int) -> Schema:
    if version not in catalog:
        raise click.BadParameter(
            f"{catalog.kind} has versions 1 to {len(catalog)}, not {version}"
        )
    return catalog[version]
