"""The range of numbers with which networks can be computed in double precision."""

LARGEST = 1e150
"""Scales up to this size have squares within the range of float64."""
