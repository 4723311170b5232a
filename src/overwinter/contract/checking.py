"""
Checking: every rule of a contract, held against all of its versions.

The files are taken as bytes, and nothing is believed of them: what a later question
needs is asked only once the earlier ones are answered well.
"""

import hashlib
from collections.abc import Iterable, Iterator

import attrs

from ..errors import DriftError, MigrationError
from ..migration import Step, Steps
from ..migration.purity import find_impurities
from ..schema import InvalidSchemaError, Schema, check_class
from ..schema.catalog import parse_schema
from ..schema.compatibility import accepts, compare_history
from ..schema.model import ONE
from ..schema.released import RELEASED, Released, parse_released
from ..schema.rules import Violation
from ..schema.types import (
    EnumOf,
    Field,
    ListOf,
    MapOf,
    OptionalOf,
    RecordOf,
    Type,
    UnionOf,
    same_value,
)
from .contract import HEAD, Contract, Corpus, head_line, step_name

__all__ = ["Checked", "check"]


@attrs.frozen
class Checked:
    """
    What checking a contract found.

    Args:
        violations: The broken rules.
        schemas: The schemas, from version 1; empty where one cannot be read.
        steps: The sound steps, by the version that each reads.
        released: What is released.
    """

    violations: tuple[Violation, ...]
    schemas: tuple[Schema, ...]
    steps: dict[int, Step]
    released: Released


def check(contract: Contract, corpus: Corpus | None = None) -> Checked:
    """
    Hold a contract against every rule.

    Args:
        contract: The contract.
        corpus: What is kept of each released version; not asked for if not given.
    """
    checker = _Checker(contract)
    checker.files()
    if checker.read():
        checker.head()
        checker.migrations()
        checker.history()
        checker.cls()
        if corpus is not None:
            checker.corpus(corpus)
    return Checked(
        tuple(dict.fromkeys(checker.found)),
        tuple(checker.schemas),
        checker.steps,
        checker.released,
    )


