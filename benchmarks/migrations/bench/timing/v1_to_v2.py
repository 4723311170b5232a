"""
bench/timing 1 -> 2: a rename, an addition and a conversion of units, as W5 asks.
"""

from overwinter.migration import add, migration, rename, replace

STEP = migration(
    "bench/timing",
    1,
    2,
    rename("tags", "labels"),
    add("device", default="unknown"),
    replace(
        "median_ms",
        "median_us",
        up=lambda ms: ms * 1_000.0,
        down=lambda us: us / 1_000.0,
    ),
)
