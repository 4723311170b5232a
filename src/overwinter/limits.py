"""
Sizes that a reader accepts, each with its reason.

A limit is compared before anything is allocated; nothing here is a target.
"""

__all__ = [
    "MAX_BLOCK",
    "MAX_BLOCK_ROWS",
    "MAX_DEPTH",
    "MAX_FAULTS",
    "MAX_HEADER",
    "MAX_KEY",
    "MAX_PATH_PART",
    "MAX_PAYLOADS",
    "MAX_RECORD_BLOCK",
    "MAX_RECOVERY_SCAN",
    "MAX_SEGMENTS",
    "MAX_SIGNATURES",
    "MAX_STATEMENT",
    "MAX_VARIANTS",
    "MAX_WINDOW_LOG",
]

KIB, MIB, GIB = 2**10, 2**20, 2**30

# A header holds a few names; the prefix itself promises this bound.
MAX_HEADER = 64 * KIB

# About 120 bytes for each record block, so some 500,000 blocks or 10^9 records.
MAX_STATEMENT = 64 * MIB

# 160 bytes each: 400 signers of one segment.
MAX_SIGNATURES = 64 * KIB

# The trailer repeats the list at every append; 48 MiB at this count.
MAX_SEGMENTS = 2**20

# Written payload blocks hold 4 MiB. A reader must hold one block to verify it, so
# this is what one damaged size can cost in memory.
MAX_BLOCK = GIB

# Written record blocks hold 2,048 records, mostly less than 1 MiB. Decoding takes
# up to 72 times the bytes (a byte is an empty map), hence less than a payload block.
MAX_RECORD_BLOCK = 64 * MIB

# Different payloads of one record block together, of which one is whole: 32 MiB
# are written, or a single payload of any size up to this.
MAX_PAYLOADS = 4 * GIB

# Records of one block; a list of as many nulls takes 8 MiB.
MAX_BLOCK_ROWS = 2**20

# Levels of lists and maps inside one value. Plain data needs fewer than ten;
# deeper input only exists to exhaust a stack.
MAX_DEPTH = 32

# zstd's window: 128 MiB, what its own `--long` uses and decoders accept.
MAX_WINDOW_LOG = 27

# Bytes read to find the last whole trailer behind a torn append: some two seconds.
MAX_RECOVERY_SCAN = GIB

# Longest key, in UTF-8 bytes: a path on Linux has at most 4,096.
MAX_KEY = 4096

# Longest name of one file or folder, in bytes, on every file system in use.
MAX_PATH_PART = 255

# Faults listed in one error: enough to see a pattern, few enough to read.
MAX_FAULTS = 20

# Variants of one key that a repack keeps: a graph compiled under more guards than
# this is recompiled all the time anyway, and every variant is tried in turn.
MAX_VARIANTS = 8
