"""`flowsim verify`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from flowsim.cli import progress
from flowsim.cli.refusal import Refusal, refusing
from flowsim.cli.terminal import say

if TYPE_CHECKING:
    from flowsim.theory.exact.verification import Check

_ROW = "{mark} {name:<32} {space:<10} {method:<12} {error:>8} {tolerance:>9} {steps:>6} {time:>7}"
_HEADER = _ROW.format(
    mark=" ",
    name="exact solution",
    space="space",
    method="method",
    error="error",
    tolerance="tolerance",
    steps="steps",
    time="time",
)


@click.command("verify")
@click.option("--space", "spaces", multiple=True, help="Only this one; may be repeated.")
@click.option("--method", "methods", multiple=True, help="Only this one; may be repeated.")
def command(spaces: tuple[str, ...], methods: tuple[str, ...]) -> int:
    """Check every dynamics and method against exact solutions.

    The exit code is 1 if one of them is further off than theory allows.
    """
    from flowsim.cli import compile_cache

    compile_cache.turn_on()
    _refuse_unknown(spaces, methods)
    from flowsim.theory.exact.verification import checks, expected

    started, most = time.monotonic(), expected(spaces, methods)
    with nullcontext(_silent) if sys.stdout.isatty() else progress.shown() as report:
        done = _shown(checks(spaces, methods), most, report)
    failed = [check for check in done if not check.passed]
    solved = sum(not check.refused for check in done)
    say(f"\n{solved - len(failed)} of {solved} checks passed in {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def _refuse_unknown(spaces: tuple[str, ...], methods: tuple[str, ...]) -> None:
    from flowsim.dynamics.registry import FLOWS
    from flowsim.solvers.methods import named

    for space in spaces:
        if space not in FLOWS:
            raise Refusal(f"There is no space {space!r}; choose from {', '.join(FLOWS)}.")
    with refusing(ValueError):
        for method in methods:
            named(method)


def _silent(_label: str, _fraction: float) -> None:
    """Say nothing: on a terminal the table itself shows how far it is."""


def _shown(checks: Iterable[Check], most: int, report: progress.Report) -> list[Check]:
    """Print each check as it is done, of `most` at most."""
    say(_HEADER)
    done = []
    for check in checks:
        say(_line(check))
        sys.stdout.flush()
        done.append(check)
        report("verifying", len(done) / most)
    return done


def _line(check: Check) -> str:
    mark = "–" if check.refused else "✓" if check.passed else "✗"
    if check.note:
        told = f"refused: {check.note}" if check.refused else check.note
        return f"{mark} {check.name:<32} {check.space:<10} {check.method:<12} {told}"
    return _ROW.format(
        mark=mark,
        name=check.name,
        space=check.space,
        method=check.method,
        error=f"{check.error:.1e}",
        tolerance=f"{check.tolerance:.1e}",
        steps=check.steps or "",
        time=f"{check.seconds:.2f} s",
    ).rstrip()
