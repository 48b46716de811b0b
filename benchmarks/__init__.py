"""Measurements: how fast (scheduler, cache, start) and how trustworthy (soak). See README.md."""
