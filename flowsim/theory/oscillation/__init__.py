"""Persistent oscillation of gradient descent beyond the edge of stability, mode by mode."""
