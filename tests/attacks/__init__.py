"""
The attack corpus: bundles, keys, packs and neighbours made to harm.

One file for each family, one line or a few for each attack. `harness` says what
none of them may do, `entry_points` where each is tried, ``python -m tests.attacks
--measure`` what it costs. The bytes are made when they are needed, because those of
a compressed block differ between versions of zstd: what is kept is how they are made.
"""
