"""
The contract of a kind: its class, schema files, steps and releases, held together.

- ``contract``: what lies in the files, believed by nobody yet.
- ``checking``: every rule, held against all versions.
- ``authoring``: the next version drafted, its step drafted, and released.

For who writes a kind; nothing here is needed to save or load.
"""

from .authoring import (
    draft_version,
    name_release,
    release,
    write_draft,
    write_step,
)
from .checking import check
from .contract import Contract, corpus_of

__all__ = [
    "Contract",
    "check",
    "corpus_of",
    "draft_version",
    "name_release",
    "release",
    "write_draft",
    "write_step",
]
