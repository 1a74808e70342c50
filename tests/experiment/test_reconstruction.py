"""Errors of completion and sensing beside their loss, and the target and mask in the results."""

from __future__ import annotations

import numpy as np
import pytest

import flowsim
from flowsim.experiment.plan.reading import from_toml
from flowsim.experiment.run import run
from flowsim.results.run import Run
from flowsim.scenario.build.problem import build_problem
from flowsim.scenario.spec.errors import ScenarioError

COMPLETION = """
title = "Unobserved entries"
seed = 2
[network]
widths = [4, 3, 3]
[loss]
kind = "completion"
target = { rank = 1, norm = 5.0 }
observed = { fraction = 0.6 }
[init]
kind = "gaussian"
scale = 0.1
[flow]
horizon = 20.0
samples = 5
spaces = ["layers", "end_to_end"]
[descent]
step_sizes = [0.05, 2.0]
[output]
end_to_end = "last"
[[claims]]
quantity = "layers.unobserved_error"
reduce = "last"
above = 0.0
"""
SENSING = COMPLETION.replace("observed = { fraction = 0.6 }", "measurements = 7").replace(
    '"completion"', '"sensing"'
)
SENSING = SENSING.partition("[[claims]]")[0]
ALL = 'end_to_end = "all"'


def all_saved(text: str) -> Run:
    return run(from_toml(text.replace('end_to_end = "last"', ALL)), "hidden")


@pytest.mark.slow
@pytest.mark.parametrize("text", [COMPLETION, SENSING], ids=["completion", "sensing"])
def test_errors_are_those_of_the_stored_matrices(text: str) -> None:
    found = all_saved(text)
    Phi = found["target.matrix"]
    assert np.linalg.norm(Phi) == pytest.approx(5.0)
    hidden = 1 - found["target.observed"] if "completion" in text else None
    for group in ("layers", "end_to_end", "descent"):
        gap = found[f"{group}.end_to_end"] - Phi
        whole = np.linalg.norm(gap, axis=(-2, -1))
        np.testing.assert_allclose(found[f"{group}.reconstruction_error"], whole / 5, rtol=1e-12)
        assert (f"{group}.unobserved_error" in found.paths()) == (hidden is not None)
        if hidden is not None:
            exact = np.linalg.norm(gap * hidden, axis=(-2, -1))
            np.testing.assert_allclose(found[f"{group}.unobserved_error"], exact, rtol=1e-12)
    assert np.isnan(found["descent.reconstruction_error"][1, -1])  # diverged


@pytest.mark.slow
def test_errors_and_loss_of_completion_add_up_to_the_distance() -> None:
    """‖W - Φ‖² = 2ℓ + unobserved², whether or not W is kept; the mask is that of the problem."""
    found = run(from_toml(COMPLETION), "hidden")
    loss = build_problem(from_toml(COMPLETION)).loss
    np.testing.assert_array_equal(found["target.observed"], np.asarray(loss.observed))
    np.testing.assert_array_equal(found["target.matrix"], np.asarray(loss.target))
    assert 0 < found["target.observed"].sum() < 12
    for group in ("layers", "descent"):
        parts = 2 * found[f"{group}.loss"] + found[f"{group}.unobserved_error"] ** 2
        known = np.isfinite(parts)
        whole = found[f"{group}.distance_to_target"] ** 2
        np.testing.assert_allclose(parts[known], whole[known], rtol=1e-10)
    assert found.summary["claims"][0]["holds"]


@pytest.mark.slow
def test_a_squared_loss_has_neither() -> None:
    squared = SENSING.replace("sensing", "squared").replace("measurements = 7", "")
    found = run(from_toml(squared), "seen")
    assert "target" not in found.groups
    assert not {"reconstruction_error", "unobserved_error"} & found.groups["layers"].keys()


def test_a_target_of_zero_has_no_relative_error() -> None:
    loss = flowsim.losses.Completion(np.zeros((2, 2)), np.eye(2))
    flow = flowsim.solve(flowsim.Problem(loss, [np.eye(2), np.ones((2, 2))], 1.0))
    assert np.isnan(flow.to_xarray()["reconstruction_error"]).all()
    np.testing.assert_allclose(
        flow.unobserved_error, np.hypot(*(flow.end_to_end[:, i, 1 - i] for i in (0, 1)))
    )


@pytest.mark.parametrize(
    ("text", "quantity", "reason"),
    [
        (SENSING, "layers.unobserved_error", 'kind "sensing" has no entries that are not observed'),
        (SENSING, "target.observed", 'kind "sensing" has no entries that are not observed'),
        (SENSING.replace("sensing", "squared").replace("measurements = 7", ""), "target.matrix",
         'kind "squared" does not measure a target in part'),
        (SENSING.replace("sensing", "squared").replace("measurements = 7", ""),
         "descent.reconstruction_error", 'kind "squared" does not measure a target in part'),
    ],
)  # fmt: skip
def test_claims_on_what_will_not_exist_are_rejected(text: str, quantity: str, reason: str) -> None:
    with pytest.raises(ScenarioError, match=reason):
        from_toml(f'{text}\n[[claims]]\nquantity = "{quantity}"\nbelow = 1.0\n')
