"""What one would write without flowsim: the three dynamics of small.toml, a file and the figures.

    python benchmarks/plain_script.py FOLDER

SciPy, h5py and Matplotlib; no error estimate, no claims, no checks of any input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import matplotlib as mpl
import numpy as np
from scipy.integrate import solve_ivp

mpl.use("agg")
import matplotlib.pyplot as plt

D, N, HORIZON, RTOL, ETA = 4, 2, 6.0, 1e-8, 0.05
TIMES = np.linspace(0, HORIZON, 200)


def gradients(layers: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    """Return the gradients of ½‖W_2 W_1 - Φ‖²."""
    G = layers[1] @ layers[0] - Phi
    return np.array([layers[1].T @ G, G @ layers[0].T])


def layer_flow(layers: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    """Return the layers at all times."""
    shape = layers.shape
    found = solve_ivp(
        lambda t, y: -gradients(y.reshape(shape), Phi).ravel(),  # noqa: ARG005
        (0, HORIZON), layers.ravel(), "DOP853", TIMES, rtol=RTOL, atol=1e-10,
    )  # fmt: skip
    return found.y.T.reshape(-1, *shape)


def end_to_end_flow(W_0: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    """Return W at all times: Ẇ = -Σ_j [WWᵀ]^{(N-j)/N} G [WᵀW]^{(j-1)/N}."""

    def velocity(t: float, y: np.ndarray) -> np.ndarray:  # noqa: ARG001
        W = y.reshape(D, D)
        U, s, Vt = np.linalg.svd(W)
        K = sum(np.outer(s ** (2 * (N - j) / N), s ** (2 * (j - 1) / N)) for j in range(1, N + 1))
        return -(U @ (K * (U.T @ (W - Phi) @ Vt.T)) @ Vt).ravel()

    found = solve_ivp(velocity, (0, HORIZON), W_0.ravel(), "DOP853", TIMES, rtol=RTOL, atol=1e-10)
    return found.y.T.reshape(-1, D, D)


def descent(layers: np.ndarray, Phi: np.ndarray) -> np.ndarray:
    """Return the iterates nearest to all times."""
    wanted = np.round(TIMES / ETA).astype(int)
    iterates = [layers]
    for _ in range(wanted[-1]):
        iterates.append(iterates[-1] - ETA * gradients(iterates[-1], Phi))
    return np.array(iterates)[wanted]


def draw(folder: Path, name: str, *curves: tuple[np.ndarray, str], scale: str = "linear") -> None:
    """Draw curves over time into a file."""
    figure, axes = plt.subplots(layout="constrained")
    for values, style in curves:
        axes.plot(TIMES, values, style)
    axes.set(xlabel="time t", ylabel=name, yscale=scale, title=name)
    figure.savefig(folder / f"{name}.png", dpi=200)
    plt.close(figure)


def effective_rank(sigma: np.ndarray) -> np.ndarray:
    """Return exp of the entropy of the singular values' shares."""
    share = sigma / sigma.sum(axis=1, keepdims=True)
    return np.exp(-np.sum(share * np.log(share), axis=1))


def main(folder: Path) -> None:
    """Simulate, store, draw."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    U, V, Q, R = (np.linalg.qr(rng.standard_normal((D, D)))[0] for _ in range(4))
    Phi = U * [3.0, 2.0, 1.0, 0.5] @ V.T
    start = np.sqrt(0.05) * np.array([Q, R])
    layers, iterates = layer_flow(start, Phi), descent(start, Phi)
    flows = {
        "layers": layers[:, 1] @ layers[:, 0],
        "end_to_end": end_to_end_flow(start[1] @ start[0], Phi),
        "descent": iterates[:, 1] @ iterates[:, 0],
    }
    sigma = {name: np.linalg.svd(W, compute_uv=False) for name, W in flows.items()}
    loss = {name: 0.5 * np.sum((W - Phi) ** 2, axis=(1, 2)) for name, W in flows.items()}
    distance: Callable[[str, str], np.ndarray] = lambda a, b: np.linalg.norm(  # noqa: E731
        flows[a] - flows[b], axis=(1, 2)
    )
    imbalance = np.linalg.norm(
        layers[:, 1].mT @ layers[:, 1] - layers[:, 0] @ layers[:, 0].mT, axis=(1, 2)
    )
    with h5py.File(folder / "run.nc", "w") as file:
        for name, W in flows.items():
            group = file.create_group(name)
            group["time"], group["end_to_end"] = TIMES, W
            group["singular_values"], group["loss"] = sigma[name], loss[name]
    names = list(flows)
    styles = ["-", "o", "--"]
    draw(folder, "singular_values", *zip(sigma.values(), styles, strict=True))
    draw(folder, "loss", *zip(loss.values(), styles, strict=True), scale="log")
    draw(folder, "effective_rank", *((effective_rank(sigma[n]), "-") for n in names))
    draw(folder, "gap", (distance("layers", "end_to_end"), "-"), scale="log")
    draw(folder, "descent_distance", (distance("layers", "descent"), "-"), scale="log")
    draw(folder, "descent_singular_values", (sigma["layers"], "-"), (sigma["descent"], "--"))
    draw(folder, "imbalance", (imbalance, "-"), scale="log")
    draw(
        folder,
        "entries",
        *((W.reshape(-1, D * D), s) for W, s in zip(flows.values(), styles, strict=True)),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
