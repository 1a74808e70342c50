"""Explicit losses: symmetric fields, loops of known circulation, and F against its closed forms."""

from __future__ import annotations

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from flowsim.problem import losses
from flowsim.theory.explicit_loss.formulas import (
    Within,
    asymmetry,
    asymmetry_at,
    conservative,
    jacobian,
    preconditioned,
)
from flowsim.theory.explicit_loss.line_integrals import closed_form, line_integral, reconstruct
from flowsim.theory.explicit_loss.loops import arora_cohen_hazan, circle, random_circle, straight

SHAPES = [(1, 3), (3, 1), (2, 3), (3, 3), (3, 2)]
DEPTHS = (1, 2, 3, 4)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def anisotropic(shape: tuple[int, int]) -> losses.Loss:
    return losses.LeastSquares.from_data(draw(shape[1], 5, seed=4), draw(shape[0], 5, seed=5))


def completion(shape: tuple[int, int]) -> losses.Loss:
    seen = np.ones(shape)
    seen[0, 0] = 0
    return losses.Completion(draw(*shape, seed=6), seen)


ASKED = {
    "linear": lambda shape: losses.Linear(draw(*shape, seed=2)),
    "white": lambda shape: losses.Squared(draw(*shape, seed=3)),
    "anisotropic": anisotropic,
    "completion": completion,
    "norm": lambda shape: losses.Squared(np.zeros(shape)),
}


def has_one(name: str, depth: int, shape: tuple[int, int]) -> bool:
    """Say what is known: one layer, ½‖W‖², and two layers with a Hessian that w is parallel to."""
    white = name in ("linear", "white") or (name == "anisotropic" and shape[1] == 1)
    two = depth == 2 and min(shape) == 1 and white
    return depth == 1 or name == "norm" or two


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ASKED)
def test_what_is_known_is_found(name: str, shape: tuple[int, int]) -> None:
    loss, rng = ASKED[name](shape), np.random.default_rng(7)
    E = loss.gradient(np.zeros(shape)) if name != "norm" else rng.standard_normal(shape)
    for depth in DEPTHS:
        points = rng.standard_normal((4, *shape))
        found = [asymmetry_at(loss, W, depth) for W in points]
        found += [line_integral(loss, depth, random_circle(W, rng)).circulation for W in points]
        found.append(line_integral(loss, depth, arora_cohen_hazan(E, 0.5, 1.0)).circulation)
        assert conservative(found) is has_one(name, depth, shape)
        assert all(0 <= number.error < 1e-8 for number in found)
        if not has_one(name, depth, shape):
            assert min(number.value for number in found[:4]) > 1e-3


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_bounds_hold_however_badly_conditioned_a_symmetric_field_is(depth: int) -> None:
    """½‖W‖² has F = Σ σ^{4-2/N} N/(4-2/N): all that its Jacobian's asymmetry can be is rounding."""
    loss, rng = losses.Squared(np.zeros((3, 3))), np.random.default_rng(8)
    for smallest in (1.0, 1e-2, 1e-4, 1e-6):
        U, V = (np.linalg.qr(rng.standard_normal((3, 3)))[0] for _ in range(2))
        W = (U * np.array([1.0, np.sqrt(smallest), smallest])) @ V
        found = asymmetry_at(loss, W, depth)
        assert found.value <= found.error
        around = line_integral(loss, depth, random_circle(W, rng))
        assert abs(around.value) <= around.error


class TestJacobian:
    @pytest.mark.parametrize("depth", DEPTHS)
    @pytest.mark.parametrize("shape", SHAPES)
    def test_is_that_of_central_differences(self, shape: tuple[int, int], depth: int) -> None:
        loss = anisotropic(shape)
        for W in (draw(*shape, seed=9), np.eye(*shape), repeated(shape)):
            J, h = jacobian(loss, W, depth), 1e-5
            units = np.eye(W.size).reshape(W.size, *shape)
            apart = field(loss, W + h * units, depth) - field(loss, W - h * units, depth)
            # h² times a third derivative, of about 10 here, and eps/h
            np.testing.assert_allclose(J, apart.reshape(W.size, -1).T / (2 * h), atol=1e-8)

    @pytest.mark.parametrize("depth", DEPTHS)
    def test_at_equal_singular_values_is_the_limit_of_unequal_ones(self, depth: int) -> None:
        loss, E = anisotropic((3, 3)), draw(3, 3, seed=10)
        J = jacobian(loss, 0.7 * np.eye(3), depth)
        near = [jacobian(loss, 0.7 * np.eye(3) + h * E, depth) for h in (1e-4, 1e-6, 1e-8)]
        gaps = [np.linalg.norm(J - other) for other in near]
        assert gaps[1] < 0.02 * gaps[0] or gaps[0] < 1e-12
        assert gaps[2] < 1e-6

    def test_of_one_layer_is_the_hessian(self) -> None:
        J = jacobian(completion((2, 3)), draw(2, 3), 1)
        np.testing.assert_array_equal(J, np.diag([0.0, 1, 1, 1, 1, 1]))
        assert asymmetry(jacobian(ASKED["linear"]((2, 3)), draw(2, 3), 1)) == 0

    def test_is_refused_where_there_is_none(self) -> None:
        low = np.outer([1.0, 2.0], [1.0, 0.0, 1.0])
        with pytest.raises(ValueError, match="W must have full rank at depth 3"):
            jacobian(anisotropic((2, 3)), low, 3)
        assert jacobian(anisotropic((2, 3)), low, 1).shape == (6, 6)


