"""Iterations of descent by depth and update rule on tables that come with scikit-learn.

    python benchmarks/depth_and_speed.py [TABLE]...

Regression of one standardized column, or of one class against the rest as ±1, with p = 2 and 4,
from the same balanced start of norm 0.01, at the best of step sizes a factor of 10^{1/20} apart.
Printed are iterations until the loss stays within 1 %, 0.1 % and 0.01 % of the excess loss at the
start.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from sklearn import datasets

from flowsim.dynamics.registry import RuleName
from flowsim.dynamics.rules import named
from flowsim.problem import initialization
from flowsim.problem.losses import LeastSquares, Loss, PowerRegression
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import iterations_to
from flowsim.solvers.iterate import DescentOptions
from flowsim.theory.global_minimum import global_minimum

LEVELS = np.array([1e-2, 1e-3, 1e-4])
DESCENTS = [*(("gradient", N) for N in range(1, 6)), ("adagrad", 1), ("adadelta", 1)]


@dataclass(frozen=True)
class Table:
    """A bundled table, the column or class that is fitted, and how many iterations it may take."""

    dataset: str
    column: int = 0
    most: int = 4000


TABLES = {
    "diabetes": Table("diabetes"),
    "linnerud-weight": Table("linnerud", 0),
    "linnerud-waist": Table("linnerud", 1),
    "linnerud-pulse": Table("linnerud", 2),
    "iris-versicolor": Table("iris", 1),
    "wine-1": Table("wine", 1),
    "breast-cancer": Table("breast_cancer", 0, most=20_000),
}


def samples(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return standardized inputs, and the standardized column or the class as ±1."""
    bunch = getattr(datasets, f"load_{table.dataset}")()
    X, target = np.asarray(bunch.data, dtype=float).T, np.asarray(bunch.target)
    X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    if table.dataset in ("diabetes", "linnerud"):
        y = target.reshape(len(target), -1)[:, table.column].astype(float)
        return X, ((y - y.mean()) / y.std())[None, :]
    return X, np.where(target == table.column, 1.0, -1.0)[None, :]


def loss_of(table: Table, p: float) -> Loss:
    """Return the regression loss on a table."""
    X, Y = samples(table)
    if p == 2:
        return LeastSquares.from_data(X, Y)
    return PowerRegression(jnp.asarray(X), jnp.asarray(Y), p)


def best(table: Table, loss: Loss, rule: RuleName, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fewest iterations to each level, and the step sizes that take them."""
    inputs = samples(table)[0].shape[0]
    layers = initialization.balanced([inputs, *[1] * depth], 1e-2, np.random.default_rng(0))
    problem = Problem(loss, layers, 1.0)
    least = global_minimum(loss, (1, inputs), 1).value
    losses = least + LEVELS * (float(loss.value(problem.initial)) - least)
    sizes = 10 ** np.arange(-1.5, 2.5 if rule == "adagrad" else 1.01, 0.05)
    reached = iterations_to(
        list(losses), problem, list(sizes), table.most, options=DescentOptions(named(rule))
    )
    return reached.lasting.min(axis=0), sizes[np.argmin(reached.lasting, axis=0)]


def main(names: list[str]) -> None:
    """Print a line a table, power and update rule."""
    for name in names:
        for p in (2.0, 4.0):
            for rule, depth in DESCENTS:
                count, sizes = best(TABLES[name], loss_of(TABLES[name], p), rule, depth)
                told = "  ".join(
                    f"{c:6.0f} (η = {s:.3g})" for c, s in zip(count, sizes, strict=True)
                )
                print(f"{name:16} p = {p:g}  {rule:8} N = {depth}  {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(TABLES))
