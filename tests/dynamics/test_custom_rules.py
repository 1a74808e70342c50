"""SAM, normalized descent, optax's rules and functions of the user, each against a few lines."""

# ruff: noqa: ARG002, ARG005  (rules take what they do not use)

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scenario_texts import SQUARED, spoilt

import flowsim
from flowsim import rules
from flowsim.dynamics.registry import RULES
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.scenario.build.problem import build_problem, noise_stream
from flowsim.scenario.spec.errors import ScenarioError
from flowsim.solvers.verdict import Verdict

PHI = np.array([[2.0, 0.3, -0.4], [0.1, 1.0, 0.5]])
STEPS = 30


def problem(decay: float = 0.0) -> flowsim.Problem:
    layers = flowsim.inits.gaussian([3, 4, 2], 0.5, np.random.default_rng(3))
    return flowsim.Problem(flowsim.losses.Squared(PHI), layers, 1.0, decay)


def scalar(*weights: float, target: float = 1.0) -> flowsim.Problem:
    loss = flowsim.losses.Squared(np.array([[target]]))
    return flowsim.Problem(loss, [[[w]] for w in weights], 1.0)


def gradients(layers: list[np.ndarray], decay: float) -> list[np.ndarray]:
    W1, W2 = layers
    G = W2 @ W1 - PHI
    return [W2.T @ G + decay * W1, G @ W1.T + decay * W2]


def norm(matrices: list[np.ndarray]) -> float:
    return float(np.sqrt(sum((M**2).sum() for M in matrices)))


def by_hand(step, eta: float, decay: float = 0.0) -> np.ndarray:
    """Return W_0, W_1, … of a step (layers, k) ↦ layers."""
    layers = [np.array(W) for W in problem(decay).layers]
    found = [layers[1] @ layers[0]]
    for k in range(STEPS):
        layers = step(layers, eta, decay, k)
        found.append(layers[1] @ layers[0])
    return np.array(found)


def each_step(eta: float, rule, decay: float = 0.0, **options: object) -> np.ndarray:
    found = flowsim.descend(problem(decay), [eta], eta * np.arange(STEPS + 1), rule=rule, **options)
    return found.end_to_end[0]


def sam(rho: float, layers, eta, decay, k) -> list[np.ndarray]:
    g = gradients(layers, decay)
    ahead = [W + rho * d / norm(g) for W, d in zip(layers, g, strict=True)]
    return [W - eta * d for W, d in zip(layers, gradients(ahead, decay), strict=True)]


def normalized(layers, eta, decay, k) -> list[np.ndarray]:
    g = gradients(layers, decay)
    return [W - eta * d / norm(g) for W, d in zip(layers, g, strict=True)]


@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize(
    ("rule", "step"),
    [
        (rules.SAM(0.2), partial(sam, 0.2)),
        ("sam", partial(sam, 0.05)),  # ρ of Foret et al.
        (rules.NormalizedDescent(), normalized),
        ("normalized", normalized),
    ],
)
def test_takes_the_steps_of_its_formula(rule, step, decay: float) -> None:
    np.testing.assert_allclose(each_step(0.1, rule, decay), by_hand(step, 0.1, decay), atol=1e-13)


def test_sam_is_gradient_descent_up_to_the_order_of_its_radius() -> None:
    plain = each_step(0.1, "gradient")
    np.testing.assert_allclose(each_step(0.1, rules.SAM(0.0)), plain, atol=1e-15)
    far, near = (np.linalg.norm(each_step(0.1, rules.SAM(r)) - plain) for r in (2e-4, 1e-4))
    assert far / near == pytest.approx(2, rel=0.01)


def test_sam_ends_in_the_cycle_of_its_radius() -> None:
    """On ½(w - 1)² a step is w - 1 ↦ (1 - η)(w - 1) - ηρ sign(w - 1): ±ηρ/(2 - η) in turn."""
    eta, rho = 0.5, 0.2
    found = flowsim.descend(scalar(3.0), [eta], [0.0, 100.0], rule=rules.SAM(rho))
    (ending,) = found.endings
    assert ending.verdict is Verdict.OSCILLATING
    assert ending.details["period"] == 2
    reach = eta * rho / (2 - eta)
    assert ending.details["low"] == pytest.approx(1 - reach, rel=1e-9)
    assert ending.details["high"] == pytest.approx(1 + reach, rel=1e-9)


def test_normalized_descent_moves_at_speed_one() -> None:
    """One layer on ‖W - Φ‖²_F/2: a straight line of constant speed up to Φ."""
    start = np.array([[1.0, 0.0], [0.0, 2.0]])
    line = flowsim.Problem(flowsim.losses.Squared(np.zeros((2, 2))), [start], 1.0)
    times = np.linspace(0.0, 2.0, 21)
    found = flowsim.descend(line, [0.1], times, rule="normalized")
    there = start * (1 - times / np.sqrt(5))[:, None, None]
    np.testing.assert_allclose(found.end_to_end[0], there, atol=1e-13)
    assert not found.follows_flow


