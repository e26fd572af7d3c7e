"""Metrics: features of images, and numbers from features."""
