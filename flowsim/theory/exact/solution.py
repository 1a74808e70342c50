"""Interface of the exact solutions: the end-to-end matrix at any times, and the source."""

from __future__ import annotations

import abc
from typing import ClassVar

import numpy as np

from flowsim.problem.problem import Problem


class ExactSolution(abc.ABC):
    """The flow of a problem in closed form, or by quadratures of known error."""

    source: ClassVar[str]

    @classmethod
    @abc.abstractmethod
    def of(cls, problem: Problem) -> ExactSolution:
        """Return the solution of a problem.

        Raises
        ------
        NotApplicable
            If it does not apply, with the condition that fails.

        """

    @abc.abstractmethod
    def end_to_end(self, times: np.ndarray) -> np.ndarray:
        """Return W(t) at each of the times t ≥ 0, shape (time, d_N, d_0)."""

    def singular_values(self, times: np.ndarray) -> np.ndarray:
        """Return σ(t), descending, shape (time, mode)."""
        return np.asarray(np.linalg.svd(self.end_to_end(times), compute_uv=False))
