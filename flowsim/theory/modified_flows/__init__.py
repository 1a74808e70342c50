"""Flows that approximate gradient descent, beyond the edge of stability too."""