def test_normalized_descent_oscillates_by_half_a_step() -> None:
    """From 1 + 10.3 η it passes 1 after ten steps, and then alternates between 0.3η and -0.7η."""
    eta = 0.125
    found = flowsim.descend(scalar(1 + 10.3 * eta), [eta], [0.0, 100.0], rule="normalized")
    (ending,) = found.endings
    assert ending.verdict is Verdict.OSCILLATING
    assert ending.details["low"] == pytest.approx(1 - 0.7 * eta, rel=1e-9)
    assert ending.details["high"] == pytest.approx(1 + 0.3 * eta, rel=1e-9)


@pytest.mark.parametrize("size", [1e-130, 1e130])
def test_a_direction_does_not_depend_on_the_size_of_the_gradient(size: float) -> None:
    start = size * np.array([[3.0, 4.0]])
    far = flowsim.Problem(flowsim.losses.Squared(np.zeros((1, 2))), [start], 1.0)
    found = flowsim.descend(far, [size], [0.0, size], rule="normalized")
    np.testing.assert_allclose(found.end_to_end[0, 1] / size, [[2.4, 3.2]], rtol=1e-14)


@pytest.mark.parametrize("rule", ["normalized", "sam"])
def test_a_stationary_point_stays(rule: str) -> None:
    found = flowsim.descend(scalar(0.0, 0.0), [0.1], [0.0, 1.0], rule=rule)
    np.testing.assert_array_equal(found.end_to_end, 0.0)


