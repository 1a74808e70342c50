"""Descent over many draws of its noise, beside the equations that describe it."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from flowsim import network
from flowsim.arrays import Array, Layers
from flowsim.measuring import Setting
from flowsim.results import Group, named
from flowsim.scenario import building, noise
from flowsim.scenario.measuring import MEASURES
from flowsim.scenario.measuring.noise import EQUATIONS, SOURCES
from flowsim.theory.noise_statistics import apart, deviation, distance, mean
from flowsim.theory.stochastic_flow import Ensemble, StochasticFlows
from flowsim.walking import ceiling, iterations, walk

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
    scenario, problem = setting.scenario, setting.problem
    spec, drawn = scenario.descent, noise.of(scenario)
    assert spec is not None and drawn is not None
    sizes = np.asarray(spec.sizes)
    count = iterations(building.saved_times(scenario), spec.sizes)
    dims, told = MEASURES["sgd_noise"].variables, _told()
    lengths = {"output": problem.start.shape[0], "input": problem.start.shape[1]}
    found = {
        name: np.full((*count.shape, *(lengths[d] for d in dims[name][2:])), np.nan)
        for name in told
    }
    flows = StochasticFlows(
        loss=problem.loss,
        noise=drawn,
        weight_decay=jnp.asarray(problem.weight_decay),
        eta=jnp.asarray(sizes[0]),
        keys=noise.keys(scenario, "noise", spec.runs),
        bridges=noise.keys(scenario, "brownian motion", spec.runs),
    )
    most = float(ceiling(problem, np.dtype(float)))
    for k, eta in enumerate(sizes):
        if k and setting.interrupted():
            break
        each = eqx.tree_at(lambda f: f.eta, flows, jnp.asarray(eta))

        def visit(sample: int, ensemble: Ensemble, k: int = k, each: StochasticFlows = each) -> None:
            for name, value in statistics(each, ensemble, most).items():
                found[name][k, sample] = value

        walk(
            each,
            each.start(tuple(map(jnp.asarray, problem.layers))),
            count[k : k + 1],
            visit,
            watch=lambda share, k=k: setting.watch((k + share) / len(sizes)),
            interrupted=setting.interrupted,
        )
    return {
        "runs": named((), np.array(spec.runs), "draws of the noise that are averaged over"),
        "step_size": named(("step_size",), sizes, "step size η"),
        "time": named(dims["time"], count * sizes[:, None], "time t = kη"),
        **{name: named(dims[name], found[name], told[name]) for name in told},
    }


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
    """Return the variables at one sample; those of a source some run of which diverged are left out.

    It has where its loss is above `ceiling` or not a number.
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
    runs = ensemble.runs
    every = tuple(
        jnp.concatenate([at[:, None], solved], axis=1)
        for at, solved in zip(runs.descent, runs.solutions, strict=True)
    )

    def one(layers: Layers) -> tuple[Array, Array, Array]:
        W = network.end_to_end(layers)
        return jnp.concatenate([A.ravel() for A in layers]), W, flows.loss.value(W)

    theta, W, loss = jax.vmap(jax.vmap(one))(every)
    # one after the other: a run's columns may take much memory
    return theta, W, loss, jax.lax.map(flows.trace, runs.descent)
