"""
acme/plan 1 -> 2: times in whole nanoseconds, warps of each stage, and the device.

Version 1 kept a float of microseconds, which two writers rounded differently.
"""

from overwinter.migration import add, each, migration, replace

STEP = migration(
    "acme/plan",
    1,
    2,
    replace(
        "median_us",
        "median_ns",
        up=lambda us: round(us * 1_000),
        down=lambda ns: ns / 1_000,
        loss="fractions of a nanosecond",
    ),
    each("stages", add("warps", default=4)),
    add("device", default="a100"),
)
