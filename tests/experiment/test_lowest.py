"""Where the loss over a plane is lowest, against losses whose minimizers are known."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.experiment import loss_plane as plane
from flowsim.experiment.loss_plane import Lowest, lowest
from flowsim.problem import losses
from flowsim.solvers.storage import Series

TARGET = np.array([[3.0, 0.0], [0.0, 1.0]])
U, V = np.linspace(-1.0, 4.1, 81), np.linspace(-1.0, 2.0, 81)
SAMPLES = np.random.default_rng(1).standard_normal((2, 20))
WIDTH = 5.1
"""The wider side of the frame."""


def found(loss: losses.Loss, u: np.ndarray = U, v: np.ndarray = V) -> Lowest:
    spanned = plane.entries_plane(Series.of(np.stack([0 * TARGET, TARGET])), [(0, 0), (1, 1)])
    return lowest(spanned, loss, u, v, spanned.loss(loss, u, v))


@pytest.mark.parametrize(
    "loss",
    [
        losses.Squared(TARGET),
        losses.LeastSquares.from_data(SAMPLES, TARGET @ SAMPLES),
        losses.LeastSquares.from_data(np.diag([1.0, 1e-3]), TARGET * [1.0, 1e-3]),
        losses.PowerRegression(SAMPLES, TARGET @ SAMPLES, 1.0),
        losses.PowerRegression(SAMPLES, TARGET @ SAMPLES, 4.0),
    ],
    ids=["squared", "regression", "ill-conditioned", "p = 1", "p = 4"],
)
def test_a_minimum_is_found_as_a_point(loss: losses.Loss) -> None:
    least = found(loss)
    np.testing.assert_array_equal(*least.ends)
    np.testing.assert_allclose(least.ends[0], [3.0, 1.0], atol=1e-6 * WIDTH)
    assert 0 <= least.loss < 1e-6


def test_a_minimum_that_no_matrix_makes_zero_is_found_too() -> None:
    """½‖w - a‖² + ½‖w - b‖² is lowest half way: there it is ¼‖a - b‖²."""
    ends = np.array([[1.0, 1.5], [2.0, -0.5]])

    def value(W: np.ndarray) -> object:
        w = np.stack([W[0, 0], W[1, 1]]) if isinstance(W, np.ndarray) else W[[0, 1], [0, 1]]
        return 0.5 * sum(((w - end) ** 2).sum() for end in ends)

    least = found(losses.Differentiable(value))
    np.testing.assert_allclose(least.ends[0], ends.mean(axis=0), atol=1e-6 * WIDTH)
    assert least.loss == pytest.approx(0.25 * np.sum((ends[0] - ends[1]) ** 2), rel=1e-10)


def test_an_entry_that_is_not_observed_makes_it_a_line_across_the_frame() -> None:
    least = found(losses.Completion(TARGET, np.array([[1.0, 1.0], [1.0, 0.0]])))
    np.testing.assert_allclose(least.ends, [[3.0, -1.0], [3.0, 2.0]], atol=1e-6 * WIDTH)
    assert least.loss == pytest.approx(0, abs=1e-12)


def test_one_measurement_makes_it_a_slanted_line_that_ends_at_the_frame() -> None:
    """u + v/2 = 3/2 meets the frame's edges at (2, -1) and (½, 2)."""
    A = np.array([[[1.0, 0.0], [0.0, 0.5]]])
    least = found(losses.Sensing(np.array([[1.5, 0.0], [0.0, 0.0]]), A))
    ends = least.ends[np.argsort(least.ends[:, 1])]
    np.testing.assert_allclose(ends, [[2.0, -1.0], [0.5, 2.0]], atol=1e-5 * WIDTH)


def test_there_is_none_where_the_loss_falls_beyond_the_frame() -> None:
    away = found(losses.Squared(TARGET), u=U - 10)
    assert np.isnan(away.ends).all()
    assert away.loss == pytest.approx(0.5 * (3 - (U[-1] - 10)) ** 2, rel=1e-2)
    y = np.sign(SAMPLES[0])[None]
    separable = losses.Logistic(SAMPLES, y)
    spanned = plane.entries_plane(
        Series.of(np.array([[[0.0, 0.0]], [[1.0, 0.0]]])), [(0, 0), (0, 1)]
    )
    values = spanned.loss(separable, U, V)
    assert np.isnan(lowest(spanned, separable, U, V, values).ends).all()


class TestGrid:
    PATH = np.array([[0.0, 0.0], [4.0, 1.0]])

    def test_descents_widen_it_by_half_the_path_at_most(self) -> None:
        loss = losses.Squared(TARGET)
        plain = plane.grid([self.PATH], loss, 2)
        near = plane.grid([self.PATH], loss, 2, fan=[np.array([[5.0, 0.5], [0.0, 0.0]])])
        far = plane.grid([self.PATH], loss, 2, fan=[np.array([[1e9, 0.5], [np.nan, 0.0]])])
        assert plain[0][-1] == pytest.approx(4 + plane.MARGIN * 4)
        assert near[0][-1] == pytest.approx(5 + plane.MARGIN * 5)
        assert far[0][-1] == pytest.approx(6 + plane.MARGIN * 6)
        assert far[0][0] == pytest.approx(0 - plane.MARGIN * 6)

    def test_the_shorter_side_is_no_shorter_than_asked(self) -> None:
        u, v = plane.grid([self.PATH], losses.Squared(TARGET), 2, least=0.5)
        assert np.ptp(v) == pytest.approx(0.5 * np.ptp(u))

    @pytest.mark.parametrize("unit", [1e-20, 1e20])
    def test_it_scales_with_the_units_of_the_target(self, unit: float) -> None:
        loss, fan = losses.Squared(TARGET), np.array([[5.0, 0.5], [0.0, 0.0]])
        one = plane.grid([self.PATH], loss, 2, fan=[fan])
        other = plane.grid([unit * self.PATH], loss, 2, fan=[unit * fan], size=4 * unit)
        np.testing.assert_allclose(np.array(other) / unit, one, rtol=1e-14, atol=1e-14)
