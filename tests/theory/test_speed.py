"""Iterations to a loss, against descents whose every iterate is known."""

from __future__ import annotations

import figure_runs as made
import numpy as np
import pytest
from matplotlib.figure import Figure
from scenario_texts import REGRESSION, SQUARED, the_mistake, told

from flowsim.dynamics.registry import RULES
from flowsim.dynamics.rules import HeavyBall, named
from flowsim.experiment import figures
from flowsim.experiment.plan.footprint import footprint
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem.losses import Differentiable, Squared
from flowsim.problem.problem import Problem
from flowsim.results.run import Run
from flowsim.scenario.build.problem import build_problem
from flowsim.solvers import chunks
from flowsim.solvers.iterate import DescentOptions, iterations_to
from flowsim.solvers.monitor import Monitor
from flowsim.theory.global_minimum import global_minimum
from flowsim.theory.speed.measure import best_of
from flowsim.theory.speed.spec import LEVELS

SCALAR = Problem(Squared(np.zeros((1, 1))), [[[1.0]]], 10.0)
"""½w² from 1, where η makes w_k = (1 - η)^k."""
LOSSES = [0.5 * level for level in (1.0, 1e-1, 1e-2, 1e-3, 1e-4)]


def powers(eta: float, losses: list[float]) -> list[int]:
    """Return the first k with ½(1 - η)^{2k} ≤ each loss, none of which is a power itself."""
    return [int(np.ceil(np.log(2 * loss) / (2 * np.log(abs(1 - eta))))) for loss in losses]


def test_a_quadratic_shrinks_by_a_factor_an_iteration() -> None:
    sizes = [0.3, 0.07, 1.6]
    found = iterations_to(LOSSES, SCALAR, sizes, 200)
    wanted = [powers(eta, LOSSES) for eta in sizes]
    np.testing.assert_array_equal(found.first, wanted)
    np.testing.assert_array_equal(found.lasting, wanted)


def test_what_is_not_reached_is_never() -> None:
    found = iterations_to([1e-3], SCALAR, [0.3, 0.001, 2.5], 50)
    assert found.first[0, 0] == found.lasting[0, 0] == powers(0.3, [1e-3])[0]
    assert np.isinf(found.first[1:]).all() and np.isinf(found.lasting[1:]).all()


def test_one_iteration_less_is_too_few() -> None:
    count = powers(0.07, [1e-3])[0]
    assert iterations_to([1e-3], SCALAR, [0.07], count).lasting[0, 0] == count
    assert np.isinf(iterations_to([1e-3], SCALAR, [0.07], count - 1).lasting[0, 0])


def test_a_loss_that_is_passed_through_does_not_last() -> None:
    """The heavy ball swings through 0; its own recurrence says when for the last time."""
    mu, eta, most = 0.9, 0.1, 400
    w, v, loss = 1.0, 0.0, []
    for _ in range(most + 1):
        loss.append(0.5 * w**2)
        v = mu * v - eta * w
        w += v
    found = iterations_to([1e-2, 1e-5], SCALAR, [eta], most, options=DescentOptions(HeavyBall(mu)))
    for j, level in enumerate((1e-2, 1e-5)):
        low = np.array(loss) <= level
        assert found.first[0, j] == np.flatnonzero(low)[0]
        assert found.lasting[0, j] == np.flatnonzero(~low)[-1] + 1
        assert found.first[0, j] < found.lasting[0, j]


def test_a_descent_that_diverges_may_pass_through_but_does_not_stay() -> None:
    """w³/3 - w from -0.3: at η = 1.6 the first step goes to 1.156, near the minimum at 1."""
    cubic = Problem(Differentiable(lambda W: W[0, 0] ** 3 / 3 - W[0, 0]), [[[-0.3]]], 1.0)
    w, loss = -0.3, []
    while abs(w) < 1e3:
        loss.append(w**3 / 3 - w)
        w -= 1.6 * (w**2 - 1)
    low = np.flatnonzero(np.array(loss) <= -0.6)
    found = iterations_to([-0.6], cubic, [1.6], 500)
    assert found.first[0, 0] == low[0] > 0
    assert np.isinf(found.lasting[0, 0])


@pytest.mark.parametrize("rule", ["gradient", "adagrad", "adadelta"])
def test_where_the_pieces_end_changes_nothing(monkeypatch, rule: str) -> None:
    whole = iterations_to(LOSSES, SCALAR, [0.3, 0.05], 300, options=DescentOptions(named(rule)))
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e-9)
    monkeypatch.setattr(chunks, "FIRST_CHUNK", 1)
    pieces = iterations_to(LOSSES, SCALAR, [0.3, 0.05], 300, options=DescentOptions(named(rule)))
    np.testing.assert_array_equal(pieces.first, whole.first)
    np.testing.assert_array_equal(pieces.lasting, whole.lasting)


