"""Benchmarks of steps, data loading and scaling."""
