"""acme/plan 2 -> 3: the device and the tiles."""

from overwinter.migration import add, migration

STEP = migration(
    "acme/plan", 2, 3, add("device", default="unknown"), add("tiles", default=[])
)
