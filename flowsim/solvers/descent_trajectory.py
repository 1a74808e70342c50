"""Gradient descent as it was recorded: iterates near the saved times of a flow, and verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim import cards
from flowsim.dynamics.update_rules import HeavyBall
from flowsim.problem.problem import Problem
from flowsim.process.environment import isolated
from flowsim.solvers.contradictions import contradictions
from flowsim.solvers.last_iterates import LastIterates
from flowsim.solvers.storage import Series
from flowsim.solvers.tables import Tabular, recorded
from flowsim.solvers.variables import DESCENT, GRID, VariableSpec, layer_spec
from flowsim.solvers.verdict import Ending, Verdict

if TYPE_CHECKING:
    from pandas import Index

LISTED = 6
"""Step sizes that a card lists."""


@dataclass(frozen=True, eq=False)
class DescentTrajectory(Tabular):
    """Gradient descent at the iterations nearest to the saved times of a flow.

    Arrays are read-only, with leading axes (step_size, sample). At and after divergence the loss is
    inf and all else nan. Entries not reached before a stop request are nan.

    Attributes
    ----------
    iteration
        The number k of each recorded iterate.
    loss, singular_values, distance_to_target
        ℓ(W), σ descending along a further axis, and ‖W - Φ‖_F (nan without a target Φ).
    unobserved_error
        ‖W - Φ‖_F over the entries that are not observed; None if not of completion.
    det_sign
        The sign of det W, -1, 0 or 1; None where W is not square.
    imbalance, squared_norm
        ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F along a further axis of pairs, and Σ_j ‖W_j‖²_F.
    vs_flow
        ‖W_k - W(kη)‖_F, the distance to gradient flow, where that is known.
    kept, end_to_end_series
        The samples at which W is kept, and those W.
    outcome
        `"completed"`, `"diverged"` or `"interrupted"`, per step size.
    seconds, compile
        Wall time of iterating and of compiling.
    rule
        The update rule in words.
    layers
        W_1, …, W_N in float64 if requested, each of shape (step_size, sample, d_j, d_{j-1}).
    follows_flow
        Whether iterate k approximates the flow at time kη.
    noisy
        Whether the gradient was noisy.
    last
        The last iterates, from which `endings` derive.

    """

    step_sizes: np.ndarray
    iteration: np.ndarray
    loss: np.ndarray
    singular_values: np.ndarray
    distance_to_target: np.ndarray
    unobserved_error: np.ndarray | None
    det_sign: np.ndarray | None
    imbalance: np.ndarray
    squared_norm: np.ndarray
    vs_flow: np.ndarray
    kept: np.ndarray
    end_to_end_series: Series
    outcome: tuple[str, ...] = ()
    seconds: float = 0.0
    compile: float = 0.0
    rule: str = HeavyBall().label
    layers: tuple[np.ndarray, ...] | None = None
    follows_flow: bool = True
    noisy: bool = False
    last: LastIterates | None = None

    rows = ("step_size", "sample")

    @property
    def declared(self) -> tuple[VariableSpec, ...]:
        """The declarations of all variables."""
        layers = range(1, len(self.layers or ()) + 1)
        return (*DESCENT, *(layer_spec(j, *GRID) for j in layers))

    def arrays(self) -> dict[str, Any]:
        """Return the arrays by the names of their variables; None where there is none."""
        all_kept = self.kept.size == self.iteration.shape[1]
        return {
            "step_size": self.step_sizes,
            "iteration": self.iteration,
            "time": self.times if self.follows_flow else None,
            **recorded(self, self.layers),
            "outcome": np.array(self.outcome, dtype=object),
            "saved_sample": None if all_kept else self.kept,
        }

    def labels(self) -> Index:
        """Return the step size and the iteration of each row."""
        import pandas

        sizes = np.repeat(self.step_sizes, self.iteration.shape[1])
        return pandas.MultiIndex.from_arrays(
            [sizes, self.iteration.ravel()], names=["step_size", "iteration"]
        )

    @property
    def problem(self) -> Problem:
        """What descent minimized."""
        assert self.last is not None
        return self.last.problem

    @cached_property
    @isolated()
    def endings(self) -> tuple[Ending, ...]:
        """How descent ended at each step size: its verdict, the iteration, and numbers with it."""
        assert self.last is not None
        last = replace(self.last, problem=self.problem.doubted()) if self.notes else self.last
        return last.endings(self.times, self.loss, "interrupted" not in self.outcome)

    @cached_property
    @isolated()
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is stated about the loss, but contradicted by the iterates."""
        return tuple(f"descent, {note}" for row in range(len(self.loss)) for note in self._row(row))

    def _row(self, row: int) -> Iterator[str]:
        """Yield the contradictions of one step size, up to its divergence."""
        reached = int(np.sum(np.cumprod(np.isfinite(self.loss[row]))))
        kept = self.kept[self.kept < reached]
        series = self.end_to_end_series.take((row, np.arange(kept.size)))
        times, losses = self.times[row, :reached], self.loss[row, :reached]
        found = contradictions(self.problem.loss, times, losses, kept, series)
        yield from (f"step {self.step_sizes[row]:g}: {note}" for note in found)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict on each step size."""
        return tuple(ending.verdict for ending in self.endings)

    @property
    def end_to_end(self) -> np.ndarray:
        """Return W of every step size at the kept samples, all at once."""
        return np.asarray(self.end_to_end_series)

    @property
    def times(self) -> np.ndarray:
        """Return t = kη of each recorded iterate."""
        return np.asarray(self.iteration * self.step_sizes[:, None])

    def _rows(self) -> Mapping[str, str]:
        ends = (
            f"{eta:g}: {ended}" for eta, ended in zip(self.step_sizes, self.endings, strict=True)
        )
        listed = list(islice(ends, LISTED))
        more = self.step_sizes.size - len(listed)
        return {
            "rule": self.rule + (", noisy" if self.noisy else ""),
            "verdict": "; ".join([*listed, *([f"and {more} more step sizes"] if more else [])]),
            "saved": f"{self.iteration.shape[1]} iterates, W of shape "
            f"{self.end_to_end_series.shape[2:]}",
            "final loss": ", ".join(f"{loss:.6g}" for loss in self.loss[: len(listed), -1]),
            "seconds": f"{self.seconds:.2f}, and {self.compile:.2f} to compile",
            **({"notes": " ".join(self.notes)} if self.notes else {}),
        }

    def __repr__(self) -> str:
        return cards.as_text("DescentTrajectory", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html("DescentTrajectory", self._rows())
