"""
Benchmarks: what the library costs beside its peers, as ratios within one run.

- ``workloads``: the records that are measured, the same in every run.
- ``timing``: contestants by turns, and their medians.
- ``report``: medians, ratios, targets and floors; as text, and as JSON.
- ``chain``: a chain of a thousand versions, for W5.
- ``w5``: migrations. One file for each workload: ``python -m benchmarks.w5``.
"""
