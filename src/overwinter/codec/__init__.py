"""
attrs objects, plain values, columns, msgpack.

- ``wire``: plain values and msgpack.
- ``columns``: the records of a block, a field at a time, decoded when asked.
- ``objects``: attrs objects and columns.
- ``collector``: the garbage collector, paused where many objects are made.
"""

from .collector import collector_paused
from .columns import Columns, Payloads, Reference, UnreadPayloadError
from .objects import columns_of, objects_of
from .wire import Repeated, are_like, pack, unpack

__all__ = [
    "Columns",
    "Payloads",
    "Reference",
    "Repeated",
    "UnreadPayloadError",
    "are_like",
    "collector_paused",
    "columns_of",
    "objects_of",
    "pack",
    "unpack",
]
