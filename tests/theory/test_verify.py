"""`flowsim verify`: passes here, and fails where something computes wrongly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import exact
import numpy as np
import pytest

from flowsim.cli import main
from flowsim.dynamics.flow import Flow
from flowsim.dynamics.modes import ModeFlow
from flowsim.dynamics.registry import FLOWS, Formulation
from flowsim.problem import losses
from flowsim.problem.problem import Problem
from flowsim.solvers.descend import descend
from flowsim.theory.exact.modes import ExactModes
from flowsim.theory.exact.verification.cases import cases
from flowsim.theory.exact.verification.checks import Check, _jobs, checks, expected


class SlightlyWrong(ModeFlow):
    """A flow that is a thousandth too slow."""

    def velocity(self, state, loss, weight_decay):
        return tuple(0.999 * v for v in super().velocity(state, loss, weight_decay))


def wrong(problem) -> ModeFlow:
    right = ModeFlow.of(problem)
    return SlightlyWrong(**{field.name: getattr(right, field.name) for field in fields(right)})


@pytest.fixture
def without_losses(monkeypatch) -> None:
    """Leave out the checks of gradients, which take the longest."""
    monkeypatch.setattr("flowsim.theory.exact.verification.checks.every_loss", list)


def failures(spaces, methods=("tsit5",)) -> list[Check]:
    return [check for check in checks(spaces, methods) if not check.passed]


def test_every_check_passes_and_the_table_tells_it(capsys) -> None:
    assert main(["verify", "--space", "modes", "--method", "tsit5"]) == 0
    told = capsys.readouterr()
    header, *rows = told.out.splitlines()
    assert header.split()[-5:] == ["method", "error", "tolerance", "steps", "time"]
    for start in (
        "✓ float64",
        "✓ ∇ CrossEntropy",
        "✓ descent, η = 1.05",
        "✓ modes, N = 2                     modes      tsit5",
        "– any start, N = 2                 modes                   not applicable: modes: ",
    ):
        assert any(row.startswith(start) for row in rows), start
    assert rows[-1].split(" in ")[0].endswith("checks passed")
    assert not any(row.startswith("✗") for row in rows)
    assert "verifying" in told.err
    assert len(rows) - 2 <= expected(("modes",), ("tsit5",))


def built_by(build: Callable[[Problem], Flow]) -> Formulation:
    """Return the formulation in modes, with another flow."""

    class Altered(Formulation):
        def build(self, problem: Problem) -> Flow:
            return build(problem)

    return Altered(**vars(FLOWS["modes"]))


@pytest.mark.usefixtures("without_losses")
def test_a_wrong_velocity_fails_in_a_space_that_joins_by_its_entry(capsys, monkeypatch) -> None:
    monkeypatch.setitem(FLOWS, "wrong", built_by(wrong))
    assert main(["verify", "--space", "wrong", "--method", "tsit5"]) == 1
    failed = [row for row in capsys.readouterr().out.splitlines() if row.startswith("✗")]
    assert [row.split("  ")[0] for row in failed] == ["✗ modes, N = 2", "✗ mode, N = 3"]


@pytest.mark.usefixtures("without_losses")
def test_an_integration_that_ends_early_fails(monkeypatch) -> None:
    monkeypatch.setattr("flowsim.theory.exact.verification.checks.MOST_STEPS", 3)
    ended = [check.note for check in failures(("modes",))]
    assert len(ended) == 2
    assert all(note.startswith("budget_exhausted at t = ") for note in ended)


@pytest.mark.usefixtures("without_losses")
def test_a_space_that_refuses_everything_fails(monkeypatch) -> None:
    def refuses(problem):
        raise ValueError("never: not today.")

    monkeypatch.setitem(FLOWS, "never", built_by(refuses))
    assert [check.note for check in failures(("never",))] == ["refused in every case"]


@pytest.mark.usefixtures("without_losses")
def test_wrong_formulas_and_wrong_descent_fail(monkeypatch) -> None:
    right = ExactModes.strengths
    monkeypatch.setattr(ExactModes, "strengths", lambda self, t: right(self, 1.001 * t))
    monkeypatch.setattr(
        "flowsim.theory.exact.verification.checks.descend",
        lambda problem, sizes, times: replace(
            descend(problem, sizes, times), step_sizes=1.001 * np.array(sizes)
        ),
    )
    names = {check.name for check in failures(("modes",))}
    assert names >= {"modes, N = 2: formulas", "modes, N = 2", "mode, N = 3"}
    assert {name for name in names if name.startswith("descent")} == {
        "descent, η = 0.1001", "descent, η = 0.9009", "descent, η = 1.05105",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--space", "layer"], "--space is 'layer', but one of layers, "),
        (["--method", "tsit"], "There is no method 'tsit'; did you mean 'tsit5'."),
    ],
)
def test_unknown_names_are_refused(arguments, told, capsys) -> None:
    assert main(["verify", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_cases_meet_every_exact_solution() -> None:
    from flowsim.theory.exact.solutions import SOLUTIONS

    used = {type(solution) for case in cases() for solution in case.solutions}
    assert used == set(SOLUTIONS)
    assert len({case.problem.widths for case in cases()}) <= 3


def test_magnification_bounds_what_a_perturbed_start_does() -> None:
    """Per unit of relative error in the layers, W moves by less than the bound."""
    for case in cases():
        loss, layers = case.problem.loss, case.problem.layers
        if isinstance(loss, losses.LeastSquares):
            R, T = np.asarray(loss.R), np.asarray(loss.T)
            gradient = lambda W, R=R, T=T: (W @ R - T) @ R.T  # noqa: E731
        else:
            target = np.asarray(loss.Phi)
            gradient = lambda W, target=target: W - target  # noqa: E731
        rng = np.random.default_rng(0)
        perturbed = [W * (1 + 1e-6 * rng.choice([-1, 1], W.shape)) for W in layers]
        moved = exact.layer_flow(case.times, perturbed, gradient) - case.exact[0]
        assert 0 < np.linalg.norm(moved, axis=(1, 2)).max() < 1e-6 * case.magnification


@pytest.mark.parametrize("space", FLOWS)
def test_one_shape_is_solved_by_every_method_and_the_others_by_some(space: str) -> None:
    known, methods = cases(), ("tsit5", "rock4", "rodas5p", "kvaerno5")
    jobs = _jobs(known, space, methods)
    assert {method for _, _, method in jobs} == set(methods)
    by_shape = [{m for group, _, m in jobs if case in group} for case in known]
    assert all(found in (set(methods), {"tsit5", "rodas5p"}) for found in by_shape)
    # the case of two layers of which all formulations exist is solved by all methods
    assert by_shape[[case.name for case in known].index("modes, N = 2")] == set(methods)
    # what is asked for is solved in every case
    assert {m for _, _, m in _jobs(known, space, ("rock4",))} == {"rock4"}
    assert sum(len(group) for group, *_ in _jobs(known, space, ("rock4",))) == len(known)
