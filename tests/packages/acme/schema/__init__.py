"""Schema files of acme's kinds."""
