"""
autotune 1 -> 2: the time in whole nanoseconds, and the device it was taken on.

Version 1 kept torch's milliseconds, a unit of its own among the times of a bundle,
and a time without its device can be compared with no other.
"""

from overwinter.migration import add, migration, replace

STEP = migration(
    "autotune",
    1,
    2,
    replace(
        "time_taken_ms",
        "time_taken_ns",
        up=lambda ms: ms * 1_000_000,
        down=lambda ns: ns // 1_000_000,
        loss="fractions of a millisecond, for readers of version 1",
    ),
    add("device", default="unknown"),
)
