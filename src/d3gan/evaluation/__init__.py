"""Evaluation: measuring generated images against real ones."""
