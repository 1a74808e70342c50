"""Schatten norms, quasi-norms and the effective rank of W."""
