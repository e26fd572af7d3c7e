"""Metrics: pure functions of statistics of real and generated images."""
