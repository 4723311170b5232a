"""
Everything that overwinter raises, in six families named by who must act.

Each error keeps its evidence as attributes, pickles, and writes its sentence
once: what was found, what was expected, where, and the next step.
"""

__all__ = [
    "BlockDamagedError",
    "BrokenRulesError",
    "ChangedError",
    "ConflictError",
    "DamagedError",
    "DraftError",
    "DriftError",
    "FormatError",
    "KeyGrammarError",
    "KindCodeError",
    "KindError",
    "ManyEnvironmentsError",
    "MigrationError",
    "NoTrailerError",
    "NotABundleError",
    "NotFoundError",
    "OutOfMemoryError",
    "OverwinterError",
    "SchemaError",
    "SegmentDamagedError",
    "StoreError",
    "TailIgnoredError",
    "TargetError",
    "TooLargeError",
    "TooNewError",
    "TrustError",
    "UndecidedError",
    "UnknownFeatureError",
    "UnsafeDirectoryError",
    "VersionError",
    "WrongShapeError",
]


class OverwinterError(Exception):
    """Base of everything that this library raises on purpose."""


# --- FormatError: fetch the bytes again -------------------------------------


class FormatError(OverwinterError):
    """The bytes are damaged, or not a bundle: fetch them again."""


class NotABundleError(FormatError):
    """The first bytes are not those of a bundle."""

    def __init__(self, source: str, found: bytes, hint: str = "") -> None:
        super().__init__(source, found, hint)
        self.source, self.found, self.hint = source, found, hint

    def __str__(self) -> str:
        found = f"starts with {self.found.hex(' ')}" if self.found else "is empty"
        hint = self.hint or "check the path, or fetch the file again"
        return (
            f"{self.source}: {found}, but a bundle starts with "
            f"89 4f 57 42 0d 0a 1a 0a; {hint}"
        )


class DamagedError(FormatError):
    """A named part does not hold what it must."""

    def __init__(self, source: str, part: str, found: str, expected: str) -> None:
        super().__init__(source, part, found, expected)
        self.source, self.part = source, part
        self.found, self.expected = found, expected

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.part}: found {self.found}, expected "
            f"{self.expected}; fetch the file again, or restore a copy"
        )


class NoTrailerError(DamagedError):
    """The file ends before its first trailer: it was cut while being written."""


class TailIgnoredError(DamagedError):
    """The end of the file is damaged, or an append was torn; the rest is used."""

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.part}: {self.found}; what the trailer lists is "
            f"used, and the next save goes on behind it"
        )


class SegmentDamagedError(DamagedError):
    """A segment's foot, statement or signatures are damaged: it is refused."""


class BlockDamagedError(DamagedError):
    """A block is damaged: its artifacts are quarantined."""


class TooLargeError(FormatError):
    """A declared size is beyond what a reader accepts; nothing was allocated."""

    def __init__(
        self, source: str, part: str, found: int, limit: int, unit: str = "bytes"
    ) -> None:
        super().__init__(source, part, found, limit, unit)
        self.source, self.part, self.unit = source, part, unit
        self.found, self.limit = found, limit

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.part} claims {self.found:,} {self.unit}, at most "
            f"{self.limit:,} are read; fetch the file again"
        )


class OutOfMemoryError(FormatError):
    """Reading a part needs more memory than the process may have."""

    def __init__(self, source: str, part: str) -> None:
        super().__init__(source, part)
        self.source, self.part = source, part

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.part}: found it to need more memory than this "
            f"process may have, expected less; raise the limit of its memory, or do "
            f"without this file"
        )


class KeyGrammarError(FormatError):
    """A key cannot name an entry of its kind's cache."""

    def __init__(self, kind: str, key: str, reason: str, expected: str) -> None:
        super().__init__(kind, key, reason, expected)
        self.kind, self.key, self.reason, self.expected = kind, key, reason, expected

    def __str__(self) -> str:
        return (
            f"{self.kind}: key {_short(self.key)} {self.reason}; expected "
            f"{self.expected}; do not populate this artifact, and ask who wrote it"
        )


# --- VersionError: upgrade, or save again ----------------------------------


class VersionError(OverwinterError):
    """The bytes are sound, of a version out of reach: upgrade, or save again."""