def repeated(shape: tuple[int, int]) -> np.ndarray:
    """Return a matrix with all singular values equal, and random singular vectors."""
    U, _, Vt = np.linalg.svd(draw(*shape, seed=11), full_matrices=False)
    return 1.3 * U @ Vt


def field(loss: losses.Loss, matrices: np.ndarray, depth: int) -> np.ndarray:
    G = jnp.stack([loss.gradient(W) for W in matrices])
    return np.asarray(preconditioned(jnp.asarray(matrices), G, depth, min(matrices.shape[1:])))


def test_asymmetry_is_between_none_and_all_of_twice() -> None:
    assert asymmetry(np.zeros((2, 2))) == 0
    assert asymmetry(np.array([[1.0, 2.0], [2.0, 5.0]])) == 0
    assert asymmetry(np.array([[0.0, 1.0], [-1.0, 0.0]])) == 2


class TestVerdict:
    def test_all_zero_within_bounds_speaks_for_an_explicit_loss(self) -> None:
        assert conservative([Within(1e-16, 1e-13), Within(0.0, 0.0)]) is True

    def test_one_number_clearly_beyond_its_bound_excludes_it(self) -> None:
        assert conservative([Within(0.0, 1e-13), Within(-1.1e-12, 1e-13), Within(0, 1)]) is False

    @pytest.mark.parametrize(
        "number", [Within(5e-13, 1e-13), Within(0.0, 1e-5), Within(np.nan, np.nan)]
    )
    def test_anything_between_leaves_it_open(self, number: Within) -> None:
        assert conservative([Within(0.0, 1e-13), number]) is None

    def test_nothing_measured_leaves_it_open(self) -> None:
        assert conservative([]) is None


