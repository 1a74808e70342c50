"""Stochastic gradient descent over many draws of its noise, and its SDEs on the same draws.

Runs are along the leading axis. Runs driven by the same noise are strongly correlated. Their
differences vary far less than the runs, so the mean difference is far more accurate than either
mean (common random numbers).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Array, Layers
from flowsim.scenario.build.problem import gradient_noise, noise_keys, saved_times
from flowsim.solvers.iterate import divergence_threshold_of, iterate, iterations
from flowsim.theory.setting import Arrays, Setting
from flowsim.theory.sgd_noise.spec import EQUATIONS, SGD_NOISE, SOURCES, runs
from flowsim.theory.sgd_noise.stochastic_flow import Ensemble, StochasticFlows


def measure(setting: Setting) -> Arrays:
    """Return means, standard deviations and distances at every step size and recorded iterate.

    nan where a run has diverged, and after an interrupt.
    """
    scenario, problem, descent = setting.scenario, setting.problem, setting.scenario.descent
    assert descent is not None
    sizes = np.asarray(descent.sizes)
    count = iterations(saved_times(scenario), descent.sizes)
    lengths = dict(zip(("output", "input"), setting.problem.initial.shape, strict=True))
    found = {
        spec.name: np.full((*count.shape, *(lengths[dim] for dim in spec.dims[2:])), np.nan)
        for spec in SGD_NOISE.variables
        if "sample" in spec.dims
    }
    found["time"] = count * sizes[:, None]
    start, most = _flows(setting), float(divergence_threshold_of(problem))
    for k, eta in enumerate(sizes):
        if k and setting.monitor.stop_requested():
            break
        flows = eqx.tree_at(lambda f: f.eta, start, jnp.asarray(eta))

        def visit(
            sample: int, ensemble: Ensemble, k: int = k, flows: StochasticFlows = flows
        ) -> None:
            for name, value in statistics(flows, ensemble, most).items():
                found[name][k, sample] = value

        iterate(
            flows,
            flows.start(tuple(map(jnp.asarray, problem.layers))),
            count[k : k + 1],
            visit,
            monitor=setting.monitor.part(k / len(count), (k + 1) / len(count)),
        )
    return {"runs": runs(scenario), "step_size": sizes, **found}


def _flows(setting: Setting) -> StochasticFlows:
    """Return gradient descent and its SDEs over all draws, with the step size set to 0 for now."""
    scenario, problem = setting.scenario, setting.problem
    drawn = gradient_noise(scenario)
    assert drawn is not None
    return StochasticFlows(
        loss=problem.loss,
        noise=drawn,
        weight_decay=jnp.asarray(problem.weight_decay),
        eta=jnp.zeros(()),
        keys=noise_keys(scenario, "noise", runs(scenario)),
        bridges=noise_keys(scenario, "brownian motion", runs(scenario)),
    )


def statistics(
    flows: StochasticFlows, ensemble: Ensemble, ceiling: float
) -> dict[str, np.ndarray | float]:
    """Return the variables at one recorded iterate, without those of processes that diverged.

    A process, descent or an SDE, has diverged if its loss is above `ceiling` or nan in any run: a
    mean over the remaining runs would be biased.
    """
    theta, W, loss, trace = map(np.asarray, seen(flows, ensemble))
    good = [bool((loss[:, i] <= ceiling).all()) for i in range(loss.shape[1])]
    found: dict[str, np.ndarray | float] = {}
    for i, source in enumerate(SOURCES):
        if good[i]:
            found |= _of_source(source, W[:, i], loss[:, i])
    if good[0]:
        found["trace"], found["trace_error"] = mean_estimate(trace)
    for i, equation in enumerate(EQUATIONS, start=1):
        if good[0] and good[i] and good[i + 2]:
            between = {
                "weak": distance_of_means(W[:, 0] - W[:, i], W[:, i + 2] - W[:, i]),
                "weak_loss": distance_of_means(
                    loss[:, 0] - loss[:, i], loss[:, i + 2] - loss[:, i]
                ),
                "strong": mean_distance(theta[:, 0] - theta[:, i], theta[:, i + 2] - theta[:, i]),
            }
            for name, (value, error) in between.items():
                found |= {f"{name}_{equation}": value, f"{name}_{equation}_error": error}
    return found


def _of_source(source: str, W: np.ndarray, loss: np.ndarray) -> dict[str, np.ndarray | float]:
    size, error = mean_estimate(loss)
    deviation, deviation_error = standard_deviation(W)
    return {
        f"{source}_loss": size,
        f"{source}_loss_error": error,
        f"{source}_loss_deviation": standard_deviation(loss).value,
        f"{source}_spread": deviation,
        f"{source}_spread_error": deviation_error,
        f"{source}_end_to_end": W.mean(axis=0),
    }


@eqx.filter_jit
def seen(flows: StochasticFlows, ensemble: Ensemble) -> tuple[Array, Array, Array, Array]:
    """Return θ, W and the loss, shape (run, which, …), and tr Σ of descent, shape (run,).

    The index `which` is 0 for descent, 1 and 2 for the SDEs of order 1 and 2, and 3 and 4 for their
    second solves.
    """
    descent, solutions = ensemble.runs.descent, ensemble.runs.solutions
    every = tuple(
        jnp.concatenate([at[:, None], solved], axis=1)
        for at, solved in zip(descent, solutions, strict=True)
    )

    def one(layers: Layers) -> tuple[Array, Array, Array]:
        W = network.end_to_end(layers)
        return jnp.concatenate([A.ravel() for A in layers]), W, flows.loss.at(layers, W)

    theta, W, loss = jax.vmap(jax.vmap(one))(every)
    # one run after the other, since the columns of S take much memory
    return theta, W, loss, jax.lax.map(flows.trace, descent)


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
    solving = float(np.linalg.norm(unsolved.mean(axis=0)))
    return Estimate(float(np.linalg.norm(differences.mean(axis=0))), sampling + solving)


def mean_distance(differences: np.ndarray, unsolved: np.ndarray) -> Estimate:
    """Return E‖x‖ of differences x between runs.

    The error is the standard error plus the mean norm of `unsolved`, as in `distance_of_means`.
    """
    mean = mean_estimate(norms(differences))
    return Estimate(mean.value, mean.error + float(norms(unsolved).mean()))


def norms(values: np.ndarray) -> np.ndarray:
    """Return the norm of each run's entries."""
    return np.asarray(np.linalg.norm(values.reshape(len(values), -1), axis=1))
