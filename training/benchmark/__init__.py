"""Measures everything that is published of a model by one command, and writes BENCHMARKS.md, plots and figures."""
