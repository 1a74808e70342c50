"""From a scenario to the problem it names: target, data, loss and starting layers.

Every random draw has a generator of its own, seeded by the scenario's seed and the draw's name, so
that changing one part of a scenario leaves the draws of the others as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from flowsim.problem import initialization, losses
from flowsim.problem.problem import Problem
from flowsim.scenario.build import datasets
from flowsim.scenario.build.datasets import Samples
from flowsim.scenario.build.files import load_array, load_layers
from flowsim.scenario.spec.forms import Count, FileRef, Fraction, IdentityMultiple, RankNorm, Spectrum
from flowsim.scenario.build.randomness import generator

if TYPE_CHECKING:
    from flowsim.scenario.spec.scenario import Scenario


def build_problem(scenario: Scenario) -> Problem:
    """Return the problem that a scenario names.

    Raises
    ------
    ValueError
        If the starting layers' product cannot be told from 0 in float64.

    """
    loss, _ = training(scenario)
    layers = _disturbed(scenario, _layers(scenario, loss))
    _refuse_underflow(layers)
    return Problem(loss, layers, scenario.flow.horizon, scenario.flow.weight_decay)


def training(scenario: Scenario) -> tuple[losses.Loss, Samples | None]:
    """Return the loss on the training samples, and these where it is one on data."""
    train, _ = _samples(scenario)
    return _loss(scenario, train), train


def held_out(scenario: Scenario) -> losses.Loss | None:
    """Return the loss on the held-out samples, or None where nothing is held out."""
    _, test = _samples(scenario)
    return None if test is None else _loss(scenario, test)


def saved_times(scenario: Scenario) -> np.ndarray:
    """Return the saved times: equally spaced from 0, or 0 and then geometric, to the horizon."""
    flow = scenario.flow
    if flow.spacing == "linear":
        return np.linspace(0.0, flow.horizon, flow.samples)
    later = np.geomspace(flow.first_saved_time, flow.horizon, flow.samples - 1)
    later[-1] = flow.horizon
    return np.concatenate([[0.0], later])


def kept_samples(scenario: Scenario) -> np.ndarray:
    """Return at which saved times W is stored, as booleans: `[output] end_to_end`."""
    wanted, samples = scenario.output.end_to_end, scenario.flow.samples
    if wanted == "all":
        return np.ones(samples, dtype=bool)
    kept = np.zeros(samples, dtype=bool)
    if wanted != "last":
        kept[::wanted] = True
    kept[-1] = True
    return kept


def _samples(scenario: Scenario) -> tuple[Samples | None, Samples | None]:
    if scenario.data is None:
        return None, None
    return datasets.samples(scenario)


def _loss(scenario: Scenario, data: Samples | None) -> losses.Loss:
    spec = scenario.loss
    if data is not None:
        return _loss_on_data(scenario, data)
    Phi = jnp.asarray(_target(scenario))
    if spec.kind == "linear":
        return losses.Linear(Phi)
    if spec.kind == "squared":
        return losses.Squared(Phi)
    if spec.kind == "completion":
        return losses.Completion(Phi, jnp.asarray(_observed(scenario)))
    A = generator(scenario.seed, "measurements").standard_normal(
        (spec.measurements or 0, *scenario.network.shape)
    )
    return losses.Sensing(Phi, jnp.asarray(A / np.sqrt(Phi.size)))


def _loss_on_data(scenario: Scenario, data: Samples) -> losses.Loss:
    spec, (X, Y) = scenario.loss, data
    if spec.kind == "logistic":
        return losses.Logistic(jnp.asarray(X), jnp.asarray(Y))
    if spec.kind == "cross_entropy":
        return losses.CrossEntropy(jnp.asarray(X), jnp.asarray(Y[0].astype(np.int64)))
    if spec.power == 2:
        return losses.LeastSquares.from_data(X, Y)
    return losses.PowerRegression(jnp.asarray(X), jnp.asarray(Y), spec.power)


def _target(scenario: Scenario) -> np.ndarray:
    spec, shape = scenario.loss.target, scenario.network.shape
    rng = generator(scenario.seed, "target")
    if isinstance(spec, FileRef):
        return load_array(spec)
    if isinstance(spec, IdentityMultiple):
        return spec.identity * np.eye(*shape)
    if isinstance(spec, RankNorm):
        product = rng.standard_normal((shape[0], spec.rank)) @ rng.standard_normal(
            (spec.rank, shape[1])
        )
        return np.asarray(product * spec.norm / np.linalg.norm(product))
    if isinstance(spec, Spectrum):
        U, _, Vt = np.linalg.svd(rng.standard_normal(shape), full_matrices=False)
        rank = len(spec.spectrum)
        return np.asarray((U[:, :rank] * np.asarray(spec.spectrum)) @ Vt[:rank])
    return np.asarray(spec, dtype=float)


def _observed(scenario: Scenario) -> np.ndarray:
    spec, shape = scenario.loss.observed, scenario.network.shape
    size = shape[0] * shape[1]
    if isinstance(spec, Count):
        count = spec.count
    elif isinstance(spec, Fraction):
        count = max(1, round(spec.fraction * size))
    else:
        return np.asarray(spec, dtype=float)
    chosen = generator(scenario.seed, "observed").permutation(size)[:count]
    observed = np.zeros(size)
    observed[chosen] = 1.0
    return observed.reshape(shape)


def _layers(scenario: Scenario, loss: losses.Loss) -> initialization.NumpyLayers:
    spec, widths = scenario.init, scenario.network.widths
    rng = generator(scenario.seed, "init")
    if spec.kind == "explicit":
        if isinstance(spec.layers, FileRef):
            return load_layers(spec.layers, len(widths) - 1)
        return tuple(np.asarray(W, dtype=float) for W in spec.layers or ())
    if spec.kind == "xavier":
        return initialization.xavier(widths, rng)
    scale = float(spec.scale or 0.0)
    if spec.kind == "identity":
        return initialization.identity(widths, scale)
    if spec.kind == "aligned":
        return initialization.aligned(widths, scale, _directions(loss))
    if spec.kind == "lambda_balanced":
        return initialization.lambda_balanced(widths, scale, float(spec.imbalance or 0.0), rng)
    scheme = {
        "balanced": initialization.balanced,
        "gaussian": initialization.gaussian,
        "orthogonal": initialization.orthogonal,
    }[spec.kind]
    return scheme(widths, scale, rng)


def _disturbed(scenario: Scenario, layers: initialization.NumpyLayers) -> initialization.NumpyLayers:
    """Return the layers with noise on every entry, where the scenario asks for any."""
    if not scenario.init.noise:
        return layers
    rng = generator(scenario.seed, "init.noise")
    return tuple(W + scenario.init.noise * rng.standard_normal(W.shape) for W in layers)


def _directions(loss: losses.Loss) -> np.ndarray:
    """Return the matrix whose singular vectors an aligned start takes: Φ, or YXᵀ/m."""
    if isinstance(loss, losses.LeastSquares):
        return np.asarray(loss.T @ loss.R.T)
    if isinstance(loss, losses.Linear):
        return np.asarray(loss.Phi)
    return np.asarray(loss.target)


def _refuse_underflow(layers: initialization.NumpyLayers) -> None:
    sizes = [float(np.abs(W).max()) for W in layers]
    if min(sizes) > 0 and np.log(sizes).sum() < np.log(1e-290):
        raise ValueError(
            f"init: the product of the {len(layers)} starting layers is about "
            f"1e{np.log10(sizes).sum():.0f}, which float64 cannot tell from 0; "
            "write fewer layers or a larger scale."
        )
