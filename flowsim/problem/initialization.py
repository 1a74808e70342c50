"""Initial layers W_1, …, W_N, one function per scheme.

`scale` is always that of the end-to-end matrix, so that networks of different depth start from the
same product. Every function returns float64 NumPy layers; random ones draw from `rng`. Arguments of
another kind or range raise ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import ParamSpec, TypeAlias

import numpy as np

from flowsim.problem import arguments
from flowsim.problem.limits import LARGEST
from flowsim.process.environment import isolated

Widths: TypeAlias = Sequence[int]
NumpyLayers: TypeAlias = tuple[np.ndarray, ...]
P = ParamSpec("P")


def _public(draw: Callable[P, NumpyLayers]) -> Callable[P, NumpyLayers]:
    """Check the arguments of an initialization, and isolate it."""
    checks: dict[str, arguments.Check] = {
        "widths": arguments.widths,
        "scale": partial(arguments.finite_number, least=0.0, most=LARGEST),
        "imbalance": partial(arguments.finite_number, least=-LARGEST, most=LARGEST),
        "Phi": arguments.matrix,
        "rng": arguments.random_generator,
    }
    return isolated()(arguments.checked(**checks)(draw))


@_public
def balanced(widths: Widths, scale: float, rng: np.random.Generator) -> NumpyLayers:
    """Return exactly balanced layers of a random W with largest singular value `scale`.

    W is a Gaussian matrix truncated to rank min_j d_j and rescaled; W = U Σ Vᵀ is split as
    W_N = U Σ^{1/N}, W_j = Σ^{1/N}, W_1 = Σ^{1/N} Vᵀ, padded with zeros
    (Arora, Cohen, Golowich & Hu 2019, Procedure 1).
    """
    U, sigma, Vt = _random_end_to_end(widths, scale, rng)
    return from_svd(widths, U, sigma, Vt)


@_public
def gaussian(widths: Widths, scale: float, rng: np.random.Generator) -> NumpyLayers:
    """Return layers with i.i.d. Gaussian entries, E‖W‖²_F = scale² min(d_0, d_N).

    All entries of all layers have the variance (scale² min(d_0, d_N) / Π_j d_j)^{1/N}. Small scales
    give the nearly balanced initializations of the literature on implicit regularization (Arora,
    Cohen, Hu & Luo 2019).
    """
    # in logarithms: Π_j d_j overflows for deep networks
    depth = len(widths) - 1
    log_variance = 2 * np.log(scale) + np.log(min(widths[0], widths[-1])) - np.log(widths).sum()
    deviation = np.exp(0.5 * log_variance / depth)
    return tuple(
        deviation * rng.standard_normal((above, below)) for below, above in pairwise(widths)
    )


@_public
def xavier(widths: Widths, rng: np.random.Generator) -> NumpyLayers:
    """Return layers uniform on ±√(6/(d_{j-1} + d_j)) (Glorot & Bengio 2010, eq. 16)."""
    bounds = [np.sqrt(6 / (below + above)) for below, above in pairwise(widths)]
    return tuple(
        rng.uniform(-bound, bound, (above, below))
        for bound, (below, above) in zip(bounds, pairwise(widths), strict=True)
    )


@_public
def orthogonal(widths: Widths, scale: float, rng: np.random.Generator) -> NumpyLayers:
    """Return scaled semi-orthogonal layers whose product has singular values all `scale`.

    W_j = scale^{1/N} O_j I O_{j-1}ᵀ with random orthogonal O_j and a rectangular identity I
    (Saxe, McClelland & Ganguli 2014, §3). With a smallest hidden width below min(d_0, d_N), that
    many singular values are `scale` and the others 0. The layers are balanced for equal widths.
    """
    root = scale ** (1 / (len(widths) - 1))
    # columns of each O_j that a neighbouring layer uses
    used = [min(d, max(widths[max(j - 1, 0) : j + 2])) for j, d in enumerate(widths)]
    frames = [_random_orthonormal(d, columns, rng) for d, columns in zip(widths, used, strict=True)]
    ranks = [min(pair) for pair in pairwise(widths)]
    return tuple(root * frames[j + 1][:, :r] @ frames[j][:, :r].T for j, r in enumerate(ranks))


@_public
def identity(widths: Widths, scale: float) -> NumpyLayers:
    """Return balanced layers with W = scale · I, the rectangular identity of shape d_N × d_0.

    Every layer is scale^{1/N} on the first min(d_0, d_N) diagonal entries (Razin & Cohen 2020).

    Raises
    ------
    ValueError
        If a hidden width is below min(d_0, d_N): then no product of the layers is scale · I.

    """
    rank = min(widths[0], widths[-1])
    if min(widths) < rank:
        raise ValueError(
            f"An identity initialization needs hidden widths of at least min(d_0, d_N) = {rank}, "
            f"but the widths are {list(widths)}."
        )
    return from_svd(widths, np.eye(widths[-1], rank), np.full(rank, scale), np.eye(rank, widths[0]))


@_public
def aligned(widths: Widths, scale: float, Phi: np.ndarray) -> NumpyLayers:
    """Return balanced layers of W = scale · U Vᵀ, U and V the singular vectors of `Phi`.

    Every mode of `Phi`, up to min_j d_j, has the initial strength `scale`, so that the squared loss
    about `Phi` decouples into modes (Saxe, McClelland & Ganguli 2014, eq. 12).
    """
    rank = min(widths)
    U, _, Vt = np.linalg.svd(Phi, full_matrices=False)
    return from_svd(widths, U[:, :rank], np.full(rank, scale), Vt[:rank])


@_public
def lambda_balanced(
    widths: Widths, scale: float, imbalance: float, rng: np.random.Generator
) -> NumpyLayers:
    """Return layers with W_{j+1}ᵀW_{j+1} - W_jW_jᵀ = λI for every j, λ = `imbalance`.

    The product is the W that `balanced` draws from the same `rng`; λ = 0 gives those very layers
    (Dominé et al. 2025, Definition 3.1, for N = 2; the squares of a mode's layer scales are an
    arithmetic progression of step λ at any depth).

    Raises
    ------
    ValueError
        If no such layers exist for these widths.

    """
    check_lambda_balanced(widths, imbalance)
    U, sigma, Vt = _random_end_to_end(widths, scale, rng)
    depth, hidden, rank = len(widths) - 1, widths[1], len(sigma)
    # per mode: W_{j+1}ᵀW_{j+1} - W_jW_jᵀ = λ makes the squared scales grow by λ from layer to layer
    squares = np.array([_progression(s, imbalance, depth) for s in sigma]).T
    # hidden directions outside W's rank have the progression with product 0, which starts at 0
    spare = _progression(0.0, imbalance, depth)[:, None]
    scales = np.sqrt(np.hstack([squares, np.repeat(spare, hidden - rank, axis=1)]))
    frame_out, frame_in = _completed(U, hidden), _completed(Vt.T, hidden).T
    middle = [np.diag(scale_j) for scale_j in scales[1:-1]]
    return (scales[0][:, None] * frame_in, *middle, frame_out * scales[-1])


def check_lambda_balanced(widths: Widths, imbalance: float) -> None:
    """Raise ValueError for widths on which W_{j+1}ᵀW_{j+1} - W_jW_jᵀ = λI has no solution."""
    inner = set(widths[1:-1])
    if len(inner) != 1:
        raise ValueError(
            "A lambda_balanced initialization needs hidden layers, all of one width, "
            f"but the widths are {list(widths)}."
        )
    hidden = inner.pop()
    reaches_output = imbalance >= 0 and hidden <= widths[-1]
    reaches_input = imbalance <= 0 and hidden <= widths[0]
    fits = imbalance == 0 or hidden <= min(widths[0], widths[-1])
    if not (fits or reaches_output or reaches_input):
        raise ValueError(
            f"With imbalance {imbalance:g} the hidden width {hidden} must be at most "
            f"{widths[-1] if imbalance > 0 else widths[0]}, or W_{{j+1}}ᵀW_{{j+1}} - W_jW_jᵀ "
            "cannot be a multiple of the identity."
        )


@isolated()
def from_svd(widths: Widths, U: np.ndarray, sigma: np.ndarray, Vt: np.ndarray) -> NumpyLayers:
    """Return balanced layers of these widths with the product U diag(σ) Vᵀ, σ^{1/N} in each."""
    depth, rank = len(widths) - 1, len(sigma)
    if depth == 1:
        return ((U * sigma) @ Vt,)
    root = sigma ** (1 / depth)
    layers = [np.zeros((above, below)) for below, above in pairwise(widths)]
    for layer in layers[1:-1]:
        layer[range(rank), range(rank)] = root
    layers[0][:rank] = root[:, None] * Vt
    layers[-1][:, :rank] = U * root
    return tuple(layers)


def _random_end_to_end(
    widths: Widths, scale: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, σ and Vᵀ of a Gaussian matrix, truncated to rank min_j d_j, with σ_1 = `scale`."""
    A = rng.standard_normal((widths[-1], widths[0]))
    U, sigma, Vt = np.linalg.svd(A, full_matrices=False)
    rank = min(widths)
    return U[:, :rank], scale * sigma[:rank] / sigma[0], Vt[:rank]


