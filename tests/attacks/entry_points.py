"""
Where an attack is tried: every public way into the library that takes a bundle.
"""

import contextlib
import io
import unicodedata
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import attrs
from bundles import KEY

from attacks.graphs import MACHINE, NOBODY, TRUSTING, graphs
from attacks.harness import Sandbox
from overwinter import Bundle, CacheArtifactManager, load, save
from overwinter.bundle import verify
from overwinter.cli.main import main
from overwinter.diff import diff
from overwinter.kinds import InductorArtifact
from overwinter.repack import repack
from overwinter.torch.megacache import is_megacache, read_megacache
from overwinter.trust import Policy
from overwinter.union import union
from overwinter.upgrade import plan_upgrade, upgrade

__all__ = ["ENTRY_POINTS", "Case", "EntryPoint"]

_EXIT_CODES = range(7)
_MEGACACHE = 2**24  # torch reads these whole, so nobody gives it a hole


@attrs.define
class Case:
    """A bundle to be tried, where it lies, and where its results go."""

    sandbox: Sandbox
    path: Path
    policy: Policy = TRUSTING
    _count: int = 0

    @property
    def out(self) -> Path:
        """Return where nothing is yet."""
        self._count += 1
        return self.sandbox.out / f"{self._count}.owb"

    @property
    def sound(self) -> Path:
        """Return the path of a bundle with which nothing is wrong."""
        path = self.sandbox.given / "sound.owb"
        if not path.exists():
            path.write_bytes(graphs().file())
        return path


@attrs.frozen
class EntryPoint:
    """
    One way in.

    Args:
        call: What is called.
        writes: Names of the sandbox's folders that it may write to.
    """

    call: Callable[[Case], Any]
    writes: tuple[str, ...] = ()


def _signers(case: Case) -> Any:
    with Bundle(case.path) as bundle:
        return [segment.signers for segment in bundle.segments]


def _keys(case: Case) -> Any:
    with Bundle(case.path) as bundle:
        return bundle.keys()


def _ask(case: Case, how: str) -> Any:
    with Bundle(case.path) as bundle:
        named = {
            (block.kind.kind, block.stamp.first)
            for segment in bundle.segments
            for block in islice(segment.blocks, 3)
        }
        return [
            list(each.fields)
            for kind, key in sorted(named)[:10]
            for each in (bundle.fetch if how == "fetch" else bundle.view)(kind, key)
        ]


def _verify(case: Case) -> Any:
    with Bundle(case.path) as bundle:
        return list(verify(bundle))


def _load(case: Case, **options: Any) -> Any:
    info = load(
        case.path,
        environment=MACHINE,
        directories={"torchinductor": lambda: str(case.sandbox.cache)},
        **{"policy": case.policy, **options},
    )
    return info, str(info), info.as_dict()


def _manager(case: Case) -> Any:
    loaded = CacheArtifactManager.deserialize(
        case.path.read_bytes() if case.path.stat().st_size < 2**30 else case.path,
        policy=case.policy,
        environment=MACHINE,
    )
    return (CacheArtifactManager.populate_caches(loaded),)


def _append(case: Case) -> Any:
    path = case.sandbox.out / "appended.owb"
    path.unlink(missing_ok=True)
    path.write_bytes(case.path.read_bytes()[: 2**26])
    artifact = InductorArtifact("f" + "z" * 51, b"mine")
    return save(path, [artifact], key=KEY, environment=MACHINE)


def _megacache(case: Case) -> Any:
    with case.path.open("rb") as file:
        data = file.read(min(_MEGACACHE, case.path.stat().st_size))
    return is_megacache(data), read_megacache(data)


def _command(*words: str) -> Callable[[Case], Any]:
    """Return what runs a command; FILE is the attack, OUT a new file."""

    def call(case: Case) -> Any:
        names = {"FILE": case.path, "SOUND": case.sound}
        arguments = [
            str(case.out) if word == "OUT" else str(names.get(word, word))
            for word in words
        ]
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            code = main(arguments)
        text = shown.getvalue()
        assert code in _EXIT_CODES, f"exit code {code}"
        odd = {
            each
            for each in set(text) - {"\n", "\t"}
            if unicodedata.category(each) in ("Cc", "Cf", "Cs")
        }
        assert not odd, f"prints {sorted(odd)!a:.200}"
        assert "Traceback" not in text
        return code, text

    return call


ENTRY_POINTS = {
    "signers": EntryPoint(_signers),
    "keys": EntryPoint(_keys),
    "fetch": EntryPoint(lambda case: _ask(case, "fetch")),
    "view": EntryPoint(lambda case: _ask(case, "view")),
    "verify": EntryPoint(_verify),
    "diff": EntryPoint(lambda case: diff(case.path, case.sound).as_dict()),
    "diff, other side": EntryPoint(lambda case: diff(case.sound, case.path).as_dict()),
    "union": EntryPoint(
        lambda case: union([case.sound, case.path], case.out), ("out",)
    ),
    "plan_upgrade": EntryPoint(
        lambda case: plan_upgrade(case.path, policy=case.policy).as_dict()
    ),
    "upgrade": EntryPoint(
        lambda case: upgrade(case.path, case.out, policy=case.policy, key=KEY), ("out",)
    ),
    "repack": EntryPoint(
        lambda case: repack(case.path, case.out, policy=case.policy, key=KEY), ("out",)
    ),
    "load": EntryPoint(_load, ("cache",)),
    "load, nobody trusted": EntryPoint(lambda case: _load(case, policy=NOBODY)),
    "load, required": EntryPoint(
        lambda case: _load(case, policy=NOBODY, required=True)
    ),
    "load, strict": EntryPoint(lambda case: _load(case, strict=True), ("cache",)),
    "manager": EntryPoint(_manager, ("cache",)),
    "save": EntryPoint(_append, ("out",)),
    "read_megacache": EntryPoint(_megacache),
    "inspect": EntryPoint(_command("inspect", "FILE")),
    "inspect --keys": EntryPoint(_command("inspect", "--keys", "--json", "FILE")),
    "verify, command": EntryPoint(_command("verify", "FILE")),
    "diff, command": EntryPoint(_command("diff", "FILE", "SOUND")),
    "union, command": EntryPoint(
        _command("union", "FILE", "SOUND", "--out", "OUT"), ("out",)
    ),
    "migrate plan": EntryPoint(_command("migrate", "plan", "FILE")),
    "upgrade, command": EntryPoint(
        _command("upgrade", "FILE", "--out", "OUT"), ("out",)
    ),
    "repack, command": EntryPoint(_command("repack", "FILE", "--out", "OUT"), ("out",)),
    "trust why": EntryPoint(_command("trust", "why", "FILE")),
}
