"""
The schema engine: what a record holds, and whether a class or values fit it.

- ``types``: the words of the schema language.
- ``model``: schemas, read from JSON, with their fingerprint.
- ``catalog``: the schema files of a package.
- ``conformance``: a class against its schema.
- ``validation``: columns of plain values against their schema.
- ``rules``, ``compatibility``: what a version may change, and its oldest reader.
- ``draft``, ``released``, ``export``: the life of a schema file, and its pages.
"""

from .catalog import Catalog, read_released
from .compatibility import oldest_reader
from .conformance import U64, OpenEnum, Payload, Tagged, TimeNs, check_class
from .model import InvalidSchemaError, Schema, read_schema
from .types import Field
from .validation import Decoded, find_faults

__all__ = [
    "U64",
    "Catalog",
    "Decoded",
    "Field",
    "InvalidSchemaError",
    "OpenEnum",
    "Payload",
    "Schema",
    "Tagged",
    "TimeNs",
    "check_class",
    "find_faults",
    "oldest_reader",
    "read_released",
    "read_schema",
]
