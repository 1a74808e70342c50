"""Comparison of two runs, variable by variable, beside the error estimates of both."""

from flowsim.results.comparison.comparing import compare
from flowsim.results.comparison.differences import Comparison, Difference

__all__ = ["Comparison", "Difference", "compare"]
