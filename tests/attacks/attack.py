"""
An attack by a file, and what must become of it.

`Attack` says what the bytes do and what the answer is; `violations` tries it at one
entry point and returns whatever happened that may not.
"""

import contextlib
import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import attrs
from bundles import KEY
from forging import Forgery

from attacks.entry_points import ENTRY_POINTS, Case
from attacks.graphs import CANARIES, TRUSTING
from attacks.harness import MIB, Sandbox, Tried, snapshot, tried
from overwinter.bundle import verifying
from overwinter.errors import FormatError, OverwinterError, VersionError
from overwinter.trust import Policy, public_text

__all__ = [
    "FAILED",
    "KEYS_REFUSED",
    "MISNAMED",
    "ODD_COLUMN",
    "OPAQUE",
    "QUARANTINED",
    "REFUSED",
    "SEGMENT_REFUSED",
    "SKIPPED",
    "SOUND",
    "TAIL_IGNORED",
    "TORN",
    "UNTRUSTED",
    "Attack",
    "Outcome",
    "account",
    "cases",
    "violations",
]


ANY = "any"


@attrs.frozen
class Outcome:
    """
    What becomes of an attack.

    Args:
        name: For people.
        found: What verifying finds; ``None`` where it cannot even be opened.
        noted: The lists of a load's report of which one names it.
        populates: Whether the load may put something into the cache, which then
            is what was signed; ``None`` where the rest of the bundle may.
    """

    name: str
    found: str | None
    noted: str
    populates: bool | None = False


REFUSED = Outcome("file refused", None, "problems")
SEGMENT_REFUSED = Outcome("segment refused", verifying.REFUSED, "problems")
# How far a search for the last whole trailer goes is the reader's choice.
TORN = Outcome("tail ignored, or file refused", ANY, "problems", None)
TAIL_IGNORED = Outcome("tail ignored", verifying.TAIL_IGNORED, "problems", None)
QUARANTINED = Outcome("quarantined", verifying.QUARANTINED, "quarantined", None)
# Sound bytes, and not what a kind takes.
KEYS_REFUSED = Outcome("keys refused", "", "quarantined")
OPAQUE = Outcome("opaque", "", "opaque")
# A schema that lies: a reader may see that it does, or that the bytes are not so.
MISNAMED = Outcome("opaque or quarantined", ANY, "opaque quarantined")
UNTRUSTED = Outcome("not populated, for trust", "", "refused")
SKIPPED = Outcome("skipped for its environment", "", "skipped")
FAILED = Outcome("failed", "", "failed")
# A column that no reader of today looks at, so that only verifying finds it.
ODD_COLUMN = Outcome("found out", verifying.QUARANTINED, "artifacts", True)
SOUND = Outcome("sound", "", "artifacts", True)

_LEAVES = (OverwinterError,)
# Nobody may take more beyond what a process has, for each MiB of the file.
_MIB_FOR_ONE = 32
_ASKED_AGAIN = 2
_LEAST = 1 / 4


@attrs.frozen
class Attack:
    """
    A bundle that lies.

    Args:
        name: What it is called.
        says: What it does, in a sentence.
        build: Returns its bytes, or what forges them; or writes them to a path.
        outcome: What becomes of it.
        signed: What of it may get into the cache.
        declares: Mebibytes of memory that what it says of itself explains, beside
            those that every file may take; known before a block is read.
        writes: Whether `build` wants a path to write to, for a file with a hole.
        policy: Whom the machine trusts, where it is not the key of the tests; or what
            returns it.
        traced: Whether its memory is counted exactly.
        without: Entry points that would rightly copy all of that.
    """

    name: str
    says: str
    build: Callable[..., "Forgery | bytes | None"]
    outcome: Outcome
    signed: tuple[bytes, ...] = (*CANARIES, b"first", b"second", b"")
    declares: int = 0
    writes: bool = False
    without: tuple[str, ...] = ()
    traced: bool = False
    policy: "Policy | Callable[[], Policy]" = TRUSTING

    def write(self, path: Path) -> None:
        """Write the bundle to *path*."""
        if self.writes:
            self.build(path)
            return
        made = self.build()
        assert made is not None
        path.write_bytes(made.file() if isinstance(made, Forgery) else made)


@contextlib.contextmanager
def account(sandbox: Sandbox) -> Iterator[None]:
    """Be an account that lives in *sandbox*, and trusts the key of the tests."""
    environ = {
        **sandbox.environ,
        "OVERWINTER_TRUSTED_KEYS": f"t:{public_text(KEY.public)}",
    }
    environ["OVERWINTER_SIGNING_KEY"] = (
        "overwinter-secret-key-ed25519:" + "A" * 43 + "="
    )
    before = os.getcwd()
    os.chdir(sandbox.root / "cwd")
    try:
        with mock.patch.dict(os.environ, environ):
            yield
    finally:
        os.chdir(before)


