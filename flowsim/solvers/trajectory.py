"""Solutions of flows: states at the saved times, statistics, and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from flowsim import cards
from flowsim.problem.problem import Problem
from flowsim.problem.types import Layers
from flowsim.process.environment import isolated
from flowsim.solvers import rounding
from flowsim.solvers.contradictions import contradictions
from flowsim.solvers.methods import Choice
from flowsim.solvers.storage import ByTime, Series
from flowsim.solvers.tables import Tabular, recorded
from flowsim.solvers.variables import FLOW, VariableSpec, layer_spec
from flowsim.solvers.verdict import Ending, Invariant, Verdict

if TYPE_CHECKING:
    from pandas import Index

NOT_CONSERVED = (
    "no imbalance and no determinant is checked, since the loss depends on the layers themselves"
)
"""The note on a flow along which nothing but the decrease of the loss is known."""
LISTED = 3
"""Methods listed of the first and of the last ones, where there are more than both."""


@dataclass(frozen=True)
class Statistics:
    """Costs of an integration: steps, and seconds of wall time."""

    accepted: int = 0
    rejected: int = 0
    integration: float = 0.0
    compile: float = 0.0
    error_estimate: float = 0.0


def stopping(trajectory: Trajectory) -> Ending:
    """Return how the integration stopped, whatever the flow is heading to."""
    details = {"criterion": trajectory.criterion} if trajectory.criterion else {}
    return Ending(trajectory.stopped, trajectory.stopped_at, details)


@dataclass(frozen=True, eq=False)
class Trajectory(Tabular):
    """The solution of a flow at the saved times, in read-only arrays.

    Attributes
    ----------
    space
        A key of `flowsim.dynamics.registry.FLOWS`, as in `"layers"`.
    times
        The saved times, strictly increasing from 0; fewer than requested after a stop or failure.
    loss, singular_values, distance_to_target
        ℓ(W) of shape (time,); σ of shape (time, mode), descending; ‖W - Φ‖_F, nan without a
        target Φ.
    unobserved_error
        ‖W - Φ‖_F over the entries that are not observed, of shape (time,); None if not of
        completion.
    det_sign
        The sign of det W, -1, 0 or 1, of shape (time,); None where W is not square.
    log_singular_values
        log σ of shape (time, mode), where the state resolves it more accurately than W does.
    imbalance, squared_norm
        In layer space: ‖W_{j+1}ᵀW_{j+1} - W_jW_jᵀ‖_F of shape (time, pair), and Σ_j ‖W_j‖²_F.
    kept, end_to_end
        Indices into `times` at which W is kept, and those W, shape (kept, d_N, d_0). They may be
        larger than memory: `end_to_end_series` reads them in batches.
    layers
        W_1, …, W_N over time if requested, each of shape (time, d_j, d_{j-1}); `layer_series`
        reads them in batches.
    between, between_loss
        Further times, not in `times`, and W there; ℓ(W) there.
    error_estimate, loss_error
        Estimated Frobenius error of W, and estimated error of the loss, at each saved time; nan
        where it is not estimated, inf where rounding errors determine the solution.
    stopped, stopped_at
        How the integration stopped, and when: `REACHED_HORIZON`, or the reason why it did not.
    criterion
        The criterion that ended it, such as `"loss"`; empty where none did.
    problem, last_layers
        What was solved, and a function that returns layers whose product is the last W: balanced
        ones where the flow does not follow layers.
    rtol
        The relative tolerance, smaller than requested if "auto" solved the flow again.
    choices
        The methods used, each with the time from which it was used and the reason.
    statistics
        Steps and seconds.
    judge, watch
        The functions that return `ending` and `invariants` when they are first read.

    """

    space: str
    times: np.ndarray
    kept: np.ndarray
    end_to_end_series: Series
    between: tuple[np.ndarray, Series]
    stopped: Verdict
    stopped_at: float
    problem: Problem
    last_layers: Callable[[], Layers]
    choices: tuple[Choice, ...]
    rtol: float
    between_loss: np.ndarray = field(default_factory=lambda: np.zeros(0))
    criterion: str = ""
    loss: np.ndarray = field(default_factory=lambda: np.zeros(0))
    singular_values: np.ndarray = field(default_factory=lambda: np.zeros(0))
    distance_to_target: np.ndarray = field(default_factory=lambda: np.zeros(0))
    unobserved_error: np.ndarray | None = None
    det_sign: np.ndarray | None = None
    log_singular_values: np.ndarray | None = None
    imbalance: np.ndarray | None = None
    squared_norm: np.ndarray | None = None
    layer_series: tuple[Series, ...] | None = None
    error_estimate: np.ndarray = field(default_factory=lambda: np.zeros(0))
    loss_error: np.ndarray = field(default_factory=lambda: np.zeros(0))
    statistics: Statistics = Statistics()
    judge: Callable[[Trajectory], Ending] = stopping
    watch: Callable[[Trajectory], list[Invariant]] = lambda _: []

    rows = ("time",)

    @property
    def declared(self) -> tuple[VariableSpec, ...]:
        """The declarations of all variables."""
        layers = range(1, len(self.layer_series or ()) + 1)
        return (*FLOW[self.space], *map(layer_spec, layers))

    def arrays(self) -> dict[str, Any]:
        """Return the arrays by the names of their variables; None where there is none."""
        all_kept = self.kept.size == self.times.size
        return {
            "time": self.times,
            **recorded(self, self.layer_series),
            "error_estimate": self.error_estimate if self.error_estimate.size else None,
            "log_singular_values": self.log_singular_values,
            "saved_time": None if all_kept else self.times[self.kept],
        }

    def labels(self) -> Index:
        """Return the saved times."""
        import pandas

        return pandas.Index(self.times, name="time")

    def with_error_estimate(
        self, estimate: np.ndarray, loss_error: np.ndarray, seconds: float
    ) -> Trajectory:
        """Return the same trajectory with its error estimates at every saved time."""
        return replace(
            self,
            error_estimate=estimate,
            loss_error=loss_error,
            statistics=replace(self.statistics, error_estimate=seconds),
        )

    def thinned(self, keep: np.ndarray) -> Trajectory:
        """Return the same trajectory with W only where `keep` is true, and at its last time."""
        last = self.times.size - 1
        kept = np.array([i == last or (i < keep.size and keep[i]) for i in self.kept], dtype=bool)
        return replace(
            self, kept=self.kept[kept], end_to_end_series=self.end_to_end_series.take(kept)
        )

    @cached_property
    @isolated()
    def proven_error(self) -> np.ndarray:
        """Return a lower bound on the error of each W, from what the exact flow conserves."""
        error = rounding.proven_error(self.problem, self.space, self.singular_values, self.det_sign)
        error.flags.writeable = False
        return error

    @property
    def decided_by_rounding_from(self) -> float | None:
        """Return the saved time from which rounding errors determine W, or None.

        From there on the exact solution is unknown, and the error estimate is inf.
        """
        return rounding.decided_from(self.times, self.proven_error, self.singular_values)

    @cached_property
    @isolated()
    def notes(self) -> tuple[str, ...]:
        """Sentences on what is stated about the loss, but contradicted by the solution."""
        loss, series = self.problem.loss, self.end_to_end_series
        return tuple(contradictions(loss, self.times, self.loss, self.kept, series))

    @property
    def excess_loss(self) -> np.ndarray:
        """ℓ(W) - ℓ* over time, nan where the minimum ℓ* is not stated."""
        least = self.problem.loss.minimum
        return np.asarray(self.loss - (np.nan if least is None else least))

    @cached_property
    @isolated()
    def invariants(self) -> list[Invariant]:
        """What the exact flow conserves, checked at the saved times."""
        return self.watch(self)

    @cached_property
    @isolated()
    def ending(self) -> Ending:
        """How the flow ended, with the numbers that belong to it."""
        return self.judge(self)

    @property
    def verdict(self) -> Verdict:
        """How the flow ended."""
        return self.ending.verdict

    @property
    def end_to_end(self) -> np.ndarray:
        """Return W at the kept times, all at once."""
        return np.asarray(self.end_to_end_series)

    @property
    def layers(self) -> tuple[np.ndarray, ...] | None:
        """Return W_1, …, W_N over time, all at once; None if they are not kept."""
        return None if self.layer_series is None else tuple(map(np.asarray, self.layer_series))

    @property
    def largest_error(self) -> float:
        """Return the largest estimated Frobenius error of W; nan unless all times have one."""
        return float(self.error_estimate.max()) if self.error_estimate.size else float("nan")

    @property
    def method(self) -> str:
        """Return the methods in turn, of many the ends: "tsit5, then kvaerno5 from t = 3.1"."""
        first, *later = self.choices
        names = [first.method.name, *(f"{c.method.name} from t = {c.since:.4g}" for c in later)]
        return ", then ".join(_ends(names))

    def matrices(self) -> ByTime:
        """Return every saved W by its time."""
        times = [*self.between[0].tolist(), *self.times[self.kept].tolist()]
        rows = [*self.between[1].rows.tolist(), *self.end_to_end_series.rows.tolist()]
        return ByTime(self.end_to_end_series.store, dict(zip(times, rows, strict=True)))

    def _rows(self) -> Mapping[str, str]:
        steps = self.statistics
        return {
            "verdict": f"{self.ending}, t = {self.ending.at:.6g}",
            "method": f"{self.method}, rtol = {self.rtol:g}",
            "because": "; then ".join(_ends([choice.why for choice in self.choices])),
            "steps": f"{steps.accepted} accepted, {steps.rejected} rejected",
            "saved": f"{len(self.times)} times, W of shape {self.end_to_end_series.shape[1:]}",
            "final loss": f"{self.loss[-1]:.6g}" + self._excess(),
            "error estimate": f"{self.largest_error:.2g}",
            "seconds": f"{steps.integration:.2f}, and {steps.compile:.2f} to compile",
            **({"conserved": NOT_CONSERVED} if self.problem.loss.on_layers else {}),
            **({"notes": " ".join(self.notes)} if self.notes else {}),
        }

    def _excess(self) -> str:
        excess = float(self.excess_loss[-1])
        return "" if np.isnan(excess) else f", {excess:.2g} above its minimum"

    def __repr__(self) -> str:
        return cards.as_text(f"Trajectory in {self.space} space", self._rows())

    def _repr_html_(self) -> str:
        return cards.as_html(f"Trajectory in {self.space} space", self._rows())


def _ends(texts: list[str]) -> list[str]:
    """Return the first and the last texts, with the number of those between."""
    between = len(texts) - 2 * LISTED
    if between <= 0:
        return texts
    return [*texts[:LISTED], f"{between} more", *texts[-LISTED:]]


def reference(flows: Mapping[str, Trajectory]) -> Trajectory:
    """Return the flow with which others are compared: the layer flow if solved, else the first."""
    return flows.get("layers", next(iter(flows.values())))
