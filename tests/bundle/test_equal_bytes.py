"""Equal input gives equal bytes: on every Python, under every hash seed, by threads."""

import subprocess
import sys

from bundles import environ_of_child

from overwinter.bundle.blocks import zstd

# Sets and maps are walked in the order of the seed. Payloads of all sizes, more
# than is on its way at once, so that several threads work on them.
PROGRAM = """
import hashlib, io
from bundles import *
from overwinter.bundle.union import Listed, write_union

BOTH = stamp_of(
    "acme/both", {"one": PAYLOAD, "two": OPTIONAL_PAYLOAD, "notes": {"map": "opaque"}}
)
NAMES = {"alpha", "beta", "gamma", "delta", "epsilon"}
EDGES = {0, 1, 255, 256, 4095, 4096, 65535, 65536, 65537, 2**22, 2**22 + 1, 2**23 + 5}

def payload(name, size):
    # Half noise, half text: some blocks are compressed, others are not.
    noise = hashlib.shake_256(name.encode()).digest(size // 2)
    return noise + (name.encode() * size)[: size - len(noise)]

def records(part):
    small = {f"{part}{n:03d}": payload(f"{n % 250}", n % 250 * 20) for n in range(600)}
    large = {f"{part}{size}": payload("edge", size) for size in EDGES}
    both = {
        name: {
            "key": name,
            "one": payload(part + name, 300_000),
            "two": None if name == "beta" else payload("edge", 65537),
            "notes": dict.fromkeys(NAMES, name),
        }
        for name in NAMES
    }
    kinds = {
        "small": plans(*small.items(), environment=ENVIRONMENT),
        "large": plans(*large.items()),
        "null": tiles(*((key, large.get(key)) for key in {*small, *large})),
        "both": records_of(BOTH, both.values(), {n: sorted(NAMES) for n in NAMES}),
    }
    return [kinds[name] for name in set(kinds)]

def digest(data):
    return hashlib.sha256(data).hexdigest()

for level in (0, 3):
    parts = {name: built(*records(name), level=level) for name in {"p", "q"}}
    listed = [
        Listed(name, entry)
        for name, data in parts.items()
        for entry in Bundle(data).trailer.segments
    ]
    file = io.BytesIO()
    write_union(file, listed, lambda name: BytesSource(parts[name]), writer="tests 1")
    print(digest(parts["p"]), digest(file.getvalue()))
"""

# Of a bundle, and of a union of two.
STORED = (
    "c780dd5197b94d305858decebd090a5404bbb90b38d58f8baeee24afd9b3e929 "
    "9c677bbdde7f2ff8f2622fc2af7484fbc4513a97a5288c69c13de9dd0da4e463"
)
# By version of libzstd, whose releases may compress otherwise.
COMPRESSED = {
    (1, 5, 7): (
        "44328ed6daa149cbff4c8cdf1a2e62de35ca7abab46e40a08b65dcbbb82da0ca "
        "6df6b70fa2dac2d7a84a732ca283bdce27916415e8cfc4bc6829dc55a7321b54"
    ),
}


def digests(seed):
    """Return what a process of its own makes: of a bundle and a union, by level."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environ_of_child(PYTHONHASHSEED=str(seed)),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.splitlines()


def test_neither_the_hash_seed_nor_threads_nor_the_python_show():
    """Twenty seeds give the literals, which are the same for every Python."""
    found = {tuple(digests(seed)) for seed in range(20)}

    ((stored, compressed),) = found
    assert stored == STORED
    assert compressed == COMPRESSED.get(zstd.zstd_version_info, compressed)