class TestLoops:
    @pytest.mark.parametrize(("depth", "entries"), list(itertools.product([1, 2, 3, 5], [2, 4])))
    def test_of_arora_cohen_and_hazan_has_its_closed_form(self, depth: int, entries: int) -> None:
        """2c (N²/(3N-2) - 1)(R^p - r^p) for a constant gradient of norm c along e."""
        C = draw(1, entries, seed=12)
        loop, p = arora_cohen_hazan(C, 0.3, 1.7), 3 - 2 / depth
        found = line_integral(losses.Linear(-C), depth, loop)
        c = np.linalg.norm(C)
        wanted = 2 * c * (depth**2 / (3 * depth - 2) - 1) * (1.7**p - 0.3**p)
        assert abs(found.value - wanted) <= found.error < 1e-10
        other = line_integral(losses.Linear(C), depth, loop)
        assert other.value == pytest.approx(-found.value, abs=1e-13)

    @pytest.mark.parametrize("shape", [*SHAPES, (1, 2), (2, 2), (4, 4), (2, 5)])
    def test_close_and_keep_their_rank(self, shape: tuple[int, int]) -> None:
        rng = np.random.default_rng(13)
        W = rng.standard_normal(shape)
        low = np.outer(W[:, 0], W[0])
        turned = -W / np.linalg.norm(W)
        odd = shape[0] == shape[1] and shape[0] % 2 == 1
        for loop, rank in (
            (random_circle(W, rng), min(shape)),
            (arora_cohen_hazan(W, 0.5, 1.0), min(shape)),
            (arora_cohen_hazan(low, 0.5, 1.0), 1),
        ):
            s = np.linspace(0, 1, 101)
            pieces = [piece.at(s) for piece in loop]
            for one, other in zip(pieces, [*pieces[1:], pieces[0]], strict=True):
                np.testing.assert_allclose(one[0][-1], other[0][0], atol=1e-14)
            for (path, slope), piece in zip(pieces, loop, strict=True):
                assert {np.linalg.matrix_rank(M, tol=1e-10) for M in path} == {rank}
                assert piece.rank == rank
                steps = (path[2:] - path[:-2]) / 0.02
                np.testing.assert_allclose(slope[1:-1], steps, atol=0.02 * np.abs(slope).max())
        main = arora_cohen_hazan(W, 0.5, 1.0)
        start, across = (main[k].at(np.zeros(1))[0][0] for k in (0, 2))
        np.testing.assert_allclose(start, turned, atol=1e-14)
        assert np.allclose(across, -0.5 * turned) is not odd

    def test_that_the_loop_of_the_proof_misses_are_found_by_circles(self) -> None:
        """N = 2, one output: what is odd under w ↦ -w cancels along it, anisotropic or not."""
        loss, rng = anisotropic((1, 3)), np.random.default_rng(14)
        main = line_integral(loss, 2, arora_cohen_hazan(loss.gradient(np.zeros((1, 3))), 0.5, 1.0))
        assert main.circulation.vanishes
        assert line_integral(loss, 2, random_circle(draw(1, 3), rng)).circulation.differs

    def test_follow_stokes_where_they_are_small(self) -> None:
        """∮ = π ρ² ⟨A, (Jᵀ - J) B⟩ up to ρ⁴ for a circle from A towards B."""
        loss, W = anisotropic((2, 3)), draw(2, 3)
        A, B = np.linalg.qr(draw(6, 2))[0].T.reshape(2, 2, 3)
        J = jacobian(loss, W, 3)
        curl = A.ravel() @ (J.T - J) @ B.ravel()
        for radius in (1e-1, 1e-2):
            found = line_integral(loss, 3, circle(W, A, B, radius)).value
            assert found == pytest.approx(np.pi * radius**2 * curl, rel=3 * radius**2)

    def test_say_their_error_where_the_field_is_not_smooth(self) -> None:
        """A square matrix on its way through det = 0, ½‖W‖²: F there has the power σ^{10/3}."""
        loss, W, V = losses.Squared(np.zeros((2, 2))), np.eye(2), np.diag([1.0, -0.5])
        F = closed_form(loss, 3, (2, 2))
        assert F is not None
        found = line_integral(loss, 3, [straight(W, V)])
        assert abs(found.value - (F(V) - F(W))) <= found.error < 1e-4

    @pytest.mark.parametrize(
        ("E", "radii"), [(np.zeros((1, 3)), (1, 2)), (np.ones((1, 1)), (1, 2)), (np.eye(2), (2, 1))]
    )
    def test_that_there_are_not_are_refused(self, E: np.ndarray, radii: tuple[int, int]) -> None:
        with pytest.raises(ValueError, match="two entries or more, not all 0, and radii"):
            arora_cohen_hazan(E, *radii)


class TestPotential:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("name", ASKED)
    def test_by_integration_is_the_closed_form(self, name: str, shape: tuple[int, int]) -> None:
        loss, W = ASKED[name](shape), draw(*shape, seed=15)
        for depth in DEPTHS:
            F, found = closed_form(loss, depth, shape), reconstruct(loss, depth, W)
            assert (F is not None) is has_one(name, depth, shape)
            assert (found.apart <= found.error) is has_one(name, depth, shape)
            if F is not None:
                assert abs(found.value - F(W)) <= found.error < 1e-8
                base = draw(*shape, seed=16)
                between = reconstruct(loss, depth, W, base)
                assert abs(between.value - (F(W) - F(base))) <= between.error < 1e-4

    def test_of_two_layers_is_that_of_the_note(self) -> None:
        phi, w = draw(1, 4), draw(1, 4, seed=1)
        F = closed_form(losses.Squared(phi), 2, (1, 4))
        assert F is not None
        norm = np.linalg.norm(w)
        assert F(w) == pytest.approx(2 / 3 * norm**3 - norm * float(phi[0] @ w[0]), rel=1e-14)

    def test_has_the_field_as_its_gradient(self) -> None:
        for name, depth in (("white", 2), ("linear", 2), ("norm", 3)):
            shape = (1, 3)
            loss, w, h = ASKED[name](shape), draw(*shape), 1e-6
            F = closed_form(loss, depth, shape)
            assert F is not None
            units = np.eye(3).reshape(3, 1, 3)
            slopes = [(F(w + h * e) - F(w - h * e)) / (2 * h) for e in units]
            np.testing.assert_allclose(slopes, field(loss, w[None], depth).ravel(), atol=1e-8)
