"""
Try the corpus by hand: ``python -m tests.attacks [--measure] [WORDS...]``.

Prints whatever an attack gets that it may not; with ``--measure`` also the time and
memory of each at each entry point, the best of three, and what is beyond the promise:
50 ms and 32 MiB for each MiB of a file that is refused. Exits with 1 for either.
"""

import argparse
import logging
import sys
import tempfile
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TREE), str(TREE / "packages")]

from attacks.attack import (  # noqa: E402  # noqa: E402
    REFUSED,
    SEGMENT_REFUSED,
    UNTRUSTED,
    account,
    cases,
    judged,
    run,
)
from attacks.corpus import FAMILIES, OPEN, is_tried  # noqa: E402
from attacks.entry_points import ENTRY_POINTS  # noqa: E402
from attacks.harness import MIB, Sandbox  # noqa: E402
from attacks.warming import warm  # noqa: E402

MS_FOR_ONE = 50
# What a refused file is promised at; others read what was not refused.
PROMISED = ("signers", "load", "load, nobody trusted", "load, required", "trust why")


def main() -> int:
    """Try what the arguments name, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks")
    parser.add_argument("words", nargs="*", help="parts of names of attacks")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--closed", action="store_true", help="leave out what is open")
    arguments = parser.parse_args()
    logging.getLogger("overwinter").addHandler(logging.NullHandler())
    root = Path(tempfile.mkdtemp(prefix="attacks-"))
    sandbox, bad, n_tried = Sandbox.below(root), 0, 0
    with account(sandbox):
        warm(sandbox)
        for family, holder in FAMILIES.items():
            for attack in holder.attacks:
                if not all(
                    word in f"{family} {attack.name}" for word in arguments.words
                ):
                    continue
                case = cases(attack, sandbox)
                size = max(1, case.path.stat().st_blocks * 512 / MIB)
                is_promised = attack.outcome in (REFUSED, SEGMENT_REFUSED, UNTRUSTED)
                for entry in ENTRY_POINTS:
                    if entry in attack.without or (
                        arguments.closed and not is_tried(attack, entry)
                    ):
                        continue
                    n_tried += 1
                    results, found = [], []
                    for _ in range(3 if arguments.measure else 1):
                        results.append(run(case, entry, traced=attack.traced))
                        found = [*judged(attack, case, entry, results[-1])]
                    ms = min(each.seconds for each in results) * 1000
                    if arguments.measure:
                        memory = min(each.n_bytes for each in results) / MIB
                        print(
                            f"{attack.name:32} {entry:20} {ms:.1f} ms {memory:5.0f} MiB"
                        )
                        asked = is_promised or entry == "signers"
                        if asked and entry in PROMISED and ms > MS_FOR_ONE * size:
                            found.append(
                                f"takes {ms:.0f} ms, {MS_FOR_ONE * size:.0f} promised"
                            )
                    is_open = (attack.name, entry) in OPEN
                    bad += bool(found) and not is_open
                    for each in found:
                        print(f"{attack.name}, {entry}: {each}" + (" (open)" * is_open))
    print(f"{n_tried} calls, {bad} of them with something that may not be")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
