"""Which modes swing beyond the edge: judged on made iterates, run against the map of one mode."""

from __future__ import annotations

import figure_runs as made
import numpy as np
import pytest
from scenario_texts import SQUARED, spoilt, the_mistake, told

from flowsim.experiment import figures
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.scenario.build.problem import build_problem
from flowsim.solvers.descend import descend
from flowsim.solvers.monitor import Monitor
from flowsim.theory.oscillation.measure import oscillations
from flowsim.theory.oscillation.period_doubling import (
    critical_step_size,
    instability_onset,
    multipliers,
    two_cycle,
)

TAIL = 128


def tails(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the early and the late tail of one mode beside one that rests at 1."""
    both = np.stack([values, np.ones_like(values)], axis=1)
    return both[len(values) // 2 - TAIL : len(values) // 2], both[-TAIL:]


def logistic(r: float, count: int) -> np.ndarray:
    found = [0.3]
    for _ in range(count - 1):
        found.append(r * found[-1] * (1 - found[-1]))
    return np.array(found)


K = np.arange(4000)
MADE = {
    "rest": (np.full(4000, 0.7), 1, 0.0, 0.7),
    "slow decay": (0.5 + (1 + K) ** -0.5, 1, None, None),
    "2-cycle": (0.5 + 0.1 * (-1.0) ** K, 2, 0.1, 0.5),
    "3-cycle": (np.array([0.1, 0.2, 0.6])[K % 3], 3, 0.25, None),
    "16-cycle": (np.cos(2 * np.pi * K / 16), 16, 1.0, None),
    "dying": (0.5 + 0.1 * (-0.999) ** K, 1, None, 0.5),
    "growing": (0.5 + 1e-6 * (-1.002) ** K, np.nan, None, None),
    "chaos": (logistic(3.9, 4000), 0, None, None),
    "chaos, then less": (logistic(3.9, 4000) * np.where(K < 3000, 1, 0.3), 0, None, None),
    "chaos, then a 2-cycle": (
        np.where(K < 3000, logistic(3.9, 4000), 0.5 + 0.1 * (-1.0) ** K),
        np.nan,
        0.1,
        0.5,
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_mode_is_judged_by_its_tails(name) -> None:
    values, period, amplitude, centre = MADE[name]
    found, still = oscillations(*tails(values), size=1.0)
    np.testing.assert_equal(found.period, float(period))
    assert still == (1.0, 0.0, 1.0)
    if amplitude is not None:
        assert found.amplitude == pytest.approx(amplitude)
    if centre is not None:
        assert found.centre == pytest.approx(centre, abs=0.01)


def test_rounding_beside_a_large_mode_is_rest() -> None:
    rng = np.random.default_rng(0)
    small, _ = oscillations(*tails(1e-12 * rng.standard_normal(4000)), size=1.0)
    assert small.period == 1
    all_small = [tail[:, :1] for tail in tails(1e-12 * rng.standard_normal(4000))]
    assert oscillations(*all_small, size=1.0)[0].period == 1


@pytest.mark.parametrize("depth", [2, 3])
def test_noise_grows_by_the_multiplier_of_turning(depth) -> None:
    """Descent from the 2-cycle with off-diagonal noise of 1e-9: its size over iterations."""
    phi = (10.0, 9.0)
    eta = instability_onset(phi, depth) * 1.02
    cycle = two_cycle(eta / float(critical_step_size(np.array(phi[0]), depth)), depth)
    rng = np.random.default_rng(1)
    layers = [
        np.diag([cycle.low * phi[0] ** (1 / depth), phi[1] ** (1 / depth)])
        + 1e-9 * rng.standard_normal((2, 2)) * (1 - np.eye(2))
        for _ in range(depth)
    ]
    pairs = np.arange(200, 401, 2)
    problem = Problem(Squared(np.diag(phi)), layers, 1.0)
    found = descend(problem, [eta], np.concatenate([[0], pairs]) * eta)
    off = np.linalg.norm(found.end_to_end[0, 1:] * (1 - np.eye(2)), axis=(1, 2))
    wanted = np.log(np.abs(multipliers(eta, phi, depth)[0]))
    assert wanted > 0.003
    slope = np.polyfit(pairs / 2, np.log(off), 1)[0]
    # the norm of a turning pair swings about its growth by a bounded factor, over 100 double steps
    assert slope == pytest.approx(wanted, abs=0.2 * wanted + 1 / 100)


def test_turning_begins_where_its_multiplier_leaves_the_unit_circle() -> None:
    onset = instability_onset((10.0, 9.5), 3)
    below, above = (np.abs(multipliers(onset * s, (10.0, 9.5), 3)).max() for s in (0.999, 1.001))
    assert below < 1 < above
    assert onset / critical_step_size(np.array(10.0), 3) == pytest.approx(1.03609, abs=1e-5)
    assert np.isnan(instability_onset((10.0, 2.0), 3))  # none before the 2-cycle is lost
    assert np.isnan(instability_onset((10.0, 9.5), 1))


TEXT = """
title = "Two modes"
[network]
widths = [2, 2, 2]
[loss]
kind = "squared"
target = [[3.0, 0.0], [0.0, 2.0]]
[init]
kind = "identity"
scale = 0.5
[flow]
horizon = 400.0
samples = 5
spaces = ["layers"]
[descent]
step_sizes = { values = [0.9, 1.1, 1.2, 1.26, 5.0], relative_to = "minimum" }
[output]
measures = ["oscillation"]
"""


@pytest.fixture(scope="module")
def found():
    return run(from_toml(TEXT), "modes")


def test_each_mode_swings_as_its_map_says(found) -> None:
    period, amplitude = (found[f"oscillation.{name}"] for name in ("period", "amplitude"))
    np.testing.assert_array_equal(period[:, 0], [1, 2, 2, 4, np.nan])
    np.testing.assert_array_equal(period[:, 1], [1, 1, 1, 1, np.nan])  # its own edge is at 1.5
    for k, x in ((1, 1.1), (2, 1.2)):
        low, high, _ = two_cycle(x, 2)
        assert amplitude[k, 0] == pytest.approx(3 * (high**2 - low**2) / 2, rel=1e-5)
        orbit = np.sort(found["oscillation.orbit"][k, 0])
        np.testing.assert_allclose(orbit[[0, -1]], [3 * low**2, 3 * high**2], rtol=1e-5)
        assert found["oscillation.predicted_high"][k, 0] == pytest.approx(3 * high**2, rel=1e-5)
    assert np.isnan(found["oscillation.predicted_high"][3, 0])  # past √5 - 1 it is not stable


def test_thresholds_of_modes_are_those_of_the_map(found) -> None:
    critical = found["descent.critical_step_size"]
    np.testing.assert_allclose(found["oscillation.critical"] / critical, [1, 1.5], rtol=1e-5)
    sizes = found["descent.step_size"]
    np.testing.assert_array_equal(found["oscillation.onset"], [sizes[1], np.nan])
    np.testing.assert_array_equal(found["oscillation.onset_above"], [sizes[0], np.nan])
    doubling = found["oscillation.second_doubling"]
    np.testing.assert_allclose(
        doubling / critical, (np.sqrt(5) - 1) * np.array([1, 1.5]), rtol=1e-5
    )


def test_no_catapult_where_the_loss_only_falls_or_never_rests(found) -> None:
    np.testing.assert_array_equal(found["oscillation.catapult"], [0, 0, 0, 0, 0])
    assert np.isinf(found["oscillation.highest_loss"][-1])
    assert np.isnan(found["oscillation.sharpness_over_limit"]).all()


def test_an_interrupt_leaves_nan() -> None:
    label: list[str] = []

    def progress(what: str, _fraction: float) -> None:
        label.append(what)

    stopped = run(
        from_toml(TEXT),
        "modes",
        monitor=Monitor(progress, lambda: bool(label) and label[-1] == "oscillation"),
    )
    assert np.isnan(stopped["oscillation.period"]).all()
    assert np.isnan(stopped["oscillation.catapult"]).all()
    np.testing.assert_allclose(stopped["oscillation.target"], [3, 2])


@pytest.mark.slow
def test_on_white_data_the_time_is_its_own() -> None:
    """ℓ = ½h‖W - Φ‖² with h = 2: every step size is half."""
    data = """
[loss]
kind = "regression"
[data]
inputs = [[2.0, 0.0], [0.0, 2.0]]
targets = [[6.0, 0.0], [0.0, 4.0]]
[init]"""
    text = TEXT[: TEXT.index("[loss]")] + data[1:] + TEXT[TEXT.index("[init]") + len("[init]") :]
    white = run(from_toml(text), "white")
    np.testing.assert_allclose(white["oscillation.critical"], [1 / 6, 1 / 4])
    np.testing.assert_array_equal(white["oscillation.period"][:3, 0], [1, 2, 2])


def test_noise_moves_every_entry_and_nothing_else() -> None:
    quiet = build_problem(from_toml(SQUARED)).layers
    loud = build_problem(from_toml(spoilt("scale = 1e-3", "scale = 1e-3\nnoise = 1e-4")))
    apart = np.concatenate([(a - b).ravel() for a, b in zip(loud.layers, quiet, strict=True)])
    assert (apart != 0).all()
    # 69 draws: their root mean square is within 4 of its standard deviations
    assert np.sqrt(np.mean(apart**2)) == pytest.approx(1e-4, rel=4 / np.sqrt(2 * apart.size))
    np.testing.assert_array_equal(
        np.asarray(loud.loss.target), build_problem(from_toml(SQUARED)).loss.target
    )
    mistake = the_mistake(spoilt("scale = 1e-3", "scale = 1e-3\nnoise = -1 #!"))
    assert mistake.startswith("init.noise: is -1, but must be at least 0")


def test_it_is_of_plain_descent() -> None:
    text = SQUARED + 'momentum = 0.5\n[output]\nmeasures = ["oscillation"]\n'
    assert "names oscillation, but it does not support momentum" in told(text)[0]


def test_the_diagram_draws_orbits_cycles_and_where_descent_is_lost() -> None:
    run = made.plain(sizes=[0.1, 0.2])
    figure = figures.draw(run, "oscillation")
    edge = float(run["oscillation.critical"][0])
    x, target = run["oscillation.step_size"] / edge, run["oscillation.target"]
    panels = figure.axes[: target.size]
    assert [panel.get_title(loc="left") for panel in panels] == [
        "mode 1: target 3", "mode 2: target 2", "mode 3: target 1"
    ]  # fmt: skip
    for r, panel in enumerate(panels):
        drawn = [(line.get_xdata(), line.get_ydata()) for line in panel.lines]
        orbit = run["oscillation.orbit"][:, r] / target[r]
        for at, y in (
            (np.repeat(x, orbit.shape[1]), orbit.ravel()),
            (x, run["oscillation.predicted_low"][:, r] / target[r]),
            (x, run["oscillation.predicted_high"][:, r] / target[r]),
        ):
            assert any(
                np.array_equal(u, at) and np.array_equal(v, y, equal_nan=True) for u, v in drawn
            )
        assert len(panel.patches) == np.isinf(run["oscillation.highest_loss"]).sum()
    (said,) = (text.get_text() for text in figure.texts if text.get_size() == 7.6)
    assert said.startswith(
        "Mode 1 oscillates from 1, mode 2 oscillates from 1.5 and descent diverges from "
    )


def test_variants_have_their_two_strongest_modes_beside_each_other() -> None:
    one, two = made.plain(sizes=[0.1, 0.2]), made.plain(sizes=[0.1, 0.2])
    figure = figures.draw(made.with_variants(one=one, two=two), "oscillation")
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert titles[:4] == ["one: mode 1", "one: mode 2", "two: mode 1", "two: mode 2"]


def test_a_few_step_sizes_make_no_diagram(found) -> None:
    reason = figures.FIGURES["oscillation"].why_unavailable(found)
    assert reason == "descent was run at fewer than 16 step sizes"
