"""The version of this release; the build reads it from here."""

__all__ = ["VERSION", "WRITER"]

VERSION = "0.3.0.dev0"

# As bundles name the program that began them.
WRITER = f"overwinter {VERSION}"
