"""
Bundles: one file of segments. Layout: ``schema/FORMAT.md``.

Each part of the layout is one module, and a module knows only the parts that it
is made of: ``prefix``, ``trailer``, ``blocks`` (record and payload blocks and the
layout that places them), ``segment`` (foot, statement, signatures), ``packing``
and ``unpacking`` (payloads and references to them). Over them, to write:
``segment_writer``, ``writer``, ``rewriting``, ``union``; to read: ``record_block``,
``segment_reader``, ``reader``, ``streaming``, ``merging``, ``verifying``; to append
only what is new: ``finding``, ``comparing``.
"""

from .reader import Bundle, Record, RecordBlock, Rows, Segment
from .statement import KindStamp
from .verifying import Finding, verify
from .writer import Records, append_segment, write_bundle

__all__ = [
    "Bundle",
    "Finding",
    "KindStamp",
    "Record",
    "RecordBlock",
    "Records",
    "Rows",
    "Segment",
    "append_segment",
    "verify",
    "write_bundle",
]
