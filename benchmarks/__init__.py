"""
Benchmarks: what the library costs beside its peers, as ratios within one run.

- ``workloads``: what is measured, the same in every run.
- ``timing``: contestants by turns, and their medians.
- ``goals``: figures with their targets and floors.
- ``report``, ``picture``: as text, as JSON, and as SVG.
- ``running``: options, and the exit code.
- ``ours``, ``raw``, ``w1_peers``, ``w2_peers`` with ``torch_format`` and
  ``protobuf``: who is measured.
- ``chain``: a chain of a thousand versions, for W5.
- ``w1`` to ``w7``: one file for each workload, as ``python -m benchmarks.w1``; all
  of them with ``python -m benchmarks``.
"""
