"""
The folder that observed commands have on ``PYTHONPATH``: it holds nothing to import.
"""