class _Checker:
    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.found: list[Violation] = []
        self.schemas: list[Schema] = []
        self.steps: dict[int, Step] = {}
        self.released = Released()

    def add(self, rule: str, path: str, was: str, now: str, remedy: str) -> None:
        self.found.append(Violation(rule, path, was, now, remedy))

    # --- files --------------------------------------------------------------

    def files(self) -> None:
        """What is released lies there, byte for byte."""
        contract = self.contract
        name = f"{contract.schema_root}/{RELEASED}"
        try:
            text = contract.released.decode("utf-8")
            self.released = parse_released(text, name)
        except (InvalidSchemaError, UnicodeDecodeError) as error:
            self.add(
                "RELEASED_FILE_IMMUTABLE", name, "a sealed list", str(error),
                "restore the file from version control",
            )  # fmt: skip
            return
        for (kind, version), digests in self.released.digests.items():
            if kind != contract.kind:
                continue
            self.unchanged(
                contract.schema_file(version),
                contract.schemas.get(version),
                digests.schema,
            )
            if digests.step is not None:
                name = step_name(version)
                self.unchanged(
                    contract.step_file(name), contract.steps.get(name), digests.step
                )

    def unchanged(self, name: str, content: bytes | None, digest: str) -> None:
        if content is None:
            now = "gone"
        else:
            found = hashlib.sha256(content).hexdigest()
            if found == digest:
                return
            now = f"SHA-256 {found[:16]}…"
        self.add(
            "RELEASED_FILE_IMMUTABLE", name, f"SHA-256 {digest[:16]}…", now,
            "restore it from version control, and put the change into the next version",
        )  # fmt: skip

    def read(self) -> bool:
        """Read every schema file; return whether all of them could be."""
        contract = self.contract
        if not contract.newest:
            self.add(
                "SCHEMA_VALID", f"{contract.schema_root}/{contract.kind}", "v1.json",
                "no schema file", f"run 'overwinter schema draft' on the class of "
                f"{contract.kind}",
            )  # fmt: skip
        for version in range(1, contract.newest + 1):
            name = contract.schema_file(version)
            content = contract.schemas.get(version)
            if content is None:
                self.add(
                    "SCHEMA_VALID", name, f"v{version}.json", "a gap",
                    "restore it from version control, or number the later ones anew",
                )  # fmt: skip
                continue
            try:
                self.schemas.append(parse_schema(content, contract.kind, version, name))
            except InvalidSchemaError as error:
                self.add(
                    "SCHEMA_VALID", f"{error.source}: {error.path}", error.expected,
                    error.found, "mend the schema file",
                )  # fmt: skip
        if len(self.schemas) == contract.newest > 0:
            return True
        self.schemas = []
        return False

    # --- versions -----------------------------------------------------------

    def head(self) -> None:
        """One head: two branches that each made a version conflict in its file."""
        contract, newest = self.contract, self.schemas[-1]
        wanted = head_line(newest.version, newest.fingerprint)
        if contract.head != wanted:
            now = "no file" if contract.head is None else _first_line(contract.head)
            self.add(
                "SINGLE_HEAD", f"{contract.schema_root}/{contract.kind}/{HEAD}",
                wanted.decode().strip(), now,
                "if two branches made a version each, number one of them anew; then "
                "run 'overwinter schema draft --write' on its class",
            )  # fmt: skip

    def migrations(self) -> None:
        """There is one step to each version, and it does what the schemas say."""
        contract = self.contract
        wanted = {step_name(new): new for new in range(2, contract.newest + 1)}
        for name in sorted(contract.steps.keys() - wanted.keys()):
            self.add(
                "SINGLE_HEAD", contract.step_file(name),
                f"steps up to version {contract.newest}, each to the next",
                "another file", "number it as the step to the next version, or delete "
                "it",
            )  # fmt: skip
        for name, new in wanted.items():
            path = contract.step_file(name)
            content = contract.steps.get(name)
            if content is None:
                self.add(
                    "MIGRATION_EXISTS", path, f"a step from version {new - 1}",
                    "no file", f"run 'overwinter migrate new {contract.kind} --write'",
                )  # fmt: skip
                continue
            step = self.step(path, content, new)
            if step is not None:
                self.steps[new - 1] = step
                self.effect(path, step)
                self.mapped(path, step)
                self.losses(path, step)

    def step(self, path: str, content: bytes, new: int) -> Step | None:
        """Return the step in a file, which is run only if it is pure."""
        source = content.decode("utf-8", "replace")
        impurities = find_impurities(source, path)
        for impurity in impurities:
            self.add(
                "MIGRATION_PURE", path, "operations and pure functions", impurity,
                "take it out: a step has its records and nothing else",
            )  # fmt: skip
        if impurities:
            return None
        namespace: dict[str, object] = {"__name__": path}
        try:
            exec(compile(source, path, "exec"), namespace)
            step = namespace["STEP"]
        except (Exception, SystemExit) as error:  # it is a program of people's
            self.add(
                "MIGRATION_EXISTS", path, "STEP = migration(…)",
                f"{type(error).__name__}: {error}", "mend the file",
            )  # fmt: skip
            return None
        wanted = (self.contract.kind, new - 1, new)
        if not isinstance(step, Step) or (step.kind, step.old, step.new) != wanted:
            found = step.name if isinstance(step, Step) else type(step).__name__
            self.add(
                "MIGRATION_EXISTS", path, f"{wanted[0]} {new - 1} -> {new}", found,
                "mend what STEP says of itself, or the name of the file",
            )  # fmt: skip
            return None
        return step

    def effect(self, path: str, step: Step) -> None:
        old, new = self.schemas[step.old - 1], self.schemas[step.new - 1]
        try:
            effect = step.effect(old, new)
        except MigrationError as error:
            self.add(
                "MIGRATION_EFFECT_MATCHES", path, new.source, error.found,
                "mend the operations",
            )  # fmt: skip
            return
        for where, made, field in _astray(effect.values(), new.fields, ""):
            self.add(
                "MIGRATION_EFFECT_MATCHES", f"{path}: {where}", _line(field),
                f"{_line(made)} after the step", _operation(made, field),
            )  # fmt: skip

    def mapped(self, path: str, step: Step) -> None:
        """Old values of a closed enum become new ones: each is tried."""
        old, new = self.schemas[step.old - 1], self.schemas[step.new - 1]
        for was in old.fields:
            now = next((each for each in new.fields if each.id == was.id), None)
            before, after = _enum_of(was), _enum_of(now)
            if now is None or before is None or after is None or after.is_open:
                continue
            for value in before.values:
                found = _converted(step, was.name, value)
                if found is None:
                    continue  # of whole records no single value can be tried
                if found not in after.values:
                    self.add(
                        "ENUM_VALUE_NO_DELETE_UNLESS_MAPPED", f"{path}: {now.name}",
                        f"{value!r}, which version {step.old} may hold",
                        f"{found!r:.80}", f"make it one of {', '.join(after.values)}",
                    )  # fmt: skip

    def losses(self, path: str, step: Step) -> None:
        for operation in step.operations:
            if operation.is_lossy and not operation.loss:
                self.add(
                    "LOSS_DECLARED", path, "what is lost", f"nothing in {operation}",
                    "write loss=…, for who decides whether to upgrade; or down=…, if "
                    "nothing is lost",
                )  # fmt: skip
        old, new = self.schemas[step.old - 1], self.schemas[step.new - 1]
        if old.cardinality != new.cardinality == ONE and not step.loss:
            self.add(
                "LOSS_DECLARED", path, f"cardinality {old.cardinality}",
                f"cardinality {new.cardinality}",
                "only one variant of each key is kept from now on: write "
                "migration(…, loss=…)",
            )  # fmt: skip

    def history(self) -> None:
        """Compare all versions with all before them."""
        converted = {step.new: step.converts for step in self.steps.values()}
        self.found += compare_history(self.schemas, converted)

    # --- what stands beside -------------------------------------------------

    def cls(self) -> None:
        cls = self.contract.cls
        if cls is None:
            return
        name = f"{cls.__module__}:{cls.__qualname__}"
        try:
            check_class(cls, self.schemas[-1])
            if not self.found:
                Steps(self.contract.kind, len(self.schemas), self.steps)
        except DriftError as error:
            for fault in error.faults:
                self.add(
                    "CLASS_MATCHES_SCHEMA", cls.__qualname__, error.file, fault,
                    "change this line of the class, or run 'overwinter schema draft "
                    f"{name} --write' for the next version",
                )  # fmt: skip

    def corpus(self, corpus: Corpus) -> None:
        for schema in self.schemas:
            stamp = schema.kind, schema.version, schema.fingerprint
            if stamp[:2] in self.released and stamp not in corpus:
                self.add(
                    "CORPUS_HAS_VERSION", f"{schema.kind} {schema.version}",
                    "a bundle of it among those that are kept", "none",
                    "save artifacts of this version with the release that introduced "
                    "it, and keep the bundle",
                )  # fmt: skip


