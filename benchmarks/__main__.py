"""
All workloads: ``python -m benchmarks``, or some of them with ``--only W1 W3``.
"""

import sys

from . import running, w1, w2, w3, w4, w5, w6, w7, w8

__all__ = ["WORKLOADS"]

WORKLOADS = [each.WORKLOAD for each in (w1, w2, w3, w4, w5, w6, w7, w8)]


if __name__ == "__main__":
    sys.exit(running.main(WORKLOADS))
