"""The noise of gradients: its mean and covariance by formula, by every batch, and by many draws."""

from __future__ import annotations

from itertools import combinations
from math import comb

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import losses
from flowsim.problem.gradient_noise import Batches, LabelNoise, Stream
from flowsim.problem.losses import Entries

RNG = np.random.default_rng(8)
SAMPLES = 5
X, Y = RNG.standard_normal((3, SAMPLES)), RNG.standard_normal((2, SAMPLES))
PHI, W = RNG.standard_normal((2, 3)), jnp.asarray(RNG.standard_normal((2, 3)))
SIGNS = np.array([[1.0, -1.0, -1.0, 1.0, 1.0]])
OBSERVED = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
MEASURING = RNG.standard_normal((SAMPLES, 2, 3))
COMPLETION = losses.Completion(jnp.asarray(PHI), jnp.asarray(OBSERVED))

SAMPLED = {
    "regression": losses.PowerRegression(jnp.asarray(X), jnp.asarray(Y), 2.0),
    "fourth powers": losses.PowerRegression(jnp.asarray(X), jnp.asarray(Y), 4.0),
    "logistic": losses.Logistic(jnp.asarray(X), jnp.asarray(SIGNS)),
    "cross entropy": losses.CrossEntropy(jnp.asarray(X), jnp.asarray([0, 1, 1, 0, 1])),
    "sensing": losses.Sensing(jnp.asarray(PHI), jnp.asarray(MEASURING)),
    "completion": Entries.of(COMPLETION),
}
LABELLED = {
    "squared": losses.Squared(jnp.asarray(PHI)),
    "completion": COMPLETION,
    "entries": Entries.of(COMPLETION),
    "sensing": SAMPLED["sensing"],
    "regression": SAMPLED["regression"],
    "least squares": losses.LeastSquares.from_data(X, Y),
}


def at(name: str) -> np.ndarray:
    return W[:1] if name == "logistic" else W


def drawing(chosen: tuple[int, ...]) -> np.ndarray:
    """Return a ζ whose largest numbers are those of a batch."""
    zeta = np.zeros(SAMPLES)
    zeta[list(chosen)] = 1.0
    return zeta


def seen(noise, where, zetas):
    """Return Ĝ and Bζ of each ζ, the columns of B and the covariance, from one program."""

    def each(zeta):
        return noise.gradient(where, zeta).ravel(), noise.gaussian(where, zeta).ravel()

    def all_of(zetas):
        return *jax.vmap(each)(zetas), noise.columns(where), noise.covariance(where)

    return map(np.asarray, jax.jit(all_of)(jnp.asarray(zetas)))


@pytest.mark.parametrize(
    ("name", "size"), [*((name, 2) for name in SAMPLED), ("regression", 1), ("regression", 4)]
)
def test_every_batch_taken_together_has_the_mean_and_the_covariance_of_the_formula(name, size):
    noise, where = Batches(SAMPLED[name], size), at(name)
    batches = np.array([drawing(each) for each in combinations(range(SAMPLES), size)])
    assert len(batches) == comb(SAMPLES, size)
    found, gaussian, columns, formula = seen(noise, where, batches)
    whole = np.asarray(SAMPLED[name].gradient(where)).ravel()
    scale = np.abs(found).max()
    np.testing.assert_allclose(found.mean(axis=0), whole, rtol=0, atol=1e-14 * scale)
    covariance = (found - whole).T @ (found - whole) / len(found)
    np.testing.assert_allclose(formula, covariance, rtol=0, atol=1e-14 * scale**2)
    assert np.abs(covariance).max() > 1e-3 * scale**2
    linear = batches @ columns.reshape(SAMPLES, -1)
    np.testing.assert_allclose(gaussian, linear, rtol=0, atol=1e-14 * scale)


@pytest.mark.parametrize("name", ["regression", "sensing"])
def test_a_batch_of_everything_has_no_noise(name):
    noise, where = Batches(SAMPLED[name], SAMPLES), at(name)
    zeta = RNG.standard_normal(SAMPLES)
    whole = SAMPLED[name].gradient(where)
    np.testing.assert_allclose(noise.gradient(where, zeta), whole, rtol=1e-13, atol=1e-14)
    np.testing.assert_array_equal(noise.covariance(where), 0)


