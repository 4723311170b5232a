"""
Write the golden bundle of a release: ``python tests/golden/write.py 0.1.0``.

Run once, at the commit of the release, by the code of the release. The files are
a promise: no later release may change them, and every later one must read them.
"""

import hashlib
import json
import sys
from pathlib import Path

from overwinter import CacheArtifact, CacheArtifactFactory
from overwinter.save import save
from overwinter.trust import SigningKey

# Not a secret: it signs golden files and nothing else.
KEY = SigningKey(bytes(range(32)))

ENVIRONMENT: dict[str, str | list[str]] = {
    "cpu_arch": "x86_64",
    "cpu_flags": ["avx", "avx2", "fma", "sse2"],
    "libc": "glibc 2.36",
    "os": "linux",
    "python_include": "/usr/include/python3.11",
    "python_prefix": "/usr",
    "python_tag": "cpython-311",
    "torch_key": "00" * 32,
    "torch_prefix": "/usr/lib/python3/dist-packages/torch",
    "torch_version": "2.13.0+cpu",
    "vector_isa": "avx2",
}

AUTOTUNE = [
    # As torch writes it, and three ways in which somebody else might.
    b'{"XBLOCK": 1024, "num_warps": 8, "num_stages": 1, "configs_hash": "9f86d081", '
    b'"found_by_coordesc": false, "time_taken_ms": 12, "triton_cache_hash": "QUJD"}',
    b'{"num_warps": 4, "num_stages": 3, "RBLOCK": 2.5, "XBLOCK": 1, '
    b'"found_by_coordesc": true, "time_taken_ms": 0, "triton_cache_hash": null}',
    b'{"XBLOCK":1e3,"time_taken_ms":12.75}',
    b"not JSON at all",
]


def content(name: str, size: int) -> bytes:
    """Return *size* bytes that only *name* decides, half of them compressible."""
    noise = b"".join(
        hashlib.sha256(f"{name} {number}".encode()).digest()
        for number in range(size // 64 + 1)
    )
    return (noise + bytes(size))[:size]


def key(prefix: str, name: str) -> str:
    """Return a key of torch's shape: a letter and 51 characters of base 32."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return prefix + digest.translate(str.maketrans("0189", "ghij"))[:51]


def first_save() -> list[CacheArtifact]:
    """Return what the golden bundle's first segment holds."""
    entries = [
        ("inductor", key("f", "one"), content("variant a", 9_000)),
        ("inductor", key("f", "one"), content("variant b", 9_100)),
        ("inductor", key("f", "empty"), b""),
        ("aot_autograd", key("a", "one"), content("aot", 30_000)),
        ("pgo", "job-17:0:main", content("pgo", 400)),
        ("precompile", hashlib.sha256(b"fn").hexdigest(), content("package", 5_000)),
        ("native", "torchinductor/2x/c2xx.main.so", content("kernel", 50_000)),
    ]
    entries += [
        ("autotune", f"{number}a/{'c' * 51}.best_config", each)
        for number, each in enumerate(AUTOTUNE)
    ]
    return [CacheArtifactFactory.create(*entry) for entry in entries]


def second_save() -> list[CacheArtifact]:
    """Return what its second segment holds: one payload of several blocks."""
    return [
        CacheArtifactFactory.create(
            "inductor", key("f", "large"), content("large", 3_000) * 3_000
        )
    ]


def main(version: str) -> None:
    """Write ``bundle.owb`` and what a reader must find in it."""
    folder = Path(__file__).parent / version
    folder.mkdir()
    for artifacts in (first_save(), second_save()):
        save(folder / "bundle.owb", artifacts, environment=ENVIRONMENT, key=KEY)
    expected = sorted(
        [
            artifact.type(),
            artifact.key,
            len(artifact.content),
            hashlib.sha256(artifact.content).hexdigest(),
        ]
        for artifact in [*first_save(), *second_save()]
    )
    text = json.dumps(expected, indent=1) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
