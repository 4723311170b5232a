"""
attrs objects, plain values, columns, msgpack: the only door to msgpack.

- ``wire``: plain values and msgpack.
- ``strict``: what msgpack may hold, and the errors where it holds something else.
- ``shallow``: msgpack walked a level at a time.
- ``columns``: the records of a block, a field at a time, decoded when asked.
- ``objects``: attrs objects and columns.
- ``collector``: the garbage collector, paused where many objects are made.
"""

from .collector import collector_paused
from .columns import Columns, Payloads, Reference, UnreadPayloadError
from .objects import columns_of, objects_of
from .shallow import Encoded, Walk, walking
from .wire import TOO_NESTED, Repeated, are_like, pack, unpack, unpack_flat

__all__ = [
    "TOO_NESTED",
    "Columns",
    "Encoded",
    "Payloads",
    "Reference",
    "Repeated",
    "UnreadPayloadError",
    "Walk",
    "are_like",
    "collector_paused",
    "columns_of",
    "objects_of",
    "pack",
    "unpack",
    "unpack_flat",
    "walking",
]