def test_every_batch_is_as_likely():
    """Of 6 batches in R draws a count has deviation √(R·5)/6: five of them are allowed."""
    noise, draws = Batches(SAMPLED["regression"], 2), 6000
    keys = jax.random.split(jax.random.key(1), draws)
    zeta = jax.vmap(lambda key: noise.draw(key)[:4])(keys)
    chosen = np.sort(np.asarray(jax.lax.top_k(zeta, 2)[1]), axis=1)
    counts = np.unique(chosen, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert np.abs(counts - draws / 6).max() < 5 * np.sqrt(5 * draws) / 6


def test_noise_on_labels_has_the_covariance_of_its_loss():
    """s²I; on observed entries; s² Σ vec A_i vec A_iᵀ; s² I ⊗ XXᵀ/m² by rows of W."""
    s, A = 0.3, MEASURING.reshape(SAMPLES, -1)
    of_data = np.kron(np.eye(2), X @ X.T) / SAMPLES**2
    seen = np.diag(OBSERVED.ravel())
    wanted = {"squared": np.eye(6), "completion": seen, "entries": seen, "sensing": A.T @ A}
    wanted |= {"regression": of_data, "least squares": of_data}
    for name, loss in LABELLED.items():
        each = s / np.sqrt(SAMPLES) if name == "least squares" else s
        found = LabelNoise(loss, jnp.asarray(each)).covariance(W)
        np.testing.assert_allclose(found, s**2 * wanted[name], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", LABELLED)
def test_noise_on_labels_is_the_gradient_at_other_labels(name):
    """Φ + sζ, b + sζ, Y + sζ or T + sζ for the labels."""
    loss, s = LABELLED[name], 0.3
    zeta = RNG.standard_normal(loss.label_count)
    if name == "sensing":
        moved = np.linalg.lstsq(MEASURING.reshape(SAMPLES, -1), s * zeta, rcond=None)[0]
        other = losses.Sensing(loss.Phi + moved.reshape(2, 3), loss.A)
    elif name == "entries":
        other = Entries(loss.rows, loss.columns, loss.values + s * zeta, loss.shape)
    elif name == "regression":
        other = losses.PowerRegression(loss.X, loss.Y + s * zeta.reshape(-1, 2).T, 2.0)
    elif name == "least squares":
        other = losses.LeastSquares(loss.R, loss.T + s * zeta.reshape(loss.T.shape), loss.floor)
    elif name == "completion":
        other = losses.Completion(loss.Phi + s * zeta.reshape(2, 3), loss.observed)
    else:
        other = losses.Squared(loss.Phi + s * zeta.reshape(2, 3))
    found = LabelNoise(loss, jnp.asarray(s)).gradient(W, zeta)
    np.testing.assert_allclose(found, other.gradient(W), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["regression", "sensing", "completion"])
def test_batches_with_noisy_labels_have_the_covariance_that_many_draws_show(name):
    """Six standard errors of a covariance: √((C_ii C_jj + C_ij²)/R), twice that for the tails."""
    noise, draws = Batches(SAMPLED[name], 2, jnp.asarray(0.7)), 20_000
    zetas = RNG.standard_normal((draws, noise.dimension))
    found, gaussian, columns, C = seen(noise, W, zetas)
    linear = zetas @ columns.reshape(noise.dimension, -1)
    np.testing.assert_allclose(gaussian, linear, rtol=0, atol=1e-13 * np.abs(linear).max())
    error = np.sqrt((np.outer(np.diag(C), np.diag(C)) + C**2) / draws)
    off = found.mean(axis=0) - np.asarray(SAMPLED[name].gradient(W)).ravel()
    assert (np.abs(off) <= 5 * np.sqrt(np.diag(C) / draws)).all()
    assert (np.abs(np.cov(found.T) - C) <= 12 * error).all()
    without = np.asarray(Batches(SAMPLED[name], 2).covariance(W))
    assert np.trace(C) > np.trace(without) * 1.01


def test_entries_are_the_observed_ones_of_completion():
    entries = Entries.of(COMPLETION)
    assert entries.sample_count == 5
    assert float(entries.value(W)) == pytest.approx(float(COMPLETION.value(W)), rel=1e-14)
    np.testing.assert_allclose(entries.gradient(W), COMPLETION.gradient(W), rtol=1e-15)


def test_a_stream_draws_once_a_step_wherever_it_is_asked():
    noise = LabelNoise(LABELLED["squared"], jnp.asarray(0.3))
    stream = Stream(noise, jax.random.key(3))
    zero = jnp.zeros((2, 3))
    first, again = (stream.gradient(jnp.asarray(4)) for _ in range(2))
    shift = np.asarray(first(W)) - np.asarray(noise.loss.gradient(W))
    np.testing.assert_allclose(again(zero) - noise.loss.gradient(zero), shift, atol=1e-15)
    assert np.abs(stream.gradient(jnp.asarray(5))(W) - first(W)).min() > 0


@pytest.mark.parametrize("loss", [SAMPLED["logistic"], SAMPLED["fourth powers"]])
def test_losses_without_gaussian_labels_are_refused(loss):
    with pytest.raises(TypeError, match="has no labels"):
        LabelNoise(loss, jnp.asarray(0.3)).gaussian(W, np.zeros(5))
