"""The range of numbers with which networks can be computed in double precision."""

LARGEST = 1e150
"""Scales up to this size have squares within the range of float64."""

LARGEST_RATE = 1e140
"""Largest weight decay: times the entries of W it has a square within the range of float64."""