def test_an_interrupt_leaves_what_is_known(monkeypatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_SECONDS", 1e-9)
    asked = iter([False] * 12 + [True])
    found = iterations_to(
        [0.1, 1e-9], SCALAR, [0.3, 2.5], 500, monitor=Monitor(stop_requested=lambda: next(asked))
    )
    assert found.first[0, 0] == powers(0.3, [0.1])[0]
    assert np.isnan(found.first[0, 1]) and np.isnan(found.lasting[0]).all()


def test_the_best_is_the_smallest_step_size_that_takes_fewest() -> None:
    count = np.array([[5.0, np.inf, 9.0, np.inf], [3.0, 8.0, np.nan, np.inf], [3, 7, 8, np.inf]])
    best, at = best_of(count, np.array([0.1, 0.4, 0.2]))
    np.testing.assert_array_equal(best, [3, 7, np.nan, np.inf])
    np.testing.assert_array_equal(at, [0.2, 0.2, np.nan, np.nan])


QUARTIC = """title = "A real table"
[network]
widths = [10, 1]
[loss]
kind = "regression"
p = 4
[data]
dataset = "diabetes"
standardize = true
[init]
kind = "balanced"
scale = 1e-2
[flow]
horizon = 2.0
samples = 5
[descent]
step_sizes = [0.1]
"""

MEASURED = '[output]\nmeasures = ["speed"]\n'


def measured(text: str = SQUARED, **changes: object) -> Run:
    whole = from_toml(text + MEASURED, overrides=changes)
    return run(whole, "measured")


QUADRATIC = {"network.widths": [1, 1], "loss.target": [[0.0]], "init.kind": "identity"}


def test_a_run_measures_the_excess_of_a_quadratic() -> None:
    """w(t) = e^{-t}: excess e^{-2t}, between any saved times too."""
    sizes = [0.3, 0.05]
    found = measured(
        **QUADRATIC, **{"init.scale": 1.0, "descent.step_sizes": sizes, "flow.samples": 7}
    )
    speed = found.groups["speed"]
    np.testing.assert_array_equal(speed["level"].values, LEVELS)
    np.testing.assert_allclose(speed["loss"].values, 0.5 * np.array(LEVELS))
    wanted = np.array([powers(eta, [0.5 * e for e in LEVELS]) for eta in sizes], dtype=float)
    budget = round(6.0 / 0.05)
    wanted[wanted > budget] = np.inf
    np.testing.assert_array_equal(speed["iterations"].values, wanted)
    np.testing.assert_array_equal(speed["best_iterations"].values, wanted[0])
    np.testing.assert_array_equal(speed["best_step_size"].values, 0.3)
    times = -0.5 * np.log(LEVELS)
    error = 6 * 1e-8 / np.array(LEVELS)  # of e^{-2t} relatively, at rtol 1e-8
    assert (np.abs(speed["flow_time"].values - times) <= error).all()


def test_a_flow_that_does_not_get_there_has_no_time() -> None:
    found = measured(**QUADRATIC, **{"init.scale": 1.0, "flow.horizon": 2.0})
    known = -0.5 * np.log(LEVELS) < 2.0
    np.testing.assert_array_equal(np.isfinite(found["speed.flow_time"]), known)


def test_levels_count_from_the_minimum_that_is_not_zero() -> None:
    """1/(2·3) Σ (w x - y)²: the excess falls as (1 - η h)^{2k}, h the mean of x²."""
    text = REGRESSION.replace("[2, 3, 1]", "[1, 1]").replace(", [0, 1, 0]]", "]")
    text = text.replace('"xavier"', '"identity"\nscale = 5.0')
    text += "[descent]\nstep_sizes = [0.05]\n"
    found = measured(text, **{"flow.horizon": 30.0})
    h = 14 / 3
    wanted = powers(0.05 * h, [0.5 * level for level in LEVELS])
    np.testing.assert_array_equal(found["speed.iterations"][0], wanted)
    x, y = np.array([1.0, 2, 3]), np.array([1.0, -1, 1])
    least = 0.5 * np.mean((x @ y / (x @ x) * x - y) ** 2)
    np.testing.assert_allclose(found["speed.minimum"], least, rtol=1e-12)


@pytest.mark.slow
def test_classes_that_can_be_separated_count_from_the_infimum() -> None:
    text = REGRESSION.replace('"regression"', '"logistic"').replace("[[1, -1, 1]]", "[[1, 1, 1]]")
    found = measured(text + "[descent]\nstep_sizes = [0.5]\n", **{"flow.horizon": 50.0})
    start = found["layers.loss"][0]
    np.testing.assert_allclose(found["speed.loss"], start * np.array(LEVELS), rtol=1e-12)
    assert found["speed.minimum"] == 0
    assert np.isfinite(found["speed.iterations"][0, 0])


@pytest.mark.slow
def test_a_quartic_minimum_is_no_higher_than_duality_allows() -> None:
    """For u with u Xᵀ = 0: ℓ* ≥ -(⟨u, y⟩ + Σ|u|^q/q)/m, q = 4/3 (Young's inequality)."""
    found = run(from_toml(QUARTIC + MEASURED), "quartic")
    loss = build_problem(found.scenario).loss
    X, y = np.asarray(loss.X), np.asarray(loss.Y)
    m, q = y.size, 4 / 3
    e = np.asarray(global_minimum(loss, (1, 10), 1).W) @ X - y
    u = e**3
    u -= u @ np.linalg.pinv(X) @ X
    below = -(np.sum(u * y) + np.sum(np.abs(u) ** q) / q) / m
    least = float(found["speed.minimum"])
    assert below - 1e-12 * least <= least <= below + found["speed.minimum_error"] + 1e-12 * least


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (SQUARED.replace("[descent]\nstep_sizes = [0.4, 0.1]\n", ""), "there is no descent"),
        (SQUARED.replace("= 6.0", "= 6.0\nweight_decay = 0.1"), "with weight decay the loss does"),
        (
            REGRESSION.replace('"regression"', '"regression"\np = 1')
            + "[descent]\nstep_sizes = [0.1]\n",
            "the minimum at p = 1 is not computed",
        ),
        (SQUARED.replace('"squared"', '"linear"'), "a linear loss has no minimum to count from"),
    ],
)
def test_where_it_cannot_be_measured_it_is_refused(text: str, reason: str) -> None:
    mistake = the_mistake(text + MEASURED.rstrip() + " #!\n")
    assert mistake.startswith(f"output.measures: names speed, but {reason}")


