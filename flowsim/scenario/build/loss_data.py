"""What a loss is built from: its target, its measurements and its samples, as arrays.

Samples come from files, inline, or bundled with scikit-learn; columns are samples. Standardizing
and whitening use the statistics of the training samples alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np

from flowsim.problem.types import Array
from flowsim.scenario.build.files import load_array
from flowsim.scenario.spec.forms import (
    Count,
    FileRef,
    Fraction,
    IdentityMultiple,
    Observed,
    RankNorm,
    Spectrum,
    Target,
)
from flowsim.scenario.spec.loss import DataLoss

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def generator(seed: int, name: str) -> np.random.Generator:
    """Return the generator of the draw called `name` under `seed`.

    Each draw has its own, so that changing one part of a scenario leaves the draws of the others as
    they were.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, *name.encode()]))


class Samples(NamedTuple):
    """Inputs X (d_0 × m) and targets Y (d_N × m; classes and labels are 1 × m)."""

    X: np.ndarray
    Y: np.ndarray


@dataclass(frozen=True)
class LossData:
    """The shape d_N × d_0 of W, the scenario's seed, and the samples of a loss on data."""

    shape: tuple[int, int]
    seed: int
    training: Samples | None = None

    @property
    def samples(self) -> Samples:
        """The samples of a loss on data."""
        assert self.training is not None
        return self.training

    @property
    def arrays(self) -> tuple[Array, Array]:
        """X and Y on the device."""
        X, Y = self.samples
        return jnp.asarray(X), jnp.asarray(Y)

    @property
    def class_numbers(self) -> Array:
        """The classes of the samples, counted from 0."""
        return jnp.asarray(self.samples.Y[0].astype(np.int64))

    def target(self, form: Target) -> Array:
        """Return the matrix Φ that is written out, in a file, or drawn at random."""
        return jnp.asarray(_target(form, self.shape, generator(self.seed, "target")))

    def observed(self, form: Observed) -> Array:
        """Return the matrix of 0 and 1 that is 1 at the observed entries."""
        return jnp.asarray(_observed(form, self.shape, generator(self.seed, "observed")))

    def measurements(self, count: int) -> Array:
        """Return `count` matrices A_i of Gaussian entries, E‖A_i‖²_F = 1."""
        A = generator(self.seed, "measurements").standard_normal((count, *self.shape))
        return jnp.asarray(A / np.sqrt(self.shape[0] * self.shape[1]))


def _target(form: Target, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    match form:
        case FileRef():
            return load_array(form)
        case IdentityMultiple(identity=multiple):
            return multiple * np.eye(*shape)
        case RankNorm(rank=rank, norm=norm):
            left, right = (
                rng.standard_normal((shape[0], rank)),
                rng.standard_normal((rank, shape[1])),
            )
            product = left @ right
            return np.asarray(product * norm / np.linalg.norm(product))
        case Spectrum(spectrum=values):
            U, _, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
            return np.asarray((U[:, : len(values)] * np.asarray(values)) @ Vt[: len(values)])
        case rows:
            return np.asarray(rows, dtype=float)


def _observed(form: Observed, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    size = shape[0] * shape[1]
    match form:
        case Count(count=count):
            pass
        case Fraction(fraction=fraction):
            count = max(1, round(fraction * size))
        case rows:
            return np.asarray(rows, dtype=float)
    observed = np.zeros(size)
    observed[rng.permutation(size)[:count]] = 1.0
    return observed.reshape(shape)


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
    return _given(spec.inputs), _given(spec.targets), True


def _given(value: object) -> np.ndarray:
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
