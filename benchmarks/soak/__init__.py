"""Attacks on the cache and on saved files, each with the figure that it must meet; `python -m benchmarks.soak --help`."""
