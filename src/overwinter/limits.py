"""
Sizes that a reader accepts, each with its reason.

A limit is compared before anything is allocated; nothing here is a target. Together
they bound what a forger's bytes can cost:

- What is refused, a file, a segment or a block, takes some 50 ms and 32 MiB at most for
  1 MiB of it; a bundle that claims 1 TiB is opened in as little.
- What is sound takes time and memory in proportion to the sizes that it declares,
  which are known before a block is read. To list keys, to verify and to compare takes
  32 MiB at most beside one record block and what is decoded of it: 24 times its size
  in the worst case. Payloads are hashed as they pass.
- To fetch or to load is to hold what was asked for. A byte may be an empty map, which
  takes 64 when it is built.

Layout: ``schema/FORMAT.md``, "What a reader may refuse".
"""

__all__ = [
    "MAX_BLOCK",
    "MAX_BLOCKS",
    "MAX_BLOCK_ROWS",
    "MAX_COLUMNS",
    "MAX_DEPTH",
    "MAX_ENDS",
    "MAX_ENVIRONMENTS",
    "MAX_EXTENTS",
    "MAX_FAULTS",
    "MAX_FIELDS",
    "MAX_HEADER",
    "MAX_KEY",
    "MAX_KINDS",
    "MAX_MAP_KEYS",
    "MAX_NODES_SEEN",
    "MAX_OBJECT",
    "MAX_PATH_PART",
    "MAX_PAYLOADS",
    "MAX_RECORD_BLOCK",
    "MAX_RECOVERY_SCAN",
    "MAX_SCHEMA_NODES",
    "MAX_SEGMENTS",
    "MAX_SHARED",
    "MAX_SIGNATURES",
    "MAX_SIGNERS",
    "MAX_STATEMENT",
    "MAX_VARIANTS",
    "MAX_WINDOW_LOG",
    "MIN_SEGMENT",
]

KIB, MIB, GIB = 2**10, 2**20, 2**30

# A header holds a few names; the prefix itself promises this bound.
MAX_HEADER = 64 * KIB

# About 120 bytes for each record block, so some 500,000 blocks or 10^9 records.
MAX_STATEMENT = 64 * MIB

# Kinds, in all their versions, and machines of one segment: releases write a few.
MAX_KINDS = 4096
MAX_ENVIRONMENTS = 4096

# Fields of one environment: some twelve are written.
MAX_FIELDS = 4096

# Keys of a map of the container itself, of which releases write up to eight: later
# ones may add some, and each costs a step of the reader.
MAX_MAP_KEYS = 256

# Lists and maps of one schema: those of the kinds here have up to 40. They are built
# in 4 MiB, and 5 ms.
MAX_SCHEMA_NODES = 2**14

# Lists and maps of one record that are built where nobody keeps it, in 16 MiB at
# most: one of more is proved in another way, and not compared.
MAX_NODES_SEEN = 2**16

# Columns of one record block, which is fields of one kind.
MAX_COLUMNS = 4096

# Signatures of one segment; releases write one. Each is checked over the whole
# statement, so this is how often few bytes make a reader hash many.
MAX_SIGNERS = 16

# 160 bytes each, of which Ed25519 makes 64: room for algorithms of the future.
MAX_SIGNATURES = 64 * KIB

# The trailer repeats the list at every append; 48 MiB at this count.
MAX_SEGMENTS = 2**20

# Blocks of one segment: 16 TiB of payloads, and 96 MiB of layout.
MAX_BLOCKS = 2**22

# Record blocks of one segment that may lie on others: a layout where a bit changed
# has two. What is stored once and read thousands of times is no damage.
MAX_SHARED = 16

# Written payload blocks hold 4 MiB. A reader must hold one block to verify it, so
# this is what one damaged size can cost in memory.
MAX_BLOCK = GIB

# Written record blocks hold 2,048 records, mostly less than 1 MiB. Decoding takes
# up to 72 times the bytes (a byte is an empty map), hence less than a payload block.
MAX_RECORD_BLOCK = 64 * MIB

# Bytes of an object behind a server that knows no ranges, which is held as a whole:
# what one machine can be expected to hold beside its job.
MAX_OBJECT = 4 * GIB

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

# Bytes of the smallest segment: one that is all foot, which no writer makes.
MIN_SEGMENT = 96

# Bytes read to find the last whole trailer behind a torn append: some two seconds.
MAX_RECOVERY_SCAN = GIB

# Ends of trailers that are looked at meanwhile: each append leaves two, and a torn
# one those of the bundles that are its payloads.
MAX_ENDS = 4096

# Parts of a sparse file that are asked for, to leave out what lies between them.
MAX_EXTENTS = 1024

# Longest key, in UTF-8 bytes: a path on Linux has at most 4,096.
MAX_KEY = 4096

# Longest name of one file or folder, in bytes, on every file system in use.
MAX_PATH_PART = 255

# Faults listed in one error: enough to see a pattern, few enough to read.
MAX_FAULTS = 20

# Variants of one key that are saved, loaded, and kept by a repack: a graph compiled
# under more guards than this is recompiled all the time anyway, and every variant is
# tried in turn.
MAX_VARIANTS = 8
