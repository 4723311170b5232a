"""Path escapes by key: keys that would be files elsewhere, were they paths."""

from functools import partial

from bundles import built
from test_load import ARTIFACTS, GRAPH, HOSTILE, ODD

from attacks.attack import FAILED, KEYS_REFUSED, SOUND, Attack
from attacks.graphs import CANARIES, MACHINE
from overwinter.artifact import CacheArtifact
from overwinter.bundle import Records
from overwinter.encode import encode
from overwinter.kinds import InductorArtifact, NativeArtifact, PGOArtifact

# What no kind takes.
EVERYWHERE = [
    *HOSTILE, "/outside", "..", "../../../../../../../../etc/cron.d/outside",
    "a/../..", "\\outside", "a\\..\\..\\outside", "x\x1b[2J", "x\x7f",
    "x" * 4097, "",
]  # fmt: skip
# What those do not take whose keys are no job's free text.
GRAMMARS = [
    *ODD, ".", ".hidden", ".overwinter-1/x", "~/outside", "C:/outside", "a//outside",
    "outside/", "a\u2028outside", "a\u202eoutside", "\uff0e\uff0e/outside",
    "%2e%2e/outside", "$HOME/outside", "torchinductor", "torchinductor/",
    "torchinductor/.", "torchinductor/..", "torchinductor//proc/self/mem",
    "torchinductor" + "/a" * 17, "torchinductor/" + "a" * 256, "torchinductor/a\tb",
    "TORCHINDUCTOR/a", "torchinductor/\u0430", GRAPH.upper(), GRAPH + " ", GRAPH[:-1],
]  # fmt: skip


def _with(key: str, artifacts: list[CacheArtifact]) -> bytes:
    """Return *artifacts*, each under *key*."""
    groups = []
    for artifact in artifacts:
        (group,) = encode([artifact], MACHINE)
        columns = {**group.columns, "key": [key]}
        groups.append(
            Records(group.stamp, columns, group.payload_names, group.environment)
        )
    return built(*groups)


def _native(key: str, mode: int) -> bytes:
    return built(*encode([NativeArtifact(key, CANARIES[0], mode)], MACHINE))


def _pgo(key: str) -> bytes:
    return built(*encode([PGOArtifact(key, CANARIES[0])], MACHINE))


def _file_as_folder() -> bytes:
    """Return two files, of which one would have to be a folder for the other."""
    return built(
        *encode(
            [
                NativeArtifact("torchinductor/aa", CANARIES[0]),
                NativeArtifact("torchinductor/aa/b.so", CANARIES[1]),
            ],
            MACHINE,
        )
    )


def _two_kinds_one_file() -> bytes:
    graph = InductorArtifact(GRAPH, CANARIES[0])
    path = f"torchinductor/{graph.cache_entry().path}"
    return built(*encode([graph, NativeArtifact(path, CANARIES[1])], MACHINE))


_TEXT = [each for each in ARTIFACTS if each.type() != "pgo"]

ATTACKS = [
    *(
        Attack(
            f"key_{number}", f"Artifacts of every kind under the key {key!a:.50}.",
            partial(_with, key, ARTIFACTS), KEYS_REFUSED,
        )
        for number, key in enumerate(EVERYWHERE)
    ),
    *(
        Attack(
            f"key_of_grammars_{number}",
            f"Artifacts of every kind but pgo under the key {key!a:.50}.",
            partial(_with, key, _TEXT), KEYS_REFUSED,
        )
        for number, key in enumerate(GRAMMARS)
    ),
    Attack("unknown_cache", "A library for a cache that is called etc.",
           partial(_native, "etc/passwd", 0o755), FAILED),
    Attack("mode_7777", "A library with the bits that make it run as its owner.",
           partial(_native, "torchinductor/a.so", 0o7777), SOUND),
    Attack("mode_0", "A library that nobody may read.",
           partial(_native, "torchinductor/a.so", 0), SOUND),
    Attack("mode_2_63", "A library whose mode is all bits.",
           partial(_native, "torchinductor/a.so", 2**63 - 1), SOUND),
    Attack("mode_negative", "A library whose mode is below zero.",
           partial(_native, "torchinductor/a.so", -(2**63)), SOUND),
    Attack("job_with_slashes", "A job's name that would be folders.",
           partial(_pgo, "a/b/c:0:t"), SOUND),
    Attack("job_with_colons", "A job's name of what file systems treat apart.",
           partial(_pgo, "C:<>|?*\":0:t"), SOUND),
    Attack("two_kinds_one_file", "A graph, and a library that has the graph's place.",
           _two_kinds_one_file, SOUND),
    Attack("file_as_folder", "A file, and another in it.", _file_as_folder, SOUND),
]  # fmt: skip
