"""Means over independent runs, their standard errors, and distances between means.

Runs lie along the leading axis. Runs that are driven by the same noise are strongly correlated:
their differences vary far less than the runs, so that the mean difference is known far better than
either mean (common random numbers).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


def mean_estimate(values: np.ndarray) -> Estimate:
    """Return the mean of a number over runs."""
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values)))


def standard_deviation(values: np.ndarray) -> Estimate:
    """Return √E‖x - E x‖² of arrays x.

    Its standard error follows from that of the mean square by the delta method, δ√q = δq/(2√q).
    """
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=tuple(range(1, values.ndim)))
    found = mean_estimate(squares * (len(squares) / (len(squares) - 1)))
    size = float(np.sqrt(found.value))
    return Estimate(size, found.error / (2 * size) if size > 0 else 0.0)


def distance_of_means(differences: np.ndarray, unsolved: np.ndarray) -> Estimate:
    """Return ‖E x‖ of differences x between runs: the distance of two means.

    The error is the standard error √(tr Cov x / runs) of the mean, by about which noise alone makes
    the norm too large, plus the same norm of `unsolved`, the differences of two solves.
    """
    spread = standard_deviation(differences).value / np.sqrt(len(differences))
    return Estimate(
        norm(np.asarray(differences.mean(axis=0))), spread + norm(np.asarray(unsolved.mean(axis=0)))
    )


def mean_distance(differences: np.ndarray, unsolved: np.ndarray) -> Estimate:
    """Return E‖x‖ of differences x between runs, its error with the mean size of `unsolved`."""
    found = mean_estimate(norms(differences))
    return Estimate(found.value, found.error + float(norms(unsolved).mean()))


def norms(values: np.ndarray) -> np.ndarray:
    """Return the norm of each run's entries."""
    return np.asarray(np.linalg.norm(values.reshape(len(values), -1), axis=1))


def norm(values: np.ndarray) -> float:
    """Return the norm of all entries."""
    return float(np.linalg.norm(values))
