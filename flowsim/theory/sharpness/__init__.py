"""Extreme eigenvalues of the Hessian over the layers."""
