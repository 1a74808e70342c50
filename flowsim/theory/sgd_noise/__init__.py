"""Stochastic gradient descent beside its stochastic modified equations."""
