"""Where the caches are read."""