def _random_orthonormal(d: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Return a d × columns matrix with orthonormal columns from the Haar measure."""
    Q, R = np.linalg.qr(rng.standard_normal((d, columns)))
    return Q * np.sign(np.diag(R))  # QR alone is not Haar: LAPACK fixes signs (Mezzadri 2007)


def _progression(s: float, step: float, depth: int) -> np.ndarray:
    """Return the arithmetic progression x_1, …, x_N of `step`, x ≥ 0, with Π x_j = s²."""
    from scipy.optimize import brentq

    offsets = np.arange(depth) * abs(step)
    if s > 0:
        # Π_j (x + offset_j) increases in x: bracketed by x alone, and by the other factors at most
        log_excess = lambda x: np.sum(np.log(x + offsets)) - 2 * np.log(s)  # noqa: E731
        upper = s ** (2 / depth)
        lower = s**2 / np.prod(upper + offsets[1:])
        smallest = (
            upper
            if step == 0
            else brentq(log_excess, lower / 2, 2 * upper, xtol=1e-300, rtol=1e-15, maxiter=1000)
        )
    else:
        smallest = 0.0
    squares: np.ndarray = smallest + offsets
    return squares if step >= 0 else squares[::-1]


def _completed(frame: np.ndarray, columns: int) -> np.ndarray:
    """Return orthonormal columns extended to `columns` of them, by zeros past the rows."""
    rows, rank = frame.shape
    # left singular vectors past the rank complete the frame to an orthonormal basis
    full = np.linalg.svd(frame)[0][:, rank:columns]
    missing = np.zeros((rows, max(0, columns - rows)))
    return np.hstack([frame, full, missing])[:, :columns]
