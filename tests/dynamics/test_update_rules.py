"""AdaGrad and AdaDelta: the steps that their papers say, at every step size on its own."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake

from flowsim.dynamics.rules import named
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.scenario.spec.scenario import Scenario
from flowsim.solvers import iterate
from flowsim.solvers.descend import descend
from flowsim.solvers.descent_trajectory import DescentTrajectory
from flowsim.solvers.invariants import of_descent

PHI = np.array([[2.0, 0.3, -0.4], [0.1, 1.0, 0.5]])
STEPS = 40
RULES = ["adagrad", "adadelta"]


def problem(decay: float = 0.0) -> Problem:
    layers = initialization.gaussian([3, 4, 2], 0.5, np.random.default_rng(3))
    return Problem(Squared(PHI), layers, 1.0, decay)


class AdaGrad:
    """Duchi, Hazan & Singer 2011: W ← W - η g / √(0.1 + Σ g² + 10⁻⁷)."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.squares = np.full(shape, 0.1)

    def move(self, eta: float, g: np.ndarray) -> np.ndarray:
        self.squares = self.squares + g**2
        return -eta * g / np.sqrt(self.squares + 1e-7)


class AdaDelta:
    """Zeiler 2012, ρ = 0.9, ε = 10⁻⁶: W ← W - η g √(E[Δ²] + ε) / √(E[g²] + ε), Δ without η."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.gradients, self.moves = np.zeros(shape), np.zeros(shape)

    def move(self, eta: float, g: np.ndarray) -> np.ndarray:
        self.gradients = 0.9 * self.gradients + 0.1 * g**2
        delta = np.sqrt(self.moves + 1e-6) / np.sqrt(self.gradients + 1e-6) * g
        self.moves = 0.9 * self.moves + 0.1 * delta**2
        return -eta * delta


BY_HAND = {"adagrad": AdaGrad, "adadelta": AdaDelta}


def by_hand(rule: str, eta: float, decay: float) -> np.ndarray:
    """Return W_0, W_1, …, by a loop over two matrices."""
    W1, W2 = (np.array(W) for W in problem().layers)
    first, second = BY_HAND[rule](W1.shape), BY_HAND[rule](W2.shape)
    found = [W2 @ W1]
    for _ in range(STEPS):
        G = W2 @ W1 - PHI
        g1, g2 = W2.T @ G + decay * W1, G @ W1.T + decay * W2
        W1, W2 = W1 + first.move(eta, g1), W2 + second.move(eta, g2)
        found.append(W2 @ W1)
    return np.array(found)


def each_step(*sizes: float, decay: float = 0.0, **options: object) -> DescentTrajectory:
    """Descend so that every iterate of the largest step size is saved."""
    times = max(sizes) * np.arange(STEPS + 1)
    return descend(problem(decay), sizes, times, **options)


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("eta", [0.3, 0.05])
@pytest.mark.parametrize("rule", RULES)
def test_takes_the_steps_of_its_paper(rule: str, eta: float, decay: float) -> None:
    found = each_step(eta, decay=decay, rule=rule)
    np.testing.assert_array_equal(found.iteration[0], np.arange(STEPS + 1))
    wanted = by_hand(rule, eta, decay)
    assert np.abs(wanted[1] - wanted[0]).max() > 1e-5  # it moves
    np.testing.assert_allclose(found.end_to_end[0], wanted, atol=1e-13)


@pytest.mark.parametrize("rule", RULES)
def test_step_sizes_do_not_touch_each_other(rule: str) -> None:
    times = 0.3 * np.arange(STEPS + 1)
    together = descend(problem(), [0.3, 0.06], times, rule=rule)
    for k, eta in enumerate((0.3, 0.06)):
        alone = descend(problem(), [eta], times, rule=rule)
        np.testing.assert_allclose(together.end_to_end[k], alone.end_to_end[0], atol=1e-13)


def test_one_that_diverges_is_frozen_with_what_it_remembers() -> None:
    """AdaDelta's first step is about 10⁻³ η √10 an entry, and so past 10¹² times the loss."""
    times = 0.1 * np.arange(11)
    both = descend(problem(), [0.1, 1e12], times, rule="adadelta")
    alone = descend(problem(), [0.1], times, rule="adadelta")
    np.testing.assert_allclose(both.end_to_end[0], alone.end_to_end[0], atol=1e-13)
    lost = descend(problem(), [1e12], 1e12 * np.arange(4), rule="adadelta")
    assert lost.outcome == ("diverged",)
    assert np.isinf(lost.loss[0, 1:]).all()


