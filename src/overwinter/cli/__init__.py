"""
The command line: one file for each command, and ``main`` over them.
"""
