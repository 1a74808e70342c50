"""Convergence of the loss beside the rates and bounds that are proved."""
