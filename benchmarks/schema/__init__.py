"""Schemas of the benchmark's own kinds; drafts, for nothing of them is kept."""
