"""Measures of matrices, and the plane that paths are drawn in."""

from __future__ import annotations

import numpy as np
import pytest

from flowsim.experiment import loss_plane as plane
from flowsim.problem import initialization, losses, spectra
from flowsim.solvers.storage import Series

RNG = np.random.default_rng(0)
PATH = RNG.standard_normal((7, 3, 4))


class TestMeasures:
    def test_singular_values_of_many_matrices(self) -> None:
        wanted = [np.linalg.svd(W, compute_uv=False) for W in PATH]
        np.testing.assert_allclose(spectra.singular_values(PATH), wanted, rtol=1e-13)

    def test_singular_values_of_what_diverged_are_nan(self) -> None:
        broken = PATH.copy()
        broken[2, 0, 0], broken[4, 1, 1] = np.nan, np.inf
        found = spectra.singular_values(broken)
        assert np.isnan(found).all(axis=1).tolist() == [
            False,
            False,
            True,
            False,
            True,
            False,
            False,
        ]
        np.testing.assert_allclose(found[0], spectra.singular_values(PATH)[0])

    @pytest.mark.parametrize("equal", [1, 2, 5])
    def test_effective_rank_counts_equal_singular_values(self, equal) -> None:
        sigma = np.array([0.3] * equal + [0.0] * 3)
        assert spectra.effective_rank(sigma) == pytest.approx(equal)
        assert spectra.effective_rank(1e-200 * sigma) == pytest.approx(equal)

    def test_effective_rank_is_the_exponential_of_an_entropy(self) -> None:
        p = np.array([0.5, 0.25, 0.25])
        assert spectra.effective_rank(7 * p) == pytest.approx(2**1.5)  # 1.5 bits
        both = spectra.effective_rank(np.stack([p, 2 * p]))
        np.testing.assert_allclose(both, 2**1.5)

    def test_effective_rank_of_nothing_is_unknown(self) -> None:
        assert np.isnan(spectra.effective_rank(np.zeros(3)))
        assert np.isnan(spectra.effective_rank(np.full(3, np.nan)))

    def test_nuclear_norm_and_distance(self) -> None:
        assert spectra.nuclear_norm(np.array([3.0, 2.0, 0.5])) == 5.5
        wanted = [np.sqrt(np.sum((W - PATH[0]) ** 2)) for W in PATH]
        np.testing.assert_allclose(spectra.distance(PATH, PATH[0]), wanted)

    @pytest.mark.parametrize("p", [0.1, 1 / 2, 2 / 3, 1, 2, 5])
    def test_schatten_norms_are_sums_of_powers(self, p) -> None:
        sigma = spectra.singular_values(PATH)
        wanted = (sigma**p).sum(axis=-1) ** (1 / p)
        np.testing.assert_allclose(spectra.schatten(np.log(sigma), p), wanted, rtol=1e-13)

    def test_known_schatten_norms(self) -> None:
        log_sigma = np.log(spectra.singular_values(PATH))
        for p, kind in ((1, "nuc"), (2, "fro"), (np.inf, 2)):
            wanted = [np.linalg.norm(W, kind) for W in PATH]
            np.testing.assert_allclose(spectra.schatten(log_sigma, p), wanted, rtol=1e-13)

    def test_schatten_norms_of_zero_of_nothing_finite_and_of_what_underflows(self) -> None:
        assert spectra.schatten(np.full(3, -np.inf), 0.5) == 0
        assert spectra.schatten(np.array([np.log(2), -np.inf]), 0.5) == pytest.approx(2)
        assert np.isnan(spectra.schatten(np.full(3, np.nan), 0.5))
        assert spectra.schatten(np.array([1.0, -2543.0]), 1) == pytest.approx(np.e)
        tiny = spectra.schatten(np.array([-600.0, -600.0]), 0.5)
        assert tiny == pytest.approx(4 * np.exp(-600), rel=1e-12)  # (2 e^{-300})²

    @pytest.mark.parametrize("depth", [1, 2, 3, 4, 7])
    def test_balanced_layers_have_the_quasi_norm_of_their_depth(self, depth) -> None:
        """Σ_j ‖W_j‖²_F = N ‖W‖_{S_{2/N}}^{2/N}, and no other layers of the product have less."""
        p, sigma = 2 / depth, np.array([5.0, 1.0, 0.01])
        U, V = (np.linalg.qr(RNG.standard_normal((n, n)))[0][:, :3] for n in (4, 3))
        layers = initialization.from_svd([3, *[3] * (depth - 1), 4], U, sigma, V.T)
        squared = sum(np.sum(np.square(W)) for W in layers)
        wanted = depth * spectra.schatten(np.log(sigma), p) ** p
        assert squared == pytest.approx(wanted, rel=1e-13)
        unbalanced = [2 * layers[0], *layers[1:-1], layers[-1] / 2] if depth > 1 else layers
        assert sum(np.sum(np.square(W)) for W in unbalanced) >= wanted * (1 - 1e-13)


