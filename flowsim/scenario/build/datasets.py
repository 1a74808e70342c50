"""Samples for losses on data: from files, inline, or bundled with scikit-learn.

Columns are samples. Standardizing and whitening use the statistics of the training samples alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowsim.scenario.build.files import load_array
from flowsim.scenario.build.loss_data import Samples, generator
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.loss import DataLoss

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def load_samples(scenario: Scenario) -> tuple[Samples, Samples | None]:
    """Return training samples, and the held-out ones where any are held out."""
    spec = scenario.data
    assert spec is not None
    X, Y, real_targets = _raw(scenario)
    if spec.samples is not None:
        chosen = generator(scenario.seed, "samples").permutation(X.shape[1])[: spec.samples]
        # in the order of the file, as without a choice
        X, Y = X[:, np.sort(chosen)], Y[:, np.sort(chosen)]
    train, test = _split(scenario, X.shape[1])
    standardize_targets = real_targets and not scenario.loss.classifies
    Z = X
    if spec.standardize:
        Z = _standardized(Z, Z[:, train])
        Y = _standardized(Y, Y[:, train]) if standardize_targets else Y
    if spec.whiten:
        Z = _whitening(Z[:, train]) @ Z
    held_out = Samples(Z[:, test], Y[:, test]) if test.size else None
    return Samples(Z[:, train], Y[:, train]), held_out


def _split(scenario: Scenario, count: int) -> tuple[np.ndarray, np.ndarray]:
    fraction = scenario.data.held_out if scenario.data else 0.0
    order = generator(scenario.seed, "held_out").permutation(count)
    # one sample at least is left for training
    held_out = min(round(fraction * count), count - 1) if fraction else 0
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _raw(scenario: Scenario) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return inputs, targets, and whether the targets are real numbers, not classes."""
    spec = scenario.data
    assert spec is not None
    if spec.dataset is not None:
        assert isinstance(scenario.loss, DataLoss)
        return _bundled(spec.dataset, scenario.loss)
    return _array(spec.inputs), _array(spec.targets), True


def _array(value: object) -> np.ndarray:
    return load_array(value) if isinstance(value, FileRef) else np.asarray(value, dtype=float)


def _bundled(name: str, loss: DataLoss) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return a bundled table; classes become one-hot rows, integers or ±1 as the loss needs."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    X = np.asarray(bunch.data, dtype=float).T
    if name in ("diabetes", "linnerud"):
        return X, np.atleast_2d(np.asarray(bunch.target, dtype=float).T), True
    return X, loss.encode(np.asarray(bunch.target, dtype=np.int64)), False


def _standardized(Z: np.ndarray, train: np.ndarray) -> np.ndarray:
    mean, deviation = train.mean(axis=1, keepdims=True), train.std(axis=1, keepdims=True)
    # a deviation at the level of rounding would be magnified to noise of size 1
    constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    return np.where(constant, 0.0, (Z - mean) / np.where(constant, 1.0, deviation))


def _whitening(train: np.ndarray) -> np.ndarray:
    """Return M with (MX)(MX)ᵀ/m = I on the range of the training inputs X = U S Vᵀ."""
    U, S, _ = np.linalg.svd(train, full_matrices=False)
    # singular values of rounding size would be scaled up to 1: they count as 0
    rank = int(np.sum(S[0] * max(train.shape) * np.finfo(float).eps < S))
    U, S = U[:, :rank], S[:rank]
    return np.asarray((U * (np.sqrt(train.shape[1]) / S)) @ U.T)
