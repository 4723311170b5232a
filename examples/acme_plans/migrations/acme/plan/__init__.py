"""Steps from one version of a kind to the next."""
