"""Trajectories as xarray data sets and pandas frames."""

from __future__ import annotations

import numpy as np
import pytest

import flowsim
from flowsim import inits, losses

PROBLEM = flowsim.Problem(
    losses.Squared(np.diag([2.0, 1.0])),
    inits.balanced([2, 3, 2], 0.3, np.random.default_rng(0)),
    2.0,
)
TIMES = np.linspace(0.0, 2.0, 5)
SOME = np.array([True, False, False, True, False])


@pytest.fixture(scope="module")
def flow():
    return flowsim.solve(PROBLEM, times=TIMES, keep_layers=True)


@pytest.fixture(scope="module")
def thin(flow):
    return flow.thinned(SOME)


@pytest.fixture(scope="module")
def descent():
    return flowsim.descend(PROBLEM, [0.1, 0.25], TIMES, keep=SOME)


def test_a_flow_has_all_variables_with_their_meaning(flow) -> None:
    data = flow.to_xarray()
    assert data["singular_values"].dims == ("time", "mode")
    assert data["layer_1"].dims == ("time", "unit_1", "unit_0")
    assert data["loss"].attrs["long_name"] == "loss ℓ(W)"
    np.testing.assert_array_equal(data["time"], TIMES)
    np.testing.assert_array_equal(data["layer_2"], flow.layers[1])
    np.testing.assert_array_equal(data["end_to_end"], flow.end_to_end)
    assert data["nuclear_norm"].sel(time=1.0) == flow.singular_values[2].sum()


def test_w_has_its_own_times_where_it_is_thinned(thin, flow) -> None:
    data = thin.to_xarray()
    assert data["end_to_end"].dims == ("saved_time", "output", "input")
    np.testing.assert_array_equal(data["saved_time"], TIMES[[0, 3, 4]])
    column = thin.to_frame("end_to_end")["end_to_end[0,1]"]
    np.testing.assert_array_equal(column[[0.0, 1.5, 2.0]], flow.end_to_end[[0, 3, 4], 0, 1])
    assert column[[0.5, 1.0]].isna().all()


def test_a_frame_has_a_row_per_time_and_a_column_per_entry(flow) -> None:
    frame = flow.to_frame("loss", "singular_values")
    assert list(frame) == ["loss", "singular_values[0]", "singular_values[1]"]
    assert frame.index.name == "time"
    np.testing.assert_array_equal(frame.loc[1.5, "loss"], flow.loss[3])
    np.testing.assert_array_equal(frame["singular_values[1]"], flow.singular_values[:, 1])
    every = flow.to_frame()
    assert {"loss", "error_estimate", "effective_rank", "squared_norm"} <= set(every)
    assert "time" not in every
    assert not any("[" in column for column in every)


def test_a_frame_of_descent_has_a_row_per_iterate_of_each_step_size(descent) -> None:
    frame = descent.to_frame("loss", "time", "end_to_end")
    assert frame.index.names == ["step_size", "iteration"]
    assert frame.loc[(0.25, 6), "loss"] == descent.loss[1, 3]
    assert frame.loc[(0.1, 15), "time"] == pytest.approx(1.5, rel=1e-15)
    kept = frame["end_to_end[1,0]"].to_numpy().reshape(2, 5)
    np.testing.assert_array_equal(kept[:, SOME], descent.end_to_end[:, :, 1, 0])
    assert np.isnan(kept[:, ~SOME]).all()
    data = descent.to_xarray()
    assert data["singular_values"].dims == ("step_size", "sample", "mode")
    np.testing.assert_array_equal(data["saved_sample"], [0, 3])


def test_layers_of_descent_are_kept_on_request(descent) -> None:
    kept = flowsim.descend(PROBLEM, [0.1, 0.25], TIMES, keep_layers=True)
    W_1, W_2 = kept.layers
    assert (W_1.shape, W_2.shape) == ((2, 5, 3, 2), (2, 5, 2, 3))
    np.testing.assert_allclose(W_2 @ W_1, kept.end_to_end, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(W_1[:, 0], [PROBLEM.layers[0]] * 2)
    assert kept.to_xarray()["layer_2"].dims == ("step_size", "sample", "unit_2", "unit_1")
    assert descent.layers is None
    diverging = flowsim.descend(PROBLEM, [0.1, 5.0], 40 * TIMES, keep_layers=True)
    assert np.isnan(diverging.layers[0][1, -1]).all()
    assert np.isfinite(diverging.layers[0][0]).all()


def test_descent_shows_itself(descent) -> None:
    text = repr(descent)
    assert "gradient descent" in text
    assert "0.25: reached horizon" in text
    assert "5 iterates, W of shape (2, 2)" in text
    assert "<table" in descent._repr_html_()
    many = flowsim.descend(PROBLEM, np.linspace(0.01, 0.1, 9), TIMES)
    assert "and 3 more step sizes" in repr(many)


def test_an_unknown_column_is_refused_with_those_that_there_are(flow, descent) -> None:
    for each in (flow, descent):
        with pytest.raises(ValueError, match=r"no variable 'losses'; there are .*loss"):
            each.to_frame("losses")
    with pytest.raises(ValueError, match="no variable 'outcome'"):
        descent.to_frame("outcome")
