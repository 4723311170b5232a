"""
Bundles: one file of segments. Layout: ``schema/FORMAT.md``.

Each part of the layout is one module, and a module knows only the parts that it
is made of: ``prefix``, ``trailer``, ``blocks`` (record and payload blocks and the
layout that places them), ``segment`` (foot, statement, signatures), ``packing``
and ``unpacking`` (payloads and references to them), and over them ``writer``,
``reader``, ``verifying``, ``rewriting`` and ``union``.
"""

from .reader import Bundle, RecordBlock, Segment
from .segment import KindStamp
from .verifying import Finding, verify
from .writer import Records, append_segment, write_bundle

__all__ = [
    "Bundle",
    "Finding",
    "KindStamp",
    "RecordBlock",
    "Records",
    "Segment",
    "append_segment",
    "verify",
    "write_bundle",
]
