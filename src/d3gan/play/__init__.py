"""Explore a trained generator in the browser: directions, seeds, classes, checkpoints."""
