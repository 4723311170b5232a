"""Steps of the benchmark's own kinds."""
