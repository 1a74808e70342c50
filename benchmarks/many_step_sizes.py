"""Descent at many step sizes: flowsim's one program beside the loops that a script would have.

    python benchmarks/many_step_sizes.py

Every contender takes the same iterations from the same start, and must end within a relative 1e-9
of the same losses. One that would take long does a share of the iterations, and its time is scaled
up. Compiling is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from flowsim.problem import initialization
from flowsim.problem.losses import Squared
from flowsim.problem.problem import Problem
from flowsim.solvers.iterate import initial_iterates, iterate, make_descent

ENOUGH = 3.0
"""Seconds that a contender is to take at most, by doing a share of the work."""

Descend = Callable[[Problem, np.ndarray, int], np.ndarray]
"""Takes so many iterations at each step size, and returns the losses in the end."""


@dataclass(frozen=True)
class Case:
    """So many iterations at so many step sizes, of a network of this depth and width."""

    depth: int
    width: int
    sizes: int
    iterations: int

    def problem(self) -> Problem:
        """Return ½‖W - Φ‖²_F from balanced layers, Φ with singular values from 3 to 1."""
        Phi = np.diag(np.linspace(3.0, 1.0, self.width))
        widths = [self.width] * (self.depth + 1)
        return Problem(
            Squared(Phi), initialization.balanced(widths, 0.3, np.random.default_rng(0)), 1.0
        )

    def step_sizes(self) -> np.ndarray:
        """Return step sizes that converge."""
        return np.geomspace(1e-3, 0.05, self.sizes)


CASES = (Case(2, 2, 300, 10_000), Case(3, 4, 300, 10_000), Case(3, 10, 100, 10_000),
         Case(2, 2, 1, 10_000_000))  # fmt: skip


def flowsim(problem: Problem, sizes: np.ndarray, count: int) -> np.ndarray:
    """Walk at all step sizes in one program, nothing stored on the way."""
    descent, found = make_descent(problem, list(sizes)), []
    until = np.full((sizes.size, 1), count)
    iterate(
        descent,
        initial_iterates(descent, problem),
        until,
        lambda _, at: found.append(losses(problem, at)),
    )
    return found[0]


def losses(problem: Problem, iterates) -> np.ndarray:
    """Return the loss of every step size."""
    layers = [np.asarray(W) for W in iterates.layers]
    W = layers[0]
    for layer in layers[1:]:
        W = layer @ W
    return 0.5 * np.sum((W - np.asarray(problem.loss.target)) ** 2, axis=(1, 2))


def numpy_batched(problem: Problem, sizes: np.ndarray, count: int) -> np.ndarray:
    """Loop over iterations, all step sizes in stacked arrays."""
    Phi, eta = np.asarray(problem.loss.target), sizes[:, None, None]
    layers = [np.repeat(W[None], sizes.size, axis=0) for W in problem.layers]
    for k in range(count + 1):
        above = [None] * len(layers)
        W = layers[0]
        prefixes = [W]
        for layer in layers[1:]:
            W = layer @ W
            prefixes.append(W)
        G = W - Phi
        if k == count:
            return 0.5 * np.sum(G**2, axis=(1, 2))
        for j in range(len(layers) - 1, -1, -1):
            above[j] = G @ prefixes[j - 1].swapaxes(1, 2) if j else G
            G = layers[j].swapaxes(1, 2) @ G
        layers = [W - eta * g for W, g in zip(layers, above, strict=True)]
    raise AssertionError


def numpy_loop(problem: Problem, sizes: np.ndarray, count: int) -> np.ndarray:
    """Loop over step sizes and iterations."""
    alone = [numpy_batched(problem, sizes[i : i + 1], count) for i in range(sizes.size)]
    return np.concatenate(alone)


def jax_scan(problem: Problem, sizes: np.ndarray, count: int) -> np.ndarray:
    """Scan over iterations with jax.grad, all step sizes by vmap, the losses stored."""
    return np.asarray(_scan(tuple(problem.layers), problem.loss.target, sizes, count)[:, -1])


def _scan(layers, Phi, sizes, count):
    def loss(layers):
        W = layers[0]
        for layer in layers[1:]:
            W = layer @ W
        return 0.5 * jnp.sum((W - Phi) ** 2)

    def one(eta):
        def step(layers, _):
            g = jax.grad(loss)(layers)
            moved = tuple(W - eta * s for W, s in zip(layers, g, strict=True))
            return moved, loss(moved)

        return jax.lax.scan(step, layers, length=count)[1]

    return jax.vmap(one)(sizes)


_scan = jax.jit(_scan, static_argnums=3)
CONTENDERS: dict[str, Descend] = {
    "flowsim": flowsim,
    "jax.lax.scan, losses stored": jax_scan,
    "NumPy, step sizes stacked": numpy_batched,
    "NumPy, a loop a step size": numpy_loop,
}


def seconds(descend: Descend, case: Case) -> float:
    """Return the time of a case, from a share of its iterations where it would be long."""
    problem, sizes = case.problem(), case.step_sizes()
    count = min(case.iterations, 20)
    while True:
        descend(problem, sizes, count)  # compiled by now, and paced
        started = time.perf_counter()
        descend(problem, sizes, count)
        taken = time.perf_counter() - started
        if count == case.iterations or taken * 10 > ENOUGH:
            return taken * case.iterations / count
        count = min(10 * count, case.iterations)


def agree(case: Case) -> None:
    """Raise unless every contender ends in the same losses after 200 iterations."""
    problem, sizes = case.problem(), case.step_sizes()[:3]
    wanted = numpy_batched(problem, sizes, 200)
    for descend in CONTENDERS.values():
        np.testing.assert_allclose(descend(problem, sizes, 200), wanted, rtol=1e-9)


def main() -> None:
    """Print a table of seconds, and in brackets × flowsim's."""
    print("| network, step sizes × iterations |", " | ".join(CONTENDERS), "|")
    print("|---|" + "---|" * len(CONTENDERS))
    for case in CASES:
        agree(case)
        taken = [seconds(descend, case) for descend in CONTENDERS.values()]
        name = f"N = {case.depth}, d = {case.width}, {case.sizes} × {case.iterations:,}"
        cells = [f"{t:.3g} ({t / taken[0]:.2g})" for t in taken]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
