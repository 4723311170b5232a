"""Doing everything once with sound bundles, so that later nothing is imported."""

import concurrent.futures.thread  # noqa: F401
import encodings.unicode_escape  # noqa: F401
import fcntl  # noqa: F401
import getpass  # noqa: F401
import grp  # noqa: F401
import mmap  # noqa: F401
import pwd  # noqa: F401
import shlex  # noqa: F401
import shutil
import traceback  # noqa: F401
import unicodedata  # noqa: F401
from contextlib import suppress

from bundles import built, sample
from test_load import ARTIFACTS

from attacks.entry_points import ENTRY_POINTS, Case
from attacks.graphs import MACHINE, STRANGER, graphs
from attacks.harness import Sandbox
from overwinter import CacheArtifactFactory
from overwinter.encode import encode
from overwinter.errors import OverwinterError

__all__ = ["warm"]


def warm(sandbox: Sandbox) -> None:
    """Call each entry point with a sound bundle, a damaged one, and none."""
    CacheArtifactFactory.discover()
    sound = graphs().file()
    for data in (
        sound,
        graphs(signers=[STRANGER]).file(),
        graphs(stored={1: (b"damaged", 1)}).file(),
        sample(),
        built(*encode(ARTIFACTS, MACHINE)),
        built(*encode(ARTIFACTS[::-1] * 2, MACHINE)),
        sound[:-40],
        b"no bundle",
    ):
        path = sandbox.given / "bundle.owb"
        path.write_bytes(data)
        case = Case(sandbox, path)
        for point in ENTRY_POINTS.values():
            with suppress(OverwinterError):
                point.call(case)
        for path in sandbox.out.iterdir():
            path.unlink()
        shutil.rmtree(sandbox.cache, ignore_errors=True)