@pytest.mark.parametrize("rule", RULES)
def test_single_precision_exposes_rounding(rule: str) -> None:
    double = each_step(0.1, rule=rule)
    single = each_step(0.1, rule=rule, precision="float32")
    gap = np.abs(double.end_to_end - single.end_to_end).max()
    assert 1e-9 < gap < 1e-4


def test_optax_without_adaptation_is_gradient_descent() -> None:
    """Reduction: the same rule with optax.sgd takes the steps of the rule that is ours."""
    own = each_step(0.3, 0.05)
    np.testing.assert_allclose(
        each_step(0.3, 0.05, rule=optax.sgd).end_to_end, own.end_to_end, atol=1e-14
    )


def test_gradient_is_the_default_to_the_last_bit() -> None:
    plain, named = each_step(0.3, 0.05), each_step(0.3, 0.05, rule="gradient")
    np.testing.assert_array_equal(plain.end_to_end, named.end_to_end)


def test_momentum_is_for_gradient_descent_alone() -> None:
    with pytest.raises(ValueError, match=r"Momentum is not used by 'adagrad', but is 0.5"):
        each_step(0.1, rule="adagrad", momentum=0.5)
    text = spoilt("[0.4, 0.1]", '[0.4, 0.1]\nrule = "adagrad"\nmomentum = 0.5 #!')
    start = 'descent.momentum: is not used by rule = "adagrad", only by "gradient" and'
    assert the_mistake(text).startswith(start)


@pytest.mark.parametrize("rule", RULES)
def test_what_the_flow_keeps_is_not_watched(rule: str) -> None:
    """The same start and steps, of which those of gradient descent are watched."""
    scalars = Problem(Squared(np.zeros((1, 1))), [[[1.0]]] * 3, 6.0)
    times = np.array([0.0, 1.5])
    assert len(of_descent(descend(scalars, [1.5], times), scalars)[0]) == 1
    found = descend(scalars, [1.5, 0.1], times, rule=rule)
    assert of_descent(found, scalars) == [[], []]


def adaptive(rule: str = "adagrad", **changes: object) -> Scenario:
    text = SQUARED + f'rule = "{rule}"\n'
    return from_toml(text, overrides={"flow.horizon": 2.0, "flow.samples": 5, **changes})


@pytest.mark.slow
def test_its_steps_are_no_times_of_the_flow() -> None:
    found = run(adaptive(), "adaptive")
    assert {"loss", "iteration", "singular_values"} <= set(found.groups["descent"])
    assert "time" not in found.groups["descent"]
    assert not {"descent_vs_flow", "step_size"} & set(found.groups["comparison"])
    assert "adagrad, step sizes" in str(found.scenario)
    assert found.summary["versions"]["optax"] == optax.__version__
    assert "optax" not in run(adaptive("gradient"), "plain").summary["versions"]


def test_claims_of_those_times_are_refused() -> None:
    for quantity in ("comparison.descent_vs_flow", "descent.time"):
        claim = f'\n[[claims]]\nquantity = "{quantity}" #!\nbelow = 1\n'
        mistake = the_mistake(SQUARED + 'rule = "adadelta"\n' + claim)
        assert 'steps of "adadelta" have no time of the flow' in mistake


def test_one_compilation_serves_all_step_sizes() -> None:
    """The state lives in the compiled loop: no host call for an iteration."""
    stepper = iterate.make_descent(problem(), [0.1, 0.2], iterate.DescentOptions(named("adadelta")))
    iterates = stepper.initial_iterates(problem().layers)
    for leaf in jax.tree.leaves(iterates.memory):
        assert leaf.shape[0] == 2
    assert len(jax.tree.leaves(iterates.memory)) == 4  # E[g²] and E[Δ²] of two layers
