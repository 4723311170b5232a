"""Schemas of the benchmark's own kinds, released: drafts are not upgraded to."""