def cases(attack: Attack, sandbox: Sandbox) -> Case:
    """Return *attack* written into *sandbox*."""
    path = sandbox.given / "bundle.owb"
    attack.write(path)
    policy = attack.policy
    case = Case(sandbox, path, policy if isinstance(policy, Policy) else policy())
    assert case.sound
    return case


def violations(attack: Attack, case: Case, entry: str) -> list[str]:
    """
    Try *attack* at one entry point; return what may not be.

    Pages belong to the process, and how many an earlier call left to be used again is
    chance. It only ever adds, so a call that seems to take too many is asked again.
    """
    found = run(case, entry, traced=attack.traced)
    for _ in range(_ASKED_AGAIN):
        if found.n_bytes <= _bound(attack, case):
            break
        shutil.rmtree(case.sandbox.cache, ignore_errors=True)
        for path in case.sandbox.out.iterdir():
            path.unlink()
        gc.collect()
        again = run(case, entry, traced=attack.traced)
        found.n_bytes = min(found.n_bytes, again.n_bytes)
        found.violations += again.violations
    return [*judged(attack, case, entry, found)]


def _bound(attack: Attack, case: Case) -> float:
    """Return the bytes that a call may take."""
    size = case.path.stat().st_blocks * 512
    # What is counted exactly needs no room for what else a process does.
    least = _LEAST if attack.traced else 1
    return (_MIB_FOR_ONE * max(least, size / MIB) + attack.declares) * MIB


def run(case: Case, entry: str, *, traced: bool = False) -> Tried:
    """Call one entry point, and return what it did."""
    point, sandbox = ENTRY_POINTS[entry], case.sandbox
    before = _outside(sandbox, point.writes)
    found = tried(
        lambda: point.call(case),
        *(sandbox.root / name for name in point.writes),
        expected=_LEAVES,
        traced=traced,
    )
    after = _outside(sandbox, point.writes)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            found.violations.append(f"{name} was changed")
    return found


def _outside(sandbox: Sandbox, writes: tuple[str, ...]) -> dict[str, Any]:
    return {
        name: info
        for name, info in snapshot(sandbox.root).items()
        if name.partition("/")[0] not in writes
    }


def judged(attack: Attack, case: Case, entry: str, found: Tried) -> Iterator[str]:
    """Give what may not be about what a call did, and empty the cache for the next."""
    yield from found.violations
    bound = _bound(attack, case)
    if found.n_bytes > bound:
        yield f"takes {found.n_bytes / MIB:.0f} MiB, at most {bound / MIB:.0f}"
    error, outcome = found.error, attack.outcome
    cached = case.sandbox.cached() if case.sandbox.cache.exists() else {}
    for path, content in cached.items():
        if content not in attack.signed:
            yield f"{path} in the cache holds what nobody signed: {content!r:.80}"
        if ".overwinter" in path:
            yield f"{path} is left in the cache"
    if outcome.populates is False and cached:
        yield f"populates {sorted(cached)}"
    shutil.rmtree(case.sandbox.cache, ignore_errors=True)
    for path in case.sandbox.out.iterdir():
        path.unlink()
    if outcome.found is None and entry in ("signers", "keys", "verify"):
        if not isinstance(error, FormatError | VersionError):
            yield f"expected it refused, got {error!r}"
    elif entry == "verify" and outcome.found != ANY:
        outcomes = {each.outcome for each in found.value or ()}
        if (outcome.found or "") not in (outcomes or {""}):
            yield f"expected {outcome.found!r}, got {found.value!r:.300} {error!r}"
    elif entry in ("load", "manager"):
        info = found.value and found.value[0]
        if not info or not any(getattr(info, each) for each in outcome.noted.split()):
            yield f"expected {outcome.noted}, got {found.value!r:.500} {error!r}"
        elif outcome.populates and not cached:
            yield "populates nothing"
    elif entry == "load, strict" and outcome in (
        REFUSED, SEGMENT_REFUSED, TAIL_IGNORED, QUARANTINED, KEYS_REFUSED, UNTRUSTED
    ):  # fmt: skip
        if error is None or cached:
            yield f"expected an error, got {found.value!r:.300}"
    elif entry == "load, required" and outcome in (UNTRUSTED, SOUND) and error is None:
        yield "expected a TrustError: nobody is trusted"


def digest(data: bytes) -> bytes:
    """Return the SHA-256 of *data*."""
    return hashlib.sha256(data).digest()
