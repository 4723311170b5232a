"""
The schema engine: what a record holds, and whether a class or values fit it.

- ``model``: schemas and their types, read from JSON, with their fingerprint.
- ``catalog``: the schema files of a package.
- ``conformance``: a class against its schema.
- ``validation``: columns of plain values against their schema.
"""

from .catalog import Catalog
from .conformance import U64, Payload, TimeNs, check_class
from .model import Field, InvalidSchemaError, Schema, read_schema
from .validation import find_faults

__all__ = [
    "U64",
    "Catalog",
    "Field",
    "InvalidSchemaError",
    "Payload",
    "Schema",
    "TimeNs",
    "check_class",
    "find_faults",
    "read_schema",
]
