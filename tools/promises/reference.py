"""Independent solutions: losses and flows in plain NumPy, integrated by SciPy nearly to rounding.

Nothing of flowsim is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import expit, softmax

Gradient: TypeAlias = Callable[[np.ndarray], np.ndarray]

RTOL = 1e-13
"""Tolerance of a step, a few times SciPy's smallest."""

LARGEST_WORK = 400_000
"""Evaluations of a right-hand side beyond which a flow counts as stiff."""


class StiffError(Exception):
    """The flow takes too many steps of an explicit method."""


def gradient(kind: str, data: Mapping[str, Any]) -> Gradient:
    """Return W ↦ ∇ℓ(W) of a kind of loss; `data` holds its matrices by their names in formulas."""
    if kind == "squared":
        return lambda W: W - data["Phi"]
    if kind == "completion":
        return lambda W: data["observed"] * (W - data["Phi"])
    if kind == "sensing":
        A = data["A"]
        return lambda W: np.einsum("i,ioj->oj", np.einsum("ioj,oj->i", A, W - data["Phi"]), A)
    X, Y = data["X"], data["Y"]
    m = X.shape[1]
    if kind == "regression":
        p = data["p"]

        def of_power(W: np.ndarray) -> np.ndarray:
            e = W @ X - Y
            return np.asarray(e * np.abs(e) ** (p - 2) @ X.T / m if p != 2 else e @ X.T / m)

        return of_power
    if kind == "logistic":
        return lambda W: -(Y * expit(-Y * (W @ X))) @ X.T / m
    if kind == "cross_entropy":
        one_hot = (np.arange(data["classes"])[:, None] == Y).astype(float)
        return lambda W: (softmax(W @ X, axis=0) - one_hot) @ X.T / m
    raise ValueError(f"no loss is called {kind!r}")


def product(layers: Sequence[np.ndarray], width: int) -> np.ndarray:
    """Return the product of layers, the last one leftmost; the identity for none."""
    return reduce(lambda below, layer: layer @ below, layers, np.eye(width, dtype=np.longdouble))


def end_to_end(layers: Sequence[np.ndarray]) -> np.ndarray:
    """Return W_N ⋯ W_1 in float64."""
    return reduce(lambda below, layer: layer @ below, layers)


def layer_velocity(
    layers: Sequence[np.ndarray], loss_gradient: Gradient, weight_decay: float
) -> list[np.ndarray]:
    """Return Ẇ_j = -(W_N⋯W_{j+1})ᵀ G (W_{j-1}⋯W_1)ᵀ - λW_j for every layer."""
    below = [np.eye(layers[0].shape[1])]
    for layer in layers:
        below.append(layer @ below[-1])
    carried = loss_gradient(below[-1])
    found = []
    for j in reversed(range(len(layers))):
        found.append(-carried @ below[j].T - weight_decay * layers[j])
        carried = layers[j].T @ carried
    return found[::-1]


def balanced_layers(W: np.ndarray, depth: int, rank: int) -> list[np.ndarray]:
    """Return balanced layers of that depth with the product W, of hidden width `rank`."""
    if depth == 1:
        return [W]
    U, sigma, Vt = np.linalg.svd(W, full_matrices=False)
    root = sigma[:rank] ** (1 / depth)
    inner = [np.diag(root)] * (depth - 2)
    return [root[:, None] * Vt[:rank], *inner, U[:, :rank] * root]


def layer_flow(
    times: np.ndarray,
    layers: Sequence[np.ndarray],
    loss_gradient: Gradient,
    weight_decay: float = 0.0,
    rtol: float = RTOL,
) -> np.ndarray:
    """Return W of the layer flow at every time, shape (time, d_N, d_0).

    Raises
    ------
    StiffError
        If that takes too many steps, or the solution leaves the range of float64.

    """
    shapes = [layer.shape for layer in layers]
    cuts = np.cumsum([layer.size for layer in layers])[:-1]
    work = 0

    def unpacked(y: np.ndarray) -> list[np.ndarray]:
        return [part.reshape(shape) for part, shape in zip(np.split(y, cuts), shapes, strict=True)]

    def velocity(_: float, y: np.ndarray) -> np.ndarray:
        nonlocal work
        work += 1
        if work > LARGEST_WORK or not np.isfinite(y).all():
            raise StiffError
        moved = layer_velocity(unpacked(y), loss_gradient, weight_decay)
        return np.concatenate([part.ravel() for part in moved])

    start = np.concatenate([layer.ravel() for layer in layers])
    # dense output is less accurate than the steps: each saved time ends a solve
    states = [start]
    for begin, end in pairwise(times):
        smallest = RTOL * 1e-2 * float(np.abs(states[-1]).max())
        solved = solve_ivp(
            velocity, (begin, end), states[-1], method="DOP853", rtol=rtol, atol=smallest
        )
        if not solved.success:
            raise StiffError
        states.append(solved.y[:, -1])
    return np.array([end_to_end(unpacked(y)) for y in states])
