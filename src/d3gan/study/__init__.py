"""Benchmarks and comparisons: what is measured, and what it says."""
