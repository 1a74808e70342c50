"""Are the error estimates honest? On random plateaus, the true error against the estimated one.

Errors are the largest over the saved times, relative to ‖Φ‖_F. What the truth itself is good to is
allowed for. Where the wanted accuracy (`flowsim.solvers.accuracy`) is missed, the case
is solved again as the run's note says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from plateaus import Case, Plateau, drawn

from flowsim.dynamics.registry import FLOWS
from flowsim.solvers import accuracy
from flowsim.solvers.methods import METHODS
from flowsim.solvers.solve import solve
from flowsim.solvers.trajectory import Trajectory

USUAL_METHODS = ("tsit5", "dopri5", "dopri8", "auto")
USUAL_SPACES = ("layers", "end_to_end")
LOOSEST, TIGHTEST = 1e-3, 1e-10


@dataclass(frozen=True)
class Result:
    """What a case gave: the true error, up to `trust`, and the estimated one.

    `honest` is the fraction of saved times with an error under three times the estimate;
    `missed` says whether the wanted accuracy was, and `cured` whether the remedy then reached it.
    """

    case: Case
    error: float
    trust: float
    estimate: float
    honest: float
    missed: bool
    cured: bool

    @property
    def covered(self) -> bool:
        """Say whether the true error is under three times the estimate."""
        return self.error - self.trust < 3 * self.estimate

    @property
    def ratio(self) -> float:
        """Return estimate / error."""
        return self.estimate / max(self.error, self.trust)

    def __str__(self) -> str:
        case, widths = self.case, "-".join(map(str, self.case.widths))
        return (
            f"{widths:8s} {case.start:9s} {case.scale:.0e} {case.space:10s} {case.method:9s} "
            f"rtol {case.rtol:.0e}, {case.samples:3d} times: error {self.error:.1e}, "
            f"estimate {self.estimate:.1e}{'' if self.covered else '  NOT COVERED'}"
            f"{', cured' if self.cured else ', NOT CURED' if self.missed else ''}"
        )


def measured(case: Case) -> Result:
    """Solve a case, compare it with the truth, and try the remedy where it misses."""
    plateau = Plateau.of(case)
    size = float(np.linalg.norm(plateau.problem.loss.target))

    def errors(found: Trajectory) -> np.ndarray:
        gaps = found.end_to_end - plateau.end_to_end(found.times)
        return np.asarray(np.linalg.norm(gaps, axis=(1, 2))) / size

    found = _solved(case, plateau)
    error, estimate = errors(found), found.error_estimate / size
    honest = float(np.mean(error - plateau.trust < 3 * estimate))
    missed, cured = accuracy.is_inaccurate(found), False
    if missed:
        remedy = accuracy.remedy(found, plateau.problem)
        again = _solved(replace(case, space=remedy.space, rtol=remedy.rtol), plateau)
        cured = bool(errors(again).max() <= accuracy.ALLOWED_ERROR)
    largest = float(error.max()), plateau.trust, float(estimate.max())
    return Result(case, *largest, honest, missed, cured)


def _solved(case: Case, plateau: Plateau) -> Trajectory:
    times = np.linspace(0, plateau.problem.horizon, case.samples)
    return solve(plateau.problem, case.space, method=case.method, rtol=case.rtol, times=times)


def rows(results: list[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Yield the results by what they have in common, and a name for it."""
    yield "all", results
    keys: dict[str, Callable[[Result], str]] = {
        "rtol": lambda r: "1e{} to 1e{}".format(*_decade(r.case.rtol)),
        "N =": lambda r: str(r.case.depth),
        "start": lambda r: r.case.start,
        "method": lambda r: r.case.method,
        "space": lambda r: r.case.space,
        "saved times": lambda r: f"{r.case.samples:3d}",
    }
    for word, key in keys.items():
        for value in sorted({key(r) for r in results}):
            yield f"{word} {value}", [r for r in results if key(r) == value]


def _decade(x: float) -> tuple[int, int]:
    low = int(np.floor(np.log10(x)))
    return low, low + 1


def table(results: list[Result]) -> str:
    """Return the table in Markdown."""
    lines = [
        "| cases | number | error < 3 × estimate | at single times | median of estimate / error | "
        "missed 1 % | reached by the remedy |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, chosen in rows(results):
        missed = [r for r in chosen if r.missed]
        covered = np.mean([r.covered for r in chosen])
        honest = np.mean([r.honest for r in chosen])
        ratio = np.median([r.ratio for r in chosen])
        cured = f"{sum(r.cured for r in missed)} of {len(missed)}" if missed else ""
        lines.append(
            f"| {name} | {len(chosen)} | {100 * covered:.1f} % | {100 * honest:.1f} % | "
            f"{ratio:.0f} | {len(missed)} | {cured} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Draw, solve, and print the table."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--cases", type=int, default=200)
    asked.add_argument("--seed", type=int, default=2026)
    asked.add_argument(
        "--methods", default=",".join(USUAL_METHODS), help=f"auto, {', '.join(METHODS)}"
    )
    asked.add_argument("--spaces", default=",".join(USUAL_SPACES), help=", ".join(FLOWS))
    asked.add_argument("--rtol", type=float, nargs=2, default=(TIGHTEST, LOOSEST))
    asked.add_argument("--verbose", action="store_true", help="print every case")
    choices = asked.parse_args()
    results = []
    for index in range(choices.cases):
        rng = np.random.default_rng([choices.seed, index])
        case = drawn(rng, choices.methods.split(","), choices.spaces.split(","), choices.rtol)
        results.append(measured(case))
        if choices.verbose:
            print(f"{index:3d} {results[-1]}", flush=True)
    print(table(results))


if __name__ == "__main__":
    main()