def test_optax_is_called_with_each_step_size() -> None:
    """Adam (Kingma & Ba 2015) by hand at two step sizes at once, b₂ given."""
    moments = {}

    def adam(layers, eta, decay, k) -> list[np.ndarray]:
        m, v = moments.pop(k, ([0.0, 0.0], [0.0, 0.0]))
        g = gradients(layers, decay)
        m = [0.9 * a + 0.1 * d for a, d in zip(m, g, strict=True)]
        v = [0.99 * a + 0.01 * d**2 for a, d in zip(v, g, strict=True)]
        moments[k + 1] = m, v
        scales = [np.sqrt(b / (1 - 0.99 ** (k + 1))) + 1e-8 for b in v]
        return [
            W - eta * a / (1 - 0.9 ** (k + 1)) / s
            for W, a, s in zip(layers, m, scales, strict=True)
        ]

    times, sizes = 0.1 * np.arange(STEPS + 1), [0.1, 0.05]
    found = flowsim.descend(problem(), sizes, times, rule=partial(optax.adam, b2=0.99))
    np.testing.assert_allclose(found.end_to_end[0], by_hand(adam, 0.1), atol=1e-12)
    moments.clear()
    np.testing.assert_allclose(
        found.end_to_end[1, : STEPS // 2 + 1], by_hand(adam, 0.05)[::2], atol=1e-12
    )


def heavy_ball(layers, gradients, state, eta):
    state = tuple(0.9 * V - eta * g for V, g in zip(state, gradients, strict=True))
    return tuple(W + V for W, V in zip(layers, state, strict=True)), state


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_function_has_one_zero_matrix_per_layer_as_its_state(precision: str) -> None:
    own = each_step(0.1, heavy_ball, 0.2, precision=precision)
    ours = each_step(0.1, rules.HeavyBall(0.9), 0.2, precision=precision)
    np.testing.assert_allclose(own, ours, atol=1e-14 if precision == "float64" else 1e-6)


def test_another_state_is_given_with_the_function() -> None:
    """Step sizes η/(k + 1), k counted from 1 by a state that starts at 1."""

    def decaying(layers, gradients, k, eta):
        pairs = zip(layers, gradients, strict=True)
        return [W - eta / k * g for W, g in pairs], k + 1

    def step(layers, eta, decay, k) -> list[np.ndarray]:
        pairs = zip(layers, gradients(layers, decay), strict=True)
        return [W - eta / (k + 1) * g for W, g in pairs]

    rule = rules.Custom(decaying, initial_state=lambda layers: 1, name="decaying")
    np.testing.assert_allclose(each_step(0.1, rule), by_hand(step, 0.1), atol=1e-13)
    assert flowsim.descend(problem(), [0.1], rule=rule).rule == "decaying"


FACTOR = 1.0


def scaled(layers, gradients, state, eta):
    pairs = zip(layers, gradients, strict=True)
    return tuple(W - FACTOR * eta * g for W, g in pairs), state


def test_a_function_is_what_it_reads_now(monkeypatch) -> None:
    """Step η with the factor ½ is step η/2, whichever was compiled before."""
    whole = each_step(0.1, scaled)
    monkeypatch.setattr(f"{__name__}.FACTOR", 0.5)
    half = each_step(0.1, scaled)
    np.testing.assert_allclose(half, each_step(0.05, "gradient"), atol=1e-14)
    assert np.abs(half - whole).max() > 1e-3


def test_an_array_that_changes_in_place_changes_the_rule() -> None:
    mask = np.ones((4, 3))

    def masked(layers, gradients, state, eta):
        (W1, W2), (g1, g2) = layers, gradients
        return (W1 - eta * mask * g1, W2 - eta * g2), state

    both = each_step(0.1, masked)
    mask[:] = 0.0
    upper = each_step(0.1, masked)
    np.testing.assert_allclose(both, each_step(0.1, "gradient"), atol=1e-14)
    W1, W2 = (np.array(W) for W in problem().layers)
    for _ in range(STEPS):
        W2 = W2 - 0.1 * (W2 @ W1 - PHI) @ W1.T
    np.testing.assert_allclose(upper[-1], W2 @ W1, atol=1e-13)


def test_equal_functions_are_one_program() -> None:
    def made(factor: float):
        return rules.as_rule(
            lambda W, g, s, eta: (tuple(a - factor * eta * b for a, b in zip(W, g, strict=True)), s)
        ).prepared(problem().layers)

    first, second, other = made(1.0), made(1.0), made(2.0)
    assert first.programs == second.programs
    assert hash(first.programs) == hash(second.programs)
    assert first.programs != other.programs


def test_the_times_are_those_of_a_flow_by_default() -> None:
    found, flow = flowsim.descend(problem(), [0.001]), flowsim.solve(problem())
    np.testing.assert_array_equal(found.iteration[0], np.rint(flow.times / 0.001))


@pytest.mark.parametrize("name", ["adam", "SAM", ""])
def test_an_unknown_rule_is_answered_by_the_list(name: str) -> None:
    with pytest.raises(ValueError, match=f"rule must be one of {', '.join(RULES)}, or a Rule"):
        flowsim.descend(problem(), [0.1], rule=name)


def to_numpy(layers, gradients, state, eta):
    return tuple(W * np.asarray(eta) for W in layers), state


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (lambda layers, gradients: layers, "or a function"),
        (lambda eta: eta, "called with η it returns"),
        (rules.SAM, r"rule must be an object, as in SAM\(…\), but is the class"),
        (lambda *given: given[0], "called with η it returns"),
        (lambda a, b, c, d: a[:1], "must return a pair"),
        (lambda a, b, c, d: (a[:1], c), r"layers of shapes \[\(4, 3\), \(2, 4\)\], but"),
        (lambda a, b, c, d: (a, None), "give its form at the start by flowsim.rules.Custom"),
        (lambda a, b, c, d: (a, c[7]), "failed: tuple index out of range"),
        (lambda a, b, c, d: (jnp.stack(a), c), "failed"),
        (to_numpy, "write it with jax.numpy alone"),
        (lambda a, b, c, d: (tuple(W.astype("float32") for W in a), c), "computes in float32"),
    ],
)  # fmt: skip
def test_what_is_no_rule_is_refused_with_the_reason(rule, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        flowsim.descend(problem(), [0.1], rule=rule)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: rules.SAM(-0.1), "rho must be finite and at least 0, but is -0.1"),
        (lambda: rules.HeavyBall(1.0), "momentum must be below 1, but is 1"),
        (lambda: rules.HeavyBall("increasing"), "momentum must be a number"),
        (lambda: rules.Nesterov("growing"), "momentum must be a number"),
        (lambda: rules.Custom(3), "function must be a function, but is 3"),
        (lambda: flowsim.descend(problem(), [0.1], rule=rules.SAM(), momentum=0.9), "in the rule"),
    ],
)
def test_parameters_outside_their_range_are_refused(make, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        make()


class Extragradient(rules.Rule):
    """W ← W - η g(W - β η g(W)) (Korpelevich 1976); the midpoint method at β = ½."""

    beta: float

    def initial_memory(self, layers):
        return ()

    def step(self, layers, gradient, memory, eta):
        ahead = [W - self.beta * eta * g for W, g in zip(layers, gradient(layers), strict=True)]
        moved = zip(layers, gradient(tuple(ahead)), strict=True)
        return tuple(W - eta * g for W, g in moved), memory


def test_a_class_may_take_gradients_elsewhere() -> None:
    own = each_step(0.1, Extragradient(0.5))
    np.testing.assert_allclose(own, each_step(0.1, "midpoint"), atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ('rule = "sam"\nrho = 0.2', rules.SAM(0.2)),
        ('rule = "sam"', rules.SAM(0.05)),
        ('rule = "normalized"', rules.NormalizedDescent()),
    ],
)
def test_a_file_names_the_rules(lines: str, rule: rules.Rule) -> None:
    text = SQUARED + lines + '\n[output]\nend_to_end = "all"\n'
    changes = {"flow.horizon": 2.0, "flow.samples": 5, "init.scale": 0.5, "network.widths": [4, 3]}
    scenario = from_toml(text, overrides=changes)
    found = run(scenario, "ruled")
    own = flowsim.descend(build_problem(scenario), [0.4, 0.1], found["layers.time"], rule=rule)
    np.testing.assert_array_equal(found["descent.end_to_end"], own.end_to_end)
    # only SAM's steps have the unit of time
    assert ("time" in found.groups["descent"]) == isinstance(rule, rules.SAM)
    assert ("descent_vs_flow" in found.groups["comparison"]) == isinstance(rule, rules.SAM)


