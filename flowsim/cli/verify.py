"""`flowsim verify`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from flowsim.cli import completion, progress, runtime
from flowsim.cli.errors import CommandError, as_command_error
from flowsim.cli.terminal import print_answer

if TYPE_CHECKING:
    from flowsim.theory.exact.verification.checks import Check

_NAMES = "{} {:<32} {:<10} {:<12} "
_NUMBERS = "{:>8} {:>9} {:>6} {:>7}"


@click.command("verify")
@click.option(
    "--space",
    "spaces",
    multiple=True,
    metavar="SPACE",
    shell_complete=completion.spaces,
    help="Check only this formulation, e.g. layers (repeatable; default: all).",
)
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="METHOD",
    shell_complete=completion.methods,
    help="Check only this integrator, e.g. tsit5 (repeatable; default: all).",
)
def verify_command(spaces: tuple[str, ...], methods: tuple[str, ...]) -> int:
    """Check every formulation and integrator against exact solutions.

    The exit code is 1 if an error exceeds its tolerance.
    """
    runtime.start_jax()
    _reject_unknown(spaces, methods)
    from flowsim.theory.exact.verification.checks import checks, expected

    started, most = time.monotonic(), expected(spaces, methods)
    # on a terminal the table is the progress; in a file a bar or lines on stderr show it
    with nullcontext(_ignore) if sys.stdout.isatty() else progress.displayed() as report:
        done = _print_checks(checks(spaces, methods), most, report)
    failed = [check for check in done if not check.passed]
    solved = sum(not check.refused for check in done)
    print_answer(
        f"\n{solved - len(failed)} of {solved} checks passed in {time.monotonic() - started:.0f} s"
    )
    return 1 if failed else 0


def _reject_unknown(spaces: tuple[str, ...], methods: tuple[str, ...]) -> None:
    from flowsim.dynamics.registry import FLOWS
    from flowsim.solvers.methods import named

    for space in spaces:
        if space not in FLOWS:
            raise CommandError(f"--space is {space!r}, but one of {', '.join(FLOWS)} is required.")
    with as_command_error(ValueError):
        for method in methods:
            named(method)


def _ignore(_label: str, _fraction: float) -> None:
    """Report nothing: on a terminal the table itself shows the progress."""


def _print_checks(checks: Iterable[Check], most: int, report: progress.Report) -> list[Check]:
    """Print each check when it is done, at most `most` of them, and return all."""
    header = _NAMES.format(" ", "exact solution", "space", "method")
    print_answer(header + _NUMBERS.format("error", "tolerance", "steps", "time"))
    done = []
    for check in checks:
        print_answer(_line(check))
        sys.stdout.flush()
        done.append(check)
        report("verifying", len(done) / most)
    return done


def _line(check: Check) -> str:
    mark = "–" if check.refused else "✓" if check.passed else "✗"
    names = _NAMES.format(mark, check.name, check.space, check.method)
    if check.note:
        return names + (f"not applicable: {check.note}" if check.refused else check.note)
    error, tolerance = f"{check.error:.1e}", f"{check.tolerance:.1e}"
    return names + _NUMBERS.format(error, tolerance, check.steps or "", f"{check.seconds:.2f} s")
