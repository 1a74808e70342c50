"""The problem that a scenario defines: target, data, loss, initial layers and gradient noise.

Samples come from files, inline, or bundled with scikit-learn; columns are samples. Standardizing
and whitening use the statistics of the training samples alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Key

from flowsim.dynamics.rules import named
from flowsim.dynamics.update_rules import Rule
from flowsim.problem.gradient_noise import Batches, LabelNoise, Noise, Stream
from flowsim.problem.initialization import NumpyLayers
from flowsim.problem.losses import Loss
from flowsim.problem.problem import Problem
from flowsim.problem.types import Array
from flowsim.process.environment import isolated
from flowsim.scenario.build.files import load_array
from flowsim.scenario.build.loss_data import LossData, Samples, generator
from flowsim.scenario.build.overflow import overflow_at, overflows
from flowsim.scenario.build.shapes import BUNDLED
from flowsim.scenario.spec.data import DataLoss
from flowsim.scenario.spec.errors import UnplacedError, mistake_at
from flowsim.scenario.spec.forms import FileRef
from flowsim.scenario.spec.table import FROM_PYTHON

if TYPE_CHECKING:
    from flowsim.scenario.spec.data import Data
    from flowsim.scenario.spec.loss import Loss as SpecifiedLoss
    from flowsim.scenario.spec.scenario import Scenario

ROUNDING = 8 * np.finfo(float).eps
"""Largest deviation, relative to the largest entry, of a row that varies by rounding alone."""


@isolated()
def build_problem(scenario: Scenario) -> Problem:
    """Return the problem that a scenario names.

    Raises
    ------
    UnplacedError
        If the product of the initial layers underflows float64, or the loss there overflows.

    """
    if scenario.loss.problem is not None:
        return scenario.loss.problem
    loss, samples = training(scenario)
    rng = generator(seed_of(scenario, "init"), "init")
    layers = _perturbed(scenario, scenario.init.build(scenario.network.widths, rng, loss))
    _refuse_underflow(layers)
    if overflows(loss, layers):
        raise UnplacedError(overflow_at(scenario, loss, samples, layers))
    return Problem(loss, layers, scenario.flow.horizon, scenario.flow.weight_decay)


def seed_of(scenario: Scenario, section: str) -> int:
    """Return the seed of what a table draws: its own, or that of the scenario."""
    own: int | None = getattr(getattr(scenario, section), "seed", None)
    return scenario.seed if own is None else own


def training(scenario: Scenario) -> tuple[Loss, Samples | None]:
    """Return the loss on the training samples, and these where it is one on data."""
    train, _ = _samples(scenario)
    return scenario.loss.build(_loss_data(scenario, train)), train


def held_out(scenario: Scenario) -> Loss | None:
    """Return the loss on the held-out samples, or None where nothing is held out."""
    _, test = _samples(scenario)
    return None if test is None else scenario.loss.build(_loss_data(scenario, test))


def noise_stream(scenario: Scenario) -> Stream | None:
    """Return the gradient noise of the first run, or None without noise."""
    noise = gradient_noise(scenario)
    return None if noise is None else Stream(noise, noise_keys(scenario, "noise", 1)[0])


def update_rule(scenario: Scenario) -> Rule:
    """Return the update rule of `[descent]`, with its parameters.

    Raises
    ------
    UnplacedError
        If it was given in Python, and the scenario was read from a file.

    """
    spec = scenario.descent
    assert spec is not None
    if spec.rule == FROM_PYTHON:
        given = spec.python.given if spec.python else None
        if given is None:
            text = 'is "python": the rule was given in Python; call flowsim.run with it'
            raise UnplacedError(mistake_at("descent.rule", text))
        return given
    return named(spec.rule, momentum=spec.momentum, rho=spec.radius)


def noise_keys(scenario: Scenario, name: str, count: int) -> Key[Array, " run"]:
    """Return the keys of the draw called `name` for `count` runs; key i depends on no other."""
    seed = int(generator(seed_of(scenario, "descent"), name).integers(2**63))
    root = jax.random.key(seed, impl="threefry2x32")  # whatever JAX's default is
    drawn: Key[Array, " run"] = jax.vmap(lambda r: jax.random.fold_in(root, r))(jnp.arange(count))
    return drawn


def gradient_noise(scenario: Scenario) -> Noise | None:
    """Return the batches, the label noise, or both of `[descent]`."""
    spec = scenario.descent
    if spec is None or not spec.noisy:
        return None
    deviation = None if spec.label_noise is None else jnp.asarray(spec.label_noise)
    loss, samples = training(scenario)
    if spec.batch is None:
        assert deviation is not None
        # noise of deviation s on m samples is noise of s/√m on the compressed least squares
        count = 1 if samples is None else samples.X.shape[1]
        return LabelNoise(loss, deviation / math.sqrt(count))
    sampled = scenario.loss.build_sampled(_loss_data(scenario, samples))
    return Batches(sampled, spec.batch, deviation)


def saved_times(scenario: Scenario) -> np.ndarray:
    """Return the saved times: as given, equally spaced from 0, or 0 and then geometric."""
    flow = scenario.flow
    if flow.times is not None:
        return np.asarray(flow.times, dtype=float)
    if flow.spacing == "linear":
        return np.linspace(0.0, flow.horizon, flow.samples)
    later = np.geomspace(flow.first_saved_time, flow.horizon, flow.samples - 1)
    later[-1] = flow.horizon
    return np.concatenate([[0.0], later])


def kept_samples(scenario: Scenario) -> np.ndarray:
    """Return at which saved times W is stored, as booleans: `[output] end_to_end`."""
    kept_at, samples = scenario.output.end_to_end, scenario.flow.samples
    if kept_at == "all":
        return np.ones(samples, dtype=bool)
    kept = np.zeros(samples, dtype=bool)
    if kept_at != "last":
        kept[::kept_at] = True
    kept[-1] = True
    return kept


def _samples(scenario: Scenario) -> tuple[Samples | None, Samples | None]:
    """Return training samples, and the held-out ones; None where there are none."""
    spec = scenario.data
    if spec is None:
        return None, None
    X, Y, train, test = _chosen(scenario, spec)
    Z = X
    if spec.standardize:
        Z = _standardized(Z, train)
        Y = _standardized(Y, train) if _has_real_targets(scenario) else Y
    if spec.whiten:
        Z = _whitening(Z[:, train]) @ Z
    held_out = Samples(Z[:, test], Y[:, test]) if test.size else None
    return Samples(Z[:, train], Y[:, train]), held_out


def standardization_notes(scenario: Scenario) -> Iterable[str]:
    """Yield a note on rows that vary by rounding alone, which `standardize` makes 0."""
    spec = scenario.data
    if spec is None or not spec.standardize:
        return
    X, Y, train, _ = _chosen(scenario, spec)
    arrays = {"inputs": X} | ({"targets": Y} if _has_real_targets(scenario) else {})
    for name, Z in arrays.items():
        varies = np.ptp(Z[:, train], axis=1) > 0
        rows = np.flatnonzero(varies & (_centred(Z, train)[1][:, 0] <= ROUNDING))
        if rows.size:
            yield (
                f"data.{name}: row {', '.join(str(k + 1) for k in rows)} varies by rounding errors "
                "alone and is standardized to 0; subtract its mean before writing it if the "
                "variation matters."
            )


def _chosen(
    scenario: Scenario, spec: Data
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs and targets, and which columns are for training and which are held out."""
    X, Y = _raw(spec, scenario.loss)
    seed = seed_of(scenario, "data")
    if spec.samples is not None:
        chosen = generator(seed, "samples").permutation(X.shape[1])[: spec.samples]
        # in the order of the file, as without a choice
        X, Y = X[:, np.sort(chosen)], Y[:, np.sort(chosen)]
    return X, Y, *_split(spec.held_out, generator(seed, "held_out"), X.shape[1])