@pytest.mark.parametrize(
    "rule",
    [heavy_ball, "sam", rules.HeavyBall(0.9), optax.adam],
    ids=["function", "name", "object", "factory"],
)
def test_a_run_of_a_problem_descends_by_the_rule(rule) -> None:
    found = flowsim.run(
        problem(), {"flow.samples": 5}, spaces=["layers"], step_sizes=[0.1], rule=rule
    )
    own = flowsim.descend(problem(), [0.1], found["layers.time"], rule=rule)
    np.testing.assert_array_equal(found["descent.end_to_end"], own.end_to_end)
    assert ("time" in found.groups["descent"]) == own.follows_flow


def test_a_rule_that_no_file_holds_is_described_and_hashed(tmp_path) -> None:
    def hashed(factor: float) -> str:
        def step(layers, gradients, state, eta):
            pairs = zip(layers, gradients, strict=True)
            return tuple(W - factor * eta * g for W, g in pairs), state

        folder = tmp_path / str(factor)
        flowsim.run(
            problem(), {"flow.samples": 3}, spaces=["layers"], step_sizes=[0.1], rule=step,
            directory=folder, figures="none", force=True,
        )  # fmt: skip
        described = flowsim.read(folder / "scenario.toml").descent
        assert (described.rule, described.python.description) == ("python", "step")
        assert "descent  step, step sizes 0.1" in str(flowsim.read(folder / "scenario.toml"))
        return described.python.sha256

    assert hashed(0.5) == hashed(0.5) != hashed(0.25)
    with pytest.raises(
        ScenarioError, match=r'descent\.rule: is "python": the rule was given in Py'
    ):
        flowsim.run(tmp_path / "0.5" / "scenario.toml")


def test_a_rule_of_a_scenario_is_a_name() -> None:
    scenario = from_toml(SQUARED)
    with pytest.raises(ValueError, match="rule must be the name of a rule, unless a Problem is"):
        flowsim.run(scenario, rule=heavy_ball)
    with pytest.raises(ScenarioError, match=r'is "python", which flowsim\.run writes; write grad'):
        from_toml(SQUARED, overrides={"descent.rule": "python"})
    described = {"description": "mine", "sha256": "0" * 64}
    with pytest.raises(
        ScenarioError, match=r'descent\.python: is not used by rule = "heun"; remove'
    ):
        from_toml(SQUARED, overrides={"descent.rule": "heun", "descent.python": described})


@pytest.mark.slow
def test_both_gradients_of_a_step_of_sam_have_the_same_noise() -> None:
    """Noise ξ of the labels adds one vector to every gradient: here to ∇½(w - 1)² at two points."""
    text = spoilt("[4, 6, 5, 3]", "[1, 1]").replace("{ spectrum = [3, 2, 1] }", "[[1.0]]")
    changes = {
        "descent.label_noise": 0.5, "descent.rule": "sam", "descent.rho": 0.1,
        "descent.step_sizes": [0.25], "flow.horizon": 5.0, "flow.samples": 21, "init.scale": 0.5,
    }  # fmt: skip
    scenario = from_toml(text, overrides=changes)
    found = run(scenario, "noisy")["descent.end_to_end"][0, :, 0, 0]
    stream, w = noise_stream(scenario), found[0]
    for k in range(20):
        noisy = stream.gradient(jnp.asarray(k))
        g = float(noisy(np.array([[w]]))[0, 0])
        w = w - 0.25 * float(noisy(np.array([[w + 0.1 * np.sign(g)]]))[0, 0])
        assert found[k + 1] == pytest.approx(w, abs=1e-13)