def _astray(
    made: Iterable[Field], wanted: Iterable[Field], path: str
) -> Iterator[tuple[str, Field | None, Field | None]]:
    """Give the fields that a step does not make as the next version has them."""
    before = {field.name: field for field in made}
    after = {field.name: field for field in wanted}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        # What takes every old value as it is needs no operation.
        if (
            was is None
            or now is None
            or was.id != now.id
            or not accepts(now.type, was.type)
            or not _keeps_default(was, now)
        ):
            yield f"{path}{name}", was, now
        else:
            for mine, other, case in _records(was.type, now.type):
                inside = f"{path}{name}.{case}"
                yield from _astray(mine.fields, other.fields, inside)


def _keeps_default(made: Field, wanted: Field) -> bool:
    # A field that had none may get one: each old record has a value for it.
    return not made.has_default or same_value(made.default, wanted.default)


def _records(made: Type, wanted: Type) -> Iterator[tuple[RecordOf, RecordOf, str]]:
    """Give the records in both types, the second of which accepts the first."""
    while isinstance(made, ListOf | MapOf | OptionalOf):
        made = made.item
    while isinstance(wanted, ListOf | MapOf | OptionalOf):
        wanted = wanted.item
    if isinstance(made, RecordOf) and isinstance(wanted, RecordOf):
        yield made, wanted, ""
    elif isinstance(made, UnionOf) and isinstance(wanted, UnionOf):
        for name, record in made.cases:
            if (case := wanted.case(name)) is not None:
                yield record, case, f"{name}."


def _line(field: Field | None) -> str:
    if field is None:
        return "no such field"
    text = f"{field.name}: {field.type} (id {field.id})"
    return f"{text} = {field.default!r}" if field.has_default else text


def _converted(step: Step, name: str, value: str) -> object:
    """Return what a step's renames and conversions make of one value of a field."""
    found: object = value
    for operation in step.operations:
        if getattr(operation, "old", None) == name:
            up = getattr(operation, "up", None)
            try:
                found = up(found) if up else found
            except Exception as error:  # it is a program of people's
                return error
            name = getattr(operation, "new", name)
        elif name in operation.converts:
            return None
    return found


def _enum_of(field: Field | None) -> EnumOf | None:
    kind = field.type if field else None
    if isinstance(kind, OptionalOf):
        kind = kind.item
    return kind if isinstance(kind, EnumOf) else None


def _operation(made: Field | None, wanted: Field | None) -> str:
    if made is None and wanted is not None:
        return f"write add({wanted.name!r}, default=…), or what it is made from"
    if wanted is None and made is not None:
        return f"write drop({made.name!r}, loss=…), or what it becomes"
    assert made is not None and wanted is not None
    if made.id != wanted.id:
        return f"keep id {made.id}, or choose another name"
    if not _keeps_default(made, wanted):
        if not wanted.has_default:
            return f"give {wanted.name!r} the default {made.default!r} in the schema"
        return (
            f"write add({wanted.name!r}, default={wanted.default!r}), or keep the "
            f"default {made.default!r}"
        )
    return f"write convert({wanted.name!r}, up=…, down=…), or each(…) inside it"


def _first_line(content: bytes) -> str:
    lines = content.decode("utf-8", "replace").splitlines()
    return lines[0][:80] if lines else "an empty file"
