"""Steps of ``autotune``."""
