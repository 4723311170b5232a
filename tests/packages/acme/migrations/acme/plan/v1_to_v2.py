"""acme/plan 1 -> 2: times in whole nanoseconds."""

from overwinter.migration import migration, replace

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
)