def test_claims_pick_a_level_by_its_value() -> None:
    claim = '\n[[claims]]\nquantity = "speed.best_iterations"\nat = { level = LEVEL }\nbelow = 9\n'
    text = SQUARED + MEASURED + claim
    assert told(text.replace("LEVEL", "1e-3")) == ()
    (mistake,) = told(text.replace("LEVEL", "0.3"))
    assert mistake.endswith("at.level: is 0.3, but the levels are 0.1, 0.01, 0.001 or 0.0001")
    whole = text.replace("LEVEL", "0.01").replace("below = 9", "equals = 7\nwithin = 0.5")
    sizes = {"init.scale": 1.0, "descent.step_sizes": [0.3], "flow.samples": 7}
    found = run(from_toml(whole, overrides=QUADRATIC | sizes), "claimed")
    assert powers(0.3, [0.5e-2]) == [7]
    assert found.summary["claims"][0]["holds"]


def test_it_is_counted_in_the_footprint() -> None:
    plain, more = (footprint(from_toml(text)) for text in (SQUARED, SQUARED + MEASURED))
    assert more.all_iterations == plain.all_iterations + 2 * 60
    wide = {"network.widths": [4, 900, 900, 3], "flow.samples": 2}
    copy = 8 * (4 * 900 + 900**2 + 3 * 900)
    texts = [SQUARED + f'rule = "{name}"\n' for name in ("adagrad", "adadelta")]
    one, two = (
        footprint(from_toml(text, overrides=wide | {"descent.step_sizes": STEPS})).total
        for text in texts
    )
    more = RULES["adadelta"].copies - RULES["adagrad"].copies
    assert two - one == len(STEPS) * more * copy


STEPS = [0.1 * k for k in range(1, 11)]


def headline(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts if text.get_size() == 7.6)


def test_the_figure_draws_iterations_against_the_step_size() -> None:
    one = made.plain(sizes=[0.1, 0.2])
    figure = figures.draw(one, "speed")
    (axes,) = figure.axes
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    for level in range(len(LEVELS)):
        assert any(np.array_equal(d, one["speed.iterations"][:, level]) for d in drawn)
    assert "at η = 0.2, the edge of the sweep" in headline(figure)


def test_the_figure_of_variants_joins_depths() -> None:
    several = made.with_variants(
        **{f"depth-{N}": made.plain(sizes=[0.1 * N], depth=N) for N in (1, 2)},
        adagrad=made.plain(sizes=[0.1], rule="adagrad"),
    )
    figure = figures.draw(several, "speed")
    (axes,) = figure.axes
    best = np.array([part["speed.best_iterations"] for part in several.variants.values()])
    drawn = [np.asarray(line.get_ydata(), dtype=float) for line in axes.lines]
    for level in range(len(LEVELS)):
        assert any(np.array_equal(d, best[:2, level]) for d in drawn)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "AdaGrad"]
    ratio = best[0, -1] / best[1, -1]
    assert f"depth 2 is {ratio:.3g} times as fast as depth 1" in headline(figure)
    assert f"AdaGrad {best[2, -1]:g}" in headline(figure)


def test_descent_without_times_is_not_drawn_over_time() -> None:
    one = made.replaced(made.plain(sizes=[0.1, 0.2]), "descent.time", None)
    one = made.replaced(one, "comparison.descent_vs_flow", None)
    assert {"descent_singular_values", "descent_distance"}.isdisjoint(figures.available(one))
    bare = made.plain()
    for name in ("loss", "imbalance", "effective_rank"):
        with_it, without = figures.draw(one, name), figures.draw(bare, name)
        assert [len(a.lines) for a in with_it.axes] == [len(a.lines) for a in without.axes]
