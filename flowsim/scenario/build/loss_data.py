"""What a loss is built from: its target, its measurements and its samples, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    """The shape d_N × d_0 of W, the seed of the loss, and the samples of a loss on data."""

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
