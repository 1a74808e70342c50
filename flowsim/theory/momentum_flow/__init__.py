"""Flows that approximate gradient descent with momentum."""
