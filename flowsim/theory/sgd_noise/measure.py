"""Descent over many draws of its noise, beside the equations that describe it."""

from __future__ import annotations

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem import network
from flowsim.problem.types import Array, Layers
from flowsim.results.run import Group, named
from flowsim.scenario.build import gradient_noise
from flowsim.scenario.build.problem import saved_times
from flowsim.solvers.iterate import ceiling, iterations, walk
from flowsim.theory.registry import MEASURES
from flowsim.theory.setting import Setting
from flowsim.theory.sgd_noise.noise_statistics import apart, deviation, distance, mean
from flowsim.theory.sgd_noise.spec import EQUATIONS, SOURCES, runs
from flowsim.theory.sgd_noise.stochastic_flow import Ensemble, StochasticFlows

OF_SOURCE = {
    "descent": "of descent",
    "first": "of the first equation",
    "second": "of the second equation",
}
IN_WORDS = {
    "loss": "mean loss {}",
    "loss_error": "standard error of the mean loss {}",
    "loss_deviation": "standard deviation of the loss {}",
    "spread": "√E‖W − E W‖²_F {}",
    "spread_error": "standard error of the spread {}",
    "end_to_end": "mean W {}",
}
OF_EQUATION = {"first": "the first equation", "second": "the second equation"}
AGAINST = {
    "weak": "‖E W_k − E W(kη)‖_F of descent and {}",
    "weak_loss": "|E ℓ(W_k) − E ℓ(W(kη))| of descent and {}",
    "strong": "E‖θ_k − θ(kη)‖ of descent and {}, driven by the same draws",
}
OVER_RUNS = {
    "trace": "mean of tr Σ over the runs of descent, Σ the covariance of the gradient",
    "trace_error": "standard error of that mean",
}


def measure(setting: Setting) -> Group:
    """Return means, spreads and distances at every step size, at the samples of descent.

    Nan where a run has diverged, and after an interrupt.
    """
    scenario, descent = setting.scenario, setting.scenario.descent
    assert descent is not None
    sizes = np.asarray(descent.sizes)
    count = iterations(saved_times(scenario), descent.sizes)
    dims, told = MEASURES["sgd_noise"].variables, _told()
    lengths = dict(zip(("output", "input"), setting.problem.start.shape, strict=True))
    found = {
        name: np.full((*count.shape, *(lengths[d] for d in dims[name][2:])), np.nan)
        for name in told
    }
    flows = _flows(setting)
    for k, eta in enumerate(sizes):
        if k and setting.monitor.stop_requested():
            break
        of_size = {name: values[k] for name, values in found.items()}
        _fill(of_size, eqx.tree_at(lambda f: f.eta, flows, jnp.asarray(eta)), count, k, setting)
    return {
        "runs": named((), np.array(runs(scenario)), "draws of the noise that are averaged over"),
        "step_size": named(("step_size",), sizes, "step size η"),
        "time": named(dims["time"], count * sizes[:, None], "time t = kη"),
        **{name: named(dims[name], found[name], told[name]) for name in told},
    }


def _flows(setting: Setting) -> StochasticFlows:
    """Return descent and its equations over all draws, at a step size that is not set yet."""
    scenario, problem = setting.scenario, setting.problem
    drawn = gradient_noise.of(scenario)
    assert drawn is not None
    return StochasticFlows(
        loss=problem.loss,
        noise=drawn,
        weight_decay=jnp.asarray(problem.weight_decay),
        eta=jnp.zeros(()),
        keys=gradient_noise.keys(scenario, "noise", runs(scenario)),
        bridges=gradient_noise.keys(scenario, "brownian motion", runs(scenario)),
    )


def _fill(
    found: Mapping[str, np.ndarray],
    flows: StochasticFlows,
    count: np.ndarray,
    k: int,
    setting: Setting,
) -> None:
    """Walk along the samples of step size k, and put the statistics into `found(sample, …)`."""
    problem = setting.problem
    most = float(ceiling(problem, np.dtype(float)))

    def visit(sample: int, ensemble: Ensemble) -> None:
        for name, value in statistics(flows, ensemble, most).items():
            found[name][sample] = value

    walk(
        flows,
        flows.start(tuple(map(jnp.asarray, problem.layers))),
        count[k : k + 1],
        visit,
        monitor=setting.monitor.part(k / len(count), (k + 1) / len(count)),
    )


def _told() -> dict[str, str]:
    """Return what each variable is, by name."""
    of_sources = {
        f"{source}_{name}": words.format(said)
        for source, said in OF_SOURCE.items()
        for name, words in IN_WORDS.items()
    }
    against = {
        f"{name}_{equation}": words.format(said)
        for equation, said in OF_EQUATION.items()
        for name, words in AGAINST.items()
    }
    errors = {
        f"{name}_error": "standard error, and what halving the solver's steps changes"
        for name in against
    }
    return {**of_sources, **OVER_RUNS, **against, **errors}


def statistics(
    flows: StochasticFlows, ensemble: Ensemble, ceiling: float
) -> dict[str, np.ndarray | float]:
    """Return the variables at one sample, all but those of what has diverged in some run.

    That is where its loss is above `ceiling` or not a number.
    """
    theta, W, loss, trace = map(np.asarray, seen(flows, ensemble))
    good = [bool((loss[:, i] <= ceiling).all()) for i in range(loss.shape[1])]
    found: dict[str, np.ndarray | float] = {}
    for i, source in enumerate(SOURCES):
        if good[i]:
            found |= _of_source(source, W[:, i], loss[:, i])
    if good[0]:
        found["trace"], found["trace_error"] = mean(trace)
    for i, equation in enumerate(EQUATIONS, start=1):
        if good[0] and good[i] and good[i + 2]:
            between = {
                "weak": apart(W[:, 0] - W[:, i], W[:, i + 2] - W[:, i]),
                "weak_loss": apart(loss[:, 0] - loss[:, i], loss[:, i + 2] - loss[:, i]),
                "strong": distance(theta[:, 0] - theta[:, i], theta[:, i + 2] - theta[:, i]),
            }
            for name, (value, error) in between.items():
                found |= {f"{name}_{equation}": value, f"{name}_{equation}_error": error}
    return found


def _of_source(source: str, W: np.ndarray, loss: np.ndarray) -> dict[str, np.ndarray | float]:
    size, error = mean(loss)
    spread, spread_error = deviation(W)
    return {
        f"{source}_loss": size,
        f"{source}_loss_error": error,
        f"{source}_loss_deviation": deviation(loss).value,
        f"{source}_spread": spread,
        f"{source}_spread_error": spread_error,
        f"{source}_end_to_end": W.mean(axis=0),
    }


@eqx.filter_jit
def seen(flows: StochasticFlows, ensemble: Ensemble) -> tuple[Array, Array, Array, Array]:
    """Return θ, W and ℓ(W), shape (run, which, …), and tr Σ of descent, shape (run,).

    `which` goes over descent, the solutions of the two equations, and those that check them.
    """
    descent, solutions = ensemble.runs.descent, ensemble.runs.solutions
    every = tuple(
        jnp.concatenate([at[:, None], solved], axis=1)
        for at, solved in zip(descent, solutions, strict=True)
    )

    def one(layers: Layers) -> tuple[Array, Array, Array]:
        W = network.end_to_end(layers)
        return jnp.concatenate([A.ravel() for A in layers]), W, flows.loss.value(W)

    theta, W, loss = jax.vmap(jax.vmap(one))(every)
    # one after the other: a run's columns may take much memory
    return theta, W, loss, jax.lax.map(flows.trace, descent)
