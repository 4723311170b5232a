"""
Observing a command from outside: what its processes start, read, and report.

Python tells whoever asks of each program that it starts (PEP 578), so nothing is put
between a command and its tools: torch's keys hold what the compiler says of itself,
and a compiler behind another name has every kernel built again.
"""

from .environ import JAX_SETTING, afresh, observed
from .events import Event, read_events
from .workspace import VARIABLES, Workspace

__all__ = [
    "JAX_SETTING",
    "VARIABLES",
    "Event",
    "Workspace",
    "afresh",
    "observed",
    "read_events",
]
