"""A torch that compiles nothing: it has what our hook looks for, and counts."""

__version__ = "99.0"
contiguous_format = 1