class TooNewError(VersionError):
    """Something was written for later readers than this one."""

    def __init__(
        self, source: str, what: str, found: int, newest: int, needs: str = ""
    ) -> None:
        super().__init__(source, what, found, newest, needs)
        self.source, self.what, self.needs = source, what, needs
        self.found, self.newest = found, newest

    def __str__(self) -> str:
        needs = f" (it needs {self.needs})" if self.needs else ""
        return (
            f"{self.source}: {self.what} {self.found}{needs}, but this release reads "
            f"up to {self.newest}; upgrade overwinter, or save again with this release"
        )


class TargetError(VersionError):
    """Nothing can be written for what was asked."""

    def __init__(self, target: str, reach: str) -> None:
        super().__init__(target, reach)
        self.target, self.reach = target, reach

    def __str__(self) -> str:
        return (
            f"target {self.target}: cannot be written for, expected {self.reach}; "
            f"upgrade what reads the bundle, or save with a release in between"
        )


class ManyEnvironmentsError(VersionError):
    """Artifacts for several environments, where only one can be meant."""

    def __init__(self, source: str, fields: str) -> None:
        super().__init__(source, fields)
        self.source, self.fields = source, fields

    def __str__(self) -> str:
        return (
            f"{self.source}: found artifacts for several environments, which differ "
            f"in {self.fields}, expected one, as a container of torch's names none; "
            f"export where it will be used, with --here"
        )


class UnknownFeatureError(VersionError):
    """The header requires features that this release does not have."""

    def __init__(self, source: str, features: tuple[str, ...], use: str) -> None:
        super().__init__(source, features, use)
        self.source, self.features, self.use = source, features, use

    def __str__(self) -> str:
        names = ", ".join(self.features)
        return (
            f"{self.source}: to {self.use} it, a program must know {names}, which "
            f"this release does not; upgrade overwinter"
        )


# --- SchemaError: mend the writer ------------------------------------------


class SchemaError(OverwinterError):
    """The bytes can be read and have the wrong shape: mend the writer."""


class WrongShapeError(SchemaError):
    """Values that do not fit their schema, each with its path."""

    def __init__(self, source: str, faults: tuple[str, ...]) -> None:
        super().__init__(source, faults)
        self.source, self.faults = source, faults

    def __str__(self) -> str:
        listed = "; ".join(self.faults)
        return f"{self.source}: {listed}; mend the program that wrote these values"


class DriftError(SchemaError):
    """A class and its schema file say different things."""

    def __init__(self, kind: str, cls: str, file: str, faults: tuple[str, ...]) -> None:
        super().__init__(kind, cls, file, faults)
        self.kind, self.cls, self.file, self.faults = kind, cls, file, faults

    def __str__(self) -> str:
        lines = "\n  ".join(self.faults)
        return (
            f"{self.cls} has drifted from {self.file}:\n  {lines}\n"
            f"change these lines of the class, or write the next version of the "
            f"schema of {self.kind}"
        )


class BrokenRulesError(SchemaError):
    """The contract of a kind breaks rules: nothing of it is released."""

    def __init__(self, kind: str, violations: tuple[str, ...]) -> None:
        super().__init__(kind, violations)
        self.kind, self.violations = kind, violations

    def __str__(self) -> str:
        lines = "\n  ".join(self.violations)
        return (
            f"{self.kind}: found {len(self.violations)} broken rules, expected none, "
            f"and released nothing:\n  {lines}\nmend them, then release again"
        )


class DraftError(SchemaError):
    """Records of a schema that may still change, and nobody said that they may be."""

    def __init__(self, kind: str, version: int, file: str) -> None:
        super().__init__(kind, version, file)
        self.kind, self.version, self.file = kind, version, file

    def __str__(self) -> str:
        return (
            f"{self.kind}: version {self.version} is a draft: {self.file} is not "
            f"released, and what it describes may be unreadable once it changes; "
            f"release it with 'overwinter schema release {self.kind}', or save with "
            f"allow_drafts=True what need not last"
        )


class KindError(SchemaError):
    """A kind that is not registered, or cannot be."""

    def __init__(
        self,
        kind: str,
        found: str,
        known: tuple[str, ...],
        remedy: str = "register its class with CacheArtifactFactory.register once, "
        "or install the package that brings it",
    ) -> None:
        super().__init__(kind, found, known, remedy)
        self.kind, self.found, self.known = kind, found, known
        self.remedy = remedy

    def __str__(self) -> str:
        known = f"; registered are {', '.join(self.known) or 'none'}"
        if self.found != "is not registered":
            known = ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"kind {self.kind!r} {self.found}{known}{remedy}"