def _has_real_targets(scenario: Scenario) -> bool:
    """Return whether the targets are real numbers, not classes."""
    dataset = scenario.data.dataset if scenario.data else None
    return not scenario.loss.has("classifies") and (dataset is None or not BUNDLED[dataset].classes)


def _split(fraction: float, rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    order = rng.permutation(count)
    # one sample at least is left for training
    held_out = min(round(fraction * count), count - 1) if fraction else 0
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _raw(spec: Data, loss: SpecifiedLoss) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and targets as they are in the file or data set."""
    if spec.dataset is None:
        return _given(spec.inputs), _given(spec.targets)
    assert isinstance(loss, DataLoss)
    return _bundled(spec.dataset, loss)


def _given(value: object) -> np.ndarray:
    return load_array(value) if isinstance(value, FileRef) else np.asarray(value, dtype=float)


def _bundled(name: str, loss: DataLoss) -> tuple[np.ndarray, np.ndarray]:
    """Return a bundled table; classes become one-hot rows, integers or ±1 as the loss needs."""
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    X = np.asarray(bunch.data, dtype=float).T
    if not BUNDLED[name].classes:
        return X, np.atleast_2d(np.asarray(bunch.target, dtype=float).T)
    return X, loss.encode(np.asarray(bunch.target, dtype=np.int64))


def _standardized(Z: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the rows of Z with mean 0 and standard deviation 1 over the training columns."""
    D, deviation = _centred(Z, train)
    # a deviation at the level of rounding would be magnified to noise of size 1
    constant = deviation <= ROUNDING
    return np.where(constant, 0.0, D / np.where(constant, 1.0, deviation))


def _centred(Z: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of Z less their mean, and their deviations, relative to the largest entry."""
    # scaled by powers of 2, which is exact, no row over- or underflows
    exponents = np.frexp(np.abs(Z[:, train]).max(axis=1, keepdims=True))[1]
    D = np.ldexp(Z, -exponents)
    for _ in range(2):  # the first mean is rounded at the size of Z, the second at that of D
        D = D - D[:, train].mean(axis=1, keepdims=True)
    return D, D[:, train].std(axis=1, keepdims=True)


def _whitening(train: np.ndarray) -> np.ndarray:
    """Return M with (MX)(MX)ᵀ/m = I on the range of the training inputs X = U S Vᵀ."""
    U, S, _ = np.linalg.svd(train, full_matrices=False)
    # singular values of rounding size would be scaled up to 1: they count as 0
    rank = int(np.sum(S[0] * max(train.shape) * np.finfo(float).eps < S))
    U, S = U[:, :rank], S[:rank]
    return np.asarray((U * (np.sqrt(train.shape[1]) / S)) @ U.T)


def _loss_data(scenario: Scenario, samples: Samples | None) -> LossData:
    """Return what the loss of a scenario is built from."""
    return LossData(scenario.network.shape, seed_of(scenario, "loss"), samples)


def _perturbed(scenario: Scenario, layers: NumpyLayers) -> NumpyLayers:
    """Return the layers with the noise of `init.noise` on every entry."""
    if not scenario.init.noise:
        return layers
    rng = generator(seed_of(scenario, "init"), "init.noise")
    return tuple(W + scenario.init.noise * rng.standard_normal(W.shape) for W in layers)


def _refuse_underflow(layers: NumpyLayers) -> None:
    sizes = [float(np.abs(W).max()) for W in layers]
    if min(sizes) > 0 and np.log(sizes).sum() < np.log(1e-290):
        text = (
            f"makes the product of the {len(layers)} initial layers about "
            f"1e{np.log10(sizes).sum():.0f}, which float64 cannot tell from 0; "
            "write fewer layers or a larger scale"
        )
        raise UnplacedError(mistake_at("init", text))