class TestPlane:
    def test_a_path_in_a_plane_is_drawn_as_it_is(self) -> None:
        """Distances between points are kept, and going back gives the matrices."""
        basis = np.linalg.qr(RNG.standard_normal((12, 2)))[0].T.reshape(2, 3, 4)
        path = PATH[0] + np.einsum("ta,aoi->toi", RNG.standard_normal((20, 2)), basis)
        found = plane.principal_plane(Series.of(path))
        points = found.coordinates(path)
        back = found.origin + np.einsum("ta,aoi->toi", points, found.directions)
        np.testing.assert_allclose(back, path, atol=1e-13)
        gaps = np.linalg.norm(path[1:] - path[:-1], axis=(1, 2))
        np.testing.assert_allclose(np.linalg.norm(np.diff(points, axis=0), axis=1), gaps)

    def test_the_first_principal_direction_holds_most_of_the_path(self) -> None:
        found = plane.principal_plane(Series.of(PATH))
        spread = found.coordinates(PATH).var(axis=0)
        assert spread[0] >= spread[1]
        assert found.directions.shape == (2, 3, 4)
        np.testing.assert_allclose(found.coordinates(PATH).mean(axis=0), 0, atol=1e-14)
        ends = found.coordinates(PATH[[0, -1]])
        assert np.all(ends[1] >= ends[0])  # paths go to the right and up

    def test_there_is_none_for_a_number_or_a_point(self) -> None:
        assert plane.principal_plane(Series.of(np.ones((5, 1, 1)))) is None
        assert plane.principal_plane(Series.of(PATH[:1])) is None

    def test_entries_are_the_coordinates(self) -> None:
        found = plane.entries_plane(Series.of(PATH), [(0, 1), (2, 3)])
        np.testing.assert_allclose(
            found.coordinates(PATH), np.stack([PATH[:, 0, 1], PATH[:, 2, 3]], axis=1)
        )
        assert found.labels == ("entry W[1, 2]", "entry W[3, 4]")

    def test_the_loss_of_the_grid_is_that_of_its_points(self) -> None:
        loss = losses.Squared(PATH[1])
        found = plane.entries_plane(Series.of(PATH), [(0, 0), (1, 1)])
        u, v = np.array([0.0, 1.0, 2.0]), np.array([-1.0, 3.0])
        grid = found.loss(loss, u, v)
        assert grid.shape == (2, 3)
        W = PATH[-1].copy()
        W[0, 0], W[1, 1] = 2.0, -1.0
        assert grid[0, 2] == pytest.approx(float(loss.value(W)))

    def test_the_grid_surrounds_every_finite_point(self) -> None:
        paths = [RNG.standard_normal((5, 2)), np.array([[4.0, 0.0], [np.nan, 1.0]])]
        u, v = plane.grid(paths, losses.Squared(PATH[0]), 3)
        points = np.concatenate(paths)
        points = points[np.isfinite(points).all(axis=1)]
        for axis, column in ((u, points[:, 0]), (v, points[:, 1])):
            assert axis[0] < column.min() and axis[-1] > column.max()
            assert plane.COARSEST <= axis.size <= plane.FINEST