class KindCodeError(SchemaError):
    """The code of a kind, or of a framework, raised what it should not have."""

    def __init__(self, kind: str, key: str, action: str, found: str) -> None:
        super().__init__(kind, key, action, found)
        self.kind, self.key = kind, key
        self.action, self.found = action, found

    def __str__(self) -> str:
        return (
            f"{self.kind}: could not {self.action} {_short(self.key)}: its own code "
            f"raised {self.found}; report it to whoever maintains that kind"
        )


# --- MigrationError: mend the step -----------------------------------------


class MigrationError(OverwinterError):
    """Old data, and a step that failed or is missing: mend the step."""

    def __init__(
        self, kind: str, step: str, found: str, expected: str, key: str = ""
    ) -> None:
        super().__init__(kind, step, found, expected, key)
        self.kind, self.step, self.key = kind, step, key
        self.found, self.expected = found, expected

    def of(self, key: str) -> "MigrationError":
        """Return this error as that of the record *key*."""
        return MigrationError(self.kind, self.step, self.found, self.expected, key)

    def __str__(self) -> str:
        key = f" {_short(self.key)}" if self.key else ""
        return (
            f"{self.kind}{key}: {self.step}: found {self.found}, expected "
            f"{self.expected}; mend the step, or add the one that is missing"
        )


class UndecidedError(MigrationError):
    """Two schemas leave open what becomes of some values: a person must say."""

    def __str__(self) -> str:
        return f"{self.step}: {self.found}; then {self.expected}"


# --- TrustError: trust the signer, or sign ---------------------------------


class TrustError(OverwinterError):
    """Sound bytes from nobody that this machine trusts, or an unusable key."""

    def __init__(self, source: str, found: str, expected: str, remedy: str) -> None:
        super().__init__(source, found, expected, remedy)
        self.source, self.found = source, found
        self.expected, self.remedy = expected, remedy

    def __str__(self) -> str:
        return f"{self.source}: {self.found}, expected {self.expected}; {self.remedy}"


# --- StoreError: mend the store --------------------------------------------


class StoreError(OverwinterError):
    """The bytes never arrived, or could not be put down: mend the store."""

    def __init__(self, path: str, action: str, reason: str) -> None:
        super().__init__(path, action, reason)
        self.path, self.action, self.reason = path, action, reason

    def __str__(self) -> str:
        return (
            f"{self.path}: could not {self.action}: {self.reason}; check the path, "
            f"its permissions and the space left"
        )


class ConflictError(StoreError):
    """Something is where a new file shall be."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "write it", "something is there already")

    def __reduce__(self) -> "tuple[type[ConflictError], tuple[str]]":
        return ConflictError, (self.path,)

    def __str__(self) -> str:
        return (
            f"{self.path}: found something there already, expected nothing; choose "
            f"another path, or move away what is there"
        )


class ChangedError(StoreError):
    """A file is another than it was when its reading began: read it again."""

    def __init__(self, path: str) -> None:
        super().__init__(path, "read it", "it changed in the meantime")

    def __reduce__(self) -> "tuple[type[ChangedError], tuple[str]]":
        return ChangedError, (self.path,)

    def __str__(self) -> str:
        return (
            f"{self.path}: found it changed since its reading began, expected it to "
            f"stay as it was; try again when nobody writes to it"
        )


class NotFoundError(StoreError):
    """There is no such file."""

    def __str__(self) -> str:
        if self.action == "write it":
            return (
                f"{self.path}: could not write it: its folder, or what it points to, "
                f"does not exist; make that first, or check the path"
            )
        if self.action in ("publish it", "make the directory"):
            return (
                f"{self.path}: could not {self.action}: no such file or folder; it was "
                f"removed in the meantime: load again, if that was not meant"
            )
        return f"{self.path}: no such file; check the path, or save a bundle there"


class UnsafeDirectoryError(StoreError):
    """Somebody else could decide what is in a cache, and so what code runs."""

    def __init__(self, path: str, reason: str, remedy: str) -> None:
        super().__init__(path, "use it as a cache", reason)
        # What pickles is what it was made of.
        self.args = (path, reason, remedy)
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.reason}, expected to be yours, for you alone to "
            f"write, as what is in a cache runs as you; {self.remedy}"
        )


def _short(text: str, limit: int = 80) -> str:
    shown = ascii(text)
    return (
        shown if len(shown) <= limit else f"{shown[:limit]}… ({len(text)} characters)"
    )
