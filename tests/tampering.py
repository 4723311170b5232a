"""
Tamper with everything that is released, once each way: ``python tests/tampering.py``.

Every schema file, step, operation, ``HEAD`` and line of ``RELEASED``, of the built-in
kinds, of acme's and of the example's, is deleted or altered in a copy of the tree;
and once more with ``RELEASED`` and ``HEAD`` written again, as by somebody who wants
the digests to hold. Each time the tests must fail and name what was touched.

``--sample N`` tries every Nth; ``--only WORDS`` those whose names hold the words.
"""

import argparse
import ast
import copy
import hashlib
import importlib
import json
import os
import pickle
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

TREE = Path(__file__).resolve().parent.parent
SELECTION = ["tests/test_contracts.py", "tests/test_golden.py"]
COPIED = [
    "pyproject.toml",
    "schema",
    "migrations",
    "tests/conftest.py",
    "tests/golden",
    "tests/packages",
    "tests/both_readers.py",
    "tests/bundles.py",
    "tests/canonical.py",
    "tests/example.py",
    "tests/second_reader.py",
    "tests/test_contracts.py",
    "tests/test_golden.py",
    "examples/acme_plans",
]
# Schema folder to the folder of the steps.
PACKAGES = {
    "schema": "migrations",
    "tests/packages/acme/schema": "tests/packages/acme/migrations",
    "examples/acme_plans/schema": "examples/acme_plans/migrations",
}
OURS = "schema"

_STEP = re.compile(r"v([0-9]+)_to_v([0-9]+)\.py")

Edits = dict[str, bytes | None]


class Variant(NamedTuple):
    """
    One way to tamper.

    ``named`` are patterns, of which the output must match one; ``is_awaited`` says
    that only a golden bundle that does not exist yet could tell.
    """

    name: str
    edits: Edits
    named: tuple[str, ...]
    is_awaited: bool = False


# --- what is tampered with --------------------------------------------------


def variants() -> list[Variant]:
    """Return every variant; imports overwinter, which who tries them must not."""
    found: list[Variant] = []
    for schema, steps in PACKAGES.items():
        package = _Package(schema, steps)
        found += package.files()
        found += package.sealed()
        found += package.released_lines()
    return found


