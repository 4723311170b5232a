"""The directory of the cache, as torch finds it."""

import os


def cache_dir() -> str:
    """Return it."""
    return os.environ["TORCHINDUCTOR_CACHE_DIR"]
