"""The Python API. The package `d3gan` offers what is defined here; docs/python.md describes it."""