class _Package:
    def __init__(self, schema: str, steps: str) -> None:
        self.schema, self.steps = schema, steps
        self.released = (TREE / schema / "RELEASED").read_text().splitlines()
        self.files_of: dict[tuple[str, int], Path] = {}
        for path in sorted((TREE / schema).rglob("v*.json")):
            kind = path.parent.relative_to(TREE / schema).as_posix()
            self.files_of[kind, int(path.stem[1:])] = path
        self.newest = {kind: version for kind, version in sorted(self.files_of)}
        ends = [
            number
            for number, line in enumerate(self.released)
            if line.startswith("= ")
            and (TREE / "tests" / "golden" / line.split()[1]).is_dir()
        ]
        after = self.released[ends[-1] + 1 :] if ends else []
        self.awaited = {(line.split()[0], int(line.split()[1])) for line in after}

    def step_path(self, kind: str, new: int) -> Path:
        return TREE / self.steps / kind / f"v{new - 1}_to_v{new}.py"

    def named(self, kind: str, version: int, *, step: bool = False) -> tuple[str, ...]:
        """Return what names a file: itself, or its kind and version."""
        return (
            rf"{kind}/v{version}\.json",
            rf"{kind} (version |v)?{version}\b",
            *(
                (
                    rf"{kind}/v{version - 1}_to_v{version}\.py",
                    rf"{kind.replace('/', '.')}.v{version - 1}_to_v{version}\b",
                    rf"{kind} {version - 1} -> {version}\b",
                    rf"{kind} [0-9 ->]*{version}\b",
                    rf"{kind} {version} -> {version - 1}\b",
                    rf"{kind} {self.newest[kind]} -> ",
                    rf"writing {kind} as version {version - 1}\b",
                )
                if step
                else (rf"writing {kind} as version {version}\b",)
            ),
        )

    def files(self) -> Iterator[Variant]:
        """Give what touches one file and nothing else."""
        for (kind, version), path in self.files_of.items():
            name = _relative(path)
            named = self.named(kind, version)
            yield Variant(f"{name}: delete", {name: None}, named)
            for what, content in altered_schemas(path.read_bytes()):
                yield Variant(f"{name}: {what}", {name: content}, named)
            if version > 1:
                step = self.step_path(kind, version)
                name, named = _relative(step), self.named(kind, version, step=True)
                yield Variant(f"{name}: delete", {name: None}, named)
                for what, content in altered_steps(step.read_text()):
                    yield Variant(f"{name}: {what}", {name: content}, named)
        for kind in self.newest:
            path = TREE / self.schema / kind / "HEAD"
            name, head = _relative(path), path.read_text()
            version, fingerprint = head.split()
            for what, text in {
                "delete": None,
                "empty": "",
                "the version": f"{int(version) + 1} {fingerprint}\n",
                "the fingerprint": f"{version} {'0' * 64}\n",
                "no end of line": head.rstrip(),
            }.items():
                content = None if text is None else text.encode()
                yield Variant(f"{name}: {what}", {name: content}, (rf"{kind}/HEAD",))

    def sealed(self) -> Iterator[Variant]:
        """Give what touches a file, and writes RELEASED and HEAD again for it."""
        for (kind, version), path in self.files_of.items():
            name, is_awaited = _relative(path), (kind, version) in self.awaited
            named = self.named(kind, version)
            for what, content in altered_schemas(path.read_bytes()):
                if what == "white space":
                    continue  # says the same
                edits = self.again({name: content})
                # Words of a version whose golden bundle is still to come.
                no_words = is_awaited and what.endswith(": doc")
                yield Variant(f"{name}: {what}, sealed", edits, named, no_words)
            if version > 1:
                step = self.step_path(kind, version)
                name, named = _relative(step), self.named(kind, version, step=True)
                for what, content in altered_steps(step.read_text()):
                    if what == "white space":
                        continue
                    edits = self.again({name: content})
                    yield Variant(f"{name}: {what}, sealed", edits, named)
        for kind, version in self.newest.items():
            gone: Edits = {_relative(self.files_of[kind, version]): None}
            named = (re.escape(kind),)
            if version > 1:
                gone[_relative(self.step_path(kind, version))] = None
            else:
                gone[_relative(TREE / self.schema / kind / "HEAD")] = None
            yield Variant(
                f"{self.schema}: {kind} {version} as if it had never been",
                self.again(gone),
                named,
            )

    def released_lines(self) -> Iterator[Variant]:
        name, lines = f"{self.schema}/RELEASED", self.released
        only = ("RELEASED",)
        yield Variant(f"{name}: delete", {name: None}, only)
        yield Variant(f"{name}: empty", {name: b""}, only)
        for number, line in enumerate(lines):
            words = line.split()
            where = f"{name}, line {number + 1}"
            rest = [*lines[:number], *lines[number + 1 :]]
            kind = (re.escape(f"{words[0]} {words[1]}"), *only)
            yield Variant(f"{where}: delete", {name: _text(rest)}, kind)
            yield Variant(f"{where}: delete, sealed", {name: _sealed(rest)}, kind)
            swapped = [*rest[:-1], line, *rest[-1:]] if number < len(rest) else None
            if swapped and swapped != lines:
                yield Variant(f"{where}: move", {name: _text(swapped)}, kind)
            for index, word in enumerate(words):
                other = word[:-1] + ("0" if word[-1] != "0" else "1")
                changed = " ".join([*words[:index], other, *words[index + 1 :]])
                text = [*lines[:number], changed, *lines[number + 1 :]]
                yield Variant(f"{where}: word {index + 1}", {name: _text(text)}, kind)
                if index < len(words) - 1 and word != "=":
                    yield Variant(
                        f"{where}: word {index + 1}, sealed",
                        {name: _sealed(text)},
                        kind,
                    )
            if words[0] == "=":
                first = [line, *rest]
                yield Variant(f"{where}: move, sealed", {name: _sealed(first)}, kind)

    def again(self, edits: Edits) -> Edits:
        """Return *edits* with RELEASED and HEAD as if they had been made in time."""

        def content(path: Path) -> bytes | None:
            name = _relative(path)
            return edits[name] if name in edits else path.read_bytes()

        lines = []
        for line in self.released:
            words = line.split()
            if words[0] != "=":
                kind, version = words[0], int(words[1])
                schema = content(self.files_of[kind, version])
                if schema is None:
                    continue
                words[2] = hashlib.sha256(schema).hexdigest()
                if version > 1:
                    step = content(self.step_path(kind, version))
                    words[3] = hashlib.sha256(step or b"").hexdigest()
            lines.append(" ".join(words))
        made = {**edits, f"{self.schema}/RELEASED": _sealed(lines)}
        for kind, newest in self.newest.items():
            head = f"{self.schema}/{kind}/HEAD"
            versions = [v for v in range(1, newest + 1)]
            left = [v for v in versions if content(self.files_of[kind, v]) is not None]
            if left and head not in edits:
                made[head] = _head(content(self.files_of[kind, left[-1]]), left[-1])
        return {name: data for name, data in made.items() if data != _bytes(name)}


