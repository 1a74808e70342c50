"""Means over independent runs, their standard errors, and distances between means.

Runs are along the leading axis. Runs driven by the same noise are strongly correlated. Their
differences vary far less than the runs, so the mean difference is far more accurate than either
mean (common random numbers).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


def mean_estimate(values: np.ndarray) -> Estimate:
    """Return the mean over runs, and its standard error s/√n with s² the unbiased variance."""
    return Estimate(float(values.mean()), float(values.std(ddof=1)) / np.sqrt(len(values)))


def standard_deviation(values: np.ndarray) -> Estimate:
    """Return the standard deviation √E‖x - E x‖² of arrays x over runs.

    Its standard error follows from that of the mean square by the delta method, δ√q = δq/(2√q).
    """
    squares = np.sum((values - values.mean(axis=0)) ** 2, axis=tuple(range(1, values.ndim)))
    # the mean was estimated from the same runs: n/(n - 1) removes the bias of the variance
    variance = mean_estimate(squares * (len(squares) / (len(squares) - 1)))
    size = float(np.sqrt(variance.value))
    return Estimate(size, variance.error / (2 * size) if size > 0 else 0.0)


def distance_of_means(differences: np.ndarray, unsolved: np.ndarray) -> Estimate:
    """Return ‖E x‖ of differences x between runs: the distance of two means.

    The error is the standard error √(tr Cov x / runs) of the mean, plus the norm of the mean of
    `unsolved`, the differences between two solves. Noise alone makes ‖E x‖ too large by about that
    standard error.
    """
    sampling = standard_deviation(differences).value / np.sqrt(len(differences))
    solving = norm(np.asarray(unsolved.mean(axis=0)))
    return Estimate(norm(np.asarray(differences.mean(axis=0))), sampling + solving)


def mean_distance(differences: np.ndarray, unsolved: np.ndarray) -> Estimate:
    """Return E‖x‖ of differences x between runs.

    The error is the standard error plus the mean norm of `unsolved`, as in `distance_of_means`.
    """
    mean = mean_estimate(norms(differences))
    return Estimate(mean.value, mean.error + float(norms(unsolved).mean()))


def norms(values: np.ndarray) -> np.ndarray:
    """Return the norm of each run's entries."""
    return np.asarray(np.linalg.norm(values.reshape(len(values), -1), axis=1))


def norm(values: np.ndarray) -> float:
    """Return the norm of all entries."""
    return float(np.linalg.norm(values))
