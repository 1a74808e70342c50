"""The minimum-nuclear-norm solution, against problems solved by hand, and its own certificate."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from flowsim.problem import losses
from flowsim.solvers.monitor import Monitor
from flowsim.theory.minimum_nuclear_norm import measure as nuclear_norm
from flowsim.theory.minimum_nuclear_norm.measure import Solution, minimum_nuclear_norm

RNG = np.random.default_rng(5)
WITHIN = 1e-6
"""SCS stops at residuals of 1e-8 of data of size 1; here nothing is over 100 times worse off."""


def low_rank(rows: int, columns: int, rank: int) -> np.ndarray:
    return RNG.standard_normal((rows, rank)) @ RNG.standard_normal((rank, columns))


def proved(found: Solution, loss: losses.Loss) -> None:
    """Require a matrix that meets the measurements, and a gap that is small and has its sign."""
    size = found.nuclear_norm
    assert float(loss.value(found.W)) <= (1e-13 * size) ** 2
    assert found.residual <= 1e-13 * size
    assert -1e-13 * size <= found.gap <= WITHIN * size
    assert found.nuclear_norm == pytest.approx(np.linalg.svd(found.W, compute_uv=False).sum())


def test_what_is_seen_whole_is_the_target() -> None:
    target = low_rank(4, 6, 2)
    loss = losses.Completion(target, np.ones((4, 6)))
    found = minimum_nuclear_norm(loss)
    np.testing.assert_array_equal(found.W, target)
    proved(found, loss)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_one_unseen_entry_of_rank_one_is_found(scale: float) -> None:
    """[[1, 2], [3, w]]: ‖W‖_*² = ‖W‖_F² + 2|det W| = 14 + w² + 2|w - 6|, least at w = 1.

    With its target's 6 it would be of rank one; the nuclear norm prefers w = 1, of value 5.
    """
    loss = losses.Completion(scale * np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([[1, 1], [1, 0]]))
    found = minimum_nuclear_norm(loss)
    proved(found, loss)
    assert found.W[1, 1] == pytest.approx(scale, rel=1e-3)  # ‖W‖_* is flat to second order there
    assert found.nuclear_norm == pytest.approx(5 * scale, rel=WITHIN)
    assert found.lower_bound <= 5 * scale * (1 + 1e-13)


def test_a_diagonal_that_is_seen_is_completed_by_anything_of_its_trace() -> None:
    """‖W‖_* ≥ tr W, and the diagonal matrix itself attains it."""
    loss = losses.Completion(np.diag([3.0, 2.0, 1.0]), np.eye(3))
    found = minimum_nuclear_norm(loss)
    proved(found, loss)
    assert found.nuclear_norm == pytest.approx(6, rel=WITHIN)


def test_of_razin_and_cohens_entries_the_unseen_one_stays_zero() -> None:
    """[[w, 1], [1, 0]]: |det| = 1 whatever w, so ‖W‖_*² = w² + 4 is least at w = 0."""
    loss = losses.Completion(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0, 1], [1, 1]]))
    found = minimum_nuclear_norm(loss)
    proved(found, loss)
    assert found.nuclear_norm == pytest.approx(2, rel=WITHIN)
    assert abs(found.W[0, 0]) <= np.sqrt(8 * WITHIN)


def test_measuring_every_entry_by_sensing_gives_the_target() -> None:
    target = low_rank(3, 4, 2)
    loss = losses.Sensing(target, np.eye(12).reshape(12, 3, 4))
    found = minimum_nuclear_norm(loss)
    np.testing.assert_allclose(found.W, target, atol=1e-14 * 12)
    proved(found, loss)


def test_more_measurements_than_entries_leave_no_freedom() -> None:
    target = low_rank(3, 4, 2)
    loss = losses.Sensing(target, RNG.standard_normal((20, 3, 4)))
    found = minimum_nuclear_norm(loss)
    np.testing.assert_allclose(found.W, target, atol=1e-12)


def test_one_measurement_is_met_along_its_largest_singular_pair() -> None:
    """min ‖W‖_* with ⟨A, W⟩ = b is |b| / σ_1(A)."""
    A, target = RNG.standard_normal((1, 4, 3)), low_rank(4, 3, 2)
    loss = losses.Sensing(target, A)
    found = minimum_nuclear_norm(loss)
    proved(found, loss)
    wanted = abs(np.sum(A * target)) / np.linalg.norm(A[0], 2)
    assert found.nuclear_norm == pytest.approx(wanted, rel=WITHIN)


@pytest.mark.parametrize("kind", ["completion", "sensing"])
def test_enough_measurements_recover_a_matrix_of_low_rank(kind: str) -> None:
    target = low_rank(12, 10, 1)
    if kind == "completion":
        loss = losses.Completion(target, (RNG.uniform(size=(12, 10)) < 0.8).astype(float))
    else:
        loss = losses.Sensing(target, RNG.standard_normal((90, 12, 10)))
    found = minimum_nuclear_norm(loss)
    proved(found, loss)
    np.testing.assert_allclose(found.W, target, atol=1e-4)


def test_nothing_but_zeros_is_met_by_zero() -> None:
    found = minimum_nuclear_norm(losses.Completion(np.zeros((2, 3)), np.ones((2, 3))))
    assert found == (pytest.approx(np.zeros((2, 3))), 0, 0, 0)


def test_other_losses_are_refused() -> None:
    with pytest.raises(TypeError, match="but the loss is Squared"):
        minimum_nuclear_norm(losses.Squared(np.eye(2)))


def test_an_interrupt_leaves_a_solution_and_a_gap_that_tells(monkeypatch) -> None:
    monkeypatch.setattr(nuclear_norm, "SLICE", 5)
    target = low_rank(15, 15, 3)
    loss = losses.Completion(target, (RNG.uniform(size=(15, 15)) < 0.6).astype(float))
    whole = minimum_nuclear_norm(loss)
    part = minimum_nuclear_norm(loss, monitor=Monitor(stop_requested=lambda: True))
    assert part.gap > 100 * whole.gap
    assert part.residual <= 1e-13 * part.nuclear_norm
    assert part.lower_bound <= whole.nuclear_norm
    assert part.nuclear_norm >= whole.lower_bound


def test_a_signal_that_comes_while_it_solves_reaches_its_handler(monkeypatch, capfd) -> None:
    """SCS has a handler of its own meanwhile, and leaves nan."""
    monkeypatch.setattr(nuclear_norm, "ACCURACY", 1e-15)  # it would go on for long
    monkeypatch.setattr(nuclear_norm, "SLICE", 26)
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    timer = threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))

    def interrupted() -> bool:
        if timer.ident is None:
            timer.start()
        return bool(heard)

    target = low_rank(60, 60, 3)
    loss = losses.Completion(target, (RNG.uniform(size=(60, 60)) < 0.3).astype(float))
    try:
        found = minimum_nuclear_norm(loss, monitor=Monitor(stop_requested=interrupted))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]
    assert found.lower_bound > 0
    assert np.isfinite(found.nuclear_norm)
    assert capfd.readouterr().out == ""