def _head(schema: bytes | None, version: int) -> bytes | None:
    from overwinter.contract.contract import head_line
    from overwinter.schema import InvalidSchemaError, read_schema

    try:
        return head_line(version, read_schema(json.loads(schema or b"")).fingerprint)
    except (InvalidSchemaError, ValueError):
        return b"? ?\n"


def _sealed(lines: list[str]) -> bytes:
    seal, sealed = "0" * 64, []
    for line in lines:
        words = " ".join(line.split()[:-1])
        seal = hashlib.sha256(f"{seal} {words}".encode()).hexdigest()
        sealed.append(f"{words} {seal}")
    return _text(sealed)


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _relative(path: Path) -> str:
    return path.relative_to(TREE).as_posix()


def _bytes(name: str) -> bytes | None:
    path = TREE / name
    return path.read_bytes() if path.exists() else None


# --- schema files -----------------------------------------------------------


def altered_schemas(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Give a schema file altered in one place, and what that is."""
    yield "white space", content + b"\n"
    plain = json.loads(content)
    for what, change in {
        "cardinality": lambda s: s.update(
            cardinality="one" if s["cardinality"] == "many" else "many"
        ),
        "version": lambda s: s.update(version=s["version"] + 1),
        "kind": lambda s: s.update(kind=s["kind"] + "x"),
        ": doc": lambda s: s.update(doc=s.get("doc", "") + " Or so."),
        "reserved": lambda s: (
            s.pop("reserved")
            if "reserved" in s
            else s.update(reserved={"ids": [99], "names": ["never"]})
        ),
    }.items():
        yield what, _changed(plain, (), change)
    for path in _fields(plain["fields"], ("fields",)):
        field = _at(plain, path)
        where = ".".join(str(part) for part in path)
        for what, change in _FIELD_CHANGES.items():
            yield f"{where} {field['name']}: {what}", _changed(plain, path, change)
        yield (
            f"{where} {field['name']}: delete",
            _changed(plain, path[:-1], lambda fields, n=path[-1]: fields.pop(n)),
        )
        for what, inner in _type_changes(field["type"]):
            yield (
                f"{where} {field['name']}: {what}",
                _changed(plain, path, lambda f, inner=inner: f.update(type=inner)),
            )


def _other_default(field: dict[str, Any]) -> None:
    if "default" in field:
        del field["default"]
    else:
        field["default"] = {"str": "x", "i64": 7, "bool": True}.get(
            field["type"] if isinstance(field["type"], str) else ""
        )


_FIELD_CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "type": lambda f: f.update(type="bytes" if f["type"] == "str" else "str"),
    "optional": lambda f: f.update(type={"optional": f["type"]}),
    "default": _other_default,
    "name": lambda f: f.update(name=f["name"] + "_x"),
    "id": lambda f: f.update(id=f["id"] + 90),
    "doc": lambda f: f.update(doc=f.get("doc", "") + " Or so."),
}


def _type_changes(kind: Any) -> Iterator[tuple[str, Any]]:
    """Give the type with one part of it altered, but for fields of records."""
    if not isinstance(kind, dict):
        return
    ((word, inner),) = kind.items()
    if word == "enum":
        yield "open", {word: {**inner, "open": not inner["open"]}}
        yield "one value less", {word: {**inner, "values": inner["values"][:-1]}}
        yield "one value more", {word: {**inner, "values": [*inner["values"], "x"]}}
    elif word == "union":
        yield "tag", {word: {**inner, "tag": "other"}}
        for name in inner["cases"]:
            cases = {n: case for n, case in inner["cases"].items() if n != name}
            yield f"no {name}", {word: {**inner, "cases": cases}}
    elif word != "record":
        for what, changed in _type_changes(inner):
            yield what, {word: changed}


def _fields(fields: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for number, field in enumerate(fields):
        yield (*path, number)
        yield from _fields_in(field["type"], (*path, number, "type"))


def _fields_in(kind: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    if not isinstance(kind, dict):
        return
    ((word, inner),) = kind.items()
    if word == "record":
        yield from _fields(inner, (*path, word))
    elif word == "union":
        for name, case in inner["cases"].items():
            yield from _fields(case, (*path, word, "cases", name))
    elif word != "enum":
        yield from _fields_in(inner, (*path, word))


def _at(plain: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        plain = plain[part]
    return plain


def _changed(plain: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> bytes:
    plain = copy.deepcopy(plain)
    change(_at(plain, path))
    return json.dumps(plain, indent=2).encode()


# --- steps ------------------------------------------------------------------


def altered_steps(source: str) -> Iterator[tuple[str, bytes]]:
    """Give the text of a step altered in one place, and what that is."""
    yield "white space", f"{source}\n".encode()
    places = [
        (number, what)
        for number, node in enumerate(_nodes(ast.parse(source)))
        for what in _mutations(node)
    ]
    for number, what in places:
        tree = ast.parse(source)
        node = _nodes(tree)[number]
        line = getattr(node, "lineno", 0)
        words = ast.unparse(node).splitlines()[0][:40]
        _mutations(node)[what]()
        yield f"line {line}, {words}: {what}", ast.unparse(tree).encode()


def _nodes(tree: ast.Module) -> list[ast.AST]:
    """Return the nodes of ``STEP = …``, in an order of their own."""
    step = next(node for node in tree.body if isinstance(node, ast.Assign))
    return list(ast.walk(step.value))


def _mutations(node: ast.AST) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    if isinstance(node, ast.Call):
        for index, argument in enumerate(node.args):
            if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name):
                found[f"without {argument.func.id} {index}"] = lambda index=index: (
                    node.args.pop(index)
                )
        for index, keyword in enumerate(node.keywords):
            found[f"without {keyword.arg}="] = lambda index=index: node.keywords.pop(
                index
            )
    elif isinstance(node, ast.Constant):
        found["altered"] = lambda: setattr(node, "value", _other(node.value))
    elif isinstance(node, ast.List) and not node.elts:
        found["altered"] = lambda: node.elts.append(ast.Constant(1))
    elif isinstance(node, ast.BinOp):
        swap = ast.Mult() if not isinstance(node.op, ast.Mult) else ast.FloorDiv()
        found["another operator"] = lambda: setattr(node, "op", swap)
    return found


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else 0


# --- trying -----------------------------------------------------------------


def copied(target: Path) -> Path:
    """Return a copy of what is tampered with, its packages under their names."""
    for name in COPIED:
        source = TREE / name
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
            shutil.copytree(source, target / name, ignore=ignored)
        else:
            shutil.copy(source, target / name)
    (target / "links").mkdir()
    for package, folder in {
        "overwinter": TREE / "src" / "overwinter",
        "overwinter_schema": target / "schema",
        "overwinter_migrations": target / "migrations",
    }.items():
        (target / "links" / package).symlink_to(folder)
    return target


def try_variant(folder: Path, variant: Variant) -> tuple[str, str]:
    """Return what became of a variant, ``caught`` at best, and what the tests said."""
    for name, content in variant.edits.items():
        path = folder / name
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    try:
        code, told = run_tests(folder)
    finally:
        for name in variant.edits:
            (folder / name).write_bytes((TREE / name).read_bytes())
    if code == 0:
        return "survived", told
    if code not in (1, 2):
        return f"pytest ended with {code}", told
    is_named = any(re.search(pattern, told) for pattern in variant.named)
    return "caught" if is_named else "caught, and not named", told


def run_tests(folder: Path, *, keeps_bytecode: bool = False) -> tuple[int, str]:
    """Run the selection in a child of this process, on the copy in *folder*."""
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = _pytest_in(folder, output.fileno(), keeps_bytecode)
            except BaseException:
                os.write(output.fileno(), traceback.format_exc().encode())
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        output.seek(0)
        told = output.read().decode("utf-8", "replace")
    return os.waitstatus_to_exitcode(status), told


def _pytest_in(folder: Path, output: int, keeps_bytecode: bool) -> int:
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(folder)
    sys.path[:0] = [str(folder / "links")]
    sys.dont_write_bytecode = not keeps_bytecode
    import pytest

    options = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "--no-header"]
    # The common one is tidied up by each session, while others do the same.
    options.append(f"--basetemp={folder / 'basetemp'}")
    code = int(pytest.main([*options, *SELECTION]))
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def preload() -> None:
    """Import what the tests import, but nothing of ours: each child does that."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    from _pytest.config import default_plugins

    for name in [
        *(f"_pytest.{each}" for each in default_plugins),
        *("attrs", "cattrs", "msgpack", "pytest", "runpy", "subprocess", "graphlib"),
        "cattrs.preconf.msgpack",
        "cryptography.hazmat.primitives.asymmetric.ed25519",
        "importlib.resources",
        "importlib.metadata",
    ]:
        importlib.import_module(name)
    for name in ("compression.zstd", "backports.zstd"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def listed() -> list[Variant]:
    """Return the variants, made by a child: this process stays without overwinter."""
    with tempfile.TemporaryFile() as file:
        child = os.fork()
        if child == 0:
            code = 70
            try:
                sys.path.insert(0, str(TREE / "src"))
                with tempfile.TemporaryDirectory() as folder:
                    sys.path.insert(0, str(copied(Path(folder)) / "links"))
                    pickle.dump(variants(), file)
                    file.flush()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0, "the variants could not be made"
        file.seek(0)
        found: list[Variant] = pickle.load(file)
    return found


class _Worker:
    """A process with a copy of its own."""

    folder: ClassVar[Path]
    untouched: ClassVar[str] = ""

    @classmethod
    def start(cls, root: str) -> None:
        cls.folder = folder = copied(Path(root) / str(os.getpid()))
        code, told = run_tests(folder, keeps_bytecode=True)
        if code != 0:
            cls.untouched = f"{told}\nthe tests fail on a copy that nobody touched"
        # Of tests alone: an altered step may have the size and second of another.
        for path in (*folder.glob("[!t]*"), folder / "tests" / "packages"):
            for cache in path.rglob("__pycache__"):
                shutil.rmtree(cache)

    @classmethod
    def attempt(cls, variant: Variant) -> tuple[Variant, str, str]:
        if cls.untouched:
            raise RuntimeError(cls.untouched)
        return variant, *try_variant(cls.folder, variant)


def main() -> int:
    """Try the variants; return 1 where one survives that should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, default=1, metavar="N")
    parser.add_argument("--only", default="", metavar="WORDS")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    preload()
    every = listed()
    chosen = [each for each in every if options.only in each.name][:: options.sample]
    if options.list:
        print("\n".join(each.name for each in chosen))
        return 0
    ends: Counter[str] = Counter()
    bad = 0
    # Forked before there is any thread, so that each may fork again.
    with (
        tempfile.TemporaryDirectory() as root,
        get_context("fork").Pool(options.jobs, _Worker.start, [root]) as pool,
    ):
        for variant, end, told in pool.imap(_Worker.attempt, chosen):
            if end == "survived" and variant.is_awaited:
                end = "await their golden bundle"
            elif end != "caught":
                bad += 1
                print(f"{end}: {variant.name}", flush=True)
                if options.verbose or end.startswith("pytest"):
                    print(told)
            ends[end] += 1
    seconds = time.perf_counter() - started
    counts = ", ".join(f"{number} {end}" for end, number in sorted(ends.items()))
    print(f"{len(chosen)} of {len(every)} variants in {seconds:.0f} s: {counts}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
